"""SOAP power spectra of many atoms at once, from tabulated radial integrals.

Each atom j around a center is a Gaussian of width sigma at distance r_j. Its expansion in radial
functions g_nl and spherical harmonics is closed in the angles, and one integral over r remains,

    c_nlm = sum_j I_nl(r_j) Y_lm(j),   I_nl(r_j) ~ int g_nl(r) e^{-(r - r_j)^2 / 2 sigma^2}
                                                       e^{-z} i_l(z) r^2 dr,   z = r r_j / sigma^2

with i_l the modified spherical Bessel function. It is tabulated once for a set of parameters. The
power spectrum p_nn'l = sum_m c_nlm c_n'lm / sqrt(2 l + 1) of each pair of elements is laid out as
dscribe does, and only the elements around an atom are multiplied. Symbols: K pairs of a center and
an element, P neighbours. Where the radial functions come from is in `soap.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import factorial, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_array
from scipy.special import ive

from ._ragged import pairs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Points of the table: its cubic splines are right to about 1e-9 of the largest value.
N_NODES = 1024


@dataclass(frozen=True)
class RadialTable:
    """Radial integrals I_nl as functions of the distance.

    Parameters
    ----------
    splines : callable
        From distances (P,) to integrals (P, n_max * (l_max + 1)).
    reach : float, angstrom
        Atoms farther away do not count.
    n_max, l_max : int
    """

    splines: Callable[[FloatArray], FloatArray]
    reach: float
    n_max: int
    l_max: int


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
    splines = CubicSpline(distance, table.reshape(N_NODES, -1))
    return RadialTable(splines, reach, n_max, len(functions) - 1)


def spectra(
    species_index: IntArray,
    n_species: int,
    positions: FloatArray,
    offsets: NDArray[np.int64],
    table: RadialTable,
) -> NDArray[np.float32]:
    """Compute unit-length power spectra of all atoms of some molecules.

    Parameters
    ----------
    species_index : ndarray of shape (n_atoms,)
        Element of each atom, 0 to n_species - 1.
    n_species : int
    positions : ndarray of shape (n_atoms, 3), angstrom
    offsets : ndarray of shape (n_molecules + 1,)
    table : RadialTable

    Returns
    -------
    ndarray of shape (n_atoms, d), float32
        A row is NaN throughout where its atom has no finite, non-zero spectrum.
    """
    center, neighbour = pairs(offsets)
    vector = positions[neighbour] - positions[center]
    distance = np.sqrt((vector * vector) @ np.ones(3))
    near = distance <= table.reach
    key = center[near] * n_species + species_index[neighbour[near]]
    order = np.argsort(key, kind="stable")
    key = key[order]
    keys, starts = np.unique(key, return_index=True)
    coefficients = _coefficients(vector[near][order], distance[near][order], starts, table)
    return _products(keys, coefficients, len(positions), n_species, table)


def _coefficients(
    vector: FloatArray, distance: FloatArray, starts: IntArray, table: RadialTable
) -> list[NDArray[np.float32]]:
    """Sum over the neighbours of each key: one array (K, n_max, 2 l + 1) for each l."""
    radial = table.splines(distance).reshape(-1, table.n_max, table.l_max + 1)
    n = len(distance)
    total = csr_array((np.ones(n), np.arange(n), np.append(starts, n)), shape=(len(starts), n))
    direction = vector / np.where(distance > 0, distance, 1.0)[:, None]
    found = []
    for l, harmonics in enumerate(real_harmonics(direction, table.l_max)):  # noqa: E741
        terms = radial[:, :, l, None] * harmonics[:, None, :]
        summed = total @ terms.reshape(n, -1)
        # The root of the factor of the power spectrum.
        summed *= (2 * l + 1) ** -0.25
        # Single precision from here on, as the result has.
        found.append(summed.astype(np.float32).reshape(len(starts), table.n_max, 2 * l + 1))
    return found


def real_harmonics(direction: FloatArray, l_max: int) -> Iterator[FloatArray]:
    """Real spherical harmonics of unit vectors: for each l an array (P, 2 l + 1).

    Of the zero vector, l = 0 is right and the others do not matter: their integral vanishes.
    """
    x, y, z = np.ascontiguousarray(direction.T)
    cosines, sines = [np.ones_like(z)], [np.zeros_like(z)]
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
        highest = np.full_like(z, float(np.prod(np.arange(1, 2 * l, 2))))
        before, legendre = [*legendre, 0.0], [*rising, highest]
        values = np.empty((2 * l + 1, len(z)))
        for m in range(l + 1):
            norm = sqrt((2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m))
            scaled = legendre[m] * (norm * (sqrt(2.0) if m else 1.0))
            np.multiply(scaled, cosines[m], out=values[l + m])
            if m:
                np.multiply(scaled, sines[m], out=values[l - m])
        yield np.ascontiguousarray(values.T)


def _products(
    keys: IntArray,
    coefficients: list[NDArray[np.float32]],
    n_atoms: int,
    n_species: int,
    table: RadialTable,
) -> NDArray[np.float32]:
    """Multiply the elements around each atom pairwise; atoms with the same elements together."""
    n, n_l = table.n_max, table.l_max + 1
    same, other = n * (n + 1) // 2 * n_l, n * n * n_l
    width = n_species * same + n_species * (n_species - 1) // 2 * other
    rows = np.zeros((n_atoms, width), np.float32)
    atom, element = np.divmod(keys, n_species)
    pattern = np.bincount(atom, 2.0**element, n_atoms).astype(np.int64)
    first = np.searchsorted(keys, np.arange(n_atoms) * n_species)
    for bits in np.unique(pattern).tolist():
        members = np.flatnonzero(pattern == bits)
        present = [s for s in range(n_species) if bits >> s & 1]
        own = first[members][:, None] + np.arange(len(present))
        spectrum = _spectrum_of(own, coefficients, n)
        lengths = np.sqrt(np.einsum("ij,ij->i", spectrum, spectrum, dtype=np.float64))
        lengths[~(lengths > 0) | np.isinf(lengths)] = np.nan
        spectrum *= (1.0 / lengths).astype(np.float32)[:, None]
        rows[members[np.isnan(lengths)]] = np.nan
        start = 0
        for i, a in enumerate(present):
            for b in present[i:]:
                size = same if a == b else other
                # Blocks before (a, b): those of smaller a, then those of the same a.
                column = sum(same + (n_species - 1 - s) * other for s in range(a))
                column += 0 if a == b else same + (b - a - 1) * other
                rows[members, column : column + size] = spectrum[:, start : start + size]
                start += size
    return rows


def _spectrum_of(
    own: IntArray, coefficients: list[NDArray[np.float32]], n: int
) -> NDArray[np.float32]:
    """Spectra of atoms with the same elements: their blocks side by side, not normalised."""
    n_atoms, k = own.shape
    products = np.empty((n_atoms, len(coefficients), k * n, k * n), np.float32)
    for l, part in enumerate(coefficients):  # noqa: E741
        c = part[own].reshape(n_atoms, k * n, -1)
        np.matmul(c, c.transpose(0, 2, 1), out=products[:, l])
    upper = np.triu_indices(n)
    blocks = []
    for a in range(k):
        mine = products[:, :, a * n : (a + 1) * n]
        blocks.append(mine[:, :, upper[0], a * n + upper[1]].reshape(n_atoms, -1))
        blocks += [mine[:, :, :, b * n : (b + 1) * n].reshape(n_atoms, -1) for b in range(a + 1, k)]
    return np.concatenate(blocks, axis=1)
