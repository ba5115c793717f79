"""Work of `dipkit label`: calculate, keep finished molecules in a journal, write the file.

Symbols: N molecules; dipoles in debye, quadrupoles in debye*angstrom, charges in e. The methods are
in `labels.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import joblib
import numpy as np
from numpy.typing import NDArray

from ..data.io import write
from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support import parallel
from ..support.files import PathLike
from .calculation import (
    BLOCK_MOLECULES,
    NAMED_FAILURES,
    BlockResults,
    Calculation,
    Method,
    calculate_block,
    calculation_key,
    geometry,
)
from .journal import Entry, Journal
from .labels import methods_of, unfit
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
    reasons : tuple of str or None
        For each molecule that was given, why it is left out.
    """

    molecules: Molecules
    failures: dict[str, str]
    resumed: int
    reasons: tuple[str | None, ...] = ()


def label_file(
    molecules: Molecules,
    method: GFN2 | MeanField,
    output: PathLike,
    n_jobs: int = -1,
    strict: bool = False,
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
        Processes, one thread each.
    strict : bool, default=False
        Refuse all molecules where one of them cannot be calculated; else it is left out, with a
        warning.

    Returns
    -------
    Labelled

    Raises
    ------
    InputError
        If there is no such method, or it fits none of the molecules, before anything is calculated;
        if no molecule could be calculated; if one could not and `strict` is set.
    """
    method.check(molecules.elements[:0])
    reasons = unfit(molecules, method)
    if len(reasons) == len(molecules) or (strict and reasons):
        raise InputError(f"label: {_counted(molecules, reasons)}")
    with Journal(output) as journal:
        result = label(molecules, method, journal, n_jobs, reasons)
        failed = {index: text for index, text in enumerate(result.reasons) if text is not None}
        if not len(result.molecules) or (strict and failed):
            raise InputError(f"label: {_counted(molecules, failed)}")
        if failed:
            warnings.warn(f"label: {_counted(molecules, failed)}", stacklevel=2)
        write(output, result.molecules, info=method.provenance(result.molecules.elements))
        journal.remove()
    return result


def _counted(molecules: Molecules, reasons: Mapping[int, str]) -> str:
    """Count failures and name the first few, with the reason of each."""
    named = [
        f"molecule {index} ({molecules.names[index]}): {reason}"
        for index, reason in list(reasons.items())[:NAMED_FAILURES]
    ]
    more = len(reasons) - len(named)
    end = f"; and {more} more" if more else ""
    return (
        f"{len(reasons)} of {len(molecules)} molecules cannot be calculated: "
        f"{'; '.join(named)}{end}."
    )


def label(
    molecules: Molecules,
    method: GFN2 | MeanField,
    journal: Journal,
    n_jobs: int = -1,
    unfit: Mapping[int, str] | None = None,
) -> Labelled:
    """Calculate the molecules that are not in the journal yet; see `label_file`.

    `unfit` has the reason for each molecule that is not to be calculated.
    """
    unfit = unfit or {}
    methods = methods_of(molecules, method)
    keys = [_key(molecules, index, own) for index, own in enumerate(methods)]
    left = [
        index for index, key in enumerate(keys) if key not in journal.entries and index not in unfit
    ]
    blocks = _blocks(left, methods)
    with parallel.progress("labels", len(blocks), "auto") as advance:
        for block, results in _run(methods, molecules, blocks, n_jobs):
            for index, result in zip(block.tolist(), results, strict=True):
                journal.append(keys[index], _entry(result))
            advance()
    entries = [
        {"error": unfit[index]} if index in unfit else journal.entries[key]
        for index, key in enumerate(keys)
    ]
    return _collect(molecules, entries, len(molecules) - len(left) - len(unfit))


def _key(molecules: Molecules, index: int, method: GFN2 | MeanField) -> str:
    """Key of the journal: results of another program, version or core potential do not count."""
    atoms = slice(int(molecules.offsets[index]), int(molecules.offsets[index + 1]))
    origin = " ".join(method.provenance(np.unique(molecules.numbers[atoms])).values())
    return f"{origin} {calculation_key(method, molecules, index).hex()}"


def _blocks(left: Sequence[int], methods: Sequence[GFN2 | MeanField]) -> list[NDArray[np.intp]]:
    """Group molecules of one method, that is of one multiplicity."""
    groups: dict[GFN2 | MeanField, list[int]] = {}
    for index in left:
        groups.setdefault(methods[index], []).append(index)
    # GFN2-xTB takes milliseconds, less than sending a molecule to a process; a density functional
    # takes seconds.
    return [
        np.array(group[start : start + size], dtype=np.intp)
        for method, group in groups.items()
        for size in (BLOCK_MOLECULES if isinstance(method, GFN2) else 1,)
        for start in range(0, len(group), size)
    ]


def _run(
    methods: Sequence[GFN2 | MeanField],
    molecules: Molecules,
    blocks: list[NDArray[np.intp]],
    n_jobs: int,
) -> Iterator[tuple[NDArray[np.intp], BlockResults]]:
    tasks = [
        joblib.delayed(_of_block)(block, methods[block[0]], *geometry(molecules, block))
        for block in blocks
    ]
    return parallel.run(tasks, n_jobs if len(blocks) > 1 else 1)


def _of_block(
    block: NDArray[np.intp],
    method: Method,
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    offsets: NDArray[np.int64],
    total_charge: NDArray[np.float64],
) -> tuple[NDArray[np.intp], BlockResults]:
    return block, calculate_block(method, numbers, positions, offsets, total_charge)


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
    reasons = tuple(entry.get("error") for entry in entries)
    return Labelled(kept, failures, resumed, reasons)
