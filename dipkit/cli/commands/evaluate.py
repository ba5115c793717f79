"""The command ``dipkit evaluate``.

The errors are computed in `dipkit.estimator.metrics`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import read_molecules, show
from ..options import DataArgument, JsonOption, ModelArgument
from ..reading import Reading, files_read, reads_labels
from ..streams import writes


@reads_labels
@writes("output", "report")
def evaluate(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the errors of each molecule: .csv"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write the page of `dipkit report` too: .html"),
    ] = None,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Compare predictions with the labels in DATA."""
    from ...estimator.persistence import load_model
    from ..evaluation import check_outputs, evaluate_model

    check_outputs(output, report, [model, *files_read(data, reading)])
    molecules = read_molecules(data, reading)
    show(evaluate_model(load_model(model), molecules, output, report), as_json)
