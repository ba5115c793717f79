"""Molecules from flat arrays, without those that cannot be used.

Symbols: N molecules, n atoms in all, offsets (N+1,). Records of other formats are put together in
`assembly.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...exceptions import InputError
from ..bad_records import BadRecord, describe, find_refused, refuse
from ..molecules import Molecules
from ..read_notes import NO_NOTES, ReadNotes

_PER_ATOM = ("numbers", "positions", "charges", "baseline_charges", "descriptor_charges")
_WHOLE = ("source_keys", "notes")


def molecules_of_arrays(
    fields: Mapping[str, Any], offsets: NDArray[np.int64], notes: ReadNotes, skip_invalid: bool
) -> Molecules:
    """Build checked molecules from arrays.

    Parameters
    ----------
    fields : mapping
        Arguments of `Molecules` but ``offsets`` and ``notes``; None where absent. Nobody else may
        hold the arrays.
    offsets : ndarray of shape (n_molecules + 1,)
    notes : ReadNotes
    skip_invalid : bool
        Leave out molecules that cannot be used; else they are an error.

    Raises
    ------
    InputError
        If arrays do not fit together, or a molecule cannot be used.
    """
    try:
        return Molecules.of_new_arrays(**fields, offsets=offsets, notes=notes)
    except InputError:
        if not _fit_together(fields, offsets):
            raise
    n, names = len(offsets) - 1, fields["names"]

    def attempt(start: int, stop: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the usable ones are checked once more
            _select(fields, offsets, np.arange(start, stop), NO_NOTES)

    bad = [
        BadRecord(
            row,
            "" if names is None else str(names[row]),
            str(error).replace("molecule 0 (", f"molecule {row} ("),
        )
        for row, error in find_refused(n, attempt).items()
    ]
    if not skip_invalid or len(bad) == n:
        raise refuse(bad, n)
    usable = np.setdiff1d(np.arange(n), [one.row for one in bad])
    notes = replace(notes.also([f"{describe(bad, n)}: left out."]), bad=tuple(bad))
    return _select(fields, offsets, usable, notes)


def _fit_together(fields: Mapping[str, Any], offsets: NDArray[np.int64]) -> bool:
    """Whether each array has a row for each molecule or atom, and no molecule is empty."""
    sizes = {True: int(offsets[-1]), False: len(offsets) - 1}
    rows = {name: value for name, value in fields.items() if name not in _WHOLE}
    return bool((np.diff(offsets) > 0).all()) and all(
        value is None or (np.ndim(value) > 0 and len(value) == sizes[name in _PER_ATOM])
        for name, value in rows.items()
    )


def _select(
    fields: Mapping[str, Any],
    offsets: NDArray[np.int64],
    index: NDArray[np.int64],
    notes: ReadNotes,
) -> Molecules:
    pieces = [np.arange(offsets[i], offsets[i + 1]) for i in index]
    atoms = np.concatenate(pieces)
    rows: dict[str, Any] = {
        name: value
        if value is None or name in _WHOLE
        else np.asarray(value)[atoms if name in _PER_ATOM else index]
        for name, value in fields.items()
    }
    natoms = np.diff(offsets)[index]
    offsets = np.concatenate(([0], np.cumsum(natoms)))
    return Molecules.of_new_arrays(**rows, offsets=offsets, notes=notes)
