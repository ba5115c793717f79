"""A weak pull towards the direction of the baseline's dipole.

A magnitude has no direction, but the direction of a baseline's dipole is nearly right. Symbols: N
molecules, dipole rows D (3 N, r), baseline directions u_A, normalised sample weights s_A, weight
kappa. Equation (11) of the theory page adds to the objective

    kappa sum_A s_A |(1 - u_A u_A^T) D_A w|^2

summed over the molecules of which only the magnitude is known. The term is quadratic, without a
linear part. The general form of such terms is in `quadratic_term.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array, Backend
from .dipole_gram import ROWS_AT_ONCE
from .objective import DipoleTarget
from .quadratic_term import QuadraticTerm

__all__ = ["accumulate_direction"]

FloatArray = NDArray[np.float64]

# Molecules whose rows are computed at once. About four copies of these rows are in memory, which
# take no more than the rows of an iteration.
MOLECULES_AT_ONCE = ROWS_AT_ONCE // 6


def accumulate_direction(
    rows: Array, constant: FloatArray, target: DipoleTarget, backend: Backend
) -> QuadraticTerm:
    """Sum the pull over molecules, in the form of a quadratic term whose weight is kappa.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
    constant : ndarray of shape (n_molecules, 3), debye
    target : DipoleTarget
    backend : Backend

    Returns
    -------
    QuadraticTerm
        Its weight is the weight of all molecules with a dipole label.
    """
    norm = np.linalg.norm(constant, axis=1)
    has_vector = ~np.isnan(target.vectors[:, 0])
    magnitude_only = ~has_vector & ~np.isnan(target.magnitudes)
    weights = np.where(magnitude_only & (norm > 0), target.weights, 0.0)
    direction = constant / np.where(norm > 0, norm, 1.0)[:, None]
    gram = _transverse_gram(rows, direction, weights, backend)
    weight = float(target.weights[magnitude_only | has_vector].sum())
    return QuadraticTerm(gram, backend.zeros(rows.shape[1]), 0.0, weight)


def _transverse_gram(
    rows: Array, direction: FloatArray, weights: FloatArray, backend: Backend
) -> Array:
    """Sum of weights_A D_A^T (1 - u_A u_A^T) D_A, some molecules at a time."""
    xp, r = backend.xp, rows.shape[1]
    gram = backend.zeros((r, r))
    for start in range(0, len(direction), MOLECULES_AT_ONCE):
        stop = min(start + MOLECULES_AT_ONCE, len(direction))
        u = backend.asarray(direction[start:stop])[:, :, None]
        roots = backend.asarray(np.sqrt(weights[start:stop]))[:, None, None]
        block = xp.reshape(rows[3 * start : 3 * stop, :], (-1, 3, r))
        along = u * xp.sum(u * block, axis=1, keepdims=True)
        transverse = xp.reshape(roots * (block - along), (-1, r))
        gram += transverse.T @ transverse
    return gram
