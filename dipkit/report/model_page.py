"""`model_report`: one page that shows a model and its errors on molecules with labels.

Symbols: N molecules with a label and a prediction, magnitudes in debye, charges in e. Plots are in
`page_sections.py`, molecules in 3D in `scenes.py`, facts of the fit in `model_facts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import ase
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..estimator.chosen_model import chosen_model
from ..estimator.metrics import Report, compare, vector_angles
from ..estimator.pipeline import keeps_std, predict_all
from ..estimator.predicted_molecules import Prediction
from ..support.files import PathLike, atomic_write
from . import model_facts, scenes
from .html_page import Table, document, table_html
from .learning_curve import LearningCurveDisplay
from .page_sections import curve_section, error_sections, section
from .plots import require_matplotlib

__all__ = ["ModelReport", "model_report"]

FloatArray = NDArray[np.float64]

# Of a name, on the page.
MOST_LETTERS = 60
_NAMES = {
    "n": "molecules with a label",
    "n_failed": "molecules without a prediction",
    "mae_debye": "mean of absolute errors of |μ|, D",
    "median_debye": "median of absolute errors of |μ|, D",
    "p95_debye": "95 % of absolute errors of |μ| are below, D",
    "rmse_debye": "RMS error of |μ|, D",
    "r2": "R² of |μ|",
    "n_vectors": "molecules with a vector",
    "vector_mae_debye": "mean length of the vectors' errors, D",
    "vector_angle_deg": "median angle between the vectors, degrees",
    "vector_reversed": "share of vectors that point backwards",
    "n_charges": "atoms with reference charges",
    "charge_mae_e": "mean absolute difference of the charges, e",
    "charge_rmse_e": "RMS difference of the charges, e",
}


@dataclass(frozen=True)
class ModelReport:
    """A page about a model; in a notebook it shows itself.

    Parameters
    ----------
    html : str
        The whole page. It needs no other file and no network.
    errors : dict
        Figures of `dipkit.estimator.compare`.
    """

    html: str = field(repr=False)
    errors: Report

    def save(self, path: PathLike) -> None:
        """Write the page to a file, which appears only when it is complete.

        Parameters
        ----------
        path : str or path
        """
        with atomic_write(path) as temporary:
            temporary.write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        page = escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{page}" title="Report of a dipkit model" '
            'style="width:100%;height:42rem;border:1px solid #888"></iframe>'
        )


def model_report(
    model: Any,
    molecules: Molecules | Sequence[ase.Atoms] | PathLike,
    *,
    title: str | None = None,
    prediction: Prediction | None = None,
    learning_curve: LearningCurveDisplay | PathLike | None = None,
) -> ModelReport:
    """Show the errors of a model on molecules with labels, and the molecules in 3D.

    Parameters
    ----------
    model : Pipeline, DipoleKernelRidge or search object
        Fitted. The last needs described molecules.
    molecules : Molecules, list of ase.Atoms or path
        Not those of the fit: errors on these would look too small.
    title : str, default=None
        None names the number of molecules.
    prediction : Prediction, default=None
        Result of `predict_all` for these molecules. None predicts them.
    learning_curve : LearningCurveDisplay or path, default=None
        Errors over the number of training molecules, to show besides; a path is a CSV file that
        `LearningCurveDisplay.from_csv` reads.

    Returns
    -------
    ModelReport
        With ``save(path)``.

    Raises
    ------
    InputError
        If no molecule carries a dipole label, no labelled one could be predicted, or the file of
        the learning curve does not have the columns that it needs.
    FileFormatError
        If the file of the learning curve holds no such numbers.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> from dipkit import default_model
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.report import model_report
    >>> molecules = load_organics()
    >>> model = default_model(basis__n_inducing=100).fit(molecules[:30])
    >>> report = model_report(model, molecules[30:50])
    >>> report.errors["n"], report.html.startswith("<!DOCTYPE html>")
    (20, True)
    """
    require_matplotlib()
    curve = learning_curve  # read first: a wrong file is found before the work is done
    if curve is not None and not isinstance(curve, LearningCurveDisplay):
        curve = LearningCurveDisplay.from_csv(curve)
    model = chosen_model(model)
    molecules = as_molecules(molecules)
    if prediction is None:
        prediction = predict_all(model, molecules, return_std=keeps_std(model))
    errors = compare(model, molecules, prediction)
    shown = _Shown.of(molecules, prediction)
    ridge = model[-1] if isinstance(model, Pipeline) else model
    title = title or f"Dipole model on {shown.n:,} molecules"
    chosen = scenes.choose_scenes(shown.molecules, shown.errors)
    limit = scenes.charge_limit(shown.prediction, chosen)
    data = scenes.scene_data(
        shown.prediction, chosen, [shown.facts(index) for index in chosen.tolist()], limit
    )
    parts = [
        _headline(errors),
        section("Molecules in 3D", scenes.scene_html(limit), anchor="molecules"),
        section("Molecules with the largest errors", shown.worst_table(chosen.tolist())),
        *error_sections(shown.prediction, shown.errors),
        *([] if curve is None else [curve_section(curve)]),
        section("All errors", table_html(_error_table(errors))),
        section("Fit of the model", table_html(model_facts.fit_table(ridge))),
        section("Parameters that the fit chose", table_html(model_facts.used_table(ridge))),
        _details("All parameters, as given", model_facts.parameter_table(model)),
        "<p>3D by 3Dmol.js (BSD-3-Clause; its licence is in the source of this page).</p>",
    ]
    html = document(title, parts, style=scenes.viewer_style(), scripts=scenes.viewer_scripts(data))
    return ModelReport(html, errors)


@dataclass(frozen=True)
class _Shown:
    """Molecules with a label and a prediction.

    Parameters
    ----------
    prediction : Prediction
        Of these molecules; ``prediction.molecules`` has their labels.
    errors : ndarray of shape (N,), debye
    """

    prediction: Prediction
    errors: FloatArray

    @classmethod
    def of(cls, molecules: Molecules, prediction: Prediction) -> _Shown:
        """Leave out molecules without a label or a prediction."""
        known = np.flatnonzero(molecules.has_magnitude & ~np.isnan(prediction.magnitude))
        atoms = molecules.atom_index(known)
        std = None if prediction.std is None else prediction.std[known]
        labelled = molecules[known].replace(features=None)
        kept = Prediction(labelled, prediction.charges[atoms], prediction.dipole[known], std)
        return cls(kept, kept.magnitude - labelled.dipole_magnitude)

    @property
    def molecules(self) -> Molecules:
        """With labels."""
        return self.prediction.molecules

    @property
    def n(self) -> int:
        """Molecules."""
        return len(self.errors)

    def row(self, index: int) -> list[str]:
        """Name, formula, reference, prediction, error, standard deviation of one molecule."""
        found, std = self.prediction, self.prediction.std
        row = [
            _short(str(self.molecules.names[index])),
            str(self.molecules[index].formulas()[0]),
            f"{self.molecules.dipole_magnitude[index]:.3f}",
            f"{found.magnitude[index]:.3f}",
            f"{self.errors[index]:+.3f}",
        ]
        return row if std is None else [*row, f"{std[index]:.3f}"]

    def facts(self, index: int) -> list[list[str]]:
        """Names and values to show beside a molecule."""
        name, _, true, predicted, error, *std = self.row(index)
        spread = f" ± {std[0]}" if std else ""
        vector = self.molecules.dipole_vector[index]
        unknown = np.isnan(vector).any()
        facts = [
            ["name", name],
            ["predicted |μ|", f"{predicted}{spread} D"],
            ["reference |μ|", f"{true} D" + (" (no vector: no arrow)" if unknown else "")],
            ["error of |μ|", f"{error} D"],
        ]
        if not unknown and min(np.linalg.norm(vector), self.prediction.magnitude[index]) > 0:
            (angle,) = vector_angles(vector[None], self.prediction.dipole[[index]])
            facts.append(["angle between them", f"{angle:.0f}°"])
        charge = float(self.molecules.total_charge[index])
        return [*facts, ["total charge", f"{charge:+g} e"]] if charge else facts

    def worst_table(self, chosen: list[int]) -> str:
        """Return the molecules with the largest errors, as HTML with a button for each in 3D."""
        places = {index: place for place, index in enumerate(chosen)}
        columns = ["name", "formula", "reference (D)", "predicted (D)", "error (D)", "std (D)"]
        order = np.argsort(-np.abs(self.errors), kind="stable")[: scenes.N_WORST].tolist()
        head = columns if self.prediction.std is not None else columns[:-1]
        rows = []
        for index in order:
            cells = "".join(f"<td>{escape(value)}</td>" for value in self.row(index))
            rows.append(f"<tr>{cells}<td>{_show_button(places.get(index))}</td></tr>")
        header = "".join(f'<th scope="col">{column}</th>' for column in [*head, ""])
        return (
            '<div class="scroll" role="region" aria-label="Largest errors" tabindex="0"><table>'
            f"<thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"


def _headline(errors: Report) -> str:
    """Return the few numbers that matter most, as HTML."""
    names = {
        "mae_debye": ("{:.3f} D", "mean of absolute errors"),
        "median_debye": ("{:.3f} D", "median of absolute errors"),
        "p95_debye": ("{:.3f} D", "95 % of absolute errors are below"),
        "vector_angle_deg": ("{:.0f}°", "median angle between vectors"),
    }
    items = [
        f"<div><dt>{name}</dt><dd>{form.format(value)}</dd></div>"
        for key, (form, name) in names.items()
        if (value := errors.get(key)) is not None
    ]
    return f'<dl class="headline">{"".join(items)}</dl>'


def _error_table(errors: Report) -> Table:
    rows = [
        [name, f"{errors[key]:,}" if isinstance(errors[key], int) else errors[key]]
        for key, name in _NAMES.items()
        if key in errors
    ]
    return Table("Errors", ("", ""), rows)


def _details(heading: str, table: Table) -> str:
    return f"<details><summary>{escape(heading)}</summary>{table_html(table)}</details>"


def _show_button(place: int | None) -> str:
    if place is None:
        return ""
    return f'<button type="button" class="show" data-scene="{place}">show in 3D</button>'
