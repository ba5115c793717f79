"""Quadratic terms of the folds, and of the problems of a grid.

A term of the training part of a fold is the term of all molecules minus that of those held out.

Symbols: folds k, problems b = 1..B, each of a fold k(b) and with its own lambda; weights W (B, r);
factors lambda / n, with n the weight of the labels in the training part. Sums over molecules are in
`fold_sums.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..learning.charge_discrepancy import absorb, factor_discrepancy
from ..learning.quadratic_term import QuadraticTerm
from ..support.backend import Array, Backend

__all__ = ["AbsorbedTerm", "FoldTerms", "FoldedTerm"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(eq=False)
class FoldedTerm:
    """A quadratic term of all molecules, and of the training part of each fold.

    Parameters
    ----------
    total : QuadraticTerm
    training : sequence of QuadraticTerm
        One for each fold.
    """

    total: QuadraticTerm
    training: Sequence[QuadraticTerm]

    def of(self, fold: int | None) -> QuadraticTerm:
        """Return the term of the training part of a fold, or of all molecules."""
        return self.total if fold is None else self.training[fold]

    def factors(self, fold: Indices, weight: FloatArray) -> FloatArray:
        """Lambda / n of each problem (B,), or 0 where its fold has no label."""
        labelled = np.array([self.training[k].weight for k in fold])
        return np.divide(weight, labelled, out=np.zeros(len(fold)), where=labelled > 0)

    def rhs(self, fold: Indices, factor: Array, backend: Backend) -> Array:
        """Right-hand side of each problem times its factor (B, r)."""
        return factor[:, None] * backend.xp.stack([self.training[k].rhs for k in fold])

    def constant(self, fold: Indices, factor: Array, backend: Backend) -> Array:
        """Constant of each problem times its factor (B,)."""
        return factor * backend.asarray([self.training[k].constant for k in fold])

    def product(self, W: Array, fold: Indices, factor: Array, backend: Backend) -> Array:
        """Gram matrix of each problem times w, times its factor (B, r)."""
        product = backend.xp.empty_like(W)
        for k in np.unique(fold):
            mine = np.flatnonzero(fold == k)
            backend.put(product, mine, backend.take(W, mine) @ self.training[k].gram)
        return factor[:, None] * product

    def matrix(self, fold: int | None, weight: float) -> Array:
        """Lambda / n times the Gram matrix of a fold, or of all molecules (r, r)."""
        term = self.of(fold)
        return term.gram * (weight / term.weight if term.weight > 0 else 0.0)


class AbsorbedTerm(FoldedTerm):
    """The charge term of folds after the charge discrepancy of each problem is eliminated.

    Parameters
    ----------
    charges : FoldedTerm
    discrepancy : float, debye^2 / e^2
        beta > 0, finite.
    backend : Backend
    """

    def __init__(self, charges: FoldedTerm, discrepancy: float, backend: Backend):
        super().__init__(charges.total, charges.training)
        self.discrepancy, self.backend = discrepancy, backend
        self._factored: dict[tuple[int, float], Array] = {}
        self._matrices: dict[tuple[int | None, float], Array] = {}

    def rhs(self, fold: Indices, factor: Array, backend: Backend) -> Array:
        """Right-hand side of each problem (B, r), the discrepancy eliminated."""
        return self._absorb(super().rhs(fold, factor, backend), fold, factor)

    def constant(self, fold: Indices, factor: Array, backend: Backend) -> Array:
        """Constant of each problem (B,), the discrepancy eliminated."""
        rhs = super().rhs(fold, factor, backend)
        product = rhs * self._absorb(rhs, fold, factor)
        absorbed = backend.xp.sum(product, axis=-1) / self.discrepancy
        return super().constant(fold, factor, backend) - absorbed

    def product(self, W: Array, fold: Indices, factor: Array, backend: Backend) -> Array:
        """Product of each problem with its Gram matrix (B, r)."""
        return self._absorb(super().product(W, fold, factor, backend), fold, factor)

    def matrix(self, fold: int | None, weight: float) -> Array:
        """Gram matrix of a fold, or of all molecules, times its factor: kept for each lambda."""
        key = (fold, weight)
        if key not in self._matrices:
            term = self.of(fold)
            if term.weight <= 0:
                return super().matrix(fold, weight)
            absorbed = absorb(term, weight, self.discrepancy, self.backend)
            self._matrices[key] = absorbed.gram * (weight / absorbed.weight)
        return self._matrices[key]

    def _absorb(self, right: Array, fold: Indices, factor: Array) -> Array:
        """Multiply each row (B, r) by beta (t G + beta)^-1, t its factor; t = 0 changes nothing."""
        backend = self.backend
        result, factors = backend.xp.asarray(right, copy=True), backend.to_host(factor)
        for k, t in dict.fromkeys(zip(fold.tolist(), factors.tolist(), strict=True)):
            if t > 0:
                mine = np.flatnonzero((fold == k) & (factors == t))
                solved = backend.solve(self._factor(k, t), backend.take(right, mine).T).T
                backend.put(result, mine, self.discrepancy * solved)
        return result

    def _factor(self, fold: int, t: float) -> Array:
        """Factor t G + beta of a fold, once."""
        key = (fold, t)
        if key not in self._factored:
            gram = self.of(fold).gram
            self._factored[key] = factor_discrepancy(gram, t, self.discrepancy, self.backend)
        return self._factored[key]


class FoldTerms:
    """The quadratic terms of the problems of a grid: `ProblemTerms` of an objective.

    Parameters
    ----------
    terms : sequence of (FoldedTerm, ndarray of shape (B,))
        Each with its weight lambda in every problem.
    fold : ndarray of shape (B,), int
    backend : Backend
    """

    def __init__(
        self, terms: Sequence[tuple[FoldedTerm, FloatArray]], fold: Indices, backend: Backend
    ):
        self._fold, self._backend = fold, backend
        self._terms = [
            (term, weight, backend.asarray(term.factors(fold, weight))) for term, weight in terms
        ]
        self.rhs = sum(term.rhs(fold, factor, backend) for term, _, factor in self._terms)
        self.constant = sum(term.constant(fold, factor, backend) for term, _, factor in self._terms)

    def product(self, W: Array) -> Array:
        """Product of each problem with its Gram matrix (B, r)."""
        backend = self._backend
        product = backend.xp.zeros_like(W)
        for term, _, factor in self._terms:
            used = np.flatnonzero(backend.to_host(factor) > 0)
            if len(used):
                of_used = backend.take(W, used), self._fold[used], backend.take(factor, used)
                part = backend.take(product, used) + term.product(*of_used, backend)
                backend.put(product, used, part)
        return product

    def add_to(self, matrix: Array, scale: float = 1.0) -> None:
        """Add the Gram matrix of a single problem, times a scale, to a matrix (r, r)."""
        for term, weight, _ in self._terms:
            matrix += scale * term.matrix(int(self._fold[0]), float(weight[0]))

    def take(self, problems: Indices) -> FoldTerms:
        """Return the terms of these problems alone."""
        other, take = copy.copy(self), self._backend.take
        other._fold = self._fold[problems]
        other._terms = [
            (term, weight[problems], take(factor, problems)) for term, weight, factor in self._terms
        ]
        other.rhs, other.constant = take(self.rhs, problems), take(self.constant, problems)
        return other
