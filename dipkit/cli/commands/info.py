"""The command ``dipkit info``.

Summaries come from `dipkit.data.summary` and `dipkit.estimator.persistence`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...support.model_files import is_model
from ..console import read_molecules, show
from ..options import JsonOption
from ..reading import Reading, reads_labels


@reads_labels
def info(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Model or molecules.", show_default=False)
    ],
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Show what is in a file of molecules or in a model."""
    # A file with the name of a model counts as a model even if it is cut: the error then names
    # the right format. Devices, which have no end, are not looked into.
    is_one = file.suffix == ".dipkit" or (file.is_file() and is_model(file))
    show(_about_model(file) if is_one else _about_molecules(file, reading), as_json)


def _about_model(file: Path) -> dict[str, object]:
    from ...estimator.persistence import read_metadata

    return read_metadata(file)


def _about_molecules(file: Path, reading: Reading) -> dict[str, object]:
    from ...data.dipole_size import describe_size

    molecules = read_molecules(file, reading)
    about = molecules.summary().as_dict()
    return about | ({"size_check": describe_size(molecules)} if about["n_magnitudes"] else {})
