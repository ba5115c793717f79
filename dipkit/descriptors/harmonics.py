"""Real spherical harmonics Y_lm of many directions at once, on any `Backend`, and their gradients.

Symbols: l from 0 to l_max, m from -l to l; P directions (x, y, z). Y_lm is a polynomial of x, y
and z: a product of Q_lm(z), the associated Legendre function over sin^m, and of cos(m phi) sin^m
or sin(m phi) sin^m. Nothing is divided by zero at a pole. Radial functions are in
`radial_integrals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import factorial, pi, prod, sqrt

import numpy as np
from numpy.typing import NDArray

from ..support.backend import NUMPY, Array, Backend

FloatArray = NDArray[np.float64]


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
    xp, z = backend.xp, direction[2, ...]
    cosines, sines = _around_axis(direction, l_max, backend)
    for l, legendre in enumerate(_legendre(z, l_max, backend)):  # noqa: E741
        values = backend.empty((2 * l + 1, *z.shape))
        for m in range(l + 1):
            scaled = legendre[m] * _norm(l, m)
            backend.into(values[l + m, ...], xp.multiply, scaled, cosines[m])
            if m:
                backend.into(values[l - m, ...], xp.multiply, scaled, sines[m])
        yield values


def harmonics_with_gradients(direction: FloatArray, l_max: int) -> tuple[FloatArray, FloatArray]:
    """Compute real spherical harmonics and their gradients on the unit sphere, on the host.

    Parameters
    ----------
    direction : ndarray of shape (3, P)
        Unit vectors.
    l_max : int

    Returns
    -------
    values : ndarray of shape ((l_max + 1)^2, P)
        Row l^2 + l + m is Y_lm.
    gradients : ndarray of shape ((l_max + 1)^2, 3, P)
        Along the sphere: the derivative with respect to a vector is this over its length.
    """
    cosines, sines = _around_axis(direction, l_max, NUMPY)
    values = np.empty(((l_max + 1) ** 2, direction.shape[1]))
    gradients = np.zeros((len(values), *direction.shape))
    for l, legendre in enumerate(_legendre(direction[2], l_max, NUMPY)):  # noqa: E741
        # dQ_lm / dz = Q_l,m+1
        slopes = [*legendre[1:], np.zeros_like(direction[2])]
        for m in range(l + 1):
            norm, up, down = _norm(l, m), l * l + l + m, l * l + l - m
            q = norm * legendre[m]
            values[up], gradients[up, 2] = q * cosines[m], norm * slopes[m] * cosines[m]
            if m:
                gradients[up, 0], gradients[up, 1] = m * q * cosines[m - 1], -m * q * sines[m - 1]
                values[down], gradients[down, 2] = q * sines[m], norm * slopes[m] * sines[m]
                gradients[down, 0] = m * q * sines[m - 1]
                gradients[down, 1] = m * q * cosines[m - 1]
    # The polynomials also change along the direction: on the sphere only the rest counts.
    gradients -= (gradients * direction).sum(axis=1)[:, None] * direction
    return values, gradients


def _norm(l: int, m: int) -> float:  # noqa: E741
    norm = sqrt((2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m))
    return norm * (sqrt(2.0) if m else 1.0)


def _around_axis(direction: Array, l_max: int, backend: Backend) -> tuple[list[Array], list[Array]]:
    """Compute cos(m phi) sin^m and sin(m phi) sin^m for m from 0 to l_max."""
    xp, (x, y, z) = backend.xp, (direction[axis, ...] for axis in range(3))
    cosines, sines = [xp.ones_like(z)], [xp.zeros_like(z)]
    for _ in range(l_max):
        c, s = cosines[-1], sines[-1]
        cosines.append(x * c - y * s)
        sines.append(y * c + x * s)
    return cosines, sines


def _legendre(z: Array, l_max: int, backend: Backend) -> Iterator[list[Array]]:
    """Yield Q_lm for m from 0 to l, for each l from 0 to l_max."""
    legendre: list[Array] = []
    before: list[Array] = []
    for l in range(l_max + 1):  # noqa: E741
        rising = [
            ((2 * l - 1) * z * legendre[m] - (l + m - 1) * before[m]) / (l - m) if m < l - 1
            else (2 * l - 1) * z * legendre[m]
            for m in range(l)
        ]  # fmt: skip
        # Integers of Python: from l = 18 on, the product exceeds 64 bits.
        highest = backend.xp.full_like(z, float(prod(range(1, 2 * l, 2))))
        before, legendre = [*legendre, 0.0], [*rising, highest]
        yield legendre
