"""Describing many molecules: chunks, processes, a cache, a progress bar.

Symbols: n atoms in all, scale s with d_s columns. A chunk is a run of molecules of about
`CHUNK_ATOMS` atoms; each molecule is computed on its own, so that neither chunks nor processes
change a bit of the result. What is computed for a chunk is not here (`soap.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from . import _tasks
from ._checks import Locator
from ._shared import SharedArray
from .exceptions import InputError
from .features import check_memory, cut, forecast_bytes
from .molecules import Molecules

CHUNK_ATOMS = 512
# Starting processes and importing dscribe in them costs seconds: less work is done here.
PARALLEL_SECONDS = 6.0
_PROBE_MOLECULES = 4

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class SOAPDescriber:
    """Computes the descriptors of molecules at several scales.

    Parameters
    ----------
    calculate : callable
        ``calculate(numbers, positions, offsets, species, parameters)`` returns the rows of some
        molecules at one scale, of unit length, NaN where there is no descriptor. Importable.
    species : tuple of int
        Atomic numbers, sorted.
    parameters : tuple of tuple
        Arguments of `calculate` for each scale.
    widths : tuple of int
        Columns of each scale.
    weights : tuple of float
        Weight of each scale in the kernel.
    n_jobs : int, default=None
        None chooses by the amount of work, see `SOAPTransformer`.
    memory : joblib.Memory, default=None
        Keeps the rows of each chunk and scale.
    verbose : bool or "auto", default=False
    work_atoms : int, default=0
        Atoms that will be described in all, where this comes block by block.
    """

    calculate: Callable[..., FloatArray] = field(compare=False)
    species: tuple[int, ...]
    parameters: tuple[tuple[Any, ...], ...]
    widths: tuple[int, ...]
    weights: tuple[float, ...]
    n_jobs: int | None = field(default=None, compare=False)
    memory: joblib.Memory | None = field(default=None, compare=False)
    verbose: bool | str = field(default=False, compare=False)
    work_atoms: int = field(default=0, compare=False)
    # Seconds an atom, once measured: later blocks of a set need no second probe.
    _rate: list[float] = field(default_factory=list, compare=False, repr=False)

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
        n_jobs = self._count_jobs(molecules, len(chunks))
        shapes = [(molecules.n_atoms, width) for width in self.widths]
        outputs = [SharedArray(shape, shared=n_jobs != 1) for shape in shapes]
        try:
            self._fill(molecules, chunks, outputs, n_jobs)
        finally:
            arrays = tuple(output.close() for output in outputs)
        _check_finite(arrays, molecules)
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
        results = zip(outputs, self._compute(molecules), strict=True)
        return rows, [None if output.write(rows, values) else values for output, values in results]

    def _compute(self, molecules: Molecules, cached: bool = True) -> Iterator[FloatArray]:
        calculate = self.calculate
        if cached and self.memory is not None:
            calculate = self.memory.cache(calculate)
        geometry = molecules.numbers, molecules.positions, molecules.offsets
        return (calculate(*geometry, self.species, scale) for scale in self.parameters)

    def _fill(
        self, molecules: Molecules, chunks: list[slice], outputs: list[SharedArray], n_jobs: int
    ) -> None:
        tasks = [
            joblib.delayed(self.describe_chunk)(molecules[chunk], _rows(molecules, chunk), outputs)
            for chunk in chunks
        ]
        with _tasks.progress("descriptors", len(chunks), self.verbose) as advance:
            for rows, sent in _tasks.run(tasks, n_jobs):
                for output, values in zip(outputs, sent, strict=True):
                    if values is not None:
                        output.write(rows, values)
                advance()

    def _count_jobs(self, molecules: Molecules, n_chunks: int) -> int:
        """Choose the number of processes; see `SOAPTransformer`."""
        if n_chunks <= 1 or self.n_jobs == 1:
            return 1
        if self.n_jobs is not None:
            return self.n_jobs
        if (asked := _tasks.active_jobs()) is not None:
            return asked
        return -1 if self._forecast_seconds(molecules) > PARALLEL_SECONDS else 1

    def _forecast_seconds(self, molecules: Molecules) -> float:
        """Time that one process would take."""
        if not self._rate:
            probe = molecules[:_PROBE_MOLECULES]
            list(self._compute(probe[:1], cached=False))  # loads what is needed
            start = time.perf_counter()
            list(self._compute(probe, cached=False))
            self._rate.append((time.perf_counter() - start) / probe.n_atoms)
        return self._rate[0] * max(molecules.n_atoms, self.work_atoms)


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
