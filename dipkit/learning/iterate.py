"""Weights of the problems, with the quantities that are computed from them once and reused.

Symbols: problems b = 1..B, weights W (B, r), dipoles mu = mu0 + D w (B, N, 3) in debye. What is
computed here comes from `JointObjective`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array, Backend

__all__ = ["Direction", "Iterate"]

Indices = NDArray[np.intp]


class Direction(NamedTuple):
    """Weights, and quantities linear in them: a combination needs no product with the rows."""

    w: Array
    """Weights (B, r)."""
    dipole_change: Array
    """D w (B, n_molecules, 3), debye."""
    term_product: Array
    """Gram matrices of the quadratic terms, with their factors, times w (B, r)."""


@dataclass
class Iterate:
    """Weights, quantities linear in them, and the residuals and objective at these dipoles.

    Parameters
    ----------
    w, dipole_change, term_product : arrays
        As in `Direction`.
    off : array of shape (B, n_molecules, 3), debye
        mu - mu_ref, where mu_ref is 0 for a molecule without a vector.
    norm : array of shape (B, n_molecules), debye
        Length of `off`.
    residual : array of shape (B, n_molecules), debye
        e_A: the norm minus the magnitude; the magnitude is 0 for a molecule with a vector.
    value : array of shape (B,), debye^2
        J.
    """

    w: Array
    dipole_change: Array
    term_product: Array
    off: Array
    norm: Array
    residual: Array
    value: Array

    def take(self, problems: Indices, backend: Backend) -> Iterate:
        """Return these problems alone."""
        return Iterate(*(backend.take(getattr(self, f.name), problems) for f in fields(self)))

    def put(self, problems: Indices, other: Iterate, backend: Backend) -> None:
        """Replace these problems, in place."""
        for f in fields(self):
            backend.put(getattr(self, f.name), problems, getattr(other, f.name))
