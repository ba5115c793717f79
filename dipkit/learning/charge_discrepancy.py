"""A second function that absorbs the systematic error of the reference charges.

With a charge discrepancy beta, the reference charges follow q + delta, delta = P Phi d, and the
charge term of the objective becomes

    min over d of  t (q + delta - p)^T K (q + delta - p) + beta |d|^2,    t = lambda / n_c.

The minimum is quadratic in the weights of q again: eliminating d leaves another charge term (20).
With B = (t G + beta)^-1, G = C^T K C and g = C^T K p they are

    G -> beta B G,    g -> beta B g,    p^T K p -> p^T K p - t g^T B g,

and nothing after the charge term changes. Symbols: gram G (r, r), rhs g (r,) in e, beta and lambda
in debye^2 / e^2. The charge term itself is in `quadratic_term.py` and `accumulate.py`.
"""

from __future__ import annotations

import math
from typing import TypeGuard

import numpy as np

from ..support.backend import Array, Backend
from .normal_matrices import FactorizationError
from .quadratic_term import QuadraticTerm

__all__ = ["absorb", "absorbs", "factor_discrepancy"]


def absorbs(discrepancy: float | None) -> TypeGuard[float]:
    """Whether there is a second function. With None or infinity the function is zero."""
    return discrepancy is not None and math.isfinite(discrepancy)


def absorb(
    term: QuadraticTerm, charge_weight: float, discrepancy: float, backend: Backend
) -> QuadraticTerm:
    """Return the charge term after the second function is eliminated.

    Parameters
    ----------
    term : QuadraticTerm
        Of the reference charges.
    charge_weight : float, debye^2 / e^2
        lambda > 0. Use the result with the same weight.
    discrepancy : float, debye^2 / e^2
        beta > 0, finite.
    backend : Backend

    Returns
    -------
    QuadraticTerm
        Its weight n_c is that of `term`.

    Raises
    ------
    FactorizationError
        If beta is smaller than the rounding errors of G.
    """
    per_atom_weight = charge_weight / term.weight
    factor = factor_discrepancy(term.gram, per_atom_weight, discrepancy, backend)
    solved = backend.solve(factor, term.rhs)
    largest = per_atom_weight * float(backend.xp.max(backend.diagonal(term.gram)))
    if backend.on_host and discrepancy <= largest:
        # beta B G = (beta / t) (1 - beta B) takes a third of the time of LAPACK. Its rounding error
        # is that of beta, no larger here than that of t G.
        gram = backend.inverse(factor)
        gram *= -discrepancy
        backend.diagonal(gram)[...] += 1.0
        gram *= discrepancy / per_atom_weight
    else:
        # beta B G is symmetric only up to rounding errors.
        gram = backend.symmetrise(backend.solve(factor, term.gram))
        gram *= discrepancy
    constant = term.constant - per_atom_weight * float(term.rhs @ solved)
    return QuadraticTerm(gram, discrepancy * solved, constant, term.weight)


def factor_discrepancy(
    gram: Array, per_atom_weight: float, discrepancy: float, backend: Backend
) -> Array:
    """Factor t G + beta, with t = `per_atom_weight`.

    Raises
    ------
    FactorizationError
        If beta is smaller than the rounding errors of G.
    """
    matrix = per_atom_weight * gram
    backend.diagonal(matrix)[...] += discrepancy
    try:
        return backend.factor(matrix)
    except np.linalg.LinAlgError as error:
        raise FactorizationError(
            f"charge_discrepancy: {discrepancy:g} is too small for the charge term ({error}). "
            "Raise it, or use charge_weight=0 to learn from no charges."
        ) from error
