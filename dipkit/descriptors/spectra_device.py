"""SOAP power spectra of many atoms at once, in a form that suits a GPU.

What `spectra_host.py` computes, without its sorting and sparse products: every atom gets as many
slots for neighbours as the largest molecule of its batch has atoms, empty slots count as nothing,
and all else is lookups and batched matrix products of one shape. Atoms are taken by the size of
their molecule, so that a large one does not give its slots to small ones; a batch is as long as its
memory allows. Double precision up to the coefficients, single from there, as on the host.

Symbols: B atoms of a batch, A slots, S elements, m and n of l and n_max as usual, d columns. Only
`Backend` and what its modules share are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Backend
from .expansion import RadialTable, real_harmonics
from .spectra_host import count_columns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Largest size of the arrays that come and go for one batch.
BATCH_BYTES = 400 * 2**20
# Molecules up to this size share slots; larger ones with those of at least half their size.
SHARED_SLOTS = 32


@dataclass(frozen=True)
class DeviceTables:
    """What is the same for all atoms, on the device.

    Parameters
    ----------
    radial : RadialTable
    columns : array of shape (d,), int
        Where each column is among the products (l_max + 1, S n_max, S n_max) of all l.
    elements : array of shape (S,), int
        0 to S - 1.
    """

    radial: RadialTable
    columns: Any
    elements: Any

    @classmethod
    def of(cls, table: RadialTable, n_species: int, backend: Backend) -> DeviceTables:
        """Bring a table to the device, and the order of the columns for so many elements."""
        columns = _columns(n_species, table.n_max, table.l_max)
        elements = np.arange(n_species)
        return cls(table.on(backend), backend.asarray(columns), backend.asarray(elements))


@dataclass(frozen=True)
class _Atoms:
    """All atoms that are described at once, on the device.

    Parameters
    ----------
    positions : array of shape (3, n), angstrom
    species : array of shape (n,), int
    first, size : array of shape (n,), int
        First atom of each atom's molecule, and how many that has.
    """

    positions: Any
    species: Any
    first: Any
    size: Any


def spectra(
    species_index: IntArray,
    positions: FloatArray,
    offsets: NDArray[np.int64],
    tables: DeviceTables,
    backend: Backend,
) -> Any:
    """Compute unit-length power spectra of all atoms of some molecules.

    Parameters
    ----------
    species_index : ndarray of shape (n_atoms,)
        Element of each atom, 0 to S - 1.
    positions : ndarray of shape (n_atoms, 3), angstrom
    offsets : ndarray of shape (n_molecules + 1,)
    tables : DeviceTables
    backend : Backend

    Returns
    -------
    array of shape (n_atoms, d), float32
        On the device. A row is NaN throughout where its atom has no finite, non-zero spectrum.
    """
    sizes = np.diff(offsets)
    size = np.repeat(sizes, sizes)
    atoms = _Atoms(
        backend.asarray(np.ascontiguousarray(positions.T)),
        backend.asarray(species_index),
        backend.asarray(np.repeat(offsets[:-1], sizes)),
        backend.asarray(size),
    )
    out = backend.empty((len(size), tables.columns.shape[0]), backend.xp.float32)
    for batch, n_slots in _batches(size, tables):
        spectrum = _products(_coefficients(batch, n_slots, atoms, tables, backend), tables, backend)
        backend.put(out, batch, _normalised(spectrum, backend))
    return out


def batch_bytes(n_slots: int, n_species: int, table: RadialTable) -> int:
    """Bytes that come and go for one atom of a batch."""
    n, n_l = table.n_max, table.l_max + 1
    wide = n_species * n
    # Integrals and what they are looked up from, harmonics, both sides of the sum and their copies.
    of_slot = 8 * (3 * n * n_l + 9 * n_l + 3 * wide + 2 * n_species + 20)
    # Products of all l and one on its way; columns in single precision, and squared in double.
    return n_slots * of_slot + 4 * (n_l + 1) * wide**2 + 16 * count_columns(n_species, table)


def _batches(size: IntArray, tables: DeviceTables) -> Iterator[tuple[IntArray, int]]:
    """Yield atoms, those of small molecules first, and the slots that they get."""
    order = np.argsort(size, kind="stable")
    rising, start = size[order], 0
    while start < len(order):
        most = max(2 * int(rising[start]), SHARED_SLOTS)
        stop = int(np.searchsorted(rising, most, side="right"))
        n_slots = int(rising[stop - 1])
        each = batch_bytes(n_slots, tables.elements.shape[0], tables.radial)
        stop = min(stop, start + max(BATCH_BYTES // each, 1))
        yield order[start:stop], n_slots
        start = stop


def _coefficients(
    batch: IntArray, n_slots: int, atoms: _Atoms, tables: DeviceTables, backend: Backend
) -> Iterator[Any]:
    """Sum over the neighbours of each element: for each l an array (B, S n_max, 2 l + 1)."""
    xp, radial = backend.xp, tables.radial
    chosen, distance, direction = _neighbours(batch, n_slots, atoms, tables, backend)
    n_atoms, wide = len(batch), tables.elements.shape[0] * radial.n_max
    integrals = radial.integrals(xp.reshape(distance, (-1,)))
    integrals = xp.reshape(integrals, (n_atoms, n_slots, radial.n_max, radial.l_max + 1))
    for l, harmonics in enumerate(real_harmonics(direction, radial.l_max, backend)):  # noqa: E741
        of_element = chosen[:, :, :, None] * integrals[:, :, None, :, l]
        of_element = xp.reshape(of_element, (n_atoms, n_slots, wide))
        summed = xp.permute_dims(of_element, (0, 2, 1)) @ xp.permute_dims(harmonics, (1, 2, 0))
        # The root of the factor of the power spectrum. Single precision from here on.
        summed *= (2 * l + 1) ** -0.25
        yield xp.astype(summed, xp.float32)


def _neighbours(
    batch: IntArray, n_slots: int, atoms: _Atoms, tables: DeviceTables, backend: Backend
) -> tuple[Any, Any, Any]:
    """Fill the slots: which element each counts for (B, A, S), distance (B, A), direction."""
    xp, center = backend.xp, backend.asarray(batch)
    first = xp.take(atoms.first, center, axis=0)[:, None]
    slot = backend.asarray(np.arange(n_slots))[None, :]
    there = slot < xp.take(atoms.size, center, axis=0)[:, None]
    index = xp.reshape(xp.where(there, first + slot, 0), (-1,))
    around = xp.reshape(xp.take(atoms.positions, index, axis=1), (3, len(batch), n_slots))
    vector = around - xp.take(atoms.positions, center, axis=1)[:, :, None]
    distance = xp.sqrt(xp.sum(vector * vector, axis=0))
    there = there & (distance <= tables.radial.reach)
    distance = xp.where(there, distance, 0.0)
    # Neither the atom itself nor an empty slot lies in any direction.
    direction = vector / xp.where(distance > 0, distance, inf)
    species = xp.reshape(xp.take(atoms.species, index, axis=0), there.shape)
    chosen = there[:, :, None] & (species[:, :, None] == tables.elements[None, None, :])
    return xp.astype(chosen, xp.float64), distance, direction


def _products(coefficients: Iterator[Any], tables: DeviceTables, backend: Backend) -> Any:
    """Multiply all elements pairwise and put the columns in order: (B, d), not normalised."""
    xp, products = backend.xp, None
    for l, c in enumerate(coefficients):  # noqa: E741
        n_atoms, wide, _ = c.shape
        if products is None:
            shape = n_atoms, tables.radial.l_max + 1, wide, wide
            products = backend.empty(shape, xp.float32)
        backend.into(products[:, l, :, :], xp.matmul, c, xp.permute_dims(c, (0, 2, 1)))
    return xp.take(xp.reshape(products, (n_atoms, -1)), tables.columns, axis=1)


def _normalised(spectrum: Any, backend: Backend) -> Any:
    """Give each row unit length, or NaN where it has none; changes it in place."""
    xp = backend.xp
    wide = xp.astype(spectrum, xp.float64)
    wide *= wide
    length = xp.sqrt(xp.sum(wide, axis=1))
    smallest = 1.0 / float(np.finfo(np.float32).max)
    has = (length > smallest) & ~xp.isinf(length)
    factor = xp.where(has, 1.0 / xp.where(has, length, 1.0), nan)
    spectrum *= xp.astype(factor, xp.float32)[:, None]
    return spectrum


def _columns(n_species: int, n_max: int, l_max: int) -> IntArray:
    """Tell where each column of dscribe's order is among the products of all l, laid flat."""
    place = np.arange((l_max + 1) * (n_species * n_max) ** 2)
    blocks = place.reshape(l_max + 1, n_species, n_max, n_species, n_max)
    upper = np.triu_indices(n_max)
    found = []
    for a in range(n_species):
        found.append(blocks[:, a, :, a][:, upper[0], upper[1]])
        found += [blocks[:, a, :, b].reshape(l_max + 1, -1) for b in range(a + 1, n_species)]
    return np.concatenate([part.ravel() for part in found])
