"""The command ``dipkit predict``.

Predictions come from `dipkit.estimator.pipeline`, files are written in `prediction_files.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import busy, read_molecules, show
from ..options import DataArgument, DipoleOption, JsonOption, ModelArgument


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
    reference: Annotated[
        bool, typer.Option("--reference", help="Labels of DATA and errors, in a .csv.")
    ] = False,
    dipole: DipoleOption = None,
    charges_output: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Table of the predicted charges to write.")
    ] = None,
    ase_results: Annotated[
        bool,
        typer.Option(
            "--ase-results",
            help="In a .xyz, give the predictions as ASE's own dipole and charges too.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict magnitudes, vectors and charges; labels in DATA are read only with --reference."""
    from ...estimator.persistence import load_model
    from ...estimator.pipeline import keeps_std, predict_parts
    from ..prediction_files import model_origin, stream_predictions
    from ..predictions import check_files, predict_labelled

    check_files(output, charges_output, reference, ase_results)
    loaded = load_model(model)
    with_std = keeps_std(loaded) if std is None else std
    if reference:
        parts = predict_labelled(loaded, read_molecules(data, dipole, None), with_std)
    else:
        parts = predict_parts(loaded, data, with_std)
    with busy("predicting"):
        n_molecules = stream_predictions(
            output,
            parts,
            model_origin(model),
            reference=reference,
            charges=charges_output,
            ase_results=ase_results,
        )
    show({"output": str(output), "molecules": n_molecules}, as_json, err=True)
