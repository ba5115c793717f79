"""Terms of the objective that are quadratic in the weights.

Reference charges, quadrupole labels, the pull towards the directions of a baseline, and the charge
discrepancy all have one form, with weights w (r,) and a weight lambda:

    lambda / n (w^T G w - 2 w^T b + c),

where n is the summed weight of the labels, so that each term is a mean over them. Equation (8) of
the theory page gives G and b of the charges. Terms of blocks of molecules add to the term of all,
and the term of a fold is a difference. How they are summed over molecules is in `accumulate.py`,
`quadrupole_term.py` and `direction_term.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..support.backend import NUMPY, Array, Backend

__all__ = [
    "ProblemTerms",
    "QuadraticTerm",
    "SingleTerms",
    "TermSum",
    "WeightedTerm",
    "weighted_sum",
]

# Rows of a matrix that are added at a time: a scaled copy of these fits in the cache.
ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class QuadraticTerm:
    """w^T G w - 2 w^T b + c, and the weight n of its labels. Operations return new terms.

    Parameters
    ----------
    gram : array of shape (r, r)
        G, for charges the sum of c_A C_A^T C_A, without units.
    rhs : array of shape (r,)
        b, for charges the sum of c_A C_A^T p_A, e.
    constant : float
        c, for charges the sum of c_A |P p_A|^2, e^2.
    weight : float
        n, for charges the sum of c_A n_A: the weighted number of labelled atoms.
    """

    gram: Array
    rhs: Array
    constant: float
    weight: float

    @classmethod
    def zero(cls, n_columns: int, backend: Backend = NUMPY) -> QuadraticTerm:
        """Term of no molecules."""
        return cls(backend.zeros((n_columns, n_columns)), backend.zeros(n_columns), 0.0, 0.0)

    def __add__(self, other: QuadraticTerm) -> QuadraticTerm:
        return QuadraticTerm(
            self.gram + other.gram,
            self.rhs + other.rhs,
            self.constant + other.constant,
            self.weight + other.weight,
        )

    def __sub__(self, other: QuadraticTerm) -> QuadraticTerm:
        return QuadraticTerm(
            self.gram - other.gram,
            self.rhs - other.rhs,
            self.constant - other.constant,
            self.weight - other.weight,
        )

    def leading(self, n_columns: int) -> QuadraticTerm:
        """Return the term of the first weights, the others being zero; a view."""
        gram = self.gram[:n_columns, :n_columns]
        return QuadraticTerm(gram, self.rhs[:n_columns], self.constant, self.weight)

    def value(self, w: Array) -> float:
        """Return w^T G w - 2 w^T b + c at weights w (r,)."""
        return float(w @ self.gram @ w - 2 * (self.rhs @ w)) + self.constant


# A term and its weight lambda in the objective.
WeightedTerm = tuple[QuadraticTerm | None, float]


class TermSum:
    """A sum that grows in place, because matrices of shape (r, r) are large.

    The arrays belong to the sum until `finish` is called, and are not changed afterwards.

    Parameters
    ----------
    n_columns : int
        r.
    backend : Backend
    """

    def __init__(self, n_columns: int, backend: Backend = NUMPY):
        self.gram = backend.zeros((n_columns, n_columns))
        self.rhs = backend.zeros(n_columns)
        self.constant = self.weight = 0.0

    def add(self, term: QuadraticTerm, factor: float = 1.0) -> None:
        """Add a term, all its parts times a factor."""
        self.gram += term.gram if factor == 1.0 else factor * term.gram
        self.rhs += factor * term.rhs
        self.constant += factor * term.constant
        self.weight += factor * term.weight

    def finish(self) -> QuadraticTerm:
        """Return the sum. Do not call `add` after that."""
        return QuadraticTerm(self.gram, self.rhs, self.constant, self.weight)


def weighted_sum(
    terms: Sequence[WeightedTerm], backend: Backend = NUMPY
) -> tuple[QuadraticTerm | None, float]:
    """Add several terms of an objective into one.

    Parameters
    ----------
    terms : sequence of (QuadraticTerm or None, float)
        Each with its weight lambda. Terms that are None, of weight 0 or without labels are left
        out.
    backend : Backend

    Returns
    -------
    term : QuadraticTerm or None
        None where no term is left. A single term is returned as it is, without a copy.
    weight : float
        The weight that goes with the sum.
    """
    used = [
        (term, weight)
        for term, weight in terms
        if term is not None and weight > 0 and term.weight > 0
    ]
    if not used:
        return None, 0.0
    if len(used) == 1:
        return used[0]
    total = TermSum(used[0][0].rhs.shape[0], backend)
    for term, weight in used:
        total.add(term, weight / term.weight)
    # The weight of each term is now its lambda, and that of the sum is the sum of these.
    both = total.finish()
    return both, both.weight


class ProblemTerms(Protocol):
    """The quadratic terms of B problems, each with its factor lambda / n, summed for each problem.

    The sum of one problem is w^T G w - 2 w^T b + c.
    """

    @property
    def rhs(self) -> Array:
        """Right-hand side b of each problem (B, r)."""

    @property
    def constant(self) -> Array:
        """Constant c of each problem (B,)."""

    def product(self, W: Array) -> Array:
        """G w of each problem (B, r)."""

    def add_to(self, matrix: Array, scale: float = 1.0) -> None:
        """Add G of a single problem, times a scale, to a matrix (r, r)."""

    def take(self, problems: NDArray[np.intp]) -> ProblemTerms:
        """Return the terms of these problems alone."""


class SingleTerms:
    """The quadratic terms of one problem.

    Parameters
    ----------
    terms : sequence of (QuadraticTerm or None, float)
        Each with its weight.
    n_columns : int
        r.
    backend : Backend
    """

    def __init__(self, terms: Sequence[WeightedTerm], n_columns: int, backend: Backend = NUMPY):
        term, weight = weighted_sum(terms, backend)
        self._gram, self._factor = None, 0.0
        self.rhs, self.constant = backend.zeros((1, n_columns)), backend.zeros(1)
        if term is not None:
            self._gram, self._factor = term.gram, weight / term.weight
            self.rhs = (self._factor * term.rhs)[None, ...]
            self.constant = self.constant + self._factor * term.constant

    def product(self, W: Array) -> Array:
        """G w (1, r)."""
        if self._gram is None:
            return 0.0 * W
        return (self._factor * (self._gram @ W[0, ...]))[None, ...]

    def add_to(self, matrix: Array, scale: float = 1.0) -> None:
        """Add G, times a scale, to a matrix (r, r)."""
        if self._gram is None:
            return
        factor, n_rows = scale * self._factor, matrix.shape[0]
        for start in range(0, n_rows, ROWS_AT_ONCE):
            run = slice(start, min(start + ROWS_AT_ONCE, n_rows))
            matrix[run, :] += factor * self._gram[run, :]

    def take(self, problems: NDArray[np.intp]) -> SingleTerms:
        """Return the terms of the one problem."""
        return self
