"""What a neighbour adds to the expansion of an atom's surroundings: radial integrals, harmonics.

A Gaussian of width sigma at distance r_j has, in radial functions g_nl and spherical harmonics, the
coefficients I_nl(r_j) Y_lm(j), with

    I_nl(r_j) ~ int g_nl(r) e^{-(r - r_j)^2 / 2 sigma^2} e^{-z} i_l(z) r^2 dr,   z = r r_j / sigma^2

and i_l the modified spherical Bessel function. The integral is tabulated once for a set of
parameters. Both run on any `Backend`. Symbols: P neighbours. What is made of the coefficients is in
`spectra_host.py` and `spectra_device.py`; where the radial functions come from, in
`radial_tables.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import factorial, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ive

from ..support.backend import NUMPY, Backend

FloatArray = NDArray[np.float64]

# Points of the splines, which are right to about 1e-9 of the largest value, and points at which
# they are expanded to second order, to the same accuracy.
N_NODES, N_EXPANSIONS = 1024, 4096


@dataclass(frozen=True)
class RadialTable:
    """Radial integrals I_nl as functions of the distance.

    Parameters
    ----------
    expansions : tuple of array of shape (N_EXPANSIONS + 1, n_max * (l_max + 1))
        Coefficients of 1, x and x^2 at equal steps, x the distance from the nearest of them.
    reach : float, angstrom
        Atoms farther away do not count.
    n_max, l_max : int
    backend : Backend
        Where the coefficients are.
    """

    expansions: tuple[Any, Any, Any]
    reach: float
    n_max: int
    l_max: int
    backend: Backend = NUMPY

    def on(self, backend: Backend) -> RadialTable:
        """Return the same table on another device."""
        constant, linear, square = map(backend.asarray, self.expansions)
        return replace(self, expansions=(constant, linear, square), backend=backend)

    def integrals(self, distance: Any) -> Any:
        """Look up I_nl: from distances (P,) to (P, n_max, l_max + 1)."""
        xp, step = self.backend.xp, self.reach / N_EXPANSIONS
        nearest = xp.round(distance / step)
        x = (distance - nearest * step)[:, None]
        place = xp.astype(nearest, xp.int64)
        constant, linear, square = self.expansions
        found = xp.take(square, place, axis=0)
        found *= x
        found += xp.take(linear, place, axis=0)
        found *= x
        found += xp.take(constant, place, axis=0)
        return xp.reshape(found, (-1, self.n_max, self.l_max + 1))


def tabulate(
    points: FloatArray,
    weights: FloatArray,
    functions: Sequence[FloatArray],
    sigma: float,
    reach: float,
) -> RadialTable:
    """Integrate radial functions with the Gaussian of an atom at each distance of a grid.

    Parameters
    ----------
    points, weights : ndarray of shape (n_points,), angstrom
        Quadrature in r.
    functions : sequence of ndarray of shape (n_max, n_points)
        g_nl at the points, for each l.
    sigma : float, angstrom
        Width of the Gaussian.
    reach : float, angstrom
        Largest distance.
    """
    distance = np.linspace(0.0, reach, N_NODES)
    z = np.maximum(distance[:, None] * points / sigma**2, 1e-12)
    gaussian = np.exp(-0.5 * ((points - distance[:, None]) / sigma) ** 2) * points**2 * weights
    n_max = len(functions[0])
    table = np.empty((N_NODES, n_max, len(functions)))
    for l, values in enumerate(functions):  # noqa: E741
        bessel = np.sqrt(pi / (2 * z)) * ive(l + 0.5, z)  # e^-z i_l(z)
        table[:, :, l] = (gaussian * bessel) @ values.T
    spline = CubicSpline(distance, table.reshape(N_NODES, -1))
    steps = np.linspace(0.0, reach, N_EXPANSIONS + 1)
    expansions = spline(steps), spline(steps, 1), spline(steps, 2) / 2
    return RadialTable(expansions, float(reach), n_max, len(functions) - 1)


def real_harmonics(direction: Any, l_max: int, backend: Backend = NUMPY) -> Iterator[Any]:
    """Real spherical harmonics of unit vectors (3, ...): for each l an array (2 l + 1, ...).

    Of the zero vector, l = 0 is right and the others do not matter: their integral vanishes.
    """
    xp, (x, y, z) = backend.xp, (direction[axis, ...] for axis in range(3))
    cosines, sines = [xp.ones_like(z)], [xp.zeros_like(z)]
    for _ in range(l_max):
        c, s = cosines[-1], sines[-1]
        cosines.append(x * c - y * s)
        sines.append(y * c + x * s)
    # Associated Legendre functions over sin^m, of degree l and l - 1.
    legendre: list[Any] = []
    before: list[Any] = []
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
