"""Choice of the molecules whose labels lower the error of many molecules most.

Magnitudes are linear in weights of prior variance 1, with rows d_A (r,), and a label has the noise
variance s_A: with the labels L the covariance of two magnitudes is

    c_AB = d_A^T (1 + sum_L d_L d_L^T / s_L)^-1 d_B .

It does not depend on the values of the labels, so that several molecules can be chosen before any
of them is labelled. Each is the one with the largest sum over the other targets T of

    w_T c_AT^2 / (c_AA + s_A) ,    w_T = (c_TT + s_T)^(-1/2) ,

by which its label lowers the sum of their standard deviations, to first order. A criterion of c_AA
alone would choose molecules that are unlike all others, whose labels tell little about the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Molecules that are chosen with the same weights w_T.
SAME_WEIGHTS = 25


class LabelPosterior:
    """Covariance of magnitudes, as labels are added to it one by one.

    Parameters
    ----------
    rows : ndarray of shape (n_molecules, r)
        d_A.
    noise : ndarray of shape (n_molecules,)
        s_A, above 0.
    known : ndarray of shape (n_known,)
        Indices of the molecules that have a label.
    n_more : int
        Labels that will be added, at most.

    Attributes
    ----------
    variance : ndarray of shape (n_molecules,)
        c_AA with the labels so far.
    """

    def __init__(self, rows: FloatArray, noise: FloatArray, known: IntArray, n_more: int):
        labelled = rows[known] / np.sqrt(noise[known])[:, None]
        precision = labelled.T @ labelled
        precision[np.diag_indices_from(precision)] += 1.0
        factor = np.linalg.cholesky(precision)
        # c = R R^T - V V^T, with one column of V for each label that was added.
        self._rows: FloatArray = solve_triangular(factor, rows.T, lower=True).T
        self._added = np.zeros((len(rows), n_more))
        self._n_added = 0
        self.noise = noise
        self.variance: FloatArray = np.einsum("ar,ar->a", self._rows, self._rows)

    def times(self, weights: FloatArray) -> FloatArray:
        """Return the covariance matrix times a vector (n_molecules,)."""
        added = self._added[:, : self._n_added]
        product: FloatArray = self._rows @ (weights @ self._rows) - added @ (weights @ added)
        return product

    def gain(self, molecule: int) -> FloatArray:
        """Return g (n_molecules,): a label of the molecule lowers each variance by g^2."""
        added = self._added[:, : self._n_added]
        column: FloatArray = self._rows @ self._rows[molecule] - added @ added[molecule]
        return column / np.sqrt(max(column[molecule], 0.0) + self.noise[molecule])

    def add(self, gain: FloatArray) -> None:
        """Add the label of the molecule that has this gain."""
        self._added[:, self._n_added] = gain
        self._n_added += 1
        self.variance = np.maximum(self.variance - gain**2, 0.0)

    def squared_covariances(self, weights: FloatArray) -> FloatArray:
        """Return the sums over B of w_B c_AB^2 (n_molecules,).

        Parameters
        ----------
        weights : ndarray of shape (n_molecules,)
            w_B, 0 or more.
        """
        both = np.concatenate([self._rows, self._added[:, : self._n_added]], axis=1)
        sign = np.ones(both.shape[1])
        sign[self._rows.shape[1] :] = -1.0
        weighted = both * np.sqrt(weights)[:, None]
        inner = sign[:, None] * (weighted.T @ weighted) * sign
        sums: FloatArray = np.einsum("ar,ar->a", both @ inner, both)
        return sums


def choose_labels(posterior: LabelPosterior, candidates: IntArray, k: int) -> IntArray:
    """Choose molecules one by one, each with the largest decrease of the others' errors.

    Parameters
    ----------
    posterior : LabelPosterior
        Labels of the chosen molecules are added to it.
    candidates : ndarray of shape (n_candidates,)
        Indices of the molecules that may be chosen, k at least. They are the targets T too.
    k : int

    Returns
    -------
    ndarray of shape (k,)
        Indices in the order of the choice.
    """
    chosen = np.empty(0, dtype=np.intp)
    while len(chosen) < k:
        free = np.setdiff1d(candidates, chosen)
        weights = np.zeros(len(posterior.variance))
        weights[candidates] = 1 / np.sqrt(posterior.variance + posterior.noise)[candidates]
        some = _choose_some(posterior, free, weights, min(SAME_WEIGHTS, k - len(chosen)))
        chosen = np.concatenate([chosen, some])
    return chosen


def _choose_some(
    posterior: LabelPosterior, free: IntArray, weights: FloatArray, k: int
) -> IntArray:
    """Choose k molecules with the same weights of the targets."""
    sums, chosen = posterior.squared_covariances(weights), np.empty(k, dtype=np.intp)
    for place in range(k):
        variance = posterior.variance[free]
        others = sums[free] - weights[free] * variance**2
        chosen[place] = free[(others / (variance + posterior.noise[free])).argmax()]
        gain = posterior.gain(chosen[place])
        # c becomes c - g g^T.
        sums -= 2 * gain * posterior.times(weights * gain) - gain**2 * (weights @ gain**2)
        posterior.add(gain)
        free = free[free != chosen[place]]
    return chosen
