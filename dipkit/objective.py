"""The joint objective, its terms, and the quadratic that majorises it.

Symbols: weights w (r,), dipoles mu = mu0 + D w (N, 3) in debye, references m_A (magnitudes) or
mu_ref,A (vectors), normalised sample weights s_A (sum 1), residuals e_A in debye. Equation (4):

    J(w) = sum_A s_A rho(e_A) + lambda / n_c sum_i c_i (q_i - p_i)^2 + alpha |w - w0|^2

with e_A = |mu_A| - m_A, or |mu_A - mu_ref,A| where a molecule has a vector. How J is brought
down is in `solvers.py`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._backend import NUMPY, Backend
from .exceptions import InputError
from .statistics import ChargeStatistics

FloatArray = NDArray[np.float64]

# Residuals below this, in debye, count as zero in the weight of the absolute loss.
ABSOLUTE_FLOOR = 1e-3
# Dipole rows in one product of the normal matrix: bounds the copy that carries the weights.
ROWS_AT_ONCE = 8192


class Loss(ABC):
    """rho(e), even in e and concave in e^2, so that a parabola through e majorises it."""

    #: True where `weight` is 1 for every residual: the normal matrix never changes.
    constant_weight = False

    @abstractmethod
    def value(self, e: Any, xp: Any = np) -> Any:
        """rho(e), elementwise, debye^2."""

    @abstractmethod
    def weight(self, e: Any, xp: Any = np) -> Any:
        """omega(e) = rho'(e) / (2 e), elementwise."""


@dataclass(frozen=True)
class SquaredLoss(Loss):
    """rho(e) = e^2."""

    constant_weight = True

    def value(self, e: Any, xp: Any = np) -> Any:
        """Square."""
        return e * e

    def weight(self, e: Any, xp: Any = np) -> Any:
        """Ones."""
        return xp.ones_like(e)


@dataclass(frozen=True)
class HuberLoss(Loss):
    """rho(e) = e^2 for |e| <= t, else 2 t |e| - t^2.

    Parameters
    ----------
    threshold : float, debye
        t.
    """

    threshold: float

    def value(self, e: Any, xp: Any = np) -> Any:
        """Square inside the threshold, linear beyond."""
        size, t = xp.abs(e), self.threshold
        return xp.where(size <= t, e * e, 2 * t * size - t * t)

    def weight(self, e: Any, xp: Any = np) -> Any:
        """min(1, t / |e|)."""
        return self.threshold / xp.maximum(xp.abs(e), self.threshold)


@dataclass(frozen=True)
class AbsoluteLoss(Loss):
    """rho(e) = u |e| with u = 1 debye, rounded off below the floor.

    It is Huber's loss with a threshold of `ABSOLUTE_FLOOR`, scaled to slope 1: smooth enough
    for reweighting, and indistinguishable from |e| at the accuracy of a dipole.
    """

    def value(self, e: Any, xp: Any = np) -> Any:
        """Absolute value, with a parabola at its tip."""
        return HuberLoss(ABSOLUTE_FLOOR).value(e, xp) / (2 * ABSOLUTE_FLOOR)

    def weight(self, e: Any, xp: Any = np) -> Any:
        """1 / (2 max(|e|, floor))."""
        return 0.5 / xp.maximum(xp.abs(e), ABSOLUTE_FLOOR)


