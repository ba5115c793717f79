"""Work of `dipkit label`: calculate, keep finished molecules in a journal, write the file.

Symbols: N molecules; dipoles in debye, quadrupoles in debye*angstrom, charges in e. The methods are
in `labels.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import joblib
import numpy as np
from numpy.typing import NDArray

from ..data.io import write
from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support import parallel
from ..support.files import PathLike
from ..support.validation import check_jobs
from .calculation import (
    BLOCK_MOLECULES,
    Calculation,
    Method,
    calculate_block,
    calculation_key,
    geometry,
)
from .journal import Entry, Journal
from .labels import check_electrons
from .mean_field import MeanField
from .xtb import GFN2

__all__ = ["Labelled", "label", "label_file"]

_NO_QUADRUPOLE = np.full((3, 3), np.nan)


@dataclass(frozen=True)
class Labelled:
    """Molecules with new labels, and those that have none.

    Parameters
    ----------
    molecules : Molecules
        Those that were calculated, with dipoles, quadrupoles and charges of the method alone.
    failures : dict
        Reason, by name, for each molecule that is left out.
    resumed : int
        Number of molecules that an earlier run had finished.
    """

    molecules: Molecules
    failures: dict[str, str]
    resumed: int


def label_file(
    molecules: Molecules, method: GFN2 | MeanField, output: PathLike, n_jobs: int = -1
) -> Labelled:
    """Label molecules and write them, with the origin of the labels.

    Parameters
    ----------
    molecules : Molecules
        Labels that they carry are not kept.
    method : GFN2 or MeanField
    output : str or path
        A file that `dipkit.write` can write. Until it is complete there is a journal next to it.
    n_jobs : int, default=-1
        Processes, one thread each; -1 for all cores.

    Returns
    -------
    Labelled

    Raises
    ------
    InputError
        If the method does not fit the molecules, or another process writes this output, before
        anything is calculated; or if no molecule could be calculated.
    """
    check_jobs("n_jobs", n_jobs)
    method.check(molecules.elements)
    check_electrons(molecules, method.unpaired)
    with Journal(output) as journal:
        result = label(molecules, method, journal, n_jobs)
        if not len(result.molecules):
            reason = next(iter(result.failures.values()))
            raise InputError(f"label: no molecule could be calculated; the first: {reason}.")
        write(output, result.molecules, info=method.provenance())
        journal.remove()
    return result


def label(
    molecules: Molecules, method: GFN2 | MeanField, journal: Journal, n_jobs: int = -1
) -> Labelled:
    """Calculate the molecules that are not in the journal yet; see `label_file`."""
    # Results of another version of the program do not count: the output names one version.
    origin = " ".join(method.provenance().values())
    keys = [
        f"{origin} {calculation_key(method, molecules, index).hex()}"
        for index in range(len(molecules))
    ]
    left = np.flatnonzero([key not in journal.entries for key in keys]).tolist()
    # GFN2-xTB takes milliseconds: few molecules are done before processes have started.
    if isinstance(method, GFN2) and len(left) <= BLOCK_MOLECULES:
        n_jobs = 1
    with parallel.progress("labels", len(left), "auto") as advance:
        for index, result in _run(method, molecules, left, n_jobs):
            journal.append(keys[index], _entry(result))
            advance()
    return _collect(molecules, [journal.entries[key] for key in keys], len(molecules) - len(left))


def _run(
    method: GFN2 | MeanField, molecules: Molecules, left: list[int], n_jobs: int
) -> Iterator[tuple[int, Calculation | str]]:
    """Calculate molecules one by one, so that a kill loses only those in work."""
    tasks = [
        joblib.delayed(_of_one)(index, method, *geometry(molecules, np.array([index])))
        for index in left
    ]
    return parallel.run(tasks, n_jobs if len(left) > 1 else 1, one_by_one=True)


def _of_one(
    index: int,
    method: Method,
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    offsets: NDArray[np.int64],
    total_charge: NDArray[np.float64],
) -> tuple[int, Calculation | str]:
    [result] = calculate_block(method, numbers, positions, offsets, total_charge)
    return index, result


def _entry(result: Calculation | str) -> Entry:
    if isinstance(result, str):
        return {"error": result}
    entry = {"dipole": result.dipole.tolist(), "charges": result.charges.tolist()}
    if result.quadrupole is not None:
        entry["quadrupole"] = result.quadrupole.tolist()
    return entry


def _collect(molecules: Molecules, entries: list[Entry], resumed: int) -> Labelled:
    done = np.array(["error" not in entry for entry in entries], dtype=bool)
    failures = {
        str(name): entry["error"]
        for name, entry in zip(molecules.names, entries, strict=True)
        if "error" in entry
    }
    kept = molecules[done]
    good = [entry for entry in entries if "error" not in entry]
    if good:
        kept = kept.replace(
            dipole_magnitude=None,
            dipole_vector=np.array([entry["dipole"] for entry in good]),
            charges=np.concatenate([entry["charges"] for entry in good]),
            # Not every method gives one.
            quadrupole=np.array([entry.get("quadrupole", _NO_QUADRUPOLE) for entry in good]),
        )
    return Labelled(kept, failures, resumed)
