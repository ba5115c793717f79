"""The joint objective of one problem, or of many problems over the same dipole rows.

A fit is one problem. The folds of a cross-validation, times the charge weights of a grid, are many:
they differ in sample weights and in their quadratic terms, and share the rows D, so that products
of matrices take the place of many products with vectors.

Symbols: problems b = 1..B, weights W (B, r), dipoles mu = mu0 + D w (B, N, 3) in debye, references
m_A (magnitudes) or mu_ref,A (vectors), normalised sample weights s_A (sum 1), residuals e_A in
debye. Equation (4) of the theory page, for each problem:

    J(w) = sum_A s_A rho(e_A) + (quadratic terms) + alpha (|w - w0|^2 + (penalty))

with e_A = |mu_A| - m_A, or |mu_A - mu_ref,A| where a molecule has a vector. The penalty is a
quadratic term that belongs to the ridge penalty: what is known of the weights before any label, as
from auxiliary dipoles (`auxiliary_term.py`). How J is minimised is in `reweighted.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..support.backend import NUMPY, Array, Backend
from .iterate import Direction, Iterate
from .losses import Loss
from .quadratic_term import ProblemTerms, SingleTerms, WeightedTerm

__all__ = ["DipoleTarget", "JointObjective"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class DipoleTarget:
    """Dipole labels and their weights, on the host.

    Parameters
    ----------
    magnitudes : ndarray of shape (n_molecules,), debye
        NaN where there is none.
    vectors : ndarray of shape (n_molecules, 3), debye
        NaN where there is none; a vector is used in preference to a magnitude.
    weights : ndarray of shape (n_molecules,)
        s_A, not negative.
    """

    magnitudes: FloatArray
    vectors: FloatArray
    weights: FloatArray

    @property
    def has_vector(self) -> NDArray[np.bool_]:
        """Molecules with a vector (n_molecules,)."""
        return ~np.isnan(self.vectors[:, 0])

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Molecules with a vector or a magnitude (n_molecules,)."""
        return self.has_vector | ~np.isnan(self.magnitudes)


