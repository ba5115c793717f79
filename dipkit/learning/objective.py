"""The joint objective, its terms, and the quadratic that majorises it.

Symbols: weights w (r,), dipoles mu = mu0 + D w (N, 3) in debye, references m_A (magnitudes) or
mu_ref,A (vectors), normalised sample weights s_A (sum 1), residuals e_A in debye. Equation (4):

    J(w) = sum_A s_A rho(e_A) + lambda / n_c sum_i c_i (q_i - p_i)^2 + alpha |w - w0|^2

with e_A = |mu_A| - m_A, or |mu_A - mu_ref,A| where a molecule has a vector. How J is brought
down is in `solvers.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..support.backend import NUMPY, Backend
from .dipole_gram import directed_gram, weighted_gram
from .losses import Loss
from .quadratic_term import WeightedTerm, weighted_sum

FloatArray = NDArray[np.float64]

# Share of what moves a dipole across its direction, in a matrix with directions.
ACROSS = 0.05


@dataclass(frozen=True)
class DipoleTarget:
    """Dipole labels and their weights, on the host.

    Parameters
    ----------
    magnitudes : ndarray of shape (n_molecules,), debye
        NaN where there is none.
    vectors : ndarray of shape (n_molecules, 3), debye
        NaN where there is none; a vector goes before a magnitude.
    weights : ndarray of shape (n_molecules,)
        s_A, not negative.
    """

    magnitudes: FloatArray
    vectors: FloatArray
    weights: FloatArray


@dataclass
class Point:
    """Weights with all that is linear in them, so that combining points costs no product.

    Parameters
    ----------
    w : array of shape (r,)
    moment : array of shape (n_molecules, 3), debye
        D w, without the constant part.
    charge : array of shape (r,)
        Gram matrix of the quadratic terms times w; zeros without such terms.
    """

    w: Any
    moment: Any
    charge: Any

    def __sub__(self, other: Point) -> Point:
        return Point(self.w - other.w, self.moment - other.moment, self.charge - other.charge)

    def __add__(self, other: Point) -> Point:
        return Point(self.w + other.w, self.moment + other.moment, self.charge + other.charge)

    def __mul__(self, factor: float) -> Point:
        return Point(self.w * factor, self.moment * factor, self.charge * factor)


class JointObjective:
    """J(w) of equation (4) for given statistics.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
        Dipole rows D.
    constant : ndarray of shape (n_molecules, 3), debye
        mu0, the part of the dipoles without weights.
    target : DipoleTarget
    terms : sequence of (QuadraticTerm or None, float)
        Quadratic terms, each with its weight, as for the charges lambda.
    alpha : float
        Ridge penalty.
    loss : Loss
    backend : Backend
    """

    def __init__(
        self,
        rows: Any,
        constant: FloatArray,
        target: DipoleTarget,
        terms: Sequence[WeightedTerm],
        alpha: float,
        loss: Loss,
        backend: Backend = NUMPY,
    ):
        self.backend, self.loss, self.alpha, self.rows = backend, loss, alpha, rows
        has_vector = ~np.isnan(target.vectors[:, 0])
        labelled = has_vector | ~np.isnan(target.magnitudes)
        weights = np.where(labelled, target.weights, 0.0)
        self.weights = backend.asarray(weights / weights.sum())
        has_vector = backend.asarray(has_vector)
        self.has_vector = has_vector[:, None]
        self.magnitudes = backend.asarray(np.nan_to_num(target.magnitudes))
        self.vectors = backend.asarray(np.nan_to_num(target.vectors))
        self.constant = backend.asarray(constant)
        self.term, weight = weighted_sum(terms, backend)
        self.term_scale = 0.0 if self.term is None else weight / self.term.weight
        self.prior = backend.zeros(rows.shape[1])
        self.across = backend.asarray(across_shares(target))
        lengths = backend.xp.where(has_vector, self._lengths(self.vectors), self.magnitudes)
        # Mean square of the labels, debye^2.
        self.size = float(self.weights @ (lengths * lengths))
        # Shared by the copies with another alpha or prior.
        self._constant_matrices: dict[bool, Any] = {}

    def at(self, w: Any) -> Point:
        """Compute what is linear in w."""
        xp = self.backend.xp
        moment = xp.reshape(self.rows @ w, (-1, 3))
        charge = xp.zeros_like(w) if self.term is None else self.term.gram @ w
        return Point(w, moment, charge)

    def dipoles(self, point: Point) -> Any:
        """Return mu (n_molecules, 3), debye."""
        return self.constant + point.moment

    def target_vectors(self, mu: Any) -> Any:
        """Vectors that the majoriser pulls mu towards: m_A mu_A / |mu_A|, or the vector label."""
        pulled = self.magnitudes[:, None] * self.directions(mu)
        return self.backend.xp.where(self.has_vector, self.vectors, pulled)

    def directions(self, mu: Any) -> Any:
        """Return u (n_molecules, 3) of the dipoles."""
        xp, norm = self.backend.xp, self._lengths(mu)
        # A molecule without any dipole has no direction yet: a fixed one moves it off the point.
        fixed = self.backend.asarray([0.0, 0.0, 1.0])
        return xp.where(norm[:, None] > 0, mu / xp.maximum(norm, 1e-300)[:, None], fixed)

    def residuals(self, mu: Any) -> Any:
        """Return e_A (n_molecules,), debye."""
        off, length = self._lengths(mu - self.vectors), self._lengths(mu)
        return self.backend.xp.where(self.has_vector[:, 0], off, length - self.magnitudes)

    def _lengths(self, vectors: Any) -> Any:
        xp = self.backend.xp
        return xp.sqrt(xp.sum(vectors * vectors, axis=1))

    def value(self, point: Point) -> float:
        """J at a point, debye^2."""
        e = self.residuals(self.dipoles(point))
        value = self.weights @ self.loss.value(e, self.backend.xp)
        excess = point.w - self.prior
        value += self.alpha * (excess @ excess)
        if self.term is not None:
            rhs = self.term.rhs
            fit = point.w @ point.charge - 2 * (rhs @ point.w) + self.term.constant
            value += self.term_scale * fit
        return float(value)

    def gradient(self, point: Point) -> Any:
        """dJ/dw at a point (r,): that of the majoriser, which touches J there."""
        mu = self.dipoles(point)
        omega = self.pass_weights(mu)
        pull = self.backend.xp.reshape(omega[:, None] * (mu - self.target_vectors(mu)), (-1,))
        gradient = pull @ self.rows + self.alpha * (point.w - self.prior)
        if self.term is not None:
            gradient += self.term_scale * (point.charge - self.term.rhs)
        return 2 * gradient

    def slope(self, point: Point, direction: Point) -> float:
        """Directional derivative of J, without a matrix product."""
        mu = self.dipoles(point)
        omega = self.pass_weights(mu)
        pull = omega[:, None] * (mu - self.target_vectors(mu))
        slope = self.backend.xp.sum(pull * direction.moment)
        slope += self.alpha * ((point.w - self.prior) @ direction.w)
        if self.term is not None:
            difference = point.charge - self.term.rhs
            slope += self.term_scale * (difference @ direction.w)
        return 2 * float(slope)

    def pass_weights(self, mu: Any) -> Any:
        """s_A omega_A of the majoriser at these dipoles (n_molecules,)."""
        return self.weights * self.loss.weight(self.residuals(mu), self.backend.xp)

    def with_prior(self, prior: Any) -> JointObjective:
        """Return the same objective with the ridge penalty on the distance to a prior w0 (r,)."""
        other = copy.copy(self)
        other.prior = prior
        return other

    def with_alpha(self, alpha: float) -> JointObjective:
        """Return the same objective with another ridge penalty; matrices are shared."""
        other = copy.copy(self)
        other.alpha = alpha
        return other

    def normal_matrix(self, mu: Any, directed: bool = False) -> Any:
        """Matrix of the majoriser (6) at these dipoles, or one closer to the curvature of J.

        A magnitude does not hold its dipole from turning, which the majoriser does not know. The
        other matrix has S_A = omega_A (u_A u_A^T + d_A (1 - u_A u_A^T)) between D_A^T and D_A in
        place of omega_A, with d_A from `across_shares`: it is at least ACROSS of the first.

        Parameters
        ----------
        mu : array of shape (n_molecules, 3), debye
        directed : bool, default=False
            Whether to return the other one.

        Returns
        -------
        array of shape (r, r)
            A new one each time.
        """
        omega = self.pass_weights(mu)
        alike = omega * self.across if directed else omega
        if not self.loss.constant_weight:
            matrix = self._undirected(alike)
        else:
            if directed not in self._constant_matrices:
                self._constant_matrices[directed] = self._undirected(alike)
            matrix = self.backend.xp.asarray(self._constant_matrices[directed], copy=True)
        if directed:
            along = self.directions(mu), omega - alike
            directed_gram(self.rows, *along, self.backend, out=matrix)
        self.backend.diagonal(matrix)[...] += self.alpha
        return matrix

    def _undirected(self, weights: Any) -> Any:
        """Terms of the matrix without directions, the penalty aside."""
        matrix = weighted_gram(self.rows, weights, self.backend)
        if self.term is not None:
            matrix += self.term_scale * self.term.gram
        return matrix


def across_shares(target: DipoleTarget) -> FloatArray:
    """Share of what moves the dipole of each molecule across its direction (n_molecules,).

    All of it where there is a vector, which holds all directions, as a magnitude of zero does.
    """
    all_alike = ~np.isnan(target.vectors[:, 0]) | (target.magnitudes == 0)
    return np.where(all_alike, 1.0, ACROSS)
