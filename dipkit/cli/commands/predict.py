"""The command ``dipkit predict``.

Predictions come from `dipkit.estimator.pipeline`, files are written in `writers.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import busy, show
from ..options import DataArgument, JsonOption, ModelArgument, StrictOption
from ..reading import Reading, reads_geometries

if TYPE_CHECKING:
    from ...estimator.predicted_molecules import Prediction


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
    strict: StrictOption = False,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Predict magnitudes, vectors and charges; labels in DATA are not read.

    A molecule that cannot be read or predicted becomes a row of NaN.
    """
    from ...data.bad_records import BadRecord, describe, refuse
    from ...data.odd_electrons import OddElectrons
    from ...estimator.persistence import load_model
    from ...estimator.pipeline import keeps_std, predict_parts
    from ..writers import PREDICTION_SUFFIXES, check_output, stream_predictions

    check_output(output, PREDICTION_SUFFIXES, [model, data])
    loaded = load_model(model)
    with_std = keeps_std(loaded) if std is None else std
    odd, failed, n_records = OddElectrons(), list[BadRecord](), 0

    def predictions() -> Iterator[Prediction]:
        nonlocal n_records
        for part in predict_parts(loaded, data, with_std, **reading | {"skip_invalid": not strict}):
            odd.add(part.molecules)
            failed.extend(part.bad_records(n_records))
            n_records += len(part.molecules) + len(part.molecules.notes.bad)
            yield part
        if len(failed) == n_records:
            raise refuse(failed, n_records)

    with busy("predicting"):
        n_molecules = stream_predictions(output, predictions())
    odd.warn()
    if failed:
        what = "records could not be predicted"
        warnings.warn(f"{describe(failed, n_records, what)}. Their values are NaN.", stacklevel=1)
    report = {"output": str(output), "molecules": n_molecules, "failed": len(failed)}
    show(report, as_json, err=True)
