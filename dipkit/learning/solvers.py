"""Iterative reweighting: each pass solves one ridge problem and never raises the objective.

At dipoles mu the majoriser (5) replaces |mu_A| - m_A by the distance to m_A mu_A / |mu_A|, which
leaves a ridge problem with normal matrix H. The pass from w leads to w - H^-1 g with g half the
gradient of J: passes are steepest descent in the metric of H. For the squared loss H never changes:
it is factored once, and a pass costs a back-substitution.
Acceleration is the limited-memory BFGS method with a line search, which costs no solve. In place of
H it has the matrix P with directions (`JointObjective.normal_matrix`), which is closer to the
curvature of J and made anew after `PASSES_A_MATRIX` passes. Where a step would raise J, a share
`ACROSS` of P^-1 g is taken, which cannot.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from ..exceptions import DipkitError
from .objective import ACROSS, JointObjective, Point

# The line search ends where the slope of J is below this share of what it was.
SLOPE_SHARE = 0.1
LINE_SEARCH_STEPS = 12
# Passes after which directions are taken anew: dipoles have turned since.
PASSES_A_MATRIX = 20
# A pass that lowers J by less than this share of the mean square label moves rounding errors.
ROUNDING = 1e-28
# Stages before the last need not converge.
STAGE_PASSES = 50
STAGE_TOL = 1e-3


class Status(Enum):
    """Why the passes ended. The value is advice for a reader."""

    CONVERGED = "Converged: one more pass would lower J by less than tol times J."
    MAX_ITER = (
        "Stopped at max_iter before convergence. The model can be used, but raise max_iter, or "
        "alpha: a weak ridge makes the problem slow."
    )


@dataclass(frozen=True)
class SolveResult:
    """What a solve found and what it took.

    Parameters
    ----------
    weights : array of shape (r,)
        On the device of the objective.
    objective : float, debye^2
        J at the weights.
    status : Status
    n_solves : int
        Passes, each with one linear solve (three where the loss is not squared); the last one only
        shows convergence.
    n_factorizations : int
        Matrices factored: for the squared loss one for up to 20 passes, otherwise one a pass.
    history : list of float
        J at the start and after each pass.
    """

    weights: Any
    objective: float
    status: Status
    n_solves: int
    n_factorizations: int
    history: list[float] = field(repr=False)


class FactorizationError(DipkitError, np.linalg.LinAlgError):
    """The normal matrix could not be factored."""


def solve_reweighted(
    objective: JointObjective,
    start: Any,
    max_iter: int = 500,
    tol: float = 1e-6,
    memory: int = 8,
) -> SolveResult:
    """Minimise the joint objective from a start by accelerated reweighted passes.

    Parameters
    ----------
    objective : JointObjective
    start : array of shape (r,)
        Weights to begin with; J has more than one minimum, and the start chooses.
    max_iter : int, default=500
        Passes at most.
    tol : float, default=1e-6
        End where a pass would lower J by less than this share of it.
    memory : int, default=8
        Passes that acceleration remembers; 0 takes plain passes.

    Returns
    -------
    SolveResult

    Raises
    ------
    FactorizationError
        If the normal matrix is not positive definite in floating point.
    """
    normal, acceleration = _Normal(objective, memory > 0), _Acceleration(objective, memory)
    point = objective.at(start)
    history, status = [objective.value(point)], Status.MAX_ITER
    for _ in range(max_iter):
        if normal.renew(point):
            acceleration.forget()
        gradient = objective.gradient(point) / 2
        step = normal.solve(gradient)
        if float(gradient @ step) <= max(tol * history[-1], ROUNDING * objective.size):
            status = Status.CONVERGED
            break
        point, value = acceleration.advance(point, gradient, step, normal, history[-1])
        history.append(value)
    return SolveResult(
        weights=point.w,
        objective=history[-1],
        status=status,
        n_solves=normal.n_passes,
        n_factorizations=normal.n_factorizations,
        history=history,
    )


def solve_annealed(
    objective: JointObjective,
    start: Any,
    factors: Sequence[float],
    max_iter: int = 500,
    tol: float = 1e-6,
    memory: int = 8,
) -> SolveResult:
    """Minimise the joint objective, first under stronger ridge penalties.

    A strong penalty leaves few directions and few minima; following the minimum while the
    penalty falls mostly ends in the same one whatever the start, and in a lower one.

    Parameters
    ----------
    objective : JointObjective
    start : array of shape (r,)
    factors : sequence of float
        Multiples of alpha to begin with, falling; the last stage is alpha itself.
    max_iter, tol, memory
        As in `solve_reweighted`, for the last stage; those before it only need to come near.

    Returns
    -------
    SolveResult
        Solves and factorisations of all stages; history of the last.
    """
    n_solves = n_factorizations = 0
    for factor in factors:
        stage = solve_reweighted(
            objective.with_alpha(factor * objective.alpha),
            start,
            max_iter=min(max_iter, STAGE_PASSES),
            tol=max(tol, STAGE_TOL),
            memory=memory,
        )
        start = stage.weights
        n_solves += stage.n_solves
        n_factorizations += stage.n_factorizations
    result = solve_reweighted(objective, start, max_iter, tol, memory)
    return replace(
        result,
        n_solves=result.n_solves + n_solves,
        n_factorizations=result.n_factorizations + n_factorizations,
    )


class _Normal:
    """The factored matrix of the passes; for the squared loss it serves many of them."""

    def __init__(self, objective: JointObjective, directed: bool):
        self.objective, self.directed = objective, directed
        self.fixed = objective.loss.constant_weight
        self.factor: Any = None
        self.n_passes = 0
        self.n_factorizations = 0

    def renew(self, point: Point) -> bool:
        """Begin a pass at a point; tell whether a matrix that had served many was replaced."""
        stale = self.directed and self.n_passes % PASSES_A_MATRIX == 0
        self.n_passes += 1
        if self.factor is not None and self.fixed and not stale:
            return False
        self.factor = self._factor(self.objective.dipoles(point))
        self.n_factorizations += 1
        return self.fixed

    def solve(self, right: Any) -> Any:
        """Return P^-1 times a vector (r,)."""
        return self.objective.backend.solve(self.factor, right)

    def _factor(self, mu: Any) -> Any:
        objective = self.objective
        try:
            return objective.backend.factor(objective.normal_matrix(mu, self.directed))
        except np.linalg.LinAlgError as error:
            raise FactorizationError(
                "alpha: the normal matrix is not positive definite with a ridge penalty of "
                f"{objective.alpha:g} ({error}). Raise alpha, or eigenvalue_cut."
            ) from error


class _Acceleration:
    """Limited-memory BFGS that starts from P^-1 (Nocedal, Math. Comp. 35, 773, 1980).

    Remembers changes of w, of the gradient g and of P^-1 g, and their curvature. A pass reads the
    dipole rows twice, for the gradient and along the direction; the line search does not.
    """

    def __init__(self, objective: JointObjective, memory: int):
        self.objective, self.memory = objective, memory
        self.pairs: deque[tuple[Any, Any, Any, float]] = deque(maxlen=max(memory, 1))
        self.previous: tuple[Any, Any, Any] | None = None

    def advance(
        self, point: Point, gradient: Any, step: Any, normal: _Normal, value: float
    ) -> tuple[Point, float]:
        """Return the next point and J there, never above J at this one.

        Parameters
        ----------
        point : Point
        gradient, step : array of shape (r,)
            Half the gradient of J there, and P^-1 times that.
        normal : _Normal
        value : float, debye^2
            J at the point.
        """
        if not self.memory:
            there = self.objective.at(point.w - step)
            return there, self.objective.value(there)
        self._remember(point.w, gradient, step)
        direction = self.objective.at(self._direction(gradient, step, normal))
        # Rounding errors of what points carry add up over passes, far below any tolerance.
        there = point + direction * self._step_length(point, direction)
        lower = self.objective.value(there)
        if lower > value:
            self.pairs.clear()
            there = self.objective.at(point.w - ACROSS * step)
            lower = self.objective.value(there)
        return there, lower

    def forget(self) -> None:
        """Begin anew, as there is another matrix."""
        self.pairs.clear()
        self.previous = None

    def _remember(self, *here: Any) -> None:
        if self.previous is not None:
            shift, change, solved = (a - b for a, b in zip(here, self.previous, strict=True))
            curvature = float(shift @ change)
            if curvature > 0:  # else J is not convex between the two: nothing to learn
                self.pairs.append((shift, change, solved, curvature))
        self.previous = here

    def _direction(self, gradient: Any, step: Any, normal: _Normal) -> Any:
        """Two-loop recursion; without memory, the step."""
        factors, left, solved = [], gradient, step
        for shift, change, change_solved, curvature in reversed(self.pairs):
            factors.append(float(shift @ left) / curvature)
            left = left - factors[-1] * change
            solved = solved - factors[-1] * change_solved
        if self.pairs:
            _, change, change_solved, curvature = self.pairs[-1]
            if not normal.fixed:  # what was solved for earlier was so with other matrices
                solved, change_solved = normal.solve(left), normal.solve(change)
            solved = solved * (curvature / float(change @ change_solved))
        for (shift, change, _, curvature), factor in zip(
            self.pairs, reversed(factors), strict=True
        ):
            solved = solved + (factor - float(change @ solved) / curvature) * shift
        return -solved

    def _step_length(self, point: Point, direction: Point) -> float:
        backend, slope = self.objective.backend, self.objective.slope

        def along(length: Any) -> Any:
            return backend.asarray(slope(point + direction * float(length), direction))

        return float(line_search(along, backend.xp))


def line_search(slope: Callable[[Any], Any], xp: Any) -> Any:
    """Lengths where the slope of J along a direction nearly vanishes, by false position.

    Parameters
    ----------
    slope : callable
        From lengths to slopes, arrays of one shape: one entry for each independent line.
    xp : module

    Returns
    -------
    array
        1 where J does not fall along the line: rounding noise at the minimum.
    """
    first = slope(0.0)
    flat, target = ~(first < 0), SLOPE_SHARE * xp.abs(first)
    low, slope_low = xp.zeros_like(first), first
    high, slope_high = xp.full_like(first, math.inf), xp.zeros_like(first)
    length = xp.ones_like(first)
    for _ in range(LINE_SEARCH_STEPS):
        here = slope(length)
        settled = flat | (xp.abs(here) <= target)
        if bool(xp.all(settled)):
            break
        below = here < 0
        low, slope_low = xp.where(below, length, low), xp.where(below, here, slope_low)
        high, slope_high = xp.where(below, high, length), xp.where(below, slope_high, here)
        unbounded = xp.isinf(high)
        rise = xp.where(unbounded, 1.0, slope_high - slope_low)
        between = low - (xp.where(unbounded, low, high) - low) * slope_low / rise
        length = xp.where(settled, length, xp.where(unbounded, 2 * length, between))
    return length
