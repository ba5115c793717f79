"""The command ``dipkit doctor``.

Its checks are in `dipkit/cli/doctor.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ..console import busy, show
from ..options import JsonOption


def doctor(
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test/--no-self-test", help="Fit, predict, save and load with bundled molecules."
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Show versions, devices, threads and extras, and run a self-test of about ten seconds."""
    from ..doctor import examine, test_bundled

    report = examine()
    failed = False
    if self_test:
        with busy("fitting and predicting bundled molecules"):
            report["self_test"], failed = test_bundled()
    show(report, as_json)
    if failed:
        raise typer.Exit(1)
