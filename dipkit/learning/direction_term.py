"""A weak pull towards the direction of the baseline's dipole.

A magnitude does not say how a dipole lies, a baseline does, nearly. Symbols: N molecules, dipole
rows D (3 N, r), baseline directions u_A, normalised sample weights s_A, weight kappa. Equation (11)
of the theory page: to the objective is added

    kappa sum_A s_A |(1 - u_A u_A^T) D_A w|^2

over the molecules whose magnitude alone is known. It is quadratic in w without a linear part, like
the charge term, and travels with that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Backend
from .dipole_gram import ROWS_AT_ONCE
from .objective import DipoleTarget
from .statistics import ChargeStatistics

__all__ = ["direction_statistics", "with_direction"]

FloatArray = NDArray[np.float64]

# Their rows are held about four times over, and take no more than those of a pass.
MOLECULES_AT_ONCE = ROWS_AT_ONCE // 6


def with_direction(
    charges: ChargeStatistics | None,
    charge_weight: float,
    rows: Any,
    constant: FloatArray,
    target: DipoleTarget,
    direction_weight: float,
    backend: Backend,
) -> tuple[ChargeStatistics | None, float]:
    """Add the pull to the charge term.

    Parameters
    ----------
    charges : ChargeStatistics or None
    charge_weight : float
        lambda.
    rows : array of shape (3 n_molecules, r), debye / e
    constant : ndarray of shape (n_molecules, 3), debye
        Scaled baseline dipoles.
    target : DipoleTarget
    direction_weight : float
        kappa; with 0 nothing changes.
    backend : Backend

    Returns
    -------
    charges : ChargeStatistics or None
        Both terms in one.
    charge_weight : float
        That goes with it.
    """
    if direction_weight == 0:
        return charges, charge_weight
    pull = direction_statistics(rows, constant, target, backend)
    if charges is None or charge_weight == 0:
        return pull, direction_weight
    scale, pull.gram = charge_weight / charges.weight, pull.gram * (direction_weight / pull.weight)
    pull.gram += scale * charges.gram
    both = ChargeStatistics(pull.gram, scale * charges.moment, scale * charges.square, 1.0)
    return both, 1.0


def direction_statistics(
    rows: Any, constant: FloatArray, target: DipoleTarget, backend: Backend
) -> ChargeStatistics:
    """Sum the pull over molecules, in the form of a charge term whose lambda is kappa.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
    constant : ndarray of shape (n_molecules, 3), debye
    target : DipoleTarget
    backend : Backend

    Returns
    -------
    ChargeStatistics
        Its weight is that of all molecules with a dipole label.
    """
    norm = np.linalg.norm(constant, axis=1)
    has_vector = ~np.isnan(target.vectors[:, 0])
    magnitude_alone = ~has_vector & ~np.isnan(target.magnitudes)
    weights = np.where(magnitude_alone & (norm > 0), target.weights, 0.0)
    direction = constant / np.where(norm > 0, norm, 1.0)[:, None]
    gram = _across(rows, direction, weights, backend)
    weight = float(target.weights[magnitude_alone | has_vector].sum())
    return ChargeStatistics(gram, backend.zeros(rows.shape[1]), 0.0, weight)


def _across(rows: Any, direction: FloatArray, weights: FloatArray, backend: Backend) -> Any:
    """Sum of weights_A D_A^T (1 - u_A u_A^T) D_A, some molecules at a time."""
    xp, r = backend.xp, rows.shape[1]
    gram = backend.zeros((r, r))
    for start in range(0, len(direction), MOLECULES_AT_ONCE):
        stop = min(start + MOLECULES_AT_ONCE, len(direction))
        u = backend.asarray(direction[start:stop])[:, :, None]
        roots = backend.asarray(np.sqrt(weights[start:stop]))[:, None, None]
        block = xp.reshape(rows[3 * start : 3 * stop, :], (-1, 3, r))
        along = u * xp.sum(u * block, axis=1, keepdims=True)
        across = xp.reshape(roots * (block - along), (-1, r))
        gram += across.T @ across
    return gram
