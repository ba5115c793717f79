"""`LearningCurveDisplay`: errors over the number of training molecules, for several models.

That of scikit-learn draws one model, with scores that are higher for a better model; here errors
are in debye, on logarithmic axes. Files of curves are in `curve_table.py`. Symbols: S sizes, K
draws, for example folds or seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import ase
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import learning_curve

from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..estimator.metrics import mae_scorer
from ..exceptions import InputError
from ..support.files import PathLike
from .curve_table import Curves, read_curves, write_curves
from .html_page import Table
from .plots import COLOURS, MARKERS, Style, figure_and_axes, log_marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LearningCurveDisplay"]

FloatArray = NDArray[np.float64]

# Marks of the axis of molecules that are closer than this overlap, decades.
CLOSEST_MARKS = 0.12


class LearningCurveDisplay:
    """Plot of errors over the number of training molecules, on logarithmic axes.

    Parameters
    ----------
    sizes : array-like of shape (n_sizes,)
        Training molecules.
    errors : mapping of str to array-like of shape (n_sizes,) or (n_sizes, n_draws), debye
        By name of the model. For several draws, such as folds, the line is the mean and the band
        is the range. NaN where a model was not fitted.
    spreads : mapping of str to array-like of shape (n_sizes,), default=None, debye
        Of models with one error for each size: the band is the error plus and minus this, for
        example a standard deviation.

    Attributes
    ----------
    sizes_ : ndarray of shape (n_sizes,)
    errors_ : dict of str to ndarray of shape (n_sizes, n_draws), debye
    spreads_ : dict of str to ndarray of shape (n_sizes,), debye
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a curve does not have one error, or one row of errors, for each size, or an error is not
        above 0.
    """

    figure_: Figure
    ax_: Axes

    def __init__(
        self,
        sizes: ArrayLike,
        errors: Mapping[str, ArrayLike],
        spreads: Mapping[str, ArrayLike] | None = None,
    ):
        self.sizes_ = np.asarray(sizes)
        self.errors_: dict[str, FloatArray] = {}
        self.spreads_: dict[str, FloatArray] = {}
        n_sizes = len(self.sizes_)
        for name, values in errors.items():
            curve = np.asarray(values, np.float64)
            if curve.ndim not in (1, 2) or len(curve) != n_sizes:
                raise InputError(
                    f"errors: expected shape ({n_sizes},) or ({n_sizes}, n_draws) for {name!r}, "
                    f"one row for each size, got {curve.shape}."
                )
            if (curve <= 0).any() or np.isnan(curve).all():
                raise InputError(
                    f"errors: expected values above 0 for {name!r}, because the axes are "
                    "logarithmic. Scores of scikit-learn are negative errors: give their negative."
                )
            self.errors_[name] = curve.reshape(len(curve), -1)
        for name, values in (spreads or {}).items():
            spread = np.asarray(values, np.float64)
            if name not in self.errors_ or spread.shape != (n_sizes,):
                raise InputError(
                    f"spreads: expected the name of a curve and shape ({n_sizes},), got {name!r} "
                    f"and {spread.shape}."
                )
            self.spreads_[name] = spread

    @classmethod
    def from_csv(cls, path: PathLike) -> Self:
        """Read curves from a CSV file with the columns `train_size` and `mae`, or names like them.

        Parameters
        ----------
        path : str or path
            One row for each number of molecules, or for each draw. Further columns may hold the
            spread (`std`) and the name of the model (`model`).

        Returns
        -------
        LearningCurveDisplay
            Not drawn yet.

        Raises
        ------
        InputError
            If the columns are not found; names those that are looked for.
        FileFormatError
            If a cell holds no such number; names the line.
        """
        found = read_curves(path)
        return cls(found.sizes, found.errors, found.spreads)

    def to_csv(self, path: PathLike) -> None:
        """Write the curves to a file that `from_csv` reads.

        Parameters
        ----------
        path : str or path
        """
        write_curves(path, Curves(self.sizes_.astype(np.int64), self.errors_, self.spreads_))

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Molecules | Sequence[ase.Atoms] | PathLike,
        y: ArrayLike | None = None,
        *,
        name: str | None = None,
        train_sizes: ArrayLike = (0.1, 0.2, 0.4, 0.7, 1.0),
        cv: Any = 5,
        random_state: int | np.random.RandomState | None = 0,
        n_jobs: int | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Fit to more and more molecules, and plot the errors on those held out.

        Parameters
        ----------
        estimator : estimator
            Not fitted itself. Describe the molecules first and give a `DipoleKernelRidge`: a
            pipeline would describe them again for each fit.
        X : Molecules, list of ase.Atoms or path
        y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
            None takes the labels of the molecules.
        name : str, default=None
            Name of the curve; None is the class of the estimator.
        train_sizes : array-like of shape (n_sizes,), default=(0.1, 0.2, 0.4, 0.7, 1.0)
            Numbers of molecules, or shares of the largest number.
        cv : int, splitter or iterable, default=5
        random_state : int, RandomState or None, default=0
            Of the order in which molecules are added.
        n_jobs : int, default=None
            Fits at the same time.
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure with pyplot.

        Returns
        -------
        LearningCurveDisplay
        """
        sizes, _, scores = learning_curve(
            estimator, as_molecules(X), y, train_sizes=np.asarray(train_sizes), cv=cv,
            scoring=mae_scorer, shuffle=True, random_state=random_state, n_jobs=n_jobs,
        )  # fmt: skip
        return cls(sizes, {name or type(estimator).__name__: -scores}).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None, ylabel: str = "mean of absolute errors (D)") -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure with pyplot.
        ylabel : str, default="mean of absolute errors (D)"

        Returns
        -------
        LearningCurveDisplay
            Itself, with `figure_` and `ax_`.
        """
        self.figure_, self.ax_ = figure_and_axes(ax, 6.6, 4.6)
        axes = self.ax_
        for index, (name, values) in enumerate(self.errors_.items()):
            style: Style = {"color": COLOURS[index % 6], "marker": MARKERS[index % 6]}
            known = np.flatnonzero(~np.isnan(values).all(axis=1))
            sizes, means = self.sizes_[known], np.nanmean(values[known], axis=1)
            axes.plot(sizes, means, label=name, lw=1.8, ms=5.5, **style)
            low, high = self._band(name, known)
            # On a logarithmic axis a band has no lower edge at or below 0.
            low = np.maximum(low, means / 10)
            axes.fill_between(sizes, low, high, color=style["color"], alpha=0.15)
        axes.set(xscale="log", yscale="log", xlabel="training molecules", ylabel=ylabel)
        marks = _apart(self.sizes_)
        axes.set_xticks(marks, [f"{size:,}" for size in marks])
        axes.xaxis.minorticks_off()
        heights = log_marks(*axes.get_ylim())
        axes.set_yticks(heights, [f"{height:g}" for height in heights])
        axes.yaxis.minorticks_off()
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
        return self

    def table(self) -> Table:
        """Return the same as a table: one row for each number of molecules, with the bands."""
        columns = [f"{name} (D)" for name in self.errors_]
        cells = [self._cells(name) for name in self.errors_]
        order = np.argsort(self.sizes_, kind="stable").tolist()
        rows = [[f"{self.sizes_[row]:,}", *(column[row] for column in cells)] for row in order]
        return Table("Errors by training molecules", ("training molecules", *columns), rows)

    def _cells(self, name: str) -> list[str | None]:
        """Error and band of a curve for each size, as text; None where it has no error."""
        known = np.flatnonzero(~np.isnan(self.errors_[name]).all(axis=1))
        means = np.nanmean(self.errors_[name][known], axis=1)
        low, high = self._band(name, known)
        cells: list[str | None] = [None] * len(self.sizes_)
        for place, mean, bottom, top in zip(
            known.tolist(), means.tolist(), low.tolist(), high.tolist(), strict=True
        ):
            # Blanks that do not break: a line ends in front of the bracket alone.
            band = f" ({bottom:.3f}\u00a0–\u00a0{top:.3f})" if top > bottom else ""
            cells[place] = f"{mean:.3f}{band}"
        return cells

    def band_words(self) -> str:
        """Say what the bands are; empty where no curve has one."""
        draws = [name for name, values in self.errors_.items() if values.shape[1] > 1]
        words = ["Band: lowest to highest of the draws."] if draws else []
        return " ".join([*words, "Band: error ± spread."] if self.spreads_ else words)

    def _band(self, name: str, known: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge of the band of a curve, where it has errors."""
        values, spread = self.errors_[name][known], self.spreads_.get(name)
        if spread is None:
            return np.nanmin(values, axis=1), np.nanmax(values, axis=1)
        means, half = np.nanmean(values, axis=1), np.nan_to_num(spread[known])
        return means - half, means + half


def _apart(sizes: NDArray[Any]) -> list[int]:
    """Sizes to write at the axis: so few that they do not overlap, and always the last one."""
    kept: list[int] = []
    for size in sorted(set(sizes.tolist()), reverse=True):
        if not kept or np.log10(kept[-1] / size) >= CLOSEST_MARKS:
            kept.append(size)
    return kept[::-1]
