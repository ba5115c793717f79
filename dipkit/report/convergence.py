"""`ConvergenceDisplay`: the objective of a fit over its iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from ..exceptions import InputError
from .plots import BLUE, figure_and_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ConvergenceDisplay"]


class ConvergenceDisplay:
    """Plot of the objective minus its last value, after each iteration.

    Parameters
    ----------
    history : array-like of shape (n_iterations + 1,), debye^2
        Objective J at the start and after each iteration.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
    """

    figure_: Figure
    ax_: Axes

    def __init__(self, history: ArrayLike):
        self.history_ = np.asarray(history, np.float64)
        if self.history_.ndim != 1 or not len(self.history_):
            raise InputError(
                "history: expected the objective after each iteration, of shape "
                f"(n_iterations + 1,), got {self.history_.shape}."
            )

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Plot the last stage of a fit.

        Parameters
        ----------
        estimator : Pipeline or DipoleKernelRidge
            Fitted.
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure with pyplot.

        Returns
        -------
        ConvergenceDisplay
        """
        model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        return cls(model.history_).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure with pyplot.

        Returns
        -------
        ConvergenceDisplay
            Itself, with `figure_` and `ax_`.
        """
        history = self.history_
        excess = (history - history[-1]) / max(abs(history[-1]), np.finfo(float).tiny)
        self.figure_, self.ax_ = figure_and_axes(ax, 6.0, 4.0)
        # Zero, the last value, cannot be drawn on a logarithmic axis.
        drawn = excess > 0
        self.ax_.semilogy(np.flatnonzero(drawn), excess[drawn], "o-", color=BLUE, lw=1.6, ms=4)
        self.ax_.set(xlabel="iteration", ylabel="(J - last J) / last J")
        self.ax_.set_title(f"{len(history) - 1} iterations, J = {history[-1]:.4g} D²")
        self.ax_.grid(alpha=0.25)
        return self
