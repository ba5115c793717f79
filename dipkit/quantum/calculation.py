"""Quantum-chemical calculations of many molecules: chunks, processes, a cache, failures counted.

Symbols: N molecules, n atoms in all; dipoles (N, 3) in debye about the centres of mass, charges
(n,) in e, NaN where a molecule could not be calculated. What is calculated for one molecule is
not here (`labels.py`).
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_memory

from ..data.molecules import Molecules
from ..support import parallel
from ..support.blas_threads import one_thread

__all__ = [
    "Calculated",
    "Calculation",
    "CalculationError",
    "MemoryLike",
    "Method",
    "calculate",
    "calculate_chunk",
    "calculation_key",
    "geometry",
    "warn_failures",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# What names a cache of results on disk.
MemoryLike: TypeAlias = joblib.Memory | str | os.PathLike[str]

CHUNK_MOLECULES = 64
# Starting processes costs seconds: less work is done here.
PARALLEL_SECONDS = 4.0
# Results kept in this process: folds, searches and `evaluate` ask for the same molecules again.
REMEMBERED_MOLECULES = 100_000
# Failed molecules that a warning names.
NAMED_FAILURES = 5


class CalculationError(Exception):
    """One molecule could not be calculated; the message says why. The others go on."""


@dataclass(frozen=True)
class Calculation:
    """What is known of one molecule.

    Parameters
    ----------
    dipole : ndarray of shape (3,), debye
        About the centre of mass.
    charges : ndarray of shape (n,), e
    quadrupole : ndarray of shape (3, 3), debye*angstrom, default=None
        Traceless, in Buckingham's convention, about the centre of mass; None where it is not known.
    """

    dipole: FloatArray
    charges: FloatArray
    quadrupole: FloatArray | None = None


class Method(Protocol):
    """A calculation of one molecule; it is hashed and sent to other processes."""

    def calculate(
        self, numbers: IntArray, positions: FloatArray, total_charge: float
    ) -> Calculation:
        """Calculate, or raise `CalculationError`."""


@dataclass(frozen=True)
class Calculated:
    """What is known of N molecules.

    Parameters
    ----------
    dipole : ndarray of shape (n_molecules, 3), debye
        NaN where the calculation failed.
    charges : ndarray of shape (n_atoms,), e
        NaN where the calculation failed.
    failures : dict
        Reason, by position of the molecule.
    quadrupole : ndarray of shape (n_molecules, 3, 3), debye*angstrom
        NaN where the calculation failed or tells none.
    """

    dipole: FloatArray
    charges: FloatArray
    failures: dict[int, str]
    quadrupole: FloatArray


class _Recent:
    """The results of the last molecules, by geometry."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.results: OrderedDict[bytes, Calculation] = OrderedDict()

    def add(self, key: bytes, result: Calculation) -> None:
        self.results[key] = result
        while len(self.results) > self.size:
            self.results.popitem(last=False)


_RECENT = _Recent(REMEMBERED_MOLECULES)


def calculate(
    method: Method,
    molecules: Molecules,
    n_jobs: int | None = None,
    memory: MemoryLike | None = None,
    verbose: bool | str = "auto",
    what: str = "calculations",
) -> Calculated:
    """Calculate all molecules, each in one thread.

    Parameters
    ----------
    method : Method
    molecules : Molecules
    n_jobs : int, default=None
        Processes; None takes all cores where the work is worth it.
    memory : joblib.Memory, str or path, default=None
        Keeps results on disk, chunk by chunk.
    verbose : bool or "auto", default="auto"
        Whether to show a bar; ``"auto"`` on a terminal only.
    what : str, default="calculations"
        Name of the bar.

    Returns
    -------
    Calculated
    """
    keys = [calculation_key(method, molecules, index) for index in range(len(molecules))]
    missing = np.flatnonzero([key not in _RECENT.results for key in keys])
    known = {key: _RECENT.results[key] for key in keys if key in _RECENT.results}
    failures: dict[int, str] = {}
    chunks = _cut(missing)
    run = _calculator(memory)
    n_jobs = _count_jobs(method, molecules, missing, n_jobs)
    tasks = [joblib.delayed(run)(method, *geometry(molecules, chunk)) for chunk in chunks]
    tasks = [joblib.delayed(_numbered)(index, task) for index, task in enumerate(tasks)]
    with parallel.progress(what, len(chunks), verbose) as advance:
        for index, results in parallel.run(tasks, n_jobs):
            for molecule, result in zip(chunks[index].tolist(), results, strict=True):
                if isinstance(result, str):
                    failures[molecule] = result
                else:
                    known[keys[molecule]] = result
                    _RECENT.add(keys[molecule], result)
            advance()
    return _gather(molecules, [known.get(key) for key in keys], dict(sorted(failures.items())))


