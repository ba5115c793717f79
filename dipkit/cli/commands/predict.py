"""The command ``dipkit predict``.

Predictions come from `dipkit.estimator.pipeline`, files are written in `writers.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, show
from ..options import DataArgument, JsonOption, ModelArgument


def predict(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv or .xyz", show_default=False)
    ],
    std: Annotated[
        bool | None,
        typer.Option(
            "--std/--no-std", help="Standard deviations.", show_default="where the model keeps them"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict magnitudes, vectors and charges; labels in DATA are not read."""
    from ...estimator.persistence import load_model
    from ...estimator.pipeline import keeps_std, predict_parts
    from ..writers import PREDICTION_SUFFIXES, check_output, stream_predictions

    check_output(output, PREDICTION_SUFFIXES, [model, data])
    loaded = load_model(model)
    with_std = keeps_std(loaded) if std is None else std
    with busy("predicting"):
        n_molecules = stream_predictions(output, predict_parts(loaded, data, with_std))
    show({"output": str(output), "molecules": n_molecules}, as_json, err=True)
