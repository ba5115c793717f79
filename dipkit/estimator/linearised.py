"""The objective as a quadratic near its minimum: its curvature, and molecules left out of it.

Near the minimum the magnitude of a molecule is linear in the weights, with gradient
g_A = D_A^T u_A and u_A the direction of its dipole. Half the second derivative of J is

    H = sum_A D_A^T B_A D_A + (quadratic terms) + alpha

where B_A (3, 3) is s_A kappa_A u_A u_A^T for a magnitude, with kappa = rho'' / 2. A vector with
residual v_A = mu_A - mu_ref,A of direction n has s_A (omega_A (1 - n n^T) + kappa_A n n^T).
The pull of molecule A on its dipole is p_A = s_A omega_A (mu_A - t_A), with t_A = m_A u_A or
mu_ref,A. `std_calibration.py` computes standard deviations from H and p_A.

Symbols: N labelled molecules, r weights, dipole rows D (3 N, r) in debye / e.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..learning.dipole_gram import directed_gram, weighted_gram
from ..learning.objective import JointObjective
from ..support.backend import Array

FloatArray = NDArray[np.float64]

# Smallest kappa, as a share of omega. A robust loss has rho'' = 0 at large residuals, but the
# residual of a left-out molecule changes so much that it leaves the straight part of rho.
LEAST_CURVATURE = 0.05


class LinearisedObjective:
    """J near its minimum, with the directions and weights of the minimum.

    Parameters
    ----------
    objective : JointObjective
    weights : array of shape (r,)
        Its minimum.

    Attributes
    ----------
    n_labelled : int
        Molecules of positive weight with a dipole label.
    label_variance : float
        Variance of the typical label in units of s^2: 1 / sum_A s_A omega_A. 1 for the squared
        loss.
    directions : ndarray of shape (n_molecules, 3)
        u_A.
    """

    def __init__(self, objective: JointObjective, weights: Array):
        self.objective, self.backend = objective, objective.backend
        to_host, xp = self.backend.to_host, self.backend.xp
        mu = objective.dipoles(objective.at(weights))[0, :, :]
        residuals = objective.residuals(mu)
        omega = objective.loss.weight(residuals, xp)
        kappa = xp.maximum(objective.loss.curvature(residuals, xp), LEAST_CURVATURE * omega)
        shares: FloatArray = to_host(objective.weights[0, :])
        self.n_labelled = int(np.count_nonzero(shares))
        self.directions = unit_vectors(to_host(mu))
        self._has_vector: NDArray[np.bool_] = to_host(objective.has_vector)
        self._residual: FloatArray = to_host(mu - objective.target_vectors(mu))
        self._pull_weights: FloatArray = shares * to_host(omega)
        self._curvatures: FloatArray = shares * to_host(kappa)
        self.label_variance = 1.0 / float(self._pull_weights.sum())

    def curvature(self) -> Array:
        """Return H, array of shape (r, r)."""
        backend, rows, vector = self.backend, self.objective.rows, self._has_vector
        along = np.where(vector, 0.0, self._curvatures)
        matrix = directed_gram(rows, backend.asarray(self.directions), along, backend)
        if vector.any():
            matrix += weighted_gram(rows, np.where(vector, self._pull_weights, 0.0), backend)
            less = np.where(vector, self._pull_weights - self._curvatures, 0.0)
            if less.any():
                along_residual = backend.asarray(unit_vectors(self._residual))
                matrix -= directed_gram(rows, along_residual, less, backend)
        self.objective.terms.add_to(matrix)
        self.objective.add_penalties(matrix)
        return matrix

    def left_out(self, factor: Array, chosen: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Return errors and variances of some magnitudes, each without its own label (13).

        With V = D_A H^-1 D_A^T, leaving out A changes its dipole by (1 - V B_A)^-1 V p_A, and the
        inverse curvature of its dipole is (1 - V B_A)^-1 V. There is no division by a weight,
        because weights of far outliers are close to zero.

        Parameters
        ----------
        factor : array
            Of a curvature, from `Backend.factor`.
        chosen : ndarray of shape (k,)
            Molecules.

        Returns
        -------
        errors : ndarray of shape (k,), debye
            Absolute errors.
        variances : ndarray of shape (k,), debye^2
            In units of s^2.
        """
        backend, k, r = self.backend, len(chosen), self.objective.rows.shape[1]
        # [:, :] gives a plain view, also of rows in a file.
        rows = backend.take(self.objective.rows[:, :], (3 * chosen[:, None] + np.arange(3)).ravel())
        solved = backend.xp.reshape(backend.solve(factor, rows.T).T, (k, 3, r))
        inverse = backend.to_host(
            backend.xp.reshape(rows, (k, 3, r)) @ backend.xp.permute_dims(solved, (0, 2, 1))
        )
        unit, residual = self.directions[chosen], self._residual[chosen]
        without = np.linalg.solve(np.eye(3) - inverse @ self._label_curvature(chosen), inverse)
        pull = self._pull_weights[chosen, None] * residual
        errors = np.einsum("ac,ac->a", unit, residual + np.einsum("acd,ad->ac", without, pull))
        variances = np.einsum("ac,acd,ad->a", unit, without, unit) / self.n_labelled
        return np.abs(errors), np.maximum(variances, 0.0)

    def _label_curvature(self, chosen: NDArray[np.intp]) -> FloatArray:
        """B_A of some molecules (k, 3, 3)."""
        vector = self._has_vector[chosen, None]
        axis = np.where(vector, unit_vectors(self._residual[chosen]), self.directions[chosen])
        all_around = np.where(vector, self._pull_weights[chosen, None], 0.0)[:, :, None]
        along = self._curvatures[chosen, None, None] - all_around
        curvature: FloatArray = all_around * np.eye(3) + along * axis[:, :, None] * axis[:, None, :]
        return curvature


def unit_vectors(vectors: FloatArray) -> FloatArray:
    """Return the vectors (n, 3) at unit length; a zero vector becomes that along z."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    safe = np.where(norm > 0, norm, 1.0)
    return np.where(norm > 0, vectors / safe, np.array([0.0, 0.0, 1.0]))
