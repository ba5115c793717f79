"""SOAP power spectra by a CUDA kernel: one block of threads for each atom.

The kernel (`spectra_cuda.cu`) keeps neighbours, coefficients and harmonics of an atom in shared
memory, and writes nothing but the spectrum: no array with slots for neighbours is needed.
The same computation in array form, which every device runs, is in `spectra_device.py`; tests
compare the two. Symbols: S elements, d columns.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from math import factorial, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array, Backend, DeviceFunction
from .radial_integrals import N_EXPANSIONS, RadialTable

__all__ = ["SpectrumKernel"]

IntArray = NDArray[np.intp]

FUNCTION = "power_spectra"
THREADS = 128
# Neighbours in shared memory at a time, at most: as many as fit beside the coefficients.
TILE = 16
# Position of l in the first number of a column: see `spectra_cuda.cu`.
L_SHIFT = 24


class SpectrumKernel:
    """The compiled kernel of one scale, with its tables on the device.

    Parameters
    ----------
    function : callable
        See `Backend.compile`.
    table : RadialTable
        On the device.
    factors : array of shape (l_max + 1, l_max + 1)
    columns : array of shape (d, 2), int32
    of_columns : array of shape (d,), float32
        Factor of each column.
    shared_bytes : int
        Shared memory of a block.
    """

    def __init__(
        self,
        function: DeviceFunction,
        table: RadialTable,
        factors: Array,
        columns: Array,
        of_columns: Array,
        shared_bytes: int,
    ):
        self.function, self.table = function, table
        self.factors, self.columns, self.of_columns = factors, columns, of_columns
        self.shared_bytes = shared_bytes

    @classmethod
    def of(
        cls,
        table: RadialTable,
        columns: IntArray,
        factor: NDArray[np.float32] | None,
        n_species: int,
        backend: Backend,
    ) -> SpectrumKernel | None:
        """Compile the kernel of a scale; None without a compiler, or with too little memory.

        Parameters
        ----------
        table : RadialTable
            On the device.
        columns : ndarray of shape (d,)
            Position of each column among all products, see `spectra_device.DeviceTables`.
        factor : ndarray of shape (d,), float32, or None
            Factor of each column; None where all are 1.
        n_species : int
        backend : Backend
        """
        available = backend.shared_memory()
        tile = TILE
        while tile > 1 and _shared_bytes(table, n_species, tile) > available:
            tile //= 2
        needed = _shared_bytes(table, n_species, tile)
        if needed > available:
            return None
        macros = {
            "N_MAX": table.n_max,
            "L_MAX": table.l_max,
            "N_SPECIES": n_species,
            # Rows of the table of an element; 0 where all elements have the same table.
            "ROWS_OF_ELEMENT": 0 if table.channels is None else N_EXPANSIONS + 1,
            "TILE": tile,
            "THREADS": THREADS,
        }
        function = backend.compile(_source(), FUNCTION, macros, needed)
        places = _places(columns, n_species * table.n_max, table.l_max)
        factors = backend.asarray(_factors(table.l_max))
        if factor is None:
            factor = np.ones(len(columns), np.float32)
        of_columns = backend.asarray(factor)
        return cls(function, table, factors, backend.asarray(places), of_columns, needed)

    def spectra(
        self, species: Array, positions: Array, first: Array, size: Array, backend: Backend
    ) -> Array:
        """Compute the spectra of all atoms.

        Parameters
        ----------
        species, first, size : array of shape (n,), int32
            Element of each atom; first atom, and number of atoms, of its molecule.
        positions : array of shape (n, 3), angstrom
        backend : Backend

        Returns
        -------
        array of shape (n, d), float32
            Of unit length. A row is NaN throughout where its atom has no finite, non-zero spectrum.
        """
        out = backend.empty((species.shape[0], self.columns.shape[0]), backend.xp.float32)
        if not species.shape[0]:
            return out
        greatest = float(np.finfo(np.float32).max)
        arguments = (
            positions,
            species,
            first,
            size,
            *self.table.expansions,
            np.float64(self.table.reach),
            np.float64(self.table.reach / N_EXPANSIONS),
            self.factors,
            self.columns,
            self.of_columns,
            np.int32(self.columns.shape[0]),
            np.float64(1 / greatest),
            np.float64(greatest),
            out,
        )
        self.function((species.shape[0],), (THREADS,), arguments, shared_mem=self.shared_bytes)
        return out


def _shared_bytes(table: RadialTable, n_species: int, tile: int) -> int:
    """Shared memory of a block, as `power_spectra` divides it."""
    n_l = table.l_max + 1
    coefficients = n_species * table.n_max * n_l**2
    of_tile = tile * (8 * (table.n_max * n_l + n_l**2 + 4) + 2 * 4)
    return 8 * coefficients + of_tile + 8 * THREADS + 4 * coefficients


@cache
def _source() -> str:
    """Return the text of the kernel."""
    return resources.files(__package__).joinpath("spectra_cuda.cu").read_text("utf-8")


def _factors(l_max: int) -> NDArray[np.float64]:
    """Norms of the harmonics (l, m), times the root of 1 / sqrt(2 l + 1) of each factor."""
    found = np.zeros((l_max + 1, l_max + 1))
    for l in range(l_max + 1):  # noqa: E741
        for m in range(l + 1):
            norm = sqrt((2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m))
            found[l, m] = norm * (sqrt(2.0) if m else 1.0) * (2 * l + 1) ** -0.25
    return found


def _places(columns: IntArray, wide: int, l_max: int) -> NDArray[np.int32]:
    """Places (d, 2) of the two coefficients of each column, with l in the first."""
    l, one, two = np.unravel_index(columns, (l_max + 1, wide, wide))  # noqa: E741
    start, length = wide * l**2, 2 * l + 1
    places = np.stack([start + one * length + (l << L_SHIFT), start + two * length], axis=1)
    return np.ascontiguousarray(places.astype(np.int32))
