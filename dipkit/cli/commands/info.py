"""The command ``dipkit info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import read_molecules, show
from ..options import ChargesOption, DipoleOption, JsonOption


def info(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Model or molecules.", show_default=False)
    ],
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a file of molecules or in a model."""
    from ...estimator.persistence import is_model, read_metadata

    # By its name a model is one even where it is cut: the error is then that of a model.
    about = read_metadata(file) if is_model(file) or file.suffix == ".dipkit" else None
    show(about or read_molecules(file, dipole, charges).summary().as_dict(), as_json)
