"""The command ``dipkit predict``.

Predictions come from `dipkit.estimator.pipeline`, files are written in `writers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import busy, show
from ..options import DataArgument, JsonOption, ModelArgument
from ..reading import Reading, reads_geometries

if TYPE_CHECKING:
    from ...estimator.pipeline import Prediction


@reads_geometries
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
    *,
    reading: Reading,
) -> None:
    """Predict magnitudes, vectors and charges; labels in DATA are not read."""
    from ...data.odd_electrons import OddElectrons
    from ...estimator.persistence import load_model
    from ...estimator.pipeline import keeps_std, predict_parts
    from ..writers import PREDICTION_SUFFIXES, check_output, stream_predictions

    check_output(output, PREDICTION_SUFFIXES)
    loaded = load_model(model)
    with_std = keeps_std(loaded) if std is None else std
    odd = OddElectrons()

    def predictions() -> Iterator[Prediction]:
        for part in predict_parts(loaded, data, with_std, **reading):
            odd.add(part.molecules)
            yield part

    with busy("predicting"):
        n_molecules = stream_predictions(output, predictions())
    odd.warn()
    show({"output": str(output), "molecules": n_molecules}, as_json, err=True)
