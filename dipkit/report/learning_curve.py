"""`LearningCurveDisplay`: errors over the number of training molecules, for several models.

That of scikit-learn draws one model, with scores that are higher for a better model; here errors
are in debye, on logarithmic axes. Symbols: S sizes, K folds or seeds.
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
from .plots import COLOURS, MARKERS, Style, figure_and_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LearningCurveDisplay"]

FloatArray = NDArray[np.float64]


class LearningCurveDisplay:
    """Plot of errors over the number of training molecules, on logarithmic axes.

    Parameters
    ----------
    sizes : array-like of shape (n_sizes,)
        Training molecules.
    errors : mapping of str to array-like of shape (n_sizes,) or (n_sizes, n_seeds), debye
        By name of the model. For several seeds or folds the line is the mean and the band is the
        range.

    Attributes
    ----------
    sizes_ : ndarray of shape (n_sizes,)
    errors_ : dict of str to ndarray of shape (n_sizes, n_seeds), debye
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a curve does not have one error, or one row of errors, for each size.
    """

    figure_: Figure
    ax_: Axes

    def __init__(self, sizes: ArrayLike, errors: Mapping[str, ArrayLike]):
        self.sizes_ = np.asarray(sizes)
        self.errors_: dict[str, FloatArray] = {}
        for name, values in errors.items():
            curve = np.asarray(values, np.float64)
            if curve.ndim not in (1, 2) or len(curve) != len(self.sizes_):
                raise InputError(
                    f"errors: expected shape ({len(self.sizes_)},) or ({len(self.sizes_)}, "
                    f"n_seeds) for {name!r}, one row for each size, got {curve.shape}."
                )
            self.errors_[name] = curve.reshape(len(curve), -1)

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
        axes, sizes = self.ax_, self.sizes_
        for index, (name, values) in enumerate(self.errors_.items()):
            style: Style = {"color": COLOURS[index % 6], "marker": MARKERS[index % 6]}
            axes.plot(sizes, values.mean(axis=1), label=name, lw=1.8, ms=5.5, **style)
            axes.fill_between(sizes, values.min(1), values.max(1), color=style["color"], alpha=0.15)
        axes.set(xscale="log", yscale="log", xlabel="training molecules", ylabel=ylabel)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes.tolist()])
        axes.xaxis.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
        low, high = axes.get_ylim()
        axes.yaxis.set_minor_formatter("{x:g}" if high < 15 * low else "")
        axes.grid(which="both", alpha=0.25)
        axes.legend(frameon=False)
        return self
