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

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..support.ragged_index import pairs
from .harmonics import real_harmonics
from .radial_integrals import RadialTable
from .spectrum_columns import block_widths, columns_of, count_columns

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
    keys, coefficients = expand(species_index, n_species, positions, offsets, table)
    if out is None:
        out = np.empty((len(positions), count_columns(n_species, table.counts)), np.float32)
    _products(keys, coefficients, n_species, table, out)
    return out


def expand(
    species_index: IntArray,
    n_species: int,
    positions: FloatArray,
    offsets: NDArray[np.int64],
    table: RadialTable,
) -> tuple[IntArray, list[NDArray[np.float32]]]:
    """Sum over the neighbours of each element.

    Parameters
    ----------
    species_index, n_species, positions, offsets, table
        As for `spectra`.

    Returns
    -------
    keys : ndarray of shape (K,)
        Center times `n_species` plus element, ascending: pairs that occur.
    coefficients : list of ndarray of shape (K, n_l, 2 l + 1), float32
        c for each l, over the fourth root of 2 l + 1.
    """
    center, neighbour = pairs(offsets)
    vector = positions[neighbour] - positions[center]
    distance = np.sqrt((vector * vector) @ np.ones(3))
    near = np.flatnonzero(distance <= table.reach)
    key = center[near] * n_species + species_index[neighbour[near]]
    order = np.argsort(key, kind="stable")
    key, near = key[order], near[order]
    keys, starts = np.unique(key, return_index=True)
    species = key % n_species
    return keys, _coefficients(vector[near], distance[near], species, starts, table)


def _coefficients(
    vector: FloatArray,
    distance: FloatArray,
    species: IntArray,
    starts: IntArray,
    table: RadialTable,
) -> list[NDArray[np.float32]]:
    """Sum over the neighbours of each key: one array (K, n_l, 2 l + 1) for each l."""
    found = [
        np.empty((len(starts), n, 2 * l + 1), np.float32)
        for l, n in enumerate(table.counts)  # noqa: E741
    ]
    ends, first = np.append(starts[1:], len(distance)), 0
    while first < len(starts):
        until = starts[first] + BATCH_NEIGHBOURS
        last = max(int(np.searchsorted(ends, until, side="right")), first + 1)
        near, keys = slice(starts[first], ends[last - 1]), slice(first, last)
        radial = table.integrals(distance[near], species[near])
        _add_up(vector[near], distance[near], radial, starts[keys] - starts[first], found, keys)
        first = last
    return found


def _add_up(
    vector: FloatArray,
    distance: FloatArray,
    radial: FloatArray,
    starts: IntArray,
    found: list[NDArray[np.float32]],
    keys: slice,
) -> None:
    """Sum over the neighbours of some keys, and write the coefficients to `found`."""
    direction = vector / np.where(distance > 0, distance, 1.0)[:, None]
    by_axis = np.ascontiguousarray(direction.T)
    # Neighbours last: loops of NumPy over them are long. From here on in single precision.
    functions = np.ascontiguousarray(radial.transpose(2, 1, 0), np.float32)
    for l, harmonics in enumerate(real_harmonics(by_axis, len(found) - 1)):  # noqa: E741
        n_l = found[l].shape[1]
        terms = functions[l, :n_l, None] * harmonics.astype(np.float32)
        summed = np.add.reduceat(terms, starts, axis=-1)
        # Each factor of the product takes the root of 1 / sqrt(2 l + 1).
        summed *= (2 * l + 1) ** -0.25
        found[l][keys] = summed.transpose(2, 0, 1)


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
            spectrum = _spectrum_of(rows, coefficients, table)
            _normalise(spectrum)
            _lay_out(spectrum, atoms, present, n_species, block_widths(table.counts), out)


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
    rows: IntArray, coefficients: list[NDArray[np.float32]], table: RadialTable
) -> NDArray[np.float32]:
    """Spectra of atoms that have the same elements around them, not normalised."""
    n_atoms, k = rows.shape
    places, factor, sizes = _places(k, table.counts, table.channels is not None)
    products, start = np.empty((n_atoms, sum(n * n for n in sizes)), np.float32), 0
    for size, part in zip(sizes, coefficients, strict=True):
        c = part[rows].reshape(n_atoms, size, -1)
        of_l = products[:, start : start + size * size].reshape(n_atoms, size, size)
        np.matmul(c, c.transpose(0, 2, 1), out=of_l)
        start += size * size
    spectrum: NDArray[np.float32] = np.take(products, places, axis=1)
    if factor is not None:
        spectrum *= factor
    return spectrum


@lru_cache(maxsize=64)
def _places(
    k: int, counts: tuple[int, ...], learned: bool
) -> tuple[IntArray, NDArray[np.float32] | None, tuple[int, ...]]:
    """Place of each column of k elements among the products of all l, its factor, and k n_l."""
    columns = columns_of(k, counts, learned)
    sizes = k * np.array(counts)
    starts, n = np.cumsum([0, *sizes**2])[columns.degree], np.array(counts)[columns.degree]
    row = columns.one * n + columns.first
    places = starts + row * sizes[columns.degree] + columns.two * n + columns.second
    return places, columns.factor, tuple(sizes.tolist())
