"""`ParityDisplay`: predicted against reference magnitudes, or a histogram of the errors.

Symbols: N molecules, magnitudes in debye. Errors are computed in `dipkit.estimator.metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import ase
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from ..data.io import as_molecules
from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..estimator.metrics import error_report
from ..exceptions import InputError
from ..support.files import PathLike
from .plots import BLUE, GREY, MANY_POINTS, ORANGE, figure_and_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..estimator.metrics import Report

__all__ = ["ParityDisplay"]

FloatArray = NDArray[np.float64]

# A histogram reaches as far as this share of the absolute errors, and a little beyond.
SHOWN_PERCENT = 98.0
# Cells along each side of the map of densities.
N_CELLS = 60
# Error bars of more points than this cover each other: the largest ones are drawn.
MANY_BARS = 300


class ParityDisplay:
    """Plot of predicted against reference magnitudes, or of the errors.

    `from_estimator` and `from_predictions` make one and draw it; `plot` draws it again.

    Parameters
    ----------
    true, predicted : array-like of shape (n_molecules,), debye
        Molecules whose prediction is NaN are left out.
    std : array-like of shape (n_molecules,), debye, default=None
        Predicted standard deviations, drawn as error bars.

    Attributes
    ----------
    true_, predicted_ : ndarray of shape (n_shown,), debye
    std_ : ndarray of shape (n_shown,), debye, or None
    n_failed_ : int
        Molecules left out.
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes

    Raises
    ------
    InputError
        If the shapes differ, a reference is not finite, or nothing was predicted.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from dipkit.report import ParityDisplay
    >>> axes = Figure().subplots()
    >>> display = ParityDisplay.from_predictions([0.5, 1.0], [0.4, 1.3], ax=axes)
    >>> display.ax_.get_xlabel()
    '|μ| reference (D)'
    """

    figure_: Figure
    ax_: Axes

    def __init__(self, true: ArrayLike, predicted: ArrayLike, std: ArrayLike | None = None):
        magnitudes, found = (np.asarray(values, np.float64) for values in (true, predicted))
        for name, values in (("true", magnitudes), ("predicted", found)):
            if values.ndim != 1:
                raise InputError(
                    f"{name}: expected magnitudes of shape (n_molecules,), got {values.shape}. "
                    "Give the lengths of the vectors."
                )
        if magnitudes.shape != found.shape:
            raise InputError(
                f"predicted: expected one magnitude for each of {len(magnitudes)} molecules, got "
                f"{len(found)}."
            )
        done = ~np.isnan(found)
        if not done.any():
            raise InputError("predicted: expected magnitudes, debye, got none that is a number.")
        self.report_: Report = error_report(magnitudes[done], found[done])
        self.true_, self.predicted_ = magnitudes[done], found[done]
        self.std_ = None if std is None else _deviations(std, done)
        self.n_failed_ = int((~done).sum())

    @classmethod
    def from_predictions(
        cls,
        true: ArrayLike,
        predicted: ArrayLike,
        *,
        std: ArrayLike | None = None,
        kind: str = "parity",
        ax: Axes | None = None,
        reference: str = "reference",
    ) -> Self:
        """Plot magnitudes that are there already.

        Parameters
        ----------
        true, predicted, std
            As in the class.
        kind, ax, reference
            As in `plot`.

        Returns
        -------
        ParityDisplay
        """
        return cls(true, predicted, std).plot(kind=kind, ax=ax, reference=reference)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Molecules | Sequence[ase.Atoms] | PathLike,
        y: ArrayLike | None = None,
        *,
        return_std: bool = False,
        kind: str = "parity",
        ax: Axes | None = None,
        reference: str = "reference",
    ) -> Self:
        """Predict, and plot the magnitudes.

        Parameters
        ----------
        estimator : estimator
            Fitted: a pipeline, a `DipoleKernelRidge` for described molecules, a search object, or
            another regressor.
        X : Molecules, list of ase.Atoms or path
        y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
            Reference. None takes the labels of the molecules, and leaves out those without.
        return_std : bool, default=False
            Whether to predict standard deviations and draw them as error bars.
        kind, ax, reference
            As in `plot`.

        Returns
        -------
        ParityDisplay

        Raises
        ------
        InputError
            If there is no reference, or not one for each molecule.
        """
        molecules = as_molecules(X)
        if y is None:
            known = molecules.has_magnitude
            if not known.any():
                raise missing_labels_error("dipole", molecules.source_keys)
            molecules, y = molecules[known], molecules.dipole_magnitude[known]
        true = np.asarray(y, np.float64)
        true = np.linalg.norm(true, axis=1) if true.ndim == 2 else true
        model, std = getattr(estimator, "best_estimator_", estimator), None
        if return_std:
            predicted, std = model.predict(molecules, return_std=True)
        else:
            predicted = model.predict(molecules)
        return cls.from_predictions(true, predicted, std=std, kind=kind, ax=ax, reference=reference)

    def plot(
        self, kind: str = "parity", *, ax: Axes | None = None, reference: str = "reference"
    ) -> Self:
        """Draw.

        Parameters
        ----------
        kind : {"parity", "errors"}, default="parity"
            Predicted against reference, coloured by the density of the points where there are
            many; or a histogram of the errors.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None makes a new figure with pyplot.
        reference : str, default="reference"
            Name of the reference, for the axis.

        Returns
        -------
        ParityDisplay
            Itself, with `figure_` and `ax_`.
        """
        if kind not in ("parity", "errors"):
            raise InputError(f'kind: expected "parity" or "errors", got {kind!r}.')
        self.figure_, self.ax_ = figure_and_axes(ax, 5.0, 5.0)
        if kind == "parity":
            self._draw_parity(reference)
        else:
            self._draw_errors(reference)
        return self

    def _draw_parity(self, reference: str) -> None:
        axes, true, predicted = self.ax_, self.true_, self.predicted_
        top = 1.04 * max(float(true.max()), float(predicted.max()), 1e-3)
        many = len(true) > MANY_POINTS
        axes.plot([0, top], [0, top], color=GREY, lw=1, zorder=1)
        if self.std_ is not None:
            drawn = np.argsort(self.std_)[-MANY_BARS:]
            axes.errorbar(
                true[drawn], predicted[drawn], self.std_[drawn], fmt="none", ecolor=GREY,
                elinewidth=0.7, alpha=0.6, zorder=1.5,
            )  # fmt: skip
        if many:
            density = _densities(true, predicted, top)
            order = np.argsort(density)
            axes.scatter(
                true[order], predicted[order], c=density[order], s=6, alpha=0.8, linewidths=0,
                zorder=2, rasterized=True,
            )  # fmt: skip
        else:
            axes.scatter(true, predicted, color=BLUE, s=18, alpha=0.65, linewidths=0, zorder=2)
        axes.set(ylim=(0, top), xticks=axes.get_yticks(), box_aspect=1)
        axes.set(xlim=(0, top), ylim=(0, top))
        axes.set(xlabel=f"|μ| {reference} (D)", ylabel="|μ| predicted (D)")
        axes.grid(alpha=0.25)
        axes.text(
            0.035, 0.965, _error_table(self.report_, self.n_failed_), transform=axes.transAxes,
            va="top", family="monospace", fontsize=8.5, linespacing=1.35,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 3},
        )  # fmt: skip

    def _draw_errors(self, reference: str) -> None:
        axes, errors = self.ax_, self.predicted_ - self.true_
        reach = max(float(np.percentile(np.abs(errors), SHOWN_PERCENT)) * 1.15, 1e-3)
        inside = errors[np.abs(errors) <= reach]
        n_bins = int(np.clip(2 * np.sqrt(len(errors)), 12, 40))
        axes.hist(inside, bins=n_bins, range=(-reach, reach), color=ORANGE, alpha=0.85)
        axes.axvline(0, color=GREY, lw=1)
        axes.set(xlabel=f"error, predicted - {reference} (D)", ylabel="molecules", box_aspect=1)
        axes.set_xlim(-reach, reach)
        axes.locator_params(axis="y", integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        n_outside = len(errors) - len(inside)
        if n_outside:
            largest = errors[np.abs(errors).argmax()]
            axes.set_title(
                f"not shown: {n_outside} of {len(errors):,} errors, up to {largest:+.2f} D",
                fontsize=9,
            )


def _deviations(std: ArrayLike, done: NDArray[np.bool_]) -> FloatArray:
    deviations = np.asarray(std, np.float64)
    if deviations.shape != done.shape:
        raise InputError(
            f"std: expected one standard deviation for each of {len(done)} molecules, got an "
            f"array of shape {deviations.shape}."
        )
    return deviations[done]


def _densities(x: FloatArray, y: FloatArray, top: float) -> FloatArray:
    """Count the points near each point (n,), with a smoothed map; its square root."""
    counts, _, _ = np.histogram2d(x, y, bins=N_CELLS, range=[(0, top), (0, top)])
    smooth = gaussian_filter(counts, 1.0)
    cells = np.clip((np.array([x, y]) / top * N_CELLS).astype(int), 0, N_CELLS - 1)
    densities: FloatArray = np.sqrt(smooth[cells[0], cells[1]])
    return densities


def _error_table(report: Report, n_failed: int) -> str:
    """Format the errors as lines of text."""
    keys = {"  mean": "mae", "  median": "median", "  95 %": "p95", "  RMS": "rmse"}
    lines = [f"{name:9}{report[f'{key}_debye']:.3f} D" for name, key in keys.items()]
    lines += [] if report["r2"] is None else [f"{'R²':9}{report['r2']:.3f}"]
    lines += [f"{'failed':9}{n_failed:,}"] if n_failed else []
    return "\n".join([f"{'n':9}{report['n']:,}", "of absolute errors:", *lines])
