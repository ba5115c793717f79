"""`SOAPDescriber`: many molecules in pieces, on threads or processes, with cache and progress bar.

Symbols: n atoms in all, scale s with d_s columns. A piece is some consecutive molecules with at
most `PIECE_ATOMS` atoms. Molecules do not depend on each other, so that neither pieces nor workers
change a bit of the result. NumPy releases the interpreter lock nearly all of the time here:
threads are as fast as processes, and copy nothing. The computation for a piece is not here
(`radial_tables.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import joblib
import numpy as np
from numpy.typing import NDArray

from ..data.geometry_checks import Locator
from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support import parallel
from ..support.backend import Array, Backend
from ..support.blas_threads import count_threads, one_blas_thread, one_of_many
from ..support.ragged_index import cut
from ..support.shared_array import SharedArray
from .features import check_memory, forecast_bytes
from .provenance import soap_provenance
from .scales import ScaleKey

# Atoms of a piece, at most: as in the pieces of an estimator (`learning/blocking.py`), so that the
# descriptors of such a piece are computed in one step.
PIECE_ATOMS = 1344

FloatArray = NDArray[np.float32]
# Atomic numbers, positions and offsets.
Geometry: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True)
class SOAPDescriber:
    """Computes the descriptors of molecules at several scales.

    Parameters
    ----------
    calculate : callable
        ``calculate(numbers, positions, offsets, species, key, out=None)`` returns the rows of some
        molecules at one scale, or writes them to `out`: of unit length, NaN where there is no
        descriptor. A function of a module, because worker processes import it.
    calculate_on : callable
        The same on a device: takes a `Backend` in place of `out`, and returns arrays of the device.
    species : tuple of int
        Atomic numbers, sorted.
    keys : tuple of ScaleKey
        Parameters of each scale.
    widths : tuple of int
        Columns of each scale.
    weights : tuple of float
        Weight of each scale in the kernel.
    n_jobs : int, default=None
        Workers, see `SOAPTransformer`.
    memory : joblib.Memory, default=None
        Stores the rows of each piece and scale.
    verbose : bool or "auto", default=False
    """

    calculate: Callable[..., FloatArray] = field(compare=False)
    calculate_on: Callable[..., Array] = field(compare=False)
    species: tuple[int, ...]
    keys: tuple[ScaleKey, ...]
    widths: tuple[int, ...]
    weights: tuple[float, ...]
    n_jobs: int | None = field(default=None, compare=False)
    memory: joblib.Memory | None = field(default=None, compare=False)
    verbose: bool | str = field(default=False, compare=False)

    @cached_property
    def made_by(self) -> str:
        """Elements and parameters, see `provenance.py`."""
        return soap_provenance(self.species, self.keys, self.weights)

    def describe(self, molecules: Molecules) -> tuple[FloatArray, ...]:
        """Return one array of shape (n_atoms, d_s) per scale.

        Raises
        ------
        InputError
            If the descriptors do not fit into memory, or an atom has none.
        """
        check_memory(forecast_bytes(molecules.n_atoms, self.widths))
        molecules = molecules.replace(features=None)
        pieces = cut(molecules.offsets, PIECE_ATOMS)
        n_jobs = self._count_jobs(len(pieces))
        shared = n_jobs != 1 and not parallel.shares_memory()
        shapes = [(molecules.n_atoms, width) for width in self.widths]
        outputs = [SharedArray(shape, shared) for shape in shapes]
        try:
            self._fill(molecules, pieces, outputs, n_jobs)
        finally:
            arrays = tuple(output.close() for output in outputs)
        _check_finite(arrays, molecules)
        return arrays

    def describe_on(self, molecules: Molecules, backend: Backend) -> tuple[Array, ...]:
        """Return one array of shape (n_atoms, d_s) per scale, computed on a device.

        A cache (`memory`) holds host arrays: with a cache, descriptors are computed, or found, on
        the host and then sent to the device.

        Raises
        ------
        InputError
            If an atom has none.
        """
        if self.memory is not None:
            return tuple(backend.asarray(array) for array in self.describe(molecules))
        geometry = molecules.numbers, molecules.positions, molecules.offsets
        arrays = tuple(
            self.calculate_on(*geometry, self.species, key, backend) for key in self.keys
        )
        # One transfer for all scales: the host waits for the device once.
        first = backend.xp.stack([array[:, 0] for array in arrays])
        _check_finite(backend.to_host(first)[:, :, None], molecules)
        return arrays

    def describe_piece(
        self, molecules: Molecules, rows: slice, outputs: list[SharedArray]
    ) -> tuple[slice, list[FloatArray | None]]:
        """Describe one piece, in place if this process can write to the outputs.

        Parameters
        ----------
        molecules : Molecules
            Molecules of the piece.
        rows : slice
            Their atoms among all.
        outputs : list of SharedArray
            One for each scale.

        Returns
        -------
        rows : slice
        values : list of ndarray or None
            For each scale the descriptors, where they could not be written to the output.
        """
        geometry = molecules.numbers, molecules.positions, molecules.offsets
        pairs = zip(self.keys, outputs, strict=True)
        return rows, [self._describe_at(key, geometry, output.rows(rows)) for key, output in pairs]

    def _describe_at(
        self, key: ScaleKey, geometry: Geometry, out: FloatArray | None
    ) -> FloatArray | None:
        """Describe at one scale: write to `out`, or return the values where `out` is None."""
        if self.memory is None and out is not None:
            self.calculate(*geometry, self.species, key, out)
            return None
        calculate = self.calculate if self.memory is None else self.memory.cache(self.calculate)
        values: FloatArray = calculate(*geometry, self.species, key)
        if out is None:
            return values
        out[:] = values
        return None

    def _fill(
        self, molecules: Molecules, pieces: list[slice], outputs: list[SharedArray], n_jobs: int
    ) -> None:
        tasks = [
            joblib.delayed(self.describe_piece)(molecules[piece], _rows(molecules, piece), outputs)
            for piece in pieces
        ]
        verbose = False if one_of_many() else self.verbose
        bar = parallel.progress("descriptors", len(pieces), verbose)
        with one_blas_thread(), bar as advance:
            for rows, sent in parallel.run(tasks, n_jobs, threads=True):
                for output, values in zip(outputs, sent, strict=True):
                    out = output.rows(rows)
                    if values is not None and out is not None:
                        out[:] = values
                advance()

    def _count_jobs(self, n_pieces: int) -> int:
        """Choose the number of workers; see `SOAPTransformer`."""
        if n_pieces <= 1 or self.n_jobs == 1 or one_of_many():
            return 1
        if self.n_jobs is not None:
            return self.n_jobs
        if (asked := parallel.active_jobs()) is not None:
            return asked
        return min(count_threads(), n_pieces)


def _rows(molecules: Molecules, piece: slice) -> slice:
    return slice(int(molecules.offsets[piece.start]), int(molecules.offsets[piece.stop]))


def _check_finite(arrays: Iterable[FloatArray], molecules: Molecules) -> None:
    """Refuse atoms without a descriptor: their rows are NaN.

    Raises
    ------
    InputError
        Names the first such atom and the scale.
    """
    for index, array in enumerate(arrays):
        bad = np.isnan(array[:, 0])
        if bad.any():
            atom = Locator(molecules.names, molecules.offsets).atom(int(np.argmax(bad)))
            raise InputError(
                f"scale{index}: {atom} and {int(bad.sum()) - 1} other atoms have no finite, "
                "non-zero descriptor. Change r_cut, sigma or n_max of this scale."
            )
