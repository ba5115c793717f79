"""Where the slope of J along a direction nearly vanishes, for many problems at once.

Symbols: problems b = 1..B, lengths (B,) along a direction. Directions come from `lbfgs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

from ..support.backend import Array

__all__ = ["find_lengths"]

# The search ends where the slope of J is below this share of the first slope.
SLOPE_SHARE = 0.1
MAX_STEPS = 12


def find_lengths(slope: Callable[[Array], Array], xp: ModuleType) -> Array:
    """Find the lengths where the slope of J along a direction nearly vanishes, by false position.

    Parameters
    ----------
    slope : callable
        From lengths to slopes, arrays of one shape: one entry for each independent problem.
    xp : module

    Returns
    -------
    array
        1 where J does not fall along the direction: rounding noise at the minimum.
    """
    first = slope(0.0)
    flat, target = ~(first < 0), SLOPE_SHARE * xp.abs(first)
    low, slope_low = xp.zeros_like(first), first
    high, slope_high = xp.full_like(first, math.inf), xp.zeros_like(first)
    length = xp.ones_like(first)
    for _ in range(MAX_STEPS):
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
