"""The command ``dipkit convert``.

Formats are in `dipkit.data.formats`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, read_molecules
from ..reading import Reading, files_read, reads_labels


@reads_labels
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", show_default=False)],
    *,
    reading: Reading,
) -> None:
    """Read molecules in one format and write them in another, labels included."""
    from ...data.io import write
    from ..writers import MOLECULE_SUFFIXES, check_output

    check_output(target, MOLECULE_SUFFIXES, files_read(source, reading))
    molecules = read_molecules(source, reading)
    with busy("writing"):
        write(target, molecules)
