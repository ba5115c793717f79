"""SOAP power spectra of many atoms at once, in a form that suits a GPU.

A GPU that compiles CUDA runs a kernel (`spectra_cuda.py`). Here is its reference, in array form,
for every other device. The result is that of `spectra_host.py`, without sorting and sparse
products: every atom has as many slots for neighbours as the largest molecule of its batch has
atoms, empty slots are zero, and the rest are lookups and batched matrix products of one shape.
Atoms are sorted by the size of their molecules, so that atoms of small molecules do not have the
slots of large ones; memory limits the atoms of a batch. Coefficients are in double precision,
products in single, as on the host. Before the products, coefficients get unit length: products of
small numbers would be zero on a device without subnormal numbers.

Symbols: B atoms of a batch, A slots, S elements, d columns; l, m, n as in `spectra_host.py`. Only
`Backend` and functions that its modules share are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array, Backend
from .harmonics import real_harmonics
from .radial_integrals import RadialTable
from .spectra_cuda import SpectrumKernel
from .spectrum_columns import columns_of, count_columns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Memory of the temporary arrays of one batch, at most.
BATCH_BYTES = 400 * 2**20
# Molecules of up to so many atoms have this number of slots; a larger molecule shares a batch with
# molecules of at least half its size.
SHARED_SLOTS = 32


@dataclass(frozen=True)
class DeviceTables:
    """Tables for all atoms, on the device.

    Parameters
    ----------
    radial : RadialTable
    columns : array of shape (d,), int
        Position of each column in the flat array of products (l_max + 1, S n_max, S n_max).
    elements : array of shape (S,), int
        0 to S - 1.
    factor : array of shape (d,), float32, default=None
        Factor of each column; None where all are 1.
    kernel : SpectrumKernel, default=None
        Where the device compiles CUDA.
    """

    radial: RadialTable
    columns: Array
    elements: Array
    factor: Array | None = None
    kernel: SpectrumKernel | None = None

    @classmethod
    def of(cls, table: RadialTable, n_species: int, backend: Backend) -> DeviceTables:
        """Bring a table and the order of the columns to the device."""
        columns, factor = _columns(n_species, table)
        elements, radial = backend.asarray(np.arange(n_species)), table.on(backend)
        of_columns = None if factor is None else backend.asarray(factor)
        kernel = SpectrumKernel.of(radial, columns, factor, n_species, backend)
        return cls(radial, backend.asarray(columns), elements, of_columns, kernel)


@dataclass(frozen=True)
class _Atoms:
    """All atoms that are described in one call, on the device.

    Parameters
    ----------
    positions : array of shape (3, n), angstrom
    species : array of shape (n,), int
    first, size : array of shape (n,), int
        First atom of each atom's molecule, and number of atoms of that molecule.
    """

    positions: Array
    species: Array
    first: Array
    size: Array


def spectra(
    species_index: IntArray,
    positions: FloatArray,
    offsets: NDArray[np.int64],
    tables: DeviceTables,
    backend: Backend,
) -> Array:
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
    size, first = np.repeat(sizes, sizes), np.repeat(offsets[:-1], sizes)
    if tables.kernel is not None:
        of_atoms = (backend.asarray(part.astype(np.int32)) for part in (species_index, first, size))
        species, first_on, size_on = of_atoms
        places = backend.asarray(np.ascontiguousarray(positions))
        return tables.kernel.spectra(species, places, first_on, size_on, backend)
    atoms = _Atoms(
        backend.asarray(np.ascontiguousarray(positions.T)),
        backend.asarray(species_index),
        backend.asarray(first),
        backend.asarray(size),
    )
    out = backend.empty((len(size), tables.columns.shape[0]), backend.xp.float32)
    for batch, n_slots in _batches(size, tables):
        coefficients, power = _coefficients(batch, n_slots, atoms, tables, backend)
        spectrum = _products(coefficients, tables, backend)
        backend.put(out, batch, _normalised(spectrum, power, backend))
    return out


def batch_bytes(n_slots: int, n_species: int, table: RadialTable) -> int:
    """Memory of the temporary arrays of one atom of a batch, in bytes."""
    n, n_l = table.n_max, table.l_max + 1
    wide = n_species * n
    # Integrals and table entries, harmonics, both factors of the sum and their copies.
    of_slot = 8 * (3 * n * n_l + 9 * n_l + 3 * wide + 2 * n_species + 20)
    # Coefficients in double precision, their squares, and in single precision.
    of_atom = (8 + 8 + 4) * wide * n_l**2
    # Products of all l and a copy of one; columns in single precision, and squares in double.
    of_atom += 4 * (n_l + 1) * wide**2 + 16 * count_columns(n_species, table.counts)
    return n_slots * of_slot + of_atom


def _batches(size: IntArray, tables: DeviceTables) -> Iterator[tuple[IntArray, int]]:
    """Yield the atoms of each batch and its slots; atoms of small molecules come first."""
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
) -> tuple[list[Array], Array]:
    """Sum over the neighbours of each element.

    Returns
    -------
    coefficients : list of array of shape (B, S n_max, 2 l + 1), float32
        For each l. The sum of all squares is 1 for each atom; 0 where it was 0 or infinite.
    power : array of shape (B,)
        That sum before.
    """
    xp, radial = backend.xp, tables.radial
    chosen, species, distance, direction = _neighbours(batch, n_slots, atoms, tables, backend)
    n_atoms, wide = len(batch), tables.elements.shape[0] * radial.n_max
    integrals = radial.integrals(xp.reshape(distance, (-1,)), species)
    integrals = xp.reshape(integrals, (n_atoms, n_slots, radial.n_max, radial.l_max + 1))
    found, power = [], backend.zeros(n_atoms)
    for l, harmonics in enumerate(real_harmonics(direction, radial.l_max, backend)):  # noqa: E741
        of_element = chosen[:, :, :, None] * integrals[:, :, None, :, l]
        of_element = xp.reshape(of_element, (n_atoms, n_slots, wide))
        summed = xp.permute_dims(of_element, (0, 2, 1)) @ xp.permute_dims(harmonics, (1, 2, 0))
        # Each factor of the product takes the root of 1 / sqrt(2 l + 1).
        summed *= (2 * l + 1) ** -0.25
        power += xp.sum(summed * summed, axis=(1, 2))
        found.append(summed)
    has = (power > 0) & ~xp.isinf(power)
    to_unit = xp.where(has, 1.0 / xp.sqrt(xp.where(has, power, 1.0)), 0.0)[:, None, None]
    # From here on in single precision.
    return [xp.astype(summed * to_unit, xp.float32) for summed in found], power


def _neighbours(
    batch: IntArray, n_slots: int, atoms: _Atoms, tables: DeviceTables, backend: Backend
) -> tuple[Array, Array, Array, Array]:
    """Fill the slots of a batch.

    Returns
    -------
    of_element : array of shape (B, A, S)
        1 where the slot holds a neighbour of this element, else 0.
    species : array of shape (B A,), int
        Element in the slot; any in empty slots.
    distance : array of shape (B, A), angstrom
        0 in empty slots.
    direction : array of shape (3, B, A)
        Unit vectors; 0 for the atom itself and in empty slots.
    """
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
    # The atom itself and empty slots get the zero vector.
    direction = vector / xp.where(distance > 0, distance, inf)
    species = xp.take(atoms.species, index, axis=0)
    of_slot = xp.reshape(species, (*there.shape, 1))
    chosen = there[:, :, None] & (of_slot == tables.elements[None, None, :])
    return xp.astype(chosen, xp.float64), species, distance, direction


def _products(coefficients: list[Array], tables: DeviceTables, backend: Backend) -> Array:
    """Multiply all elements pairwise and put the columns in order: (B, d), not normalised."""
    xp, products = backend.xp, None
    for l, c in enumerate(coefficients):  # noqa: E741
        n_atoms, wide, _ = c.shape
        if products is None:
            shape = n_atoms, tables.radial.l_max + 1, wide, wide
            products = backend.empty(shape, xp.float32)
        backend.into(products[:, l, :, :], xp.matmul, c, xp.permute_dims(c, (0, 2, 1)))
    spectrum = xp.take(xp.reshape(products, (n_atoms, -1)), tables.columns, axis=1)
    if tables.factor is not None:
        spectrum *= tables.factor
    return spectrum


def _normalised(spectrum: Array, power: Array, backend: Backend) -> Array:
    """Give each row unit length, or NaN where its length would be 0 or infinite; in place.

    `power` (B,) is what the length was divided by before.
    """
    xp = backend.xp
    wide = xp.astype(spectrum, xp.float64)
    wide *= wide
    length = xp.sqrt(xp.sum(wide, axis=1))
    greatest = float(np.finfo(np.float32).max)
    has = (length * power > 1.0 / greatest) & (length * power <= greatest)
    factor = xp.where(has, 1.0 / xp.where(has, length, 1.0), nan)
    spectrum *= xp.astype(factor, xp.float32)[:, None]
    return spectrum


def _columns(n_species: int, table: RadialTable) -> tuple[IntArray, NDArray[np.float32] | None]:
    """Position of each column in the flat array of products of all l, and its factor."""
    columns = columns_of(n_species, table.counts, table.channels is not None)
    wide = n_species * table.n_max
    one = columns.one * table.n_max + columns.first
    two = columns.two * table.n_max + columns.second
    return (columns.degree * wide + one) * wide + two, columns.factor
