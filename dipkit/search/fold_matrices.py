"""Normal matrices of the problems of a grid over folds, and their factors.

With magnitudes several iterations are needed with any matrix. Then one matrix for all folds is
enough, with directions as in a fit. With vectors the problem of a fold is quadratic: one iteration
with the matrix of this fold solves it. Symbols: N molecules, folds k, matrices (r, r). Matrices of
a single fit are in `dipkit.learning.normal_matrices`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..learning.dipole_gram import directed_gram, weighted_gram
from ..learning.normal_matrices import SharedFactors, shared_directions, transverse_shares
from ..learning.objective import JointObjective
from ..support.backend import Array
from .excluded_directions import hold_at_zero

if TYPE_CHECKING:
    from .fold_problem import FoldedProblem

__all__ = ["FoldMatrices", "Key"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]
# Fold, or None where a matrix serves all, and charge weight.
Key = tuple[int | None, float]


class FoldMatrices:
    """Sums of the dipole rows, and the matrices that are computed from them.

    Parameters
    ----------
    problem : FoldedProblem
        With its rows and terms.
    """

    def __init__(self, problem: FoldedProblem):
        self._problem, target = problem, problem.labels.target
        #: Whether each fold has its own matrix.
        self.per_fold = bool(target.has_vector.mean() > 0.5)
        self.directed = not self.per_fold and problem.settings.solver.memory > 0
        self._shares = transverse_shares(target) if self.directed else np.ones(len(target.weights))
        rows, backend, labelled = problem.rows, problem.backend, problem.labelled
        self._total = weighted_gram(rows, self._shares * labelled, backend)
        self._left_out = []
        if self.per_fold:
            self._left_out = [
                weighted_gram(rows, np.where(inside, 0.0, labelled), backend)
                for inside in problem.weights > 0
            ]

    def factors(
        self, objective: JointObjective, W: Array, fold: Indices, charge_weight: FloatArray
    ) -> SharedFactors[Key]:
        """Factor the matrices of problems (B,), with the directions that dipoles have at W (B, r).

        Parameters
        ----------
        objective : JointObjective
            Of these problems.
        W : array of shape (B, r)
        fold, charge_weight : ndarray of shape (B,)
        """
        total, problem = self._total, self._problem
        if self.directed:
            directions = shared_directions(objective, W)
            total = problem.backend.xp.asarray(total, copy=True)
            weights = (1 - self._shares) * problem.labelled
            directed_gram(problem.rows, directions, weights, problem.backend, out=total)
        folds = fold.tolist() if self.per_fold else [None] * len(fold)

        def matrix(key: Key) -> Array:
            return self._matrix(total, *key, objective.alpha)

        keys = list(zip(folds, charge_weight.tolist(), strict=True))
        return SharedFactors(problem.backend, matrix, keys)

    def _matrix(self, total: Array, fold: int | None, charge_weight: float, alpha: float) -> Array:
        """Return the matrix of a fold, or that of all molecules."""
        problem = self._problem
        if fold is None:
            matrix = total / float(problem.labelled.sum())
        else:
            matrix = (total - self._left_out[fold]) / float(problem.weights[fold].sum())
        if charge_weight > 0:
            matrix += problem.charges.matrix(fold, charge_weight)
        for term, weight in problem.fixed_terms:
            matrix += term.matrix(fold, weight)
        problem.backend.diagonal(matrix)[...] += alpha
        if problem.penalty is not None:
            matrix += alpha * problem.penalty.matrix(fold, 1.0)
        if fold is None:
            return matrix
        return hold_at_zero(matrix, problem.excluded[fold], problem.backend)