def calculate_chunk(
    method: Method,
    numbers: IntArray,
    positions: FloatArray,
    offsets: IntArray,
    total_charge: FloatArray,
) -> list[Calculation | str]:
    """Calculate some molecules one by one; a failure leaves its reason in place of a result."""
    pieces = zip(offsets[:-1].tolist(), offsets[1:].tolist(), total_charge.tolist(), strict=True)
    # Molecules are small and many: one thread each, or they wait for each other.
    with one_thread():
        return [
            _one(method, numbers[start:stop], positions[start:stop], charge)
            for start, stop, charge in pieces
        ]


def warn_failures(what: str, molecules: Molecules, failed: Any, outcome: str) -> None:
    """Warn once of all molecules that have no result.

    Parameters
    ----------
    what : str
        What failed.
    molecules : Molecules
    failed : sequence of int
        Positions of the molecules at fault; nothing happens where there are none.
    outcome : str
        What becomes of them.
    """
    failed = [int(index) for index in failed]
    if not failed:
        return
    names = ", ".join(f"{index} ({molecules.names[index]})" for index in failed[:NAMED_FAILURES])
    more = f" and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else ""
    warnings.warn(
        f"{what} for {len(failed)} of {len(molecules)} molecules: {names}{more}. {outcome}",
        stacklevel=3,
    )


def _one(
    method: Method, numbers: IntArray, positions: FloatArray, charge: float
) -> Calculation | str:
    try:
        return method.calculate(numbers, positions, charge)
    except CalculationError as error:
        return str(error)


def _numbered(index: int, task: Any) -> tuple[int, list[Calculation | str]]:
    function, args, kwargs = task
    return index, function(*args, **kwargs)


def _calculator(memory: Any) -> Any:
    if memory is None:
        return calculate_chunk
    return check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory).cache(
        calculate_chunk
    )


def _cut(index: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [index[i : i + CHUNK_MOLECULES] for i in range(0, len(index), CHUNK_MOLECULES)]


def geometry(molecules: Molecules, chunk: Any) -> tuple[Any, ...]:
    """Return what `calculate_chunk` asks of these molecules."""
    part = molecules[chunk]
    return part.numbers, part.positions, part.offsets, part.total_charge


def calculation_key(method: Method, molecules: Molecules, index: int) -> bytes:
    """Name a calculation of a molecule by its method and geometry."""
    atoms = slice(int(molecules.offsets[index]), int(molecules.offsets[index + 1]))
    digest = hashlib.blake2b(repr(method).encode(), digest_size=16)
    for values in (molecules.numbers[atoms], molecules.positions[atoms]):
        digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(molecules.total_charge[index].tobytes())
    return digest.digest()


def _count_jobs(
    method: Method, molecules: Molecules, missing: NDArray[np.intp], n_jobs: int | None
) -> int:
    if len(missing) <= CHUNK_MOLECULES or n_jobs == 1:
        return 1
    if n_jobs is not None:
        return n_jobs
    if (asked := parallel.active_jobs()) is not None:
        return asked
    probe = missing[:: max(len(missing) // 4, 1)][:4]
    calculate_chunk(method, *geometry(molecules, probe[:1]))  # loads what is needed
    start = time.perf_counter()
    calculate_chunk(method, *geometry(molecules, probe))
    seconds = (time.perf_counter() - start) / len(probe)
    return -1 if seconds * len(missing) > PARALLEL_SECONDS else 1


def _gather(
    molecules: Molecules, results: list[Calculation | None], failures: dict[int, str]
) -> Calculated:
    dipole, charges = np.full((len(molecules), 3), np.nan), np.full(molecules.n_atoms, np.nan)
    quadrupole = np.full((len(molecules), 3, 3), np.nan)
    for index, result in enumerate(results):
        if result is not None:
            dipole[index] = result.dipole
            charges[molecules.offsets[index] : molecules.offsets[index + 1]] = result.charges
            if result.quadrupole is not None:
                quadrupole[index] = result.quadrupole
    return Calculated(dipole, charges, failures, quadrupole)
