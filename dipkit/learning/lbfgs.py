"""The limited-memory BFGS method for many problems at once (Nocedal, Math. Comp. 35, 773, 1980).

Symbols: problems b = 1..B, weights W (B, r), half-gradients g (B, r) of J, preconditioner P of each
problem. The inverse Hessian starts from P^-1, times a factor from the last step. P^-1 times each
change of the gradient is remembered as well, so that a direction costs no further solve. The
iterations are in `reweighted.py`, line search is in `line_search.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ..support.backend import Array, Backend

__all__ = ["LimitedMemory"]


class _Pair(NamedTuple):
    """Changes in one step, each (B, r), and what follows from them, each (B,)."""

    shift: Array
    """Change of W."""
    change: Array
    """Change of g."""
    solved: Array
    """Change of P^-1 g."""
    inverse: Array
    """1 / (shift^T change), or 0 for a problem that does not use the step."""
    scale: Array
    """Factor of P^-1 that the last useful step suggests."""


class LimitedMemory:
    """The last steps of all problems, and the direction that follows from them.

    Parameters
    ----------
    backend : Backend
    memory : int
        Steps that are remembered; 0 remembers none.
    """

    def __init__(self, backend: Backend, memory: int):
        self.backend = backend
        self.pairs: deque[_Pair] = deque(maxlen=memory)
        self._previous: tuple[Array, Array, Array] | None = None

    def remember(self, w: Array, gradient: Array, step: Array) -> None:
        """Add the change since the last call.

        A step of negative curvature is left out: J is not convex along it, and the inverse Hessian
        would not stay positive definite.

        Parameters
        ----------
        w, gradient, step : array of shape (B, r)
            W, g, and P^-1 g at the present point.
        """
        previous, self._previous = self._previous, (w, gradient, step)
        if previous is None or not self.pairs.maxlen:
            return
        xp = self.backend.xp
        shift, change, solved = w - previous[0], gradient - previous[1], step - previous[2]
        curvature, size = xp.sum(shift * change, axis=-1), xp.sum(change * solved, axis=-1)
        useful = (curvature > 0) & (size > 0)
        if not bool(xp.any(useful)):
            return
        last = self.pairs[-1].scale if self.pairs else xp.ones_like(curvature)
        inverse = xp.where(useful, 1 / xp.where(useful, curvature, 1.0), 0.0)
        scale = xp.where(useful, curvature / xp.where(useful, size, 1.0), last)
        self.pairs.append(_Pair(shift, change, solved, inverse, scale))

    def direction(
        self, gradient: Array, step: Array, solve: Callable[[Array], Array] | None = None
    ) -> Array:
        """Return the direction (B, r) of descent, by the two-loop recursion.

        Parameters
        ----------
        gradient, step : array of shape (B, r)
            g and P^-1 g at the present point, the last ones that were remembered.
        solve : callable, default=None
            P^-1 times (B, r). Needed where P has changed since the first remembered step: what was
            solved earlier is not used then.
        """
        xp, factors, left, solved = self.backend.xp, [], gradient, step
        for pair in reversed(self.pairs):
            factors.append((pair.inverse * xp.sum(pair.shift * left, axis=-1))[:, None])
            left = left - factors[-1] * pair.change
            solved = solved - factors[-1] * pair.solved
        if self.pairs:
            last = self.pairs[-1]
            scale = last.scale
            if solve is not None:
                solved = solve(left)
                size = last.inverse * xp.sum(last.change * solve(last.change), axis=-1)
                scale = xp.where(size > 0, 1 / xp.where(size > 0, size, 1.0), 1.0)
            solved = solved * scale[:, None]
        for pair, factor in zip(self.pairs, reversed(factors), strict=True):
            back = (pair.inverse * xp.sum(pair.change * solved, axis=-1))[:, None]
            solved = solved + (factor - back) * pair.shift
        return -solved

    def forget(self, problems: Array | None = None) -> None:
        """Forget all steps, or those of some problems, given as booleans (B,)."""
        if problems is None:
            self.pairs.clear()
            self._previous = None
            return
        where = self.backend.xp.where
        pairs = [
            pair._replace(
                inverse=where(problems, 0.0, pair.inverse), scale=where(problems, 1.0, pair.scale)
            )
            for pair in self.pairs
        ]
        self.pairs.clear()
        self.pairs.extend(pairs)

    def take(self, problems: Array) -> None:
        """Keep these problems (k,) only."""
        take = self.backend.take
        pairs = [_Pair(*(take(part, problems) for part in pair)) for pair in self.pairs]
        self.pairs.clear()
        self.pairs.extend(pairs)
        if self._previous is not None:
            w, gradient, step = self._previous
            self._previous = take(w, problems), take(gradient, problems), take(step, problems)
