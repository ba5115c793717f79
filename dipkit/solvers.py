"""Iterative reweighting: each pass solves one ridge problem and never raises the objective.

At dipoles mu the majoriser (5) replaces |mu_A| - m_A by the distance to m_A mu_A / |mu_A|, which
leaves a ridge problem with normal matrix H. For the squared loss H never changes: it is factored
once, and a pass costs a back-substitution. The pass from w leads to G(w), and w - G(w) is half
the gradient of J in the metric of H, so that passes are steepest descent there; acceleration
is the limited-memory BFGS method in that metric with a line search, which costs no solve. Where
it would raise J the plain pass is taken.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from .exceptions import DipkitError
from .objective import JointObjective, Point

# The line search ends where the slope of J is below this share of what it was.
SLOPE_SHARE = 0.1
LINE_SEARCH_STEPS = 12
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
        Linear solves; the last one only shows convergence.
    n_factorizations : int
        Matrices factored: 1 for the squared loss, one a pass otherwise.
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
        End where a pass lowers the majoriser by less than this share of J.
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
    reweighting = _Reweighting(objective)
    acceleration = _Acceleration(objective, memory)
    point = objective.at(start)
    history, status = [objective.value(point)], Status.MAX_ITER
    plain, omega = reweighting.step_from(point)
    while True:
        point, value = acceleration.advance(point, plain, omega, history[-1])
        history.append(value)
        if len(history) > max_iter:
            break
        plain, omega = reweighting.step_from(point)
        step = plain - point
        if float(objective.inner(step, step, omega)) <= tol * value:
            status = Status.CONVERGED
            break
    return SolveResult(
        weights=point.w,
        objective=history[-1],
        status=status,
        n_solves=reweighting.n_solves,
        n_factorizations=reweighting.n_factorizations,
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


class _Reweighting:
    """Solves the ridge problem of a pass; factors only where the matrix has changed."""

    def __init__(self, objective: JointObjective):
        self.objective = objective
        self.factor: Any = None
        self.n_solves = 0
        self.n_factorizations = 0

    def step_from(self, point: Point) -> tuple[Point, Any]:
        """Return the pass G(w) from a point, and the weights of its majoriser."""
        objective = self.objective
        mu = objective.dipoles(point)
        omega = objective.pass_weights(mu)
        if self.factor is None or not objective.loss.constant_weight:
            self.factor = _factor(objective, omega)
            self.n_factorizations += 1
        right = objective.right_side(omega, mu)
        self.n_solves += 1
        return objective.at(objective.backend.solve(self.factor, right)), omega


def _factor(objective: JointObjective, omega: Any) -> Any:
    try:
        return objective.backend.factor(objective.normal_matrix(omega))
    except np.linalg.LinAlgError as error:
        raise FactorizationError(
            "alpha: the normal matrix is not positive definite with a ridge penalty of "
            f"{objective.alpha:g} ({error}). Raise alpha, or eigenvalue_cut."
        ) from error


class _Acceleration:
    """Limited-memory BFGS in the metric of the normal matrix (Nocedal, Math. Comp. 35, 773, 1980).

    Remembers changes of the point and of the residual w - G(w). All inner products come from what
    the points carry, so that neither the direction nor the line search costs a matrix product.
    """

    def __init__(self, objective: JointObjective, memory: int):
        self.objective, self.memory = objective, memory
        self.pairs: deque[tuple[Point, Point, float]] = deque(maxlen=max(memory, 1))
        self.previous: tuple[Point, Point] | None = None

    def advance(self, point: Point, plain: Point, omega: Any, value: float) -> tuple[Point, float]:
        """Return the next point and J there, never above J at this one."""
        plain_value = self.objective.value(plain)
        if not self.memory:
            return plain, plain_value
        residual = point - plain
        self._remember(point, residual, omega)
        direction = self._direction(residual, omega)
        candidate = point + direction * self._step_length(point, direction)
        # Computed anew: rounding errors of what points carry would grow from pass to pass.
        candidate = self.objective.at(candidate.w)
        candidate_value = self.objective.value(candidate)
        if candidate_value <= min(plain_value, value):
            return candidate, candidate_value
        self.pairs.clear()
        return plain, plain_value

    def _remember(self, point: Point, residual: Point, omega: Any) -> None:
        if self.previous is not None:
            shift, change = point - self.previous[0], residual - self.previous[1]
            curvature = float(self.objective.inner(shift, change, omega))
            if curvature > 0:  # else J is not convex between the two: nothing to learn
                self.pairs.append((shift, change, curvature))
        self.previous = (point, residual)

    def _direction(self, residual: Point, omega: Any) -> Point:
        """Two-loop recursion on the residual; without memory, the plain step."""
        inner, factors = self.objective.inner, []
        direction = residual
        for shift, change, curvature in reversed(self.pairs):
            factors.append(float(inner(shift, direction, omega)) / curvature)
            direction = direction - change * factors[-1]
        if self.pairs:
            _, change, curvature = self.pairs[-1]
            direction = direction * (curvature / float(inner(change, change, omega)))
        for (shift, change, curvature), factor in zip(self.pairs, reversed(factors), strict=True):
            back = float(inner(change, direction, omega)) / curvature
            direction = direction + shift * (factor - back)
        return direction * -1.0

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
