"""SOAP power spectra of many atoms at once, on the host.

The neighbours j of an atom are summed for each element, and the elements are multiplied pairwise:

    c_nlm = sum_j I_nl(r_j) Y_lm(j),   p_nn'l = sum_m c_nlm c_n'lm / sqrt(2 l + 1)

Columns have dscribe's order. Only elements that occur around an atom are multiplied. The work is
done in batches that fit into the cache of the processor: with large temporary arrays, threads would
wait for the operating system to allocate memory. Symbols: K pairs of a center and an element, P
neighbours, k elements around an atom. Integrals I and harmonics Y are in `radial_integrals.py` and
`harmonics.py`, a form for GPUs in `spectra_device.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..support.ragged_index import pairs
from .harmonics import real_harmonics
from .radial_integrals import RadialTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Sizes of batches: neighbours whose harmonics, and atoms whose products, are computed at once.
BATCH_NEIGHBOURS, BATCH_ATOMS = 4096, 256


def spectra(
    species_index: IntArray,
    n_species: int,
    positions: FloatArray,
    offsets: NDArray[np.int64],
    table: RadialTable,
    out: NDArray[np.float32] | None = None,
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
    out : ndarray of shape (n_atoms, d), float32, default=None
        Array to write to; None allocates one.

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
    if out is None:
        out = np.empty((len(positions), count_columns(n_species, table)), np.float32)
    _products(keys, coefficients, n_species, table, out)
    return out


def _coefficients(
    vector: FloatArray, distance: FloatArray, starts: IntArray, table: RadialTable
) -> list[NDArray[np.float32]]:
    """Sum over the neighbours of each key: one array (K, n_max, 2 l + 1) for each l."""
    # From here on in single precision, like the result.
    found = [
        np.empty((len(starts), table.n_max, 2 * l + 1), np.float32)
        for l in range(table.l_max + 1)  # noqa: E741
    ]
    ends, first = np.append(starts[1:], len(distance)), 0
    while first < len(starts):
        until = starts[first] + BATCH_NEIGHBOURS
        last = max(int(np.searchsorted(ends, until, side="right")), first + 1)
        near, keys = slice(starts[first], ends[last - 1]), slice(first, last)
        _add_up(vector[near], distance[near], starts[keys] - starts[first], table, found, keys)
        first = last
    return found


def _add_up(
    vector: FloatArray,
    distance: FloatArray,
    starts: IntArray,
    table: RadialTable,
    found: list[NDArray[np.float32]],
    keys: slice,
) -> None:
    """Sum over the neighbours of some keys, and write the coefficients to `found`."""
    radial, n = table.integrals(distance), len(distance)
    total = csr_array((np.ones(n), np.arange(n), np.append(starts, n)), shape=(len(starts), n))
    direction = vector / np.where(distance > 0, distance, 1.0)[:, None]
    by_axis = np.ascontiguousarray(direction.T)
    for l, harmonics in enumerate(real_harmonics(by_axis, table.l_max)):  # noqa: E741
        terms = radial[:, :, l, None] * np.ascontiguousarray(harmonics.T)[:, None, :]
        summed = total @ terms.reshape(n, -1)
        # Each factor of the product takes the root of 1 / sqrt(2 l + 1).
        summed *= (2 * l + 1) ** -0.25
        found[l][keys] = summed.reshape(len(starts), table.n_max, 2 * l + 1)


def _widths(table: RadialTable) -> tuple[int, int]:
    """Columns of a pair of equal elements, and of a pair of different elements."""
    n, n_l = table.n_max, table.l_max + 1
    return n * (n + 1) // 2 * n_l, n * n * n_l


def count_columns(n_species: int, table: RadialTable) -> int:
    """Count the columns d of the power spectra."""
    same, other = _widths(table)
    return n_species * same + n_species * (n_species - 1) // 2 * other


def _products(
    keys: IntArray,
    coefficients: list[NDArray[np.float32]],
    n_species: int,
    table: RadialTable,
    out: NDArray[np.float32],
) -> None:
    """Multiply the elements around each atom pairwise; atoms with the same elements together."""
    atom, element = np.divmod(keys, n_species)
    pattern = np.bincount(atom, 2.0**element, len(out)).astype(np.int64)
    first = np.searchsorted(keys, np.arange(len(out)) * n_species)
    for bits in np.unique(pattern).tolist():
        members = np.flatnonzero(pattern == bits)
        present = [s for s in range(n_species) if bits >> s & 1]
        for atoms in np.split(members, range(BATCH_ATOMS, len(members), BATCH_ATOMS)):
            rows = first[atoms][:, None] + np.arange(len(present))
            spectrum = _spectrum_of(rows, coefficients, table.n_max)
            _normalise(spectrum)
            _lay_out(spectrum, atoms, present, n_species, _widths(table), out)


def _normalise(spectrum: NDArray[np.float32]) -> None:
    """Give each row unit length, or NaN where its length is 0 or infinite; in place."""
    lengths = np.sqrt(np.einsum("ij,ij->i", spectrum, spectrum, dtype=np.float64))
    smallest = 1.0 / float(np.finfo(np.float32).max)
    lengths[~(lengths > smallest) | np.isinf(lengths)] = np.nan
    spectrum *= (1.0 / lengths).astype(np.float32)[:, None]


def _lay_out(
    spectrum: NDArray[np.float32],
    atoms: IntArray,
    present: list[int],
    n_species: int,
    widths: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write the columns of the elements that are present, and zeros for other pairs."""
    start = column = 0
    for a in range(n_species):
        for b in range(a, n_species):
            size = widths[a != b]
            there = slice(column, column + size)
            if a in present and b in present:
                out[atoms, there] = spectrum[:, start : start + size]
                start += size
            else:
                out[atoms, there] = 0.0
            column += size
    # Rows without a descriptor are NaN in all columns, zeros of other elements included.
    out[atoms[np.isnan(spectrum[:, 0])]] = np.nan


def _spectrum_of(
    rows: IntArray, coefficients: list[NDArray[np.float32]], n: int
) -> NDArray[np.float32]:
    """Spectra of atoms that have the same elements around them, not normalised."""
    n_atoms, k = rows.shape
    products = np.empty((n_atoms, len(coefficients), k * n, k * n), np.float32)
    for l, part in enumerate(coefficients):  # noqa: E741
        c = part[rows].reshape(n_atoms, k * n, -1)
        np.matmul(c, c.transpose(0, 2, 1), out=products[:, l])
    upper = np.triu_indices(n)
    pairs_of_elements = []
    for a in range(k):
        with_a = products[:, :, a * n : (a + 1) * n]
        pairs_of_elements.append(with_a[:, :, upper[0], a * n + upper[1]].reshape(n_atoms, -1))
        pairs_of_elements += [
            with_a[:, :, :, b * n : (b + 1) * n].reshape(n_atoms, -1) for b in range(a + 1, k)
        ]
    return np.concatenate(pairs_of_elements, axis=1)
