"""Many joint objectives over the same dipole rows, minimised in step: one line each.

The folds of a cross-validation, times the charge weights of a grid, differ in sample weights, in
the molecules that their charge term leaves out and in lambda. The rows D are the same for all, and
are read once a pass: matrix products take the place of many products with vectors.
Symbols: lines b = 1..B, each of a fold k(b); weights W (B, r), dipoles mu (B, N, 3) in debye,
half-gradients g (B, r), normal matrix H (r, r) of each line, equation (6) of the theory page.

The method is that of `solvers.py`: steps H^-1 g, which are the reweighted passes, accelerated by
limited-memory BFGS with a line search that costs no product. H may be that of all molecules, or of
a ridge penalty somewhat off: steps still lead downhill, and more of them may be needed.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Backend
from ..support.blas_threads import count_threads, in_order
from .losses import Loss
from .objective import DipoleTarget
from .quadratic_term import QuadraticTerm
from .solvers import LINE_SEARCH_STEPS, line_search

FloatArray = NDArray[np.float64]
Lines = NDArray[np.intp]


@dataclass(frozen=True)
class FoldedTerm:
    """Charge statistics of all molecules, and of the training part of each fold.

    Parameters
    ----------
    total : QuadraticTerm
    training : sequence of QuadraticTerm
        One for each fold.
    """

    total: QuadraticTerm
    training: Sequence[QuadraticTerm]

    def of(self, fold: int | None) -> QuadraticTerm:
        """Return the statistics of a fold, or of all molecules."""
        return self.total if fold is None else self.training[fold]

    def rhs(self, fold: Lines, scale: Any, backend: Backend) -> Any:
        """C^T p of the training molecules of each given fold, times its scale (B, r)."""
        return scale[:, None] * backend.xp.stack([self.training[k].rhs for k in fold])

    def constants(self, fold: Lines, scale: Any, backend: Backend) -> Any:
        """Sum of c |P p|^2 over the training molecules, times the scale (B,)."""
        return scale * backend.asarray([self.training[k].constant for k in fold])

    def weights(self, fold: Lines) -> FloatArray:
        """Weighted number of labelled training atoms (B,)."""
        return np.array([self.training[k].weight for k in fold])

    def matrix(self, fold: int | None, charge_weight: float) -> Any:
        """Lambda C^T C / n_c of the training molecules of a fold, or of all (r, r)."""
        part = self.of(fold)
        return part.gram * (charge_weight / part.weight if part.weight > 0 else 0.0)

    def product(self, W: Any, fold: Lines, scale: Any, backend: Backend) -> Any:
        """C^T C w of each line, over the training molecules of its fold, times its scale (B, r)."""
        product = backend.xp.empty_like(W)
        for k in np.unique(fold):
            mine = np.flatnonzero(fold == k)
            backend.put(product, mine, backend.take(W, mine) @ self.training[k].gram)
        return scale[:, None] * product


@dataclass
class Place:
    """Weights with what is linear in them, and what follows at these dipoles.

    Parameters
    ----------
    W : array of shape (B, r)
    moment : array of shape (B, n_molecules, 3), debye
        D w, without the constant part.
    charge : array of shape (B, r)
        lambda C^T C w / n_c, and the same of other terms of that form; zeros where there is none.
    off, norm, e : arrays of shape (B, n_molecules, 3), (B, n_molecules), (B, n_molecules), debye
        mu - v with v the vector label or 0, its norm, and the residual: norm less magnitude.
    value : array of shape (B,), debye^2
        J.
    """

    W: Any
    moment: Any
    charge: Any
    off: Any
    norm: Any
    e: Any
    value: Any

    def take(self, lines: Lines, backend: Backend) -> Place:
        """Return these lines alone."""
        return Place(*(backend.take(part, lines) for part in vars(self).values()))


class LockstepObjective:
    """J(w) of equation (4) for every line.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
        Dipole rows D of all molecules.
    constant : ndarray of shape (n_molecules, 3), debye
        mu0, the part of the dipoles without weights.
    target : DipoleTarget
        Its weights are not read.
    weights : ndarray of shape (n_folds, n_molecules)
        s_A of each fold: 0 for molecules held out or without a label.
    charges : FoldedTerm
    fold : ndarray of shape (B,), int
    charge_weight : ndarray of shape (B,)
        lambda.
    loss : Loss
    backend : Backend
    barred : sequence of array of shape (r, m_k), default=()
        Orthonormal directions that the weights of each fold stay out of; empty bars none.
    direction : FoldedTerm, default=None
        Statistics of the pull towards a baseline's directions, see `direction_term.py`.
    direction_weight : float, default=0.0
        kappa.
    """

    def __init__(
        self,
        rows: Any,
        constant: FloatArray,
        target: DipoleTarget,
        weights: FloatArray,
        charges: FoldedTerm,
        fold: Lines,
        charge_weight: FloatArray,
        loss: Loss,
        backend: Backend,
        barred: Sequence[Any] = (),
        direction: FoldedTerm | None = None,
        direction_weight: float = 0.0,
    ):
        self.barred = barred
        self.rows, self.loss, self.backend = rows, loss, backend
        self.fold, self.charge_weight, self.alpha = fold, charge_weight, 1.0
        # A vector is a magnitude of 0 measured from the label: one formula serves both.
        has_vector = ~np.isnan(target.vectors[:, 0])
        magnitudes = np.where(has_vector, 0.0, np.nan_to_num(target.magnitudes))
        self.magnitudes = backend.asarray(magnitudes)
        self.shift = backend.asarray(constant - np.nan_to_num(target.vectors))
        self.weights = backend.asarray((weights / weights.sum(axis=1, keepdims=True))[fold])
        self.prior = backend.zeros((len(fold), rows.shape[1]))
        self.terms = [(charges, backend.asarray(_scale(charge_weight, charges.weights(fold))))]
        if direction is not None:
            kappa = np.full(len(fold), direction_weight)
            self.terms.append((direction, backend.asarray(_scale(kappa, direction.weights(fold)))))
        self.moments = sum(part.rhs(fold, scale, backend) for part, scale in self.terms)
        self.squares = sum(part.constants(fold, scale, backend) for part, scale in self.terms)

    def with_alpha(self, alpha: float) -> LockstepObjective:
        """Return the same objective under another ridge penalty."""
        other = copy.copy(self)
        other.alpha = alpha
        return other

    def with_prior(self, prior: Any) -> LockstepObjective:
        """Return the same objective with the ridge penalty on the distance to W0 (B, r)."""
        other = copy.copy(self)
        other.prior = prior
        return other

    def take(self, lines: Lines) -> LockstepObjective:
        """Return the objective of these lines alone."""
        other, take = copy.copy(self), self.backend.take
        other.fold, other.charge_weight = self.fold[lines], self.charge_weight[lines]
        for name in ("weights", "prior", "moments", "squares"):
            setattr(other, name, take(getattr(self, name), lines))
        other.terms = [(part, take(scale, lines)) for part, scale in self.terms]
        return other

    def allowed(self, W: Any) -> Any:
        """Take out of each line (B, r) what its fold bars; changes it in place."""
        for k in np.unique(self.fold) if self.barred else ():
            mine, directions = np.flatnonzero(self.fold == k), self.barred[k]
            of_fold = self.backend.take(W, mine)
            self.backend.put(W, mine, of_fold - (of_fold @ directions) @ directions.T)
        return W

    def products(self, W: Any) -> tuple[Any, Any]:
        """D w (B, n_molecules, 3) in debye, and lambda C^T C w / n_c of all terms (B, r)."""
        backend, take = self.backend, self.backend.take
        moment = backend.xp.reshape(W @ self.rows.T, (W.shape[0], -1, 3))
        charge = backend.xp.zeros_like(W)
        for part, scale in self.terms:
            used = np.flatnonzero(backend.to_host(scale) > 0)
            if len(used):
                some = take(W, used), self.fold[used], take(scale, used)
                backend.put(charge, used, take(charge, used) + part.product(*some, backend))
        return moment, charge

    def at(self, W: Any, moment: Any, charge: Any) -> Place:
        """Evaluate J from weights and their products."""
        xp = self.backend.xp
        off = self.shift + moment
        norm = xp.sqrt(xp.sum(off * off, axis=-1))
        e = norm - self.magnitudes
        excess = W - self.prior
        value = xp.sum(self.weights * self.loss.value(e, xp), axis=-1)
        value += self.alpha * xp.sum(excess * excess, axis=-1)
        value += xp.sum(W * (charge - 2 * self.moments), axis=-1) + self.squares
        return Place(W, moment, charge, off, norm, e, value)

    def directions(self, W: Any) -> Any:
        """Direction of each molecule's dipole, that of most lines (n_molecules, 3).

        Lines are weighted as they weight the molecule: one that has not seen it does not count.
        """
        xp = self.backend.xp
        place = self.at(W, *self.products(W))
        unit = place.off / xp.where(place.norm > 0, place.norm, 1.0)[..., None]
        weighted = self.weights[..., None] * unit
        # Signs do not matter: an axis, the leading one of the sum of u u^T.
        spread = xp.matmul(xp.permute_dims(weighted, (1, 2, 0)), xp.permute_dims(unit, (1, 0, 2)))
        return xp.linalg.eigh(spread)[1][..., -1]

    def half_gradient(self, place: Place) -> Any:
        """Half of dJ/dW (B, r), in the directions that are not barred."""
        xp, norm = self.backend.xp, place.norm[..., None]
        # A molecule without any dipole has no direction yet: a fixed one moves it off the point.
        fixed = self.backend.asarray([0.0, 0.0, 1.0])
        direction = xp.where(norm > 0, place.off / xp.where(norm > 0, norm, 1.0), fixed)
        pull = (self.weights * self.loss.weight(place.e, xp) * place.e)[..., None] * direction
        gradient = xp.reshape(pull, (pull.shape[0], -1)) @ self.rows
        gradient += self.alpha * (place.W - self.prior) + place.charge - self.moments
        return self.allowed(gradient)

    def slope_along(
        self, place: Place, step: Any, d_moment: Any, d_charge: Any
    ) -> Callable[[Any], Any]:
        """Half the slope of J along a step, as a function of its length (B,): no product left.

        |mu + t d|^2 is a parabola in t for every molecule.
        """
        xp, weight = self.backend.xp, self.loss.weight
        a, b = place.norm**2, xp.sum(place.off * d_moment, axis=-1)
        c = xp.sum(d_moment * d_moment, axis=-1)
        linear = self.alpha * xp.sum((place.W - self.prior) * step, axis=-1)
        curve = self.alpha * xp.sum(step * step, axis=-1)
        linear += xp.sum((place.charge - self.moments) * step, axis=-1)
        curve += xp.sum(d_charge * step, axis=-1)

        def slope(length: Any) -> Any:
            t = self.backend.asarray(length)[..., None]
            norm = xp.sqrt(xp.maximum(a + t * (2 * b + t * c), 1e-300))
            e = norm - self.magnitudes
            dipole = xp.sum(self.weights * weight(e, xp) * e * (b + t * c) / norm, axis=-1)
            return dipole + linear + length * curve

        return slope


def _scale(weight: FloatArray, labelled: FloatArray) -> FloatArray:
    """Lambda / n_c, or 0 where there is no label."""
    scale = np.zeros(len(weight))
    np.divide(weight, labelled, out=scale, where=labelled > 0)
    return scale


class Factors:
    """Factored normal matrices: one for each lambda, or for each pair (fold, lambda).

    Parameters
    ----------
    backend : Backend
    matrix : callable
        ``matrix(fold, charge_weight)`` returns a new matrix (r, r); a fold of None asks for that
        of all molecules.
    fold, charge_weight : ndarray of shape (B,)
        Of the lines to be solved for.
    own : bool
        Whether each fold has its own. One for all folds costs fewer factorisations and less
        reading, and leaves a convex problem with more passes.

    Attributes
    ----------
    good : ndarray of shape (B,), bool
        Lines whose matrix could be factored.
    """

    def __init__(
        self,
        backend: Backend,
        matrix: Callable[[int | None, float], Any],
        fold: Lines,
        charge_weight: FloatArray,
        own: bool,
    ):
        self.backend, self.own = backend, own
        keys = self._keys(fold, charge_weight)

        def factored(key: tuple[int | None, float]) -> Any:
            try:
                return backend.factor(matrix(*key))
            except np.linalg.LinAlgError:
                return None

        distinct = list(dict.fromkeys(keys))
        n_threads = min(count_threads(), len(distinct)) if backend.on_host else 1
        found = in_order(factored, distinct, n_threads)
        self._factors = dict(zip(distinct, found, strict=True))
        self.good = np.array([self._factors[key] is not None for key in keys])

    def _keys(self, fold: Lines, charge_weight: FloatArray) -> list[tuple[int | None, float]]:
        folds = fold.tolist() if self.own else [None] * len(fold)
        return list(zip(folds, charge_weight.tolist(), strict=True))

    def solve(self, right: Any, fold: Lines, charge_weight: FloatArray) -> Any:
        """H^-1 of each line times the line (B, r)."""
        solved, keys = self.backend.xp.empty_like(right), self._keys(fold, charge_weight)
        for key in dict.fromkeys(keys):
            mine = np.flatnonzero([other == key for other in keys])
            part = self.backend.solve(self._factors[key], self.backend.take(right, mine).T).T
            self.backend.put(solved, mine, part)
        return solved


def solve_in_step(
    objective: LockstepObjective,
    factors: Factors,
    start: Any,
    tol: float,
    max_iter: int = 500,
    memory: int = 8,
) -> Any:
    """Minimise every line from its start; a line that has converged is left alone.

    Parameters
    ----------
    objective : LockstepObjective
    factors : Factors
        With every fold and lambda of the lines.
    start : array of shape (B, r)
    tol : float
        A line has converged where the next plain step would lower its objective by less than
        this share.
    max_iter : int, default=500
    memory : int, default=8
        Steps that acceleration remembers.

    Returns
    -------
    array of shape (B, r)
    """
    backend, lines = objective.backend, np.arange(start.shape[0])
    result, walk = backend.xp.empty_like(start), _Walk(objective, start, memory)
    for _ in range(max_iter):
        step = factors.solve(walk.gradient, walk.objective.fold, walk.objective.charge_weight)
        step = walk.objective.allowed(step)
        gain = backend.xp.sum(walk.gradient * step, axis=-1)
        left = backend.to_host(gain > tol * walk.place.value)
        if not left.all():
            backend.put(result, lines[~left], backend.take(walk.place.W, np.flatnonzero(~left)))
            keep = np.flatnonzero(left)
            lines, step = lines[keep], backend.take(step, keep)
            if not len(lines):
                return result
            walk.take(keep)
        walk.advance(step)
    backend.put(result, lines, walk.place.W)
    return result


class _Walk:
    """Where the lines are, their gradients, and what the last steps taught.

    A pair holds the changes of W, of g and of H^-1 g in a step, one over their curvature, and the
    scale of H^-1 that they suggest; a line from whose step nothing could be learnt has curvature 0
    there.
    """

    def __init__(self, objective: LockstepObjective, W: Any, memory: int):
        self.objective = objective
        self.place = objective.at(W, *objective.products(W))
        self.gradient = objective.half_gradient(self.place)
        self.pairs: deque[tuple[Any, ...]] = deque(maxlen=memory)
        self.previous: tuple[Any, ...] | None = None

    def take(self, lines: Lines) -> None:
        """Go on with these lines alone."""
        backend = self.objective.backend
        self.objective, self.place = self.objective.take(lines), self.place.take(lines, backend)
        self.gradient = backend.take(self.gradient, lines)
        pairs = [tuple(backend.take(part, lines) for part in pair) for pair in self.pairs]
        self.pairs = deque(pairs, maxlen=self.pairs.maxlen)
        if self.previous is not None:
            self.previous = tuple(backend.take(part, lines) for part in self.previous)

    def advance(self, step: Any) -> None:
        """Take one step; `step` is H^-1 g here."""
        xp, objective, here = self.objective.backend.xp, self.objective, self.place
        self._remember(step)
        direction = self._direction(step)
        uphill = xp.sum(direction * self.gradient, axis=-1, keepdims=True) >= 0
        direction = xp.where(uphill, -step, direction)
        products = objective.products(direction)
        length = line_search(objective.slope_along(here, direction, *products), xp)
        # A line may hide a second minimum: a length that raised J is halved until it does not.
        for left in reversed(range(LINE_SEARCH_STEPS)):
            t = length[:, None]
            self.place = objective.at(
                here.W + t * direction,
                here.moment + t[..., None] * products[0],
                here.charge + t * products[1],
            )
            higher = self.place.value > here.value * (1 + 1e-12)
            if not bool(xp.any(higher)):
                break
            length = xp.where(higher, length / 2 if left > 1 else 0.0, length)
        self.gradient = objective.half_gradient(self.place)

    def _remember(self, step: Any) -> None:
        xp, here = self.objective.backend.xp, (self.place.W, self.gradient, step)
        if self.previous is not None and self.pairs.maxlen:
            shift, change, solved = (a - b for a, b in zip(here, self.previous, strict=True))
            curvature, size = xp.sum(shift * change, axis=-1), xp.sum(change * solved, axis=-1)
            good = (curvature > 0) & (size > 0)  # else J is not convex between the two
            inverse = xp.where(good, 1 / xp.where(good, curvature, 1.0), 0.0)
            scale = xp.where(good, curvature / xp.where(good, size, 1.0), 1.0)
            self.pairs.append((shift, change, solved, inverse, scale))
        self.previous = here

    def _direction(self, step: Any) -> Any:
        """Two-loop recursion (Nocedal, Math. Comp. 35, 773, 1980), H^-1 carried along."""
        xp, factors, left, solved = self.objective.backend.xp, [], self.gradient, step
        for shift, change, change_solved, inverse, _ in reversed(self.pairs):
            factors.append((inverse * xp.sum(shift * left, axis=-1))[:, None])
            left = left - factors[-1] * change
            solved = solved - factors[-1] * change_solved
        if self.pairs:
            solved = solved * self.pairs[-1][-1][:, None]
        for pair, factor in zip(self.pairs, reversed(factors), strict=True):
            shift, change, _, inverse, _ = pair
            back = (inverse * xp.sum(change * solved, axis=-1))[:, None]
            solved = solved + (factor - back) * shift
        return -solved
