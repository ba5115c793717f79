"""One method over many molecules: blocks, processes, a cache of results, a count of failures.

Symbols: N molecules, n atoms in all; dipoles (N, 3) in debye about the centres of mass, charges
(n,) in e, NaN where a molecule could not be calculated. The methods themselves, which calculate
one molecule, are not here (`xtb.py`, `mean_field.py`).
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_memory

from ..data.molecules import Molecules
from ..exceptions import MissingDependencyError
from ..support import parallel
from ..support.blas_threads import one_thread

__all__ = [
    "BlockResults",
    "Calculated",
    "Calculation",
    "CalculationError",
    "MemoryLike",
    "Method",
    "calculate",
    "calculate_block",
    "calculation_key",
    "geometry",
    "warn_failures",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# A cache of results on disk: the folder, or joblib's object for it.
MemoryLike: TypeAlias = joblib.Memory | str | os.PathLike[str]

BLOCK_MOLECULES = 64
# Starting processes takes seconds: less work than this, in seconds, is done in this process.
PARALLEL_SECONDS = 4.0
# Results kept in this process: folds and searches need the same molecules again.
REMEMBERED_MOLECULES = 100_000
# Failed molecules that a warning names.
NAMED_FAILURES = 5


class CalculationError(Exception):
    """One molecule could not be calculated; the message is the reason. The others go on."""


@dataclass(frozen=True)
class Calculation:
    """The result for one molecule.

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
    """A calculation of one molecule.

    It is sent to other processes, and its repr is part of the keys of the cache.
    """

    def calculate(
        self, numbers: IntArray, positions: FloatArray, total_charge: float
    ) -> Calculation:
        """Calculate, or raise `CalculationError`."""


@dataclass(frozen=True)
class Calculated:
    """The results for N molecules.

    Parameters
    ----------
    dipole : ndarray of shape (n_molecules, 3), debye
        NaN where the calculation failed.
    charges : ndarray of shape (n_atoms,), e
        NaN where the calculation failed.
    failures : dict
        Reason of each failure, by index of the molecule.
    quadrupole : ndarray of shape (n_molecules, 3, 3), debye*angstrom
        NaN where the calculation failed or the method gives none.
    """

    dipole: FloatArray
    charges: FloatArray
    failures: dict[int, str]
    quadrupole: FloatArray


class _Recent:
    """Results of the latest molecules, by method and geometry; the oldest are dropped."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.results: OrderedDict[bytes, Calculation] = OrderedDict()

    def add(self, key: bytes, result: Calculation) -> None:
        self.results[key] = result
        while len(self.results) > self.size:
            self.results.popitem(last=False)


BlockResults: TypeAlias = list[Calculation | str]

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
        Keeps results on disk, block by block.
    verbose : bool or "auto", default="auto"
        Whether to show a progress bar; ``"auto"`` on a terminal only.
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
    blocks = _cut(missing)
    run = _calculator(memory)
    n_jobs = _count_jobs(method, molecules, missing, n_jobs)
    tasks = [
        joblib.delayed(_numbered)(index, run, method, *geometry(molecules, block))
        for index, block in enumerate(blocks)
    ]
    with parallel.progress(what, len(blocks), verbose) as advance:
        for index, results in parallel.run(tasks, n_jobs):
            for molecule, result in zip(blocks[index].tolist(), results, strict=True):
                if isinstance(result, str):
                    failures[molecule] = result
                else:
                    known[keys[molecule]] = result
                    _RECENT.add(keys[molecule], result)
            advance()
    return _gather(molecules, [known.get(key) for key in keys], dict(sorted(failures.items())))


def calculate_block(
    method: Method,
    numbers: IntArray,
    positions: FloatArray,
    offsets: IntArray,
    total_charge: FloatArray,
) -> BlockResults:
    """Calculate some molecules one by one; a failure leaves its reason in place of a result."""
    pieces = zip(offsets[:-1].tolist(), offsets[1:].tolist(), total_charge.tolist(), strict=True)
    # Molecules are small and many: several threads for one molecule only wait for each other.
    with one_thread():
        return [
            _one(method, numbers[start:stop], positions[start:stop], charge)
            for start, stop, charge in pieces
        ]


def warn_failures(what: str, molecules: Molecules, failed: Iterable[int], outcome: str) -> None:
    """Give one warning for all molecules that have no result.

    Parameters
    ----------
    what : str
        Beginning of the message: what failed.
    molecules : Molecules
    failed : iterable of int
        Indices of these molecules; without any there is no warning.
    outcome : str
        End of the message: what happens to these molecules.
    """
    indices = [int(index) for index in failed]
    if not indices:
        return
    names = ", ".join(f"{index} ({molecules.names[index]})" for index in indices[:NAMED_FAILURES])
    more = f" and {len(indices) - NAMED_FAILURES} more" if len(indices) > NAMED_FAILURES else ""
    warnings.warn(
        f"{what} for {len(indices)} of {len(molecules)} molecules: {names}{more}. {outcome}",
        stacklevel=3,
    )


def _one(
    method: Method, numbers: IntArray, positions: FloatArray, charge: float
) -> Calculation | str:
    try:
        return method.calculate(numbers, positions, charge)
    except CalculationError as error:
        return str(error)
    except MissingDependencyError:
        raise
    # Whatever a program raises for one molecule, the others go on.
    except Exception as error:
        lines = str(error).splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _numbered(
    index: int,
    run: Callable[..., BlockResults],
    method: Method,
    *arrays: FloatArray | IntArray,
) -> tuple[int, BlockResults]:
    """Return the results of a block with its number: blocks end in any order."""
    return index, run(method, *arrays)


def _calculator(memory: MemoryLike | None) -> Callable[..., BlockResults]:
    """`calculate_block`, with a cache on disk where there is a folder for it."""
    if memory is None:
        return calculate_block
    folder = os.fspath(memory) if isinstance(memory, os.PathLike) else memory
    cached: Callable[..., BlockResults] = check_memory(folder).cache(calculate_block)
    return cached


def _cut(index: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [index[i : i + BLOCK_MOLECULES] for i in range(0, len(index), BLOCK_MOLECULES)]


def geometry(
    molecules: Molecules, block: NDArray[np.intp]
) -> tuple[IntArray, FloatArray, IntArray, FloatArray]:
    """Return numbers, positions, offsets and total charges of the molecules of a block."""
    part = molecules[block]
    return part.numbers, part.positions, part.offsets, part.total_charge


def calculation_key(method: Method, molecules: Molecules, index: int) -> bytes:
    """Return the key of a calculation: a hash of method, geometry and total charge."""
    atoms = slice(int(molecules.offsets[index]), int(molecules.offsets[index + 1]))
    digest = hashlib.blake2b(repr(method).encode(), digest_size=16)
    for values in (molecules.numbers[atoms], molecules.positions[atoms]):
        digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(molecules.total_charge[index].tobytes())
    return digest.digest()


def _count_jobs(
    method: Method, molecules: Molecules, missing: NDArray[np.intp], n_jobs: int | None
) -> int:
    if len(missing) <= BLOCK_MOLECULES or n_jobs == 1:
        return 1
    if n_jobs is not None:
        return n_jobs
    if (asked := parallel.active_jobs()) is not None:
        return asked
    # Measured on four molecules: is there enough work for processes?
    probe = missing[:: max(len(missing) // 4, 1)][:4]
    calculate_block(method, *geometry(molecules, probe[:1]))  # the first call imports the program
    start = time.perf_counter()
    calculate_block(method, *geometry(molecules, probe))
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