class JointObjective:
    """J(w) of equation (4), for each problem.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
        Dipole rows D.
    constant : ndarray of shape (n_molecules, 3) or (B, n_molecules, 3), debye
        mu0, the part of the dipoles without weights.
    target : DipoleTarget
    terms : ProblemTerms, or sequence of (QuadraticTerm or None, float)
        Quadratic terms; those of one problem each with its weight, as for the charges lambda.
    alpha : float
        Ridge penalty.
    loss : Loss
    backend : Backend
    weights : ndarray of shape (B, n_molecules), default=None
        s_A of each problem; None takes those of the target, for one problem.
    penalty : ProblemTerms, default=None
        The penalty in addition to |w - w0|^2, in units of alpha.
    gram : tuple of array, default=None
        Weights (n_molecules,) on the host and sum_A weight_A D_A^T D_A (r, r), where that is known
        already.
    project : callable, default=None
        ``project(W, problems)`` removes the excluded directions from W (B, r), in place, where
        `problems` (B,) are the original numbers of the problems. None excludes none.
    """

    def __init__(
        self,
        rows: Array,
        constant: FloatArray,
        target: DipoleTarget,
        terms: ProblemTerms | Sequence[WeightedTerm],
        alpha: float,
        loss: Loss,
        backend: Backend = NUMPY,
        weights: FloatArray | None = None,
        penalty: ProblemTerms | None = None,
        project: Callable[[Array, Indices], Array] | None = None,
        gram: tuple[FloatArray, Array] | None = None,
    ):
        self.gram = gram
        self.backend, self.loss, self.alpha, self.rows = backend, loss, alpha, rows
        self.target = target
        weights = target.weights[None] if weights is None else weights
        weights = np.where(target.labelled, weights, 0.0)
        self.weights = backend.asarray(weights / weights.sum(axis=1, keepdims=True))
        # A vector is a magnitude of 0, measured from the label: one formula serves both.
        self.has_vector = backend.asarray(target.has_vector)
        magnitudes = np.where(target.has_vector, 0.0, np.nan_to_num(target.magnitudes))
        self.magnitudes = backend.asarray(magnitudes)
        self.vectors = backend.asarray(np.nan_to_num(target.vectors))
        self.constant = backend.asarray(constant if constant.ndim == 3 else constant[None])
        if isinstance(terms, Sequence):
            terms = SingleTerms(terms, rows.shape[1], backend)
        self.terms: ProblemTerms = terms
        self.penalty = penalty
        self.prior = backend.zeros((weights.shape[0], rows.shape[1]))
        self._project = project
        self._problems: Indices = np.arange(weights.shape[0])
        lengths = np.linalg.norm(np.nan_to_num(target.vectors), axis=1) + magnitudes
        # Mean square of the labels (B,), debye^2.
        self.size = self.weights @ backend.asarray(lengths**2)

    def with_alpha(self, alpha: float) -> JointObjective:
        """Return the same objective with another ridge penalty."""
        other = copy.copy(self)
        other.alpha = alpha
        return other

    def with_prior(self, prior: Array) -> JointObjective:
        """Return the same objective with the ridge penalty on the distance to w0 (B, r)."""
        other = copy.copy(self)
        other.prior = self.backend.xp.reshape(prior, self.prior.shape)
        return other

    def take(self, problems: Indices) -> JointObjective:
        """Return the objective of these problems alone."""
        other, take = copy.copy(self), self.backend.take
        other._problems = self._problems[problems]
        other.terms = self.terms.take(problems)
        other.penalty = None if self.penalty is None else self.penalty.take(problems)
        for name in ("weights", "prior", "size"):
            setattr(other, name, take(getattr(self, name), problems))
        if self.constant.shape[0] > 1:
            other.constant = take(self.constant, problems)
        return other

    def project(self, W: Array) -> Array:
        """Remove the excluded directions from W (B, r), in place."""
        return W if self._project is None else self._project(W, self._problems)

    # Values

    def direction(self, W: Array) -> Direction:
        """Compute what is linear in W (B, r)."""
        xp = self.backend.xp
        # A product with one vector reads the rows of a file part by part.
        product = (self.rows @ W[0, ...])[None, ...] if W.shape[0] == 1 else W @ self.rows.T
        change = xp.reshape(product, (W.shape[0], -1, 3))
        return Direction(W, change, self._term_product(W))

    def at(self, W: Array) -> Iterate:
        """Evaluate J at weights W (B, r), or (r,) for one problem."""
        return self._evaluate(*self.direction(self.backend.xp.reshape(W, self.prior.shape)))

    def moved(self, here: Iterate, direction: Direction, length: Array) -> Iterate:
        """Evaluate J at `here` plus length (B,) times direction, without a matrix product."""
        t = length[:, None]
        return self._evaluate(
            here.w + t * direction.w,
            here.dipole_change + t[..., None] * direction.dipole_change,
            here.term_product + t * direction.term_product,
        )

    def _evaluate(self, w: Array, dipole_change: Array, term_product: Array) -> Iterate:
        xp = self.backend.xp
        off = (self.constant - self.vectors) + dipole_change
        norm = self._lengths(off)
        residual, excess = norm - self.magnitudes, w - self.prior
        value = xp.sum(self.weights * self.loss.value(residual, xp), axis=-1)
        value = value + self.alpha * xp.sum(excess * excess, axis=-1)
        value = value + xp.sum(w * (term_product - 2 * self._term_rhs()), axis=-1)
        value = value + self.terms.constant
        if self.penalty is not None:
            value = value + self.alpha * self.penalty.constant
        return Iterate(w, dipole_change, term_product, off, norm, residual, value)

    def _term_product(self, W: Array) -> Array:
        """Gram matrices of the terms and of the penalty, with their factors, times W (B, r)."""
        product = self.terms.product(W)
        return product if self.penalty is None else product + self.alpha * self.penalty.product(W)

    def _term_rhs(self) -> Array:
        """Right-hand sides of the terms and of the penalty, with their factors (B, r)."""
        rhs = self.terms.rhs
        return rhs if self.penalty is None else rhs + self.alpha * self.penalty.rhs

    def add_penalties(self, matrix: Array) -> None:
        """Add what the ridge penalty and the penalty give to a matrix (r, r), in place."""
        self.backend.diagonal(matrix)[...] += self.alpha
        if self.penalty is not None:
            self.penalty.add_to(matrix, self.alpha)

    # Derivatives

    def half_gradient(self, here: Iterate) -> Array:
        """Half of dJ/dW (B, r), without the excluded directions.

        The majoriser touches J here and has the same gradient.
        """
        xp = self.backend.xp
        pull = (self.majoriser_weights(here.residual) * here.residual)[..., None] * self.units(here)
        pull = xp.reshape(pull, (pull.shape[0], -1))
        gradient = (pull[0, ...] @ self.rows)[None, ...] if pull.shape[0] == 1 else pull @ self.rows
        gradient = gradient + self.alpha * (here.w - self.prior)
        return self.project(gradient + here.term_product - self._term_rhs())

    def half_slope(self, here: Iterate, direction: Direction) -> Callable[[Array], Array]:
        """Half the slope of J along a direction, as a function of its length (B,).

        |mu + t d|^2 is a parabola in t for every molecule, so that no product is needed.
        """
        xp, step = self.backend.xp, direction.w
        a, b = here.norm**2, xp.sum(here.off * direction.dipole_change, axis=-1)
        c = xp.sum(direction.dipole_change**2, axis=-1)
        linear = self.alpha * xp.sum((here.w - self.prior) * step, axis=-1)
        linear = linear + xp.sum((here.term_product - self._term_rhs()) * step, axis=-1)
        curve = self.alpha * xp.sum(step * step, axis=-1)
        curve = curve + xp.sum(direction.term_product * step, axis=-1)

        def slope(length: Array) -> Array:
            t = self.backend.asarray(length)[..., None]
            norm = xp.sqrt(xp.maximum(a + t * (2 * b + t * c), 1e-300))
            e = norm - self.magnitudes
            omega = self.weights * self.loss.weight(e, xp)
            return xp.sum(omega * e * (b + t * c) / norm, axis=-1) + linear + length * curve

        return slope

    # Parts of the majoriser

    def dipoles(self, here: Iterate) -> Array:
        """Return mu (B, n_molecules, 3), debye."""
        return self.constant + here.dipole_change

    def residuals(self, mu: Array) -> Array:
        """Return e_A (..., n_molecules) of dipoles mu (..., n_molecules, 3), debye."""
        return self._lengths(mu - self.vectors) - self.magnitudes

    def target_vectors(self, mu: Array) -> Array:
        """Vectors (..., n_molecules, 3) towards which the majoriser pulls the dipoles, debye.

        m_A mu_A / |mu_A|, or the vector label.
        """
        off = mu - self.vectors
        norm = self._lengths(off)
        return mu - (norm - self.magnitudes)[..., None] * self._units(off, norm)

    def majoriser_weights(self, residuals: Array) -> Array:
        """s_A omega_A of the majoriser (B, n_molecules)."""
        return self.weights * self.loss.weight(residuals, self.backend.xp)

    def units(self, here: Iterate) -> Array:
        """Directions u (B, n_molecules, 3) along which residuals are measured."""
        return self._units(here.off, here.norm)

    def _lengths(self, vectors: Array) -> Array:
        xp = self.backend.xp
        return xp.sqrt(xp.sum(vectors * vectors, axis=-1))

    def _units(self, off: Array, norm: Array) -> Array:
        xp, norm = self.backend.xp, norm[..., None]
        # A dipole of zero has no direction: a fixed one lets the iterations move away from zero.
        fixed = self.backend.asarray([0.0, 0.0, 1.0])
        return xp.where(norm > 0, off / xp.where(norm > 0, norm, 1.0), fixed)
