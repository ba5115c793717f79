"""The command ``dipkit info``.

Summaries come from `dipkit.data.summary` and `dipkit.estimator.persistence`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...exceptions import InputError
from ...support.model_files import is_model
from ..console import read_molecules, show
from ..options import JsonOption
from ..reading import Reading, reads_labels
from ..streams import expand


@reads_labels
def info(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="A model, or molecules in one or several files; - is extended XYZ on stdin.",
            show_default=False,
            callback=expand,
        ),
    ],
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Show what is in a file of molecules or in a model."""
    models = [file for file in files if _is_model(file)]
    if models and len(files) > 1:
        raise InputError(f"{models[0]}: a model is shown alone, got {len(files)} files. Name one.")
    show(_about_model(files[0]) if models else _about_molecules(files, reading), as_json)


def _is_model(file: Path) -> bool:
    # A file with the name of a model counts as a model even if it is cut: the error then names
    # the right format. Devices, which have no end, are not looked into.
    return file.suffix == ".dipkit" or (file.is_file() and is_model(file))


def _about_model(file: Path) -> dict[str, object]:
    from ...estimator.persistence import read_metadata

    return read_metadata(file)


def _about_molecules(files: list[Path], reading: Reading) -> dict[str, object]:
    from ...data.dipole_size import describe_size

    molecules = read_molecules(files, reading)
    about = molecules.summary().as_dict()
    return about | ({"size_check": describe_size(molecules)} if about["n_magnitudes"] else {})
