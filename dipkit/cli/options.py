"""Arguments and options that several commands share. The commands are in `commands/`.

Options about reading files are in `reading.py`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .streams import expand

Device = StrEnum("Device", ["auto", "cpu", "cuda"])
BaselineName = StrEnum("BaselineName", ["none", "given", "gfn2"])
AuxiliaryName = StrEnum("AuxiliaryName", ["none", "auto", "charges", "gfn2", "given"])

DataArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATA...",
        help="Molecules: .xyz, .sdf, .db, .npz, .log, .out, a folder or an archive of these; "
        "several, or a pattern such as 'run*/*.xyz'; - is extended XYZ on stdin.",
        show_default=False,
        callback=expand,
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Model file that dipkit wrote.", show_default=False)
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
BaselineOption = Annotated[
    BaselineName,
    typer.Option(
        help="Cheap calculation to correct: GFN2-xTB (with IPEA1-xTB), or results that are given "
        "with the molecules."
    ),
]
AuxiliaryOption = Annotated[
    AuxiliaryName,
    typer.Option(
        help="Cheap dipoles of the training molecules, to learn directions from: dipoles of the "
        "charges, or GFN2-xTB."
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Stop with an error if a molecule is bad.")
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Model file to write.", show_default=False)
]
