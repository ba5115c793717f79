"""Figures of a study, and a page with them: history, importances, errors over alpha and lambda.

The last is drawn from the grid that every trial keeps. Scores of a study are negative errors in
debye; figures show errors. Studies are in `study.py`, pages and curves in `report/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exceptions import InputError
from ..report.html_page import Table, write_html_report
from ..report.plots import BLUE, GREY, draw_curves, new_figure, require_matplotlib
from ..support.files import PathLike
from .optuna_objects import importances
from .ridge_parameters import ALPHA, CHARGE_WEIGHT
from .study import completed, score_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["grid_errors", "plot_study", "write_study_report"]

# Trials whose curves are drawn in addition to that of the best one.
N_CURVES = 10
# With fewer trials the importances of the parameters are chance.
LEAST_TRIALS_OF_IMPORTANCES = 20


def plot_study(study: Study) -> dict[str, Figure]:
    """Plot a study.

    Parameters
    ----------
    study : optuna.Study
        ``search.study_`` of a fitted `DipoleSearchCV`.

    Returns
    -------
    dict
        Figures by caption: the history; the importances of the parameters, if there are at
        least 20 different trials; the errors over charge weight and alpha, if trials scored a
        grid.

    Raises
    ------
    InputError
        If no trial has a score.
    MissingDependencyError
        If matplotlib is not installed.
    """
    require_matplotlib()
    trials = completed(study)
    figures = {"History of the search": _plot_history(trials)}
    n_drawn = len({tuple(trial.params.items()) for trial in trials})
    n_scores = len({score_of(trial) for trial in trials})
    if min(n_drawn, n_scores) >= LEAST_TRIALS_OF_IMPORTANCES:
        figures["Importance of the parameters"] = _plot_importances(importances(study))
    graded = sorted((t for t in trials if "grid" in t.user_attrs), key=score_of, reverse=True)
    if graded:
        figures["Error over charge weight and ridge penalty"] = _plot_grids(graded[:N_CURVES])
    return figures


def grid_errors(trial: FrozenTrial, name: str) -> tuple[list[float], list[float]]:
    """Error of a trial at each value on its grid, the other parameter at its best.

    Parameters
    ----------
    trial : optuna.trial.FrozenTrial
        Of a `DipoleSearchCV` with a grid.
    name : {"alpha", "charge_weight"}

    Returns
    -------
    values, errors : list of float
        Errors in debye; NaN where no fit was possible.
    """
    grid = trial.user_attrs["grid"]
    if name not in grid:
        raise InputError(f'name: expected "alpha" or "charge_weight", got {name!r}.')
    scores = np.array(grid["score"], dtype=float)
    best = np.fmax.reduce(scores, axis=1 if name == ALPHA else 0)
    return list(grid[name]), (-best).tolist()


def write_study_report(path: PathLike, study: Study, summary: Mapping[str, Any]) -> None:
    """Write one page of a study: best parameters, errors and pictures.

    Parameters
    ----------
    path : str or path
        HTML; nothing else is needed to show it.
    study : optuna.Study
    summary : mapping
        What `dipkit tune` reports.
    """
    best = [[name, _short(value)] for name, value in summary["best_parameters"].items()]
    errors = [["cross-validation", f"{summary['inner_mae_debye']:.4f}"]]
    if "kept_untuned" in summary:
        gain = " ± ".join(_short(value) for value in summary["gain_debye"])
        verdict = "too little: untuned parameters kept" if summary["kept_untuned"] else "enough"
        errors.append(["gain of the best trial", f"{gain} ({verdict})"])
    if "optimism_debye" in summary:  # molecules were kept out, and some of them were predicted
        errors.append(["molecules kept out", f"{summary['held_out']['mae_debye']:.4f}"])
        errors.append(["optimism", f"{summary['optimism_debye']:+.4f}"])
    write_html_report(
        path,
        title="Search for hyperparameters",
        tables=[
            Table("Mean absolute error, debye", ("", ""), errors),
            Table("Best parameters", ("", ""), best),
        ],
        figures=plot_study(study),
        settings={"molecules": summary["molecules"], "trials": summary["trials"]},
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plot_history(trials: list[FrozenTrial]) -> Figure:
    """Draw the error of each trial and the smallest one so far."""
    figure = new_figure(9.0, 4.0)
    axes = figure.subplots()
    numbers = [trial.number for trial in trials]
    errors = [-score_of(trial) for trial in trials]
    axes.plot(numbers, errors, "o", color=GREY, label="trial")
    best = np.minimum.accumulate(errors)
    axes.step(numbers, best, where="post", color=BLUE, label="smallest so far")
    axes.set_xlabel("trial")
    axes.set_ylabel("cross-validated MAE (D)")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def _plot_importances(shares: dict[str, float]) -> Figure:
    """Draw one bar for each parameter, the largest on top."""
    figure = new_figure(9.0, 0.8 + 0.35 * len(shares))
    axes = figure.subplots()
    names = list(reversed(shares))
    axes.barh(names, list(reversed(shares.values())), color=BLUE)
    axes.set_xlabel("share in the differences of the scores")
    return figure


def _plot_grids(trials: list[FrozenTrial]) -> Figure:
    figure = new_figure(9.0, 4.0)
    for axes, name, label in zip(
        figure.subplots(1, 2, sharey=True),
        (CHARGE_WEIGHT, ALPHA),
        ("charge weight λ (D²/e²)", "ridge penalty α (D²)"),
        strict=True,
    ):
        _draw_grid(axes, trials, name)
        axes.set_xlabel(label)
    figure.axes[0].set_ylabel("cross-validated MAE (D)")
    figure.axes[0].legend(frameon=False)
    return figure


def _draw_grid(axes: Axes, trials: list[FrozenTrial], name: str) -> None:
    curves = [grid_errors(trial, name) for trial in trials]
    positive = sorted({value for values, _ in curves for value in values if value > 0})
    draw_curves(axes, curves, ["best trial", f"next {len(curves) - 1}"])
    if any(0 in values for values, _ in curves):
        # A logarithmic axis has no zero; the point of lambda = 0 is left of the others.
        axes.set_xscale("symlog", linthresh=positive[0] if positive else 1.0)
    else:
        axes.set_xscale("log")
    axes.grid(alpha=0.25)
