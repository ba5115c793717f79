"""Matrices of the ridge problems that the iterations solve, and their factors.

At dipoles mu the majoriser (5) replaces |mu_A| - m_A by the distance to m_A mu_A / |mu_A|, which
leaves a ridge problem with the matrix H of equation (6). A magnitude does not restrict the
direction of its dipole, but the majoriser does. The preconditioner P is closer to the curvature of
J: it has S_A = omega_A (u_A u_A^T + d_A (1 - u_A u_A^T)) between D_A^T and D_A in place of omega_A,
where u_A is the direction of the dipole and d_A is `TRANSVERSE_SHARE`. P is at least this share of
H, so that a step of this share of P^-1 g never raises J.

Symbols: dipole rows D (3 N, r) in debye / e, matrices (r, r), half-gradients g (B, r). The
iterations are in `reweighted.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..exceptions import DipkitError
from ..support.backend import Array, Backend
from ..support.blas_threads import count_threads, in_order
from .dipole_gram import directed_gram, weighted_gram
from .iterate import Iterate
from .objective import DipoleTarget, JointObjective

__all__ = [
    "TRANSVERSE_SHARE",
    "FactorizationError",
    "NormalMatrices",
    "RenewedMatrix",
    "SharedFactors",
    "shared_directions",
    "transverse_shares",
]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]
_Key = TypeVar("_Key", bound=Hashable)

# Weight of dipole changes perpendicular to the current dipole in the preconditioner P: d_A in the
# theory.
TRANSVERSE_SHARE = 0.05
# Iterations after which the directions in P are renewed, because the dipoles have turned.
RENEWAL = 20
# Share of molecules for which a known Gram matrix is corrected; for more a new one is as fast.
MOST_ODD = 0.2
# Copies of a molecule, on average, that are no numbers of copies but a slip.
MANY_COPIES = 1000


class FactorizationError(DipkitError, np.linalg.LinAlgError):
    """A matrix could not be factored."""


class NormalMatrices(Protocol):
    """The factored matrices of all problems, as the iterations need them."""

    #: Whether a full step, P^-1 g, never raises J: the matrix is that of the majoriser.
    majorises: bool
    #: Whether the matrix is the same in all iterations between renewals.
    fixed: bool
    #: Matrices that were factored.
    n_factorizations: int

    def restart(self) -> None:
        """Count iterations from 0 again."""

    def renew(self, objective: JointObjective, here: Iterate) -> bool:
        """Begin an iteration; return whether a fixed matrix was replaced."""

    def solve(self, right: Array, problems: Indices) -> Array:
        """P^-1 of each of these problems times its right-hand side (k, r)."""


class RenewedMatrix:
    """The matrix of one problem, computed from its own dipoles.

    For the squared loss it is factored once, and after every `RENEWAL` iterations where it has
    directions; for other losses, in every iteration.

    Parameters
    ----------
    objective : JointObjective
        Of one problem. The same with another alpha or prior may be given later.
    directed : bool
        Whether it is P; else it is H.
    """

    def __init__(self, objective: JointObjective, directed: bool):
        self.directed, self.majorises = directed, not directed
        self.fixed = objective.loss.constant_weight
        self.n_factorizations = self._n_iter = 0
        self._backend = objective.backend
        self._shares = self._backend.asarray(transverse_shares(objective.target))
        self._factor: Array = None
        self._constant_part: Array = None

    def restart(self) -> None:
        """Count iterations from 0 again, with a new matrix."""
        self._n_iter, self._factor = 0, None

    def renew(self, objective: JointObjective, here: Iterate) -> bool:
        """Factor the matrix where it is time; return whether a fixed one was replaced."""
        stale = self.directed and self._n_iter % RENEWAL == 0
        self._n_iter += 1
        if self._factor is not None and self.fixed and not stale:
            return False
        try:
            self._factor = self._backend.factor(self.matrix(objective, here))
        except np.linalg.LinAlgError as error:
            raise FactorizationError(_explain(objective, error)) from error
        self.n_factorizations += 1
        return self.fixed

    def solve(self, right: Array, problems: Indices) -> Array:
        """Inverse of the matrix times a vector (1, r)."""
        return self._backend.solve(self._factor, right[0, ...])[None, ...]

    def matrix(self, objective: JointObjective, here: Iterate) -> Array:
        """Compute the matrix (r, r) at these dipoles: a new array each time."""
        omega = objective.majoriser_weights(here.residual)[0, ...]
        undirected = omega * self._shares if self.directed else omega
        if not self.fixed:
            matrix = self._without_directions(objective, undirected)
        else:
            if self._constant_part is None:
                self._constant_part = self._without_directions(objective, undirected)
            matrix = self._backend.xp.asarray(self._constant_part, copy=True)
        if self.directed:
            units = objective.units(here)[0, ...]
            directed_gram(objective.rows, units, omega - undirected, self._backend, out=matrix)
        objective.add_penalties(matrix)
        return matrix

    def _without_directions(self, objective: JointObjective, weights: Array) -> Array:
        """Sum the terms of the matrix that have no directions, the penalty aside."""
        known = _known_gram(objective, weights)
        matrix = weighted_gram(objective.rows, weights, self._backend) if known is None else known
        objective.terms.add_to(matrix)
        return matrix


def _explain(objective: JointObjective, error: Exception) -> str:
    """Name the parameter behind a matrix that cannot be factored."""
    weights = objective.target.weights[objective.target.labelled]
    if weights.sum() > MANY_COPIES * np.count_nonzero(weights):
        return (
            "sample_weight: whole numbers are numbers of copies, and here they make "
            f"{weights.sum():.3g} labels of {np.count_nonzero(weights)}. The ridge penalty alpha, "
            f"which is lower for more labels, is {objective.alpha:.3g}, too low for floating "
            "point. Divide the weights by the largest one, or set alpha."
        )
    return (
        "alpha: the normal matrix is not positive definite with a ridge penalty of "
        f"{objective.alpha:g} ({error}). Raise alpha, or eigenvalue_cut."
    )


def _known_gram(objective: JointObjective, weights: Array) -> Array | None:
    """Return the weighted Gram matrix from one that is known, if most weights are in proportion.

    The others are corrected one by one: molecules without a dipole, for example, whose weight in P
    is larger (`transverse_shares`).
    """
    if objective.gram is None:
        return None
    (before, gram), now = objective.gram, objective.backend.to_host(weights)
    if not before.any():
        return None
    share = float(np.median(now[before > 0] / before[before > 0]))
    missing = now - share * before
    odd = np.flatnonzero(np.abs(missing) > 1e-12 * np.maximum(now, share * before))
    if len(odd) > MOST_ODD * len(now):
        return None
    matrix = share * gram
    for sign in (1.0, -1.0):
        mine = odd[sign * missing[odd] > 0]
        if len(mine):
            places = (3 * mine[:, None] + np.arange(3)).ravel()
            rows = objective.backend.take(objective.rows, places)
            added = objective.backend.asarray(np.abs(missing[mine]))
            if sign > 0:
                weighted_gram(rows, added, objective.backend, out=matrix)
            else:
                matrix -= weighted_gram(rows, added, objective.backend)
    return matrix


class SharedFactors(Generic[_Key]):
    """Factored matrices that several problems share, and that stay as they are.

    A matrix may be that of all molecules instead of those of a fold, or that of a slightly
    different ridge penalty: each step still reduces J, but more steps may be needed.

    Parameters
    ----------
    backend : Backend
    matrix : callable
        ``matrix(key)`` returns a new matrix (r, r).
    keys : sequence of hashable
        For each problem, the key of its matrix.

    Attributes
    ----------
    good : ndarray of shape (B,), bool
        Problems whose matrix could be factored.
    """

    majorises = False
    fixed = True

    def __init__(self, backend: Backend, matrix: Callable[[_Key], Array], keys: Sequence[_Key]):
        self._backend, self._keys = backend, list(keys)

        def factored(key: _Key) -> Array:
            try:
                return backend.factor(matrix(key))
            except np.linalg.LinAlgError:
                return None

        distinct = list(dict.fromkeys(self._keys))
        n_threads = min(count_threads(), len(distinct)) if backend.on_host else 1
        found = in_order(factored, distinct, n_threads)
        self._factors = dict(zip(distinct, found, strict=True))
        self.good = np.array([self._factors[key] is not None for key in self._keys])
        self.n_factorizations = len(distinct)

    def restart(self) -> None:
        """Do nothing: the matrices stay."""

    def renew(self, objective: JointObjective, here: Iterate) -> bool:
        """Return False: the matrices stay."""
        return False

    def solve(self, right: Array, problems: Indices) -> Array:
        """P^-1 of each of these problems times its right-hand side (k, r)."""
        solved, keys = self._backend.xp.empty_like(right), [self._keys[b] for b in problems]
        for key in dict.fromkeys(keys):
            mine = np.flatnonzero([other == key for other in keys])
            part = self._backend.solve(self._factors[key], self._backend.take(right, mine).T).T
            self._backend.put(solved, mine, part)
        return solved

    def take(self, problems: Indices) -> SharedFactors[_Key]:
        """Return the factors of these problems alone; the matrices are shared."""
        other = copy.copy(self)
        other._keys = [self._keys[b] for b in problems]
        other.good = self.good[problems]
        return other


def transverse_shares(target: DipoleTarget) -> FloatArray:
    """Weights d_A of dipole changes perpendicular to the dipole (n_molecules,).

    1 for a molecule with a vector, or with a magnitude of zero: these labels determine all three
    components of the dipole.
    """
    holds_all = target.has_vector | (target.magnitudes == 0)
    return np.where(holds_all, 1.0, TRANSVERSE_SHARE)


def shared_directions(objective: JointObjective, W: Array) -> Array:
    """Direction of each molecule's dipole that most problems share (n_molecules, 3).

    A problem counts by its weight of the molecule: where the molecule is held out, by 0.
    """
    xp, here = objective.backend.xp, objective.at(W)
    unit = here.off / xp.where(here.norm > 0, here.norm, 1.0)[..., None]
    weighted = objective.weights[..., None] * unit
    # Signs do not matter: an axis, the leading eigenvector of the sum of u u^T.
    sums = xp.matmul(xp.permute_dims(weighted, (1, 2, 0)), xp.permute_dims(unit, (1, 0, 2)))
    return xp.linalg.eigh(sums)[1][..., -1]
