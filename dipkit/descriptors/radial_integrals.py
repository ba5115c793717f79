"""Radial integrals: contributions of a neighbour at distance r_j to an environment's expansion.

A Gaussian of width sigma at distance r_j has, in radial functions g_nl and spherical harmonics, the
coefficients I_nl(r_j) Y_lm(j), with

    I_nl(r_j) ~ int g_nl(r) e^{-(r - r_j)^2 / 2 sigma^2} e^{-z} i_l(z) r^2 dr,   z = r r_j / sigma^2

and i_l the modified spherical Bessel function. The integral is tabulated once for a set of
parameters, and looked up on any `Backend`. Symbols: P neighbours. Harmonics are in `harmonics.py`,
the radial functions in `radial_tables.py`, the sums over neighbours in `spectra_host.py` and
`spectra_device.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ..support.backend import NUMPY, Array, Backend
from .radial_channels import RadialChannels

FloatArray = NDArray[np.float64]

# Points of the splines, whose error is about 1e-9 of the largest value, and points at which the
# splines are expanded to second order with the same accuracy.
N_NODES, N_EXPANSIONS = 1024, 4096
# Nodes whose integrals are computed at once, so that temporary arrays stay in the cache.
NODES_AT_ONCE = 64


@dataclass(frozen=True)
class RadialTable:
    """Radial integrals I_nl as functions of the distance.

    Parameters
    ----------
    expansions : tuple of array of shape (N_EXPANSIONS + 1, n_max * (l_max + 1))
        Coefficients of 1, x and x^2 at equally spaced points; x is the distance from the nearest
        point. With learned channels there are so many rows for each element.
    reach : float, angstrom
        Atoms at a larger distance are not neighbours.
    n_max, l_max : int
    spline : CubicSpline
        The function that the expansions follow, with a continuous slope; on the host.
    backend : Backend
        Device of the coefficients.
    channels : tuple of int, default=None
        Learned channels of each l, at most n_max, those left out being zero. Each element has its
        own table: the expansions hold one after the other. None for radial functions, in one table
        for all elements.
    """

    expansions: tuple[Array, Array, Array]
    reach: float
    n_max: int
    l_max: int
    spline: CubicSpline
    backend: Backend = NUMPY
    channels: tuple[int, ...] | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """Radial functions, or learned channels, of each l."""
        return (self.n_max,) * (self.l_max + 1) if self.channels is None else self.channels

    def combined(self, channels: RadialChannels) -> RadialTable:
        """Tabulate learned channels, for each element, in place of the radial functions."""
        matrices = channels.matrices
        tables = []
        for part in self.expansions:
            functions = part.reshape(-1, self.n_max, self.l_max + 1)
            table = np.einsum("pnl,slqn->spql", functions, matrices, optimize=True)
            tables.append(table.reshape(-1, matrices.shape[2] * (self.l_max + 1)))
        constant, linear, square = tables
        return replace(
            self,
            expansions=(constant, linear, square),
            n_max=matrices.shape[2],
            channels=channels.counts,
        )

    def on(self, backend: Backend) -> RadialTable:
        """Return the same table on another device."""
        constant, linear, square = (
            backend.asarray(np.ascontiguousarray(part)) for part in self.expansions
        )
        return replace(self, expansions=(constant, linear, square), backend=backend)

    def integrals(self, distance: Array, species: Array | None = None) -> Array:
        """Look up the integrals.

        Parameters
        ----------
        distance : array of shape (P,), angstrom
        species : array of shape (P,), int, default=None
            Element of each neighbour, 0 to S - 1; only learned channels depend on it.

        Returns
        -------
        array of shape (P, n_max, l_max + 1)
        """
        xp, step = self.backend.xp, self.reach / N_EXPANSIONS
        nearest = xp.round(distance / step)
        x = (distance - nearest * step)[:, None]
        place = xp.astype(nearest, xp.int64)
        if self.channels is not None:
            assert species is not None
            place = place + species * (N_EXPANSIONS + 1)
        constant, linear, square = self.expansions
        found = xp.take(square, place, axis=0)
        found *= x
        found += xp.take(linear, place, axis=0)
        found *= x
        found += xp.take(constant, place, axis=0)
        return xp.reshape(found, (-1, self.n_max, self.l_max + 1))

    def with_slopes(self, distance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compute the integrals and their derivatives with respect to the distance, on the host.

        Parameters
        ----------
        distance : ndarray of shape (P,), angstrom

        Returns
        -------
        values : ndarray of shape (P, n_max, l_max + 1)
        slopes : ndarray of the same shape, 1/angstrom
            Of the spline itself: values and slopes agree to rounding.
        """
        shape = -1, self.n_max, self.l_max + 1
        return self.spline(distance).reshape(shape), self.spline(distance, 1).reshape(shape)


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
    n_max, l_max = len(functions[0]), len(functions) - 1
    table = np.empty((N_NODES, n_max, l_max + 1))
    for start in range(0, N_NODES, NODES_AT_ONCE):
        some = slice(start, start + NODES_AT_ONCE)
        r = distance[some, None]
        gaussian = np.exp(-0.5 * ((points - r) / sigma) ** 2) * points**2 * weights
        bessel = _bessel_functions(np.maximum(r * points / sigma**2, 1e-12), l_max)
        for l, values in enumerate(bessel):  # noqa: E741
            table[some, :, l] = (gaussian * values) @ functions[l].T
    spline = CubicSpline(distance, table.reshape(N_NODES, -1))
    steps = np.linspace(0.0, reach, N_EXPANSIONS + 1)
    expansions = spline(steps), spline(steps, 1), spline(steps, 2) / 2
    return RadialTable(expansions, float(reach), n_max, l_max, spline)


def _bessel_functions(z: FloatArray, l_max: int) -> Iterator[FloatArray]:
    """Yield e^-z i_l(z) for each l.

    Where z is large, the recurrence i_{l+1} = i_{l-1} - (2 l + 1) i_l / z loses no digits. Where z
    is small, it runs downwards, as ratios of two functions. Both are several times faster than
    SciPy's functions of any order.
    """
    limit = max(l_max * (l_max + 1) / 2, 2.0)
    small = z < limit
    ratios = _ratios(z[small], l_max, l_max + 16 + int(1.5 * limit))
    inverse, decayed = 1.0 / z, np.exp(-2 * z)
    # i_{-1}, which is cosh(z) / z, and i_0
    before, now = 0.5 * (1 + decayed) * inverse, -0.5 * np.expm1(-2 * z) * inverse
    of_small = now[small]
    for l in range(l_max + 1):  # noqa: E741
        yield now
        before, now = now, before - (2 * l + 1) * inverse * now
        if l < l_max:
            of_small = of_small * ratios[l]
            now[small] = of_small


def _ratios(z: FloatArray, l_max: int, n_steps: int) -> list[FloatArray]:
    """Return i_{l+1} / i_l for l from 0 to l_max - 1, by their continued fraction."""
    ratio, found = np.zeros_like(z), []
    for l in range(n_steps, 0, -1):  # noqa: E741
        ratio = z / (2 * l + 1 + z * ratio)
        if l <= l_max:
            found.append(ratio)
    return found[::-1]
