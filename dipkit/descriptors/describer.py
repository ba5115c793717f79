"""Describing many molecules: chunks, threads or processes, a cache, a progress bar.

Symbols: n atoms in all, scale s with d_s columns. A chunk is a run of molecules of about
`CHUNK_ATOMS` atoms; each molecule is computed on its own, so that neither chunks nor workers change
a bit of the result. NumPy leaves the interpreter to other threads nearly all of the time here, so
that threads do what processes would, without a start or a copy. What is computed for a chunk is
not here (`radial_tables.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from ..data.geometry_checks import Locator
from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support import parallel
from ..support.backend import Backend
from ..support.blas_threads import count_threads, one_blas_thread, one_of_many
from ..support.ragged_index import cut
from ..support.shared_array import SharedArray
from .features import check_memory, forecast_bytes

# As many as an estimator takes at a time (`learning/blocking.py`), so that a piece is one chunk.
CHUNK_ATOMS = 1344

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class SOAPDescriber:
    """Computes the descriptors of molecules at several scales.

    Parameters
    ----------
    calculate : callable
        ``calculate(numbers, positions, offsets, species, parameters, out=None)`` returns the rows
        of some molecules at one scale, of unit length, NaN where there is no descriptor, or writes
        them. Importable.
    calculate_on : callable
        The same on a device: takes a `Backend` in place of `out`, and its result stays there.
    species : tuple of int
        Atomic numbers, sorted.
    parameters : tuple of tuple
        Arguments of `calculate` for each scale.
    widths : tuple of int
        Columns of each scale.
    weights : tuple of float
        Weight of each scale in the kernel.
    n_jobs : int, default=None
        Workers, see `SOAPTransformer`.
    memory : joblib.Memory, default=None
        Keeps the rows of each chunk and scale.
    verbose : bool or "auto", default=False
    """

    calculate: Callable[..., FloatArray] = field(compare=False)
    calculate_on: Callable[..., Any] = field(compare=False)
    species: tuple[int, ...]
    parameters: tuple[tuple[Any, ...], ...]
    widths: tuple[int, ...]
    weights: tuple[float, ...]
    n_jobs: int | None = field(default=None, compare=False)
    memory: joblib.Memory | None = field(default=None, compare=False)
    verbose: bool | str = field(default=False, compare=False)

    def describe(self, molecules: Molecules) -> tuple[FloatArray, ...]:
        """Return one array of shape (n_atoms, d_s) per scale.

        Raises
        ------
        InputError
            If the descriptors do not fit into memory, or an atom has none.
        """
        check_memory(forecast_bytes(molecules.n_atoms, self.widths))
        molecules = molecules.replace(features=None)
        chunks = cut(molecules.offsets, CHUNK_ATOMS)
        n_jobs = self._count_jobs(len(chunks))
        shared = n_jobs != 1 and not parallel.shares_memory()
        shapes = [(molecules.n_atoms, width) for width in self.widths]
        outputs = [SharedArray(shape, shared) for shape in shapes]
        try:
            self._fill(molecules, chunks, outputs, n_jobs)
        finally:
            arrays = tuple(output.close() for output in outputs)
        _check_finite(arrays, molecules)
        return arrays

    def describe_on(self, molecules: Molecules, backend: Backend) -> tuple[Any, ...]:
        """Return one array of shape (n_atoms, d_s) per scale, computed on a device.

        What a cache keeps is of the host: with one they are computed, or found, there and sent.

        Raises
        ------
        InputError
            If an atom has none.
        """
        if self.memory is not None:
            return tuple(backend.asarray(array) for array in self.describe(molecules))
        geometry = molecules.numbers, molecules.positions, molecules.offsets
        arrays = tuple(
            self.calculate_on(*geometry, self.species, scale, backend) for scale in self.parameters
        )
        _check_finite((backend.to_host(array[:, :1]) for array in arrays), molecules)
        return arrays

    def describe_chunk(
        self, molecules: Molecules, rows: slice, outputs: list[SharedArray]
    ) -> tuple[slice, list[FloatArray | None]]:
        """Describe one chunk in place, and return what cannot be written from here.

        Parameters
        ----------
        molecules : Molecules
            Those of the chunk.
        rows : slice
            Their atoms among all.
        outputs : list of SharedArray
            One for each scale.
        """
        geometry = molecules.numbers, molecules.positions, molecules.offsets
        pairs = zip(self.parameters, outputs, strict=True)
        return rows, [self._one(geometry, scale, output.rows(rows)) for scale, output in pairs]

    def _one(
        self, geometry: tuple[Any, ...], scale: tuple[Any, ...], out: FloatArray | None
    ) -> FloatArray | None:
        """Describe at one scale: write to `out`, or return what there is no way to write."""
        if self.memory is None and out is not None:
            self.calculate(*geometry, self.species, scale, out)
            return None
        calculate = self.calculate if self.memory is None else self.memory.cache(self.calculate)
        values: FloatArray = calculate(*geometry, self.species, scale)
        if out is None:
            return values
        out[:] = values
        return None

    def _fill(
        self, molecules: Molecules, chunks: list[slice], outputs: list[SharedArray], n_jobs: int
    ) -> None:
        tasks = [
            joblib.delayed(self.describe_chunk)(molecules[chunk], _rows(molecules, chunk), outputs)
            for chunk in chunks
        ]
        verbose = False if one_of_many() else self.verbose
        bar = parallel.progress("descriptors", len(chunks), verbose)
        with one_blas_thread(), bar as advance:
            for rows, sent in parallel.run(tasks, n_jobs, threads=True):
                for output, values in zip(outputs, sent, strict=True):
                    out = output.rows(rows)
                    if values is not None and out is not None:
                        out[:] = values
                advance()

    def _count_jobs(self, n_chunks: int) -> int:
        """Choose the number of workers; see `SOAPTransformer`."""
        if n_chunks <= 1 or self.n_jobs == 1 or one_of_many():
            return 1
        if self.n_jobs is not None:
            return self.n_jobs
        if (asked := parallel.active_jobs()) is not None:
            return asked
        return min(count_threads(), n_chunks)


def _rows(molecules: Molecules, chunk: slice) -> slice:
    return slice(int(molecules.offsets[chunk.start]), int(molecules.offsets[chunk.stop]))


def _check_finite(arrays: Iterable[FloatArray], molecules: Molecules) -> None:
    """Every atom has a descriptor; one without is NaN throughout."""
    for scale, array in enumerate(arrays):
        bad = np.isnan(array[:, 0])
        if bad.any():
            atom = Locator(molecules.names, molecules.offsets).atom(int(np.argmax(bad)))
            raise InputError(
                f"scale{scale}: {atom} has no finite, non-zero descriptor, nor have "
                f"{int(bad.sum()) - 1} other atoms. Change r_cut, sigma or n_max of this scale."
            )
