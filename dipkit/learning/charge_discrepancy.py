"""A second function that absorbs the systematic error of the reference charges.

With a charge discrepancy beta, the reference charges follow q + delta, delta = P Phi d, and the
charge term of the objective becomes

    min over d of  t (q + delta - p)^T K (q + delta - p) + beta |d|^2,    t = lambda / n_c.

The minimum is quadratic in the weights of q again: d leaves a charge term with other statistics
(20). With B = (t G + beta)^-1, G = C^T K C and g = C^T K p they are

    G -> beta B G,    g -> beta B g,    p^T K p -> p^T K p - t g^T B g,

and all that comes after the charge term stays as it is. Symbols: gram G (r, r), moment g (r,) in e,
beta and lambda in debye^2 / e^2.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np

from ..support.backend import Backend
from .lockstep import FoldedTerm, Lines
from .quadratic_term import QuadraticTerm
from .solvers import FactorizationError

__all__ = ["AbsorbedCharges", "absorb", "absorbs"]


def absorbs(discrepancy: float | None) -> TypeGuard[float]:
    """Whether there is a second function: None and infinity hold it at zero."""
    return discrepancy is not None and math.isfinite(discrepancy)


def absorb(
    term: QuadraticTerm, charge_weight: float, discrepancy: float, backend: Backend
) -> QuadraticTerm:
    """Return the statistics of the charge term after the second function is eliminated.

    Parameters
    ----------
    term : QuadraticTerm
        Of the reference charges.
    charge_weight : float, debye^2 / e^2
        lambda > 0, with which the result is meant to be used.
    discrepancy : float, debye^2 / e^2
        beta > 0, finite.
    backend : Backend

    Returns
    -------
    QuadraticTerm
        Of the same weight n_c.

    Raises
    ------
    FactorizationError
        If beta is lost in the rounding of the statistics.
    """
    scale = charge_weight / term.weight
    factor = _factor(term.gram, scale, discrepancy, backend)
    gram = backend.solve(factor, term.gram)
    # Rounding leaves beta B G not quite symmetric.
    gram = gram + gram.T
    gram *= discrepancy / 2
    solved = backend.solve(factor, term.rhs)
    constant = term.constant - scale * float(term.rhs @ solved)
    return QuadraticTerm(gram, discrepancy * solved, constant, term.weight)


class AbsorbedCharges(FoldedTerm):
    """Charge statistics of folds with the second function of each line eliminated.

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
        self._factors: dict[tuple[int, float], Any] = {}
        self._matrices: dict[tuple[int | None, float], Any] = {}

    def rhs(self, fold: Lines, scale: Any, backend: Backend) -> Any:
        """Scaled right-hand sides of each line (B, r), the second function eliminated."""
        return self._absorb(super().rhs(fold, scale, backend), fold, scale)

    def constants(self, fold: Lines, scale: Any, backend: Backend) -> Any:
        """Scaled constants of each line (B,), the second function eliminated."""
        rhs = super().rhs(fold, scale, backend)
        product = rhs * self._absorb(rhs, fold, scale)
        absorbed = backend.xp.sum(product, axis=-1) / self.discrepancy
        return super().constants(fold, scale, backend) - absorbed

    def product(self, W: Any, fold: Lines, scale: Any, backend: Backend) -> Any:
        """Scaled products with the Gram matrix of each line (B, r)."""
        return self._absorb(super().product(W, fold, scale, backend), fold, scale)

    def matrix(self, fold: int | None, charge_weight: float) -> Any:
        """Scaled Gram matrix of a fold, or of all molecules: kept, one for each lambda."""
        key = (fold, charge_weight)
        if key not in self._matrices:
            part = self.of(fold)
            if part.weight <= 0:
                return super().matrix(fold, charge_weight)
            part = absorb(part, charge_weight, self.discrepancy, self.backend)
            self._matrices[key] = part.gram * (charge_weight / part.weight)
        return self._matrices[key]

    def _absorb(self, right: Any, fold: Lines, scale: Any) -> Any:
        """Multiply each line (B, r) by beta (t G + beta)^-1; a line without charges stays."""
        backend = self.backend
        result, scales = backend.xp.asarray(right, copy=True), backend.to_host(scale)
        for k, t in dict.fromkeys(zip(fold.tolist(), scales.tolist(), strict=True)):
            if t > 0:
                mine = np.flatnonzero((fold == k) & (scales == t))
                solved = backend.solve(self._factor_of(k, t), backend.take(right, mine).T).T
                backend.put(result, mine, self.discrepancy * solved)
        return result

    def _factor_of(self, fold: int, scale: float) -> Any:
        """Factor of t G + beta for a fold, computed once."""
        key = (fold, scale)
        if key not in self._factors:
            gram = self.of(fold).gram
            self._factors[key] = _factor(gram, scale, self.discrepancy, self.backend)
        return self._factors[key]


def _factor(gram: Any, scale: float, discrepancy: float, backend: Backend) -> Any:
    """Factor t G + beta; the Gram matrix is not changed."""
    matrix = scale * gram
    backend.diagonal(matrix)[...] += discrepancy
    try:
        return backend.factor(matrix)
    except np.linalg.LinAlgError as error:
        raise FactorizationError(
            f"charge_discrepancy: {discrepancy:g} is too small beside the charge term ({error}). "
            "Raise it; with charge_weight=0 the charges have no weight at all."
        ) from error
