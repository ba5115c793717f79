"""Iterative reweighting: each iteration solves one ridge problem and never raises the objective.

From w an iteration with the matrix H of the majoriser leads to w - H^-1 g, with g half the gradient
of J: iterations are steepest descent in the metric of H. For the squared loss H never changes: it
is factored once, and an iteration costs a back-substitution. Acceleration is the limited-memory
BFGS method with a line search, which costs no solve, and with the preconditioner P in place of H
(`normal_matrices.py`). A step that would raise J is replaced by `TRANSVERSE_SHARE` of P^-1 g, which
never raises J.

All problems of an objective advance together; a problem that has converged is not changed any more.
A fit is one problem (`solve_reweighted`); the folds of a grid are many (`minimise`).

Symbols: problems b = 1..B, weights W (B, r), half-gradients g (B, r).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array
from .iterate import Direction, Iterate
from .lbfgs import LimitedMemory
from .line_search import find_lengths
from .normal_matrices import TRANSVERSE_SHARE, NormalMatrices, RenewedMatrix
from .objective import JointObjective
from .solve_result import Minimum, SolveResult, Status

__all__ = [
    "Minimum",
    "SolveResult",
    "Status",
    "minimise",
    "solve_annealed",
    "solve_reweighted",
]

# An iteration that lowers J by less than this share of the mean square label only changes rounding
# errors.
ROUNDING = 1e-28
# Number of times that a step which raised J is halved, before the problem stays where it is.
MAX_HALVINGS = 12
# Stages before the last need not converge.
STAGE_ITERATIONS = 50
STAGE_TOL = 1e-3


def solve_reweighted(
    objective: JointObjective,
    start: Array,
    max_iter: int = 500,
    tol: float = 1e-6,
    memory: int = 8,
) -> SolveResult:
    """Minimise the joint objective of one problem from a start.

    Parameters
    ----------
    objective : JointObjective
    start : array of shape (r,)
        First weights; J has more than one minimum, and the start chooses.
    max_iter : int, default=500
        Iterations at most.
    tol : float, default=1e-6
        End where an iteration would lower J by less than this share of J.
    memory : int, default=8
        Steps that the acceleration remembers; 0 switches acceleration off.

    Returns
    -------
    SolveResult

    Raises
    ------
    FactorizationError
        If the normal matrix is not positive definite in floating point.
    """
    return solve_annealed(objective, start, (), max_iter, tol, memory)


def solve_annealed(
    objective: JointObjective,
    start: Array,
    factors: Sequence[float],
    max_iter: int = 500,
    tol: float = 1e-6,
    memory: int = 8,
) -> SolveResult:
    """Minimise the joint objective of one problem, first under stronger ridge penalties.

    A strong penalty leaves few directions and few minima. The minimum is then followed while the
    penalty decreases. This mostly ends in the same minimum whatever the start, and in a lower one.

    Parameters
    ----------
    objective : JointObjective
    start : array of shape (r,)
    factors : sequence of float
        Multiples of alpha to begin with, falling; the last stage is alpha itself.
    max_iter, tol, memory
        As in `solve_reweighted`, for the last stage; earlier stages need not converge.

    Returns
    -------
    SolveResult
        Iterations and factorisations of all stages; history of the last.
    """
    matrices, n_iter = RenewedMatrix(objective, directed=memory > 0), 0
    weights = objective.backend.xp.reshape(start, (1, -1))
    for factor in factors:
        stage = objective.with_alpha(factor * objective.alpha)
        limits = min(max_iter, STAGE_ITERATIONS), max(tol, STAGE_TOL)
        found = minimise(stage, matrices, weights, *limits, memory)
        weights, n_iter = found.weights, n_iter + found.n_iter
    found = minimise(objective, matrices, weights, max_iter, tol, memory)
    history = [float(values[0]) for values in found.history]
    return SolveResult(
        weights=found.weights[0, ...],
        objective=history[-1],
        status=Status.CONVERGED if found.converged[0] else Status.MAX_ITER,
        n_iter=n_iter + found.n_iter,
        n_factorizations=matrices.n_factorizations,
        history=history,
    )


def minimise(
    objective: JointObjective,
    matrices: NormalMatrices,
    start: Array,
    max_iter: int = 500,
    tol: float = 1e-6,
    memory: int = 8,
) -> Minimum:
    """Minimise every problem from its start.

    Parameters
    ----------
    objective : JointObjective
    matrices : NormalMatrices
        Of these problems.
    start : array of shape (B, r)
    max_iter, tol, memory
        As in `solve_reweighted`.

    Returns
    -------
    Minimum
    """
    matrices.restart()
    search = _Search(objective, matrices, start, memory)
    for _ in range(max_iter):
        if search.converge(tol):
            break
        search.advance()
    return search.finish()


class _Search:
    """The problems that have not converged, and where all problems are."""

    def __init__(
        self, objective: JointObjective, matrices: NormalMatrices, start: Array, memory: int
    ):
        self.objective, self.backend = objective, objective.backend
        self.matrices, self.memory = matrices, LimitedMemory(self.backend, memory)
        # A step of the majoriser needs no line search; any other step does.
        self.plain = memory == 0 and matrices.majorises
        self.here = objective.at(start)
        self.active = np.arange(start.shape[0])
        self.stalled = np.zeros(len(self.active), dtype=bool)
        self.weights = self.backend.xp.empty_like(start)
        self.converged = self.stalled.copy()
        self.history = [self.backend.to_host(self.here.value).copy()]
        self.n_iter = 0

    def converge(self, tol: float) -> bool:
        """Begin an iteration and set converged problems aside; return whether none is left."""
        xp, objective = self.backend.xp, self.objective
        self.n_iter += 1
        if self.matrices.renew(objective, self.here):
            # Steps made with another matrix are of little use with this one.
            self.memory.forget()
        self.gradient = objective.half_gradient(self.here)
        self.step = objective.project(self.matrices.solve(self.gradient, self.active))
        gain = xp.sum(self.gradient * self.step, axis=-1)
        least = xp.maximum(tol * self.here.value, ROUNDING * objective.size)
        done = self.backend.to_host(~(gain > least)) | self.stalled
        if done.any():
            self._leave(np.flatnonzero(done), np.flatnonzero(~done))
        return not len(self.active)

    def _leave(self, done: NDArray[np.intp], left: NDArray[np.intp]) -> None:
        """Store the problems that have converged and go on with the others."""
        take = self.backend.take
        self.converged[self.active[done]] = True
        self.backend.put(self.weights, self.active[done], take(self.here.w, done))
        self.active, self.stalled = self.active[left], self.stalled[left]
        if len(left):
            self.objective, self.here = (
                self.objective.take(left),
                self.here.take(left, self.backend),
            )
            self.gradient, self.step = take(self.gradient, left), take(self.step, left)
            self.memory.take(left)

    def advance(self) -> None:
        """Take one step in every problem, which never raises J."""
        xp, objective, here = self.backend.xp, self.objective, self.here
        self.memory.remember(here.w, self.gradient, self.step)
        # Where the matrices change, earlier solutions belong to other matrices.
        solve = None if self.matrices.fixed else self._solve
        step = self.memory.direction(self.gradient, self.step, solve)
        direction = objective.direction(step)
        length = xp.ones_like(here.value)
        if not self.plain:
            length = find_lengths(objective.half_slope(here, direction), xp)
        # Rounding errors of the quantities that iterates carry add up, far below any tolerance.
        there = objective.moved(here, direction, length)
        higher = ~(there.value <= here.value)
        worse = np.flatnonzero(self.backend.to_host(higher))
        if len(worse):
            self.memory.forget(higher)
            there.put(worse, self._shorter_steps(worse), self.backend)
        self.here = there
        values = self.history[-1].copy()
        values[self.active] = self.backend.to_host(there.value)
        self.history.append(values)

    def _solve(self, right: Array) -> Array:
        return self.matrices.solve(right, self.active)

    def _shorter_steps(self, problems: NDArray[np.intp]) -> Iterate:
        """Take the share of P^-1 g that cannot raise J, halved where P is that of other problems.

        A problem whose J still rises is at its minimum up to rounding errors, and stays there.
        """
        xp, take = self.backend.xp, self.backend.take
        objective, here = self.objective.take(problems), self.here.take(problems, self.backend)
        direction: Direction = objective.direction(-take(self.step, problems))
        length = xp.full_like(here.value, 1.0 if self.plain else TRANSVERSE_SHARE)
        for _ in range(MAX_HALVINGS):
            there = objective.moved(here, direction, length)
            higher = ~(there.value <= here.value)
            if not bool(xp.any(higher)):
                return there
            length = xp.where(higher, length / 2, length)
        self.stalled[problems] = self.backend.to_host(higher)
        return objective.moved(here, direction, xp.where(higher, 0.0, length))

    def finish(self) -> Minimum:
        """Return where all problems are."""
        if len(self.active):
            self.backend.put(self.weights, self.active, self.here.w)
        return Minimum(self.weights, self.converged, self.n_iter, self.history)
