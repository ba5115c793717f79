"""The command ``dipkit demo``.

Its steps are in `dipkit/cli/demo.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path(
        "dipkit-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
) -> None:
    """Fit the bundled molecules, compare with simpler models, write the results."""
    from rich.console import Console

    from ..demo import run_demo

    run_demo(output, Console(highlight=False), seed=seed)
