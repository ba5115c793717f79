"""How a minimisation ended, what was found and what it cost.

Symbols: problems b = 1..B, weights W (B, r), objective J in debye^2. The minimisation is in
`reweighted.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array

__all__ = ["Minimum", "SolveResult", "Status"]

FloatArray = NDArray[np.float64]


class Status(Enum):
    """Why the iterations ended. The value is advice for a reader."""

    CONVERGED = (
        "Converged: one more iteration would lower J by less than tol times J, or by less than "
        "rounding errors."
    )
    MAX_ITER = (
        "Stopped at max_iter before convergence. The model can be used, but raise max_iter, or "
        "alpha: a weak ridge makes the problem slow."
    )


@dataclass(frozen=True)
class Minimum:
    """Where the problems ended.

    Parameters
    ----------
    weights : array of shape (B, r)
    converged : ndarray of shape (B,), bool
    n_iter : int
        Iterations; the last one of a problem only shows convergence.
    history : list of ndarray of shape (B,), debye^2
        J of each problem at the start and after each iteration.
    """

    weights: Array
    converged: NDArray[np.bool_]
    n_iter: int
    history: list[FloatArray] = field(repr=False)


@dataclass(frozen=True)
class SolveResult:
    """Solution of one problem, and its cost.

    Parameters
    ----------
    weights : array of shape (r,)
        On the device of the objective.
    objective : float, debye^2
        J at the weights.
    status : Status
    n_iter : int
        Iterations, each with one linear solve (three where the loss is not squared); the last one
        only shows convergence.
    n_factorizations : int
        Matrices factored: for the squared loss one for up to 20 iterations, otherwise one in each
        iteration.
    history : list of float, debye^2
        J at the start and after each iteration.
    """

    weights: Array
    objective: float
    status: Status
    n_iter: int
    n_factorizations: int
    history: list[float] = field(repr=False)
