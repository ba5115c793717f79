"""Real spherical harmonics Y_lm of many directions at once, on any `Backend`.

Symbols: l from 0 to l_max, m from -l to l. Radial functions are in `radial_integrals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import factorial, pi, sqrt

import numpy as np

from ..support.backend import NUMPY, Array, Backend


def real_harmonics(direction: Array, l_max: int, backend: Backend = NUMPY) -> Iterator[Array]:
    """Compute real spherical harmonics of unit vectors.

    For the zero vector only l = 0 is correct. The others are not needed: their radial integrals
    are zero at distance zero.

    Parameters
    ----------
    direction : array of shape (3, ...)
        Unit vectors.
    l_max : int
        Highest degree.
    backend : Backend

    Yields
    ------
    array of shape (2 l + 1, ...)
        For each l from 0 to l_max; row l + m is Y_lm.
    """
    xp, (x, y, z) = backend.xp, (direction[axis, ...] for axis in range(3))
    cosines, sines = [xp.ones_like(z)], [xp.zeros_like(z)]
    for _ in range(l_max):
        c, s = cosines[-1], sines[-1]
        cosines.append(x * c - y * s)
        sines.append(y * c + x * s)
    # Associated Legendre functions over sin^m, of degree l and l - 1. cos(m phi) sin^m and
    # sin(m phi) sin^m are polynomials of x and y, so that nothing is divided by zero at a pole.
    legendre: list[Array] = []
    before: list[Array] = []
    for l in range(l_max + 1):  # noqa: E741
        rising = [
            ((2 * l - 1) * z * legendre[m] - (l + m - 1) * before[m]) / (l - m) if m < l - 1
            else (2 * l - 1) * z * legendre[m]
            for m in range(l)
        ]  # fmt: skip
        highest = xp.full_like(z, float(np.prod(np.arange(1, 2 * l, 2))))
        before, legendre = [*legendre, 0.0], [*rising, highest]
        values = backend.empty((2 * l + 1, *z.shape))
        for m in range(l + 1):
            norm = sqrt((2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m))
            scaled = legendre[m] * (norm * (sqrt(2.0) if m else 1.0))
            backend.into(values[l + m, ...], xp.multiply, scaled, cosines[m])
            if m:
                backend.into(values[l - m, ...], xp.multiply, scaled, sines[m])
        yield values
