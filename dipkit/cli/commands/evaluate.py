"""The command ``dipkit evaluate``.

The errors are computed in `dipkit.estimator.metrics`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import read_molecules, show
from ..options import ChargesOption, DataArgument, DipoleOption, JsonOption, ModelArgument


def evaluate(
    model: ModelArgument,
    data: DataArgument,
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table of the errors of each molecule to write: .csv"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Page to write, as that of `dipkit report`: .html"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare predictions with the labels in DATA."""
    from ...estimator.persistence import load_model
    from ..evaluation import check_outputs, evaluate_model

    check_outputs(output, report)
    molecules = read_molecules(data, dipole, charges)
    show(evaluate_model(load_model(model), molecules, output, report), as_json)
