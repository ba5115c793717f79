"""The command ``dipkit convert``.

Formats are in `dipkit.data.formats`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, read_molecules, show
from ..options import JsonOption
from ..reading import Reading, files_read, reads_labels
from ..streams import expand, name_of, writes


@reads_labels
@writes("output", to_stdout=True)
def convert(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...",
            help="What to read, as DATA of other commands; - is stdin.",
            show_default=False,
            callback=expand,
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="File to write: .xyz, .db, .json or .npz; - is extended XYZ on stdout.",
            show_default=False,
        ),
    ],
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Read molecules in one format and write them in another, labels included."""
    from ...data.io import write
    from ..writers import MOLECULE_SUFFIXES, check_output

    check_output(output, MOLECULE_SUFFIXES, files_read(data, reading))
    molecules = read_molecules(data, reading)
    with busy("writing"):
        write(output, molecules)
    about = molecules.summary()
    report = {
        "output": name_of(output),
        "molecules": len(molecules),
        "n_magnitudes": about.n_magnitudes,
        "n_vectors": about.n_vectors,
        "n_charges": about.n_charges,
        "left_out": len(molecules.notes.bad),
    }
    show(report, as_json, err=True)
