"""The demonstration: the bundled molecules, one split, one table of models.

Every model gets the same training molecules and only the magnitudes of their dipoles; the test
molecules are used only for the errors. Symbols: N molecules, dipoles in debye. The simple models
are in `dipkit.estimator.reference_models`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from ..data.datasets import load_organics
from ..data.molecules import Molecules
from ..descriptors.soap import SOAPTransformer
from ..estimator.auxiliary import AUTO_ERRORS, GFN2_FACTOR, AuxiliaryDipoles
from ..estimator.metrics import Report, charge_errors, error_report
from ..estimator.parameters import Reweighted
from ..estimator.persistence import save_model
from ..estimator.pipeline import predict_all
from ..estimator.predicted_molecules import Prediction
from ..estimator.reference_models import AveragedSOAPRidge, charge_dipoles, mean_predictor
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import InputError, MissingDependencyError
from ..report.convergence import ConvergenceDisplay
from ..report.html_page import Table, write_html_report
from ..report.parity import ParityDisplay
from ..report.plots import new_figure, require_matplotlib, save_figure
from .prediction_files import model_origin, stream_predictions
from .writers import check_output, rich_table

if TYPE_CHECKING:
    from rich.console import Console

FloatArray = NDArray[np.float64]
Row = list[Any]

COLUMNS = ("model", "MAE", "median", "95 %", "RMSE", "seconds")
# Rows that the sentences below the table compare.
NO_CHARGES = "dipkit, no charges"
START_ALONE = "dipkit, charges as start alone"
WITH_CHARGES = "dipkit, with Mulliken charges"
WITH_GFN2 = "dipkit, GFN2 dipoles in training"
_FIGURES = ("mae_debye", "median_debye", "p95_debye", "rmse_debye")
MODEL_FILE = "model.dipkit"
PREDICTION_FILES = ("predictions.csv", "predictions.xyz")
# Errors of random starts differ by a factor of two: the mean of several is shown.
N_RANDOM_STARTS = 3


def run_demo(
    output: str | Path, console: Console, *, seed: int = 0, molecules: Molecules | None = None
) -> Report:
    """Compare the models, print the table, write the results.

    Parameters
    ----------
    output : str or path
        Folder of the results; made if it is not there.
    console : rich.console.Console
        Where the tables go.
    seed : int, default=0
        Of the split and of the random starts.
    molecules : Molecules, default=None
        With magnitudes, vectors and charges; None takes the bundled ones.

    Returns
    -------
    dict
        Errors of the model with Mulliken charges on the test molecules.
    """
    folder = _folder(output)
    soap = SOAPTransformer()
    start = time.perf_counter()
    described = soap.fit_transform(load_organics() if molecules is None else molecules)
    seconds = time.perf_counter() - start
    train, test = train_test_split(described, test_size=0.25, random_state=seed)
    notes = _notes(train, test, seconds, seed)
    console.print(*notes, sep="\n", soft_wrap=True)

    model = DipoleKernelRidge(random_state=seed)
    with console.status("fitting"):
        rows = [
            *_comparison(train, test, seed),
            _fitted_row(WITH_CHARGES, model, train, test),
        ]
        last = len(rows) - 1
        rows += _with_vectors(train, test, seed)
    reading = _reading(rows)
    prediction = predict_all(model, test)
    report = error_report(test.dipole_vector, prediction.dipole)
    report |= charge_errors(test.charges, prediction.charges)
    tables = [
        Table(
            "Absolute errors of |μ| on the test molecules, debye",
            COLUMNS,
            rows,
            highlight=last,
        ),
        _details(report),
    ]
    for table in tables:
        console.print(rich_table(table))
    console.print(reading, soft_wrap=True)

    pipeline = Pipeline([("soaptransformer", soap), ("dipolekernelridge", model)])
    save_model(pipeline, folder / MODEL_FILE)
    for name in PREDICTION_FILES:
        stream_predictions(folder / name, [prediction], model_origin(folder / MODEL_FILE))
    pictures = _write_pictures(folder, console, tables, prediction, [*notes, reading], pipeline)
    written = ", ".join([MODEL_FILE, *PREDICTION_FILES, *pictures])
    console.print(f"Written to {folder.resolve()}: {written}", soft_wrap=True)
    return report


def _folder(output: str | Path) -> Path:
    """Make the folder, and check that it can be written."""
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}.") from error
    check_output(folder / MODEL_FILE)
    return folder


def _notes(train: Molecules, test: Molecules, seconds: float, seed: int) -> list[str]:
    return [
        f"{len(train) + len(test)} small organic molecules with B3LYP/6-31G(2df,p) dipoles, split "
        f"at random (seed {seed}): {len(train)} to train, {len(test)} to test.",
        f"They were described once for all models, in {seconds:.1f} s; the seconds below are those "
        "of fit and prediction. All models learn from dipole magnitudes, none from reference "
        "vectors; the last one also from cheap vectors of the training molecules. "
        f"Figures of the random start are means over {N_RANDOM_STARTS} of them, without annealing.",
    ]


def _comparison(train: Molecules, test: Molecules, seed: int) -> list[Row]:
    """Rows of all models before the one with charges."""
    bare = train.replace(charges=None)
    return [
        _fitted_row("mean of the training molecules", mean_predictor(), train, test),
        _fitted_row("kernel ridge on averaged SOAP", AveragedSOAPRidge(), train, test),
        _row("|Σ q r| of the Mulliken charges", test, lambda: _norms(charge_dipoles(test))),
        _random_row(bare, test, seed),
        _fitted_row(NO_CHARGES, DipoleKernelRidge(random_state=seed), bare, test),
        _fitted_row(
            START_ALONE,
            DipoleKernelRidge(auxiliary=None, random_state=seed),
            train,
            test,
        ),
    ]


def _with_vectors(train: Molecules, test: Molecules, seed: int) -> list[Row]:
    """Row of a model that learns directions from GFN2-xTB; the bundled molecules carry its dipoles.

    Molecules without them give no row.
    """
    if train.baseline_dipole is None:
        return []
    known = train.replace(baseline_dipole=GFN2_FACTOR * train.baseline_dipole)
    auxiliary = AuxiliaryDipoles("given", *AUTO_ERRORS["gfn2"])
    model = DipoleKernelRidge(auxiliary=auxiliary, random_state=seed)
    return [_fitted_row(WITH_GFN2, model, known, test)]


def _reading(rows: list[Row]) -> str:
    """Say why some rows are nearly equal, and what cheap vectors change."""
    errors = {row[0]: row[1] for row in rows}
    changes = " and ".join(
        f"{errors[name] / errors[NO_CHARGES] - 1:+.0%} with {of_what}"
        for name, of_what in ((WITH_CHARGES, "Mulliken charges"), (WITH_GFN2, "GFN2-xTB"))
        if name in errors
    )
    return (
        f"How to read the table: rows {NO_CHARGES.removeprefix('dipkit, ')!r} and "
        f"{START_ALONE.removeprefix('dipkit, ')!r} may be nearly equal. Charges as a start only "
        "keep the fit from a poor solution, and with this many labels of small molecules the start "
        "without charges does that too. Dipole vectors of cheap calculations also show "
        f"directions: they change the mean error of a model without charges by {changes}. They "
        "change more when labels are few."
    )


def _random_row(bare: Molecules, test: Molecules, seed: int) -> Row:
    """Mean of several random starts; their iterations may not converge."""
    models = [
        DipoleKernelRidge(
            start="random", solver=Reweighted(annealing=()), random_state=seed + index
        )
        for index in range(N_RANDOM_STARTS)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows = [_fitted_row("", model, bare, test)[1:] for model in models]
    name = "dipkit, no charges, random start"
    return [name, *np.mean(rows, axis=0).tolist()]


def _fitted_row(name: str, model: BaseEstimator, train: Molecules, test: Molecules) -> Row:
    # y is given, because the molecules also carry vectors, which no model here learns from.
    return _row(name, test, lambda: model.fit(train, train.dipole_magnitude).predict(test))


def _row(name: str, test: Molecules, predict: Callable[[], FloatArray]) -> Row:
    start = time.perf_counter()
    predicted = predict()
    seconds = time.perf_counter() - start
    report = error_report(test.dipole_magnitude, predicted)
    return [name, *(report[key] for key in _FIGURES), seconds]


def _norms(vectors: FloatArray) -> FloatArray:
    return np.linalg.norm(vectors, axis=1)


def _details(report: Report) -> Table:
    reversed_share = report["vector_reversed"]
    rows = [
        ["mean length of the vector's error, D", report["vector_mae_debye"]],
        ["median angle between vectors, degrees", report["vector_angle_deg"]],
        ["share of vectors reversed", reversed_share],
        ["mean difference from the Mulliken charges, e", report["charge_mae_e"]],
    ]
    return Table("Vectors and charges with Mulliken charges", ("quantity", "test"), rows)


def _write_pictures(
    folder: Path,
    console: Console,
    tables: list[Table],
    prediction: Prediction,
    notes: list[str],
    pipeline: Pipeline,
) -> tuple[str, ...]:
    """Write the plot and the page and return their names, or print which package is missing."""
    try:
        require_matplotlib()
    except MissingDependencyError as error:
        console.print(f"No pictures and no report: {error}", soft_wrap=True, markup=False)
        return ()
    test, model = prediction.molecules, pipeline[-1]
    parity, convergence = new_figure(9.0, 4.6), new_figure(6.0, 4.0)
    magnitudes = ParityDisplay(test.dipole_magnitude, prediction.magnitude)
    for kind, axes in zip(("parity", "errors"), parity.subplots(1, 2), strict=True):
        magnitudes.plot(kind, ax=axes, reference="B3LYP")
    parity.suptitle(
        f"{len(test)} test molecules, trained with charges", x=0.02, ha="left", fontweight="bold"
    )
    ConvergenceDisplay.from_estimator(model, ax=convergence.subplots())
    save_figure(parity, folder / "parity.png")
    settings = {
        f"{type(step).__name__}.{name}": value
        for step in (pipeline[0], model)
        for name, value in step.get_params(deep=False).items()
    }
    write_html_report(
        folder / "report.html",
        title="dipkit: dipole moments of small organic molecules",
        tables=tables,
        figures={
            "Predicted and reference magnitudes of the test molecules": parity,
            "Objective over the iterations of the fit": convergence,
        },
        settings=settings,
        notes=notes,
    )
    return "parity.png", "report.html"