def make_loss(loss: str, huber_threshold: float) -> Loss:
    """Return the loss of a name.

    Raises
    ------
    InputError
        If the name is unknown or the threshold is not positive.
    """
    if loss == "squared":
        return SquaredLoss()
    if loss == "absolute":
        return AbsoluteLoss()
    if loss != "huber":
        raise InputError(f'loss: expected "squared", "huber" or "absolute", got {loss!r}.')
    if not (isinstance(huber_threshold, Real) and huber_threshold > 0):
        raise InputError(f"huber_threshold: expected debye > 0, got {huber_threshold!r}.")
    return HuberLoss(float(huber_threshold))


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
        Gram matrix of the charges times w; zeros without a charge term.
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
    charges : ChargeStatistics or None
    alpha, charge_weight : float
        Ridge penalty and lambda.
    loss : Loss
    backend : Backend
    """

    def __init__(
        self,
        rows: Any,
        constant: FloatArray,
        target: DipoleTarget,
        charges: ChargeStatistics | None,
        alpha: float,
        charge_weight: float,
        loss: Loss,
        backend: Backend = NUMPY,
    ):
        self.backend, self.loss, self.alpha, self.rows = backend, loss, alpha, rows
        has_vector = ~np.isnan(target.vectors[:, 0])
        labelled = has_vector | ~np.isnan(target.magnitudes)
        weights = np.where(labelled, target.weights, 0.0)
        self.weights = backend.asarray(weights / weights.sum())
        self.has_vector = backend.asarray(has_vector)[:, None]
        self.magnitudes = backend.asarray(np.nan_to_num(target.magnitudes))
        self.vectors = backend.asarray(np.nan_to_num(target.vectors))
        self.constant = backend.asarray(constant)
        self.charges = charges if charge_weight > 0 else None
        self.charge_scale = 0.0 if self.charges is None else charge_weight / self.charges.weight
        self.prior = backend.zeros(rows.shape[1])
        # Shared by the copies with another alpha or prior.
        self._constant_matrix: dict[str, Any] = {}

    def at(self, w: Any) -> Point:
        """Compute what is linear in w."""
        xp = self.backend.xp
        moment = xp.reshape(self.rows @ w, (-1, 3))
        charge = xp.zeros_like(w) if self.charges is None else self.charges.gram @ w
        return Point(w, moment, charge)

    def dipoles(self, point: Point) -> Any:
        """Return mu (n_molecules, 3), debye."""
        return self.constant + point.moment

    def target_vectors(self, mu: Any) -> Any:
        """Vectors that the majoriser pulls mu towards: m_A mu_A / |mu_A|, or the vector label."""
        xp, norm = self.backend.xp, self._lengths(mu)
        # A molecule without any dipole has no direction yet: a fixed one moves it off the point.
        fixed = self.backend.asarray([0.0, 0.0, 1.0])
        direction = xp.where(norm[:, None] > 0, mu / xp.maximum(norm, 1e-300)[:, None], fixed)
        return xp.where(self.has_vector, self.vectors, self.magnitudes[:, None] * direction)

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
        if self.charges is not None:
            moment = self.charges.moment
            fit = point.w @ point.charge - 2 * (moment @ point.w) + self.charges.square
            value += self.charge_scale * fit
        return float(value)

    def gradient(self, point: Point) -> Any:
        """dJ/dw at a point (r,): that of the majoriser, which touches J there."""
        mu = self.dipoles(point)
        omega = self.pass_weights(mu)
        pull = self.backend.xp.reshape(omega[:, None] * (mu - self.target_vectors(mu)), (-1,))
        gradient = pull @ self.rows + self.alpha * (point.w - self.prior)
        if self.charges is not None:
            gradient += self.charge_scale * (point.charge - self.charges.moment)
        return 2 * gradient

    def slope(self, point: Point, direction: Point) -> float:
        """Directional derivative of J, without a matrix product."""
        mu = self.dipoles(point)
        omega = self.pass_weights(mu)
        pull = omega[:, None] * (mu - self.target_vectors(mu))
        slope = self.backend.xp.sum(pull * direction.moment)
        slope += self.alpha * ((point.w - self.prior) @ direction.w)
        if self.charges is not None:
            difference = point.charge - self.charges.moment
            slope += self.charge_scale * (difference @ direction.w)
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

    def normal_matrix(self, omega: Any) -> Any:
        """Matrix of the majoriser: sum_A omega_A D_A^T D_A + lambda C^T C / n_c + alpha (6).

        Parameters
        ----------
        omega : array of shape (n_molecules,)
            From `pass_weights`.

        Returns
        -------
        array of shape (r, r)
            A new one each time.
        """
        if not self.loss.constant_weight:
            matrix = self._unpenalised_matrix(omega)
        else:
            if not self._constant_matrix:
                self._constant_matrix["matrix"] = self._unpenalised_matrix(omega)
            matrix = self.backend.xp.asarray(self._constant_matrix["matrix"], copy=True)
        self.backend.diagonal(matrix)[...] += self.alpha
        return matrix

    def _unpenalised_matrix(self, omega: Any) -> Any:
        matrix = weighted_gram(self.rows, omega, self.backend)
        if self.charges is not None:
            matrix += self.charge_scale * self.charges.gram
        return matrix

    def right_side(self, omega: Any, mu: Any) -> Any:
        """Right side of the majoriser's normal equations at these dipoles (r,)."""
        pull = omega[:, None] * (self.target_vectors(mu) - self.constant)
        right = self.backend.xp.reshape(pull, (-1,)) @ self.rows + self.alpha * self.prior
        if self.charges is not None:
            right += self.charge_scale * self.charges.moment
        return right

    def inner(self, a: Point, b: Point, omega: Any) -> Any:
        """a^T H b with H the normal matrix, from what the points carry; stays on the device."""
        value = self.backend.xp.sum(omega[:, None] * a.moment * b.moment) + self.alpha * (a.w @ b.w)
        return value + self.charge_scale * (a.w @ b.charge)


def weighted_gram(rows: Any, weights: Any, backend: Backend = NUMPY) -> Any:
    """Return sum_A w_A D_A^T D_A.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
        Dipole rows D.
    weights : array of shape (n_molecules,)
        Not negative.
    backend : Backend

    Returns
    -------
    array of shape (r, r)
    """
    xp = backend.xp
    roots = xp.repeat(xp.sqrt(backend.asarray(weights)), 3)[:, None]
    n_rows, matrix = rows.shape[0], backend.zeros((rows.shape[1],) * 2)
    for start in range(0, n_rows, ROWS_AT_ONCE):
        run = slice(start, min(start + ROWS_AT_ONCE, n_rows))
        scaled = roots[run, :] * rows[run, :]
        matrix += scaled.T @ scaled
    return matrix
