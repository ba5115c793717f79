"""The factor b of a baseline, fitted to the labels before anything else.

Symbols: N molecules; baseline dipoles mu0 (N, 3), dipoles mu_Q (N, 3) of the evenly spread total
charges, zero for neutral molecules, in debye; labels m, vectors (3,) or magnitudes; sample weights
s_A. By equation (9) of the theory page the dipole without a correction is

    mu_b = b mu0 + (1 - b) mu_Q = mu_Q + b (mu0 - mu_Q)

and b minimises sum_A s_A |mu_b - m|^2, with (|mu_b| - m)^2 where the label is a magnitude. How b is
used is in `baseline_molecules.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..learning.labels import FitLabels
from ..learning.multipoles import even_dipoles

__all__ = ["fit_baseline_factor"]

FloatArray = NDArray[np.float64]

# Starts of the descent. With neutral molecules alone every positive start leads to the same b; with
# ions and magnitudes there can be several minima. At equal loss the first start counts.
STARTS = (1.0, 0.8, 0.6, 0.4, 0.2, 1.2, 1.4, 1.7, 2.0, -0.2, -0.5, -1.0, -2.0)
MAX_ITER = 500
TOLERANCE = 1e-13


def fit_baseline_factor(labels: FitLabels) -> float:
    """Fit one factor b for all molecules.

    Parameters
    ----------
    labels : FitLabels
        Its molecules carry the baseline as it was calculated. Molecules without a label, without
        a baseline or of weight 0 have no influence.

    Returns
    -------
    float
        1 where every baseline dipole is that of the evenly spread charge.
    """
    problem = _FactorProblem.of(labels)
    if not problem.square > 0:
        return 1.0
    factor = min(STARTS, key=problem.loss)
    for _ in range(MAX_ITER):
        before, factor = factor, problem.improved(factor)
        if abs(factor - before) <= TOLERANCE * abs(factor):
            break
    return factor


@dataclass(frozen=True)
class _FactorProblem:
    """The least squares of b over N labelled molecules.

    Parameters
    ----------
    even : ndarray of shape (N, 3), debye
        mu_Q.
    scaled : ndarray of shape (N, 3), debye
        mu0 - mu_Q, the part that b scales.
    vectors : ndarray of shape (N, 3), debye
        NaN where the magnitude alone is known.
    magnitudes : ndarray of shape (N,), debye
    weights : ndarray of shape (N,)
    """

    even: FloatArray
    scaled: FloatArray
    vectors: FloatArray
    magnitudes: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, labels: FitLabels) -> _FactorProblem:
        target, dipole = labels.target, labels.molecules.baseline_dipole
        assert dipole is not None
        even = even_dipoles(labels.molecules)
        labelled = ~(np.isnan(target.magnitudes) & np.isnan(target.vectors[:, 0]))
        used = labelled & ~np.isnan(dipole[:, 0])
        arrays = even, dipole - even, target.vectors, target.magnitudes, target.weights
        return cls(*(array[used] for array in arrays))

    @property
    def square(self) -> float:
        """Weighted sum of |mu0 - mu_Q|^2, debye^2."""
        return float(self.weights @ (self.scaled**2).sum(axis=1))

    def loss(self, factor: float) -> float:
        """Weighted sum of squared errors, debye^2."""
        residual = self.even + factor * self.scaled - self._targets(factor)
        return float(self.weights @ (residual**2).sum(axis=1))

    def improved(self, factor: float) -> float:
        """Return the best factor for the directions that this one gives; the loss never rises."""
        change = np.einsum("ij,ij->i", self._targets(factor) - self.even, self.scaled)
        return float(self.weights @ change) / self.square

    def _targets(self, factor: float) -> FloatArray:
        """Vectors (N, 3) to compare mu_b with; a magnitude gets the direction of mu_b."""
        mu = self.even + factor * self.scaled
        norm = np.linalg.norm(mu, axis=1)
        along = (self.magnitudes / np.where(norm > 0, norm, 1.0))[:, None] * mu
        return np.where(np.isnan(self.vectors), along, self.vectors)
