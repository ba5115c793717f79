"""The command ``dipkit predict``.

Predictions come from `dipkit.estimator.pipeline`, files are written in `prediction_files.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..collection import loading
from ..console import busy, show
from ..options import DataArgument, JsonOption, ModelArgument, StrictOption
from ..read_ahead import begin_reading
from ..reading import Reading, files_read, reads_references
from ..streams import name_of, writes

if TYPE_CHECKING:
    from ...data.read_options import ReadKeywords
    from ...estimator.predicted_molecules import Prediction


@reads_references
@writes("output", "charges_output", to_stdout=True)
def predict(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .csv or .xyz; - is extended XYZ on stdout.",
            show_default=False,
        ),
    ],
    std: Annotated[
        bool | None,
        typer.Option(
            "--std/--no-std",
            help="Predict standard deviations.",
            show_default="where the model keeps them",
        ),
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Write the labels of DATA and the errors too (.csv)."),
    ] = False,
    charges_output: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="File for the predicted charges of all atoms."),
    ] = None,
    ase_results: Annotated[
        bool,
        typer.Option(
            "--ase-results",
            help="Write the predictions as ASE's own dipole and charges too (.xyz).",
        ),
    ] = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Predict magnitudes, vectors and charges; labels in DATA are read only with --reference.

    A molecule that cannot be read or predicted becomes a row of NaN.
    """
    skipping: ReadKeywords = {**reading, "skip_invalid": not strict}
    with begin_reading(data, skipping, reference) as begun:
        with loading():
            from ...data.bad_records import BadRecord, describe, refuse
            from ...data.odd_electrons import OddElectrons
            from ...estimator.persistence import load_model
            from ...estimator.pipeline import keeps_std, warm_up
            from ..prediction_files import model_origin, stream_predictions
            from ..predictions import check_files, predict_file, refuse_label_options

            inputs = [model, *files_read(data, reading)]
            check_files(output, charges_output, reference, ase_results, inputs)
            if not reference:
                refuse_label_options(reading)
            loaded = load_model(model)
        with_std = keeps_std(loaded) if std is None else std
        if begun is not None:  # molecules may not be there yet
            warm_up(loaded, with_std)
        odd, failed, n_records = OddElectrons(), list[BadRecord](), 0

        def predictions() -> Iterator[Prediction]:
            nonlocal n_records
            for part in predict_file(loaded, data, with_std, skipping, reference, begun):
                odd.add(part.molecules)
                failed.extend(part.bad_records(n_records))
                n_records += len(part.molecules) + len(part.molecules.notes.bad)
                yield part
            if len(failed) == n_records:
                raise refuse(failed, n_records)

        with busy("predicting"):
            n_molecules = stream_predictions(
                output,
                predictions(),
                model_origin(model),
                reference=reference,
                charges=charges_output,
                ase_results=ase_results,
            )
    odd.warn()
    if failed:
        what = "records could not be predicted"
        warnings.warn(f"{describe(failed, n_records, what)}. Their values are NaN.", stacklevel=1)
    report = {"output": name_of(output), "molecules": n_molecules, "failed": len(failed)}
    show(report, as_json, err=True)
