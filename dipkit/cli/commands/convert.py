"""The command ``dipkit convert``.

Formats are in `dipkit.data.formats`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, read_molecules
from ..options import ChargesOption, DipoleOption


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", show_default=False)],
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
) -> None:
    """Read molecules in one format and write them in another, labels included."""
    from ...data.io import write
    from ..writers import MOLECULE_SUFFIXES, check_output

    check_output(target, MOLECULE_SUFFIXES, [source])
    molecules = read_molecules(source, dipole, charges)
    with busy("writing"):
        write(target, molecules)
