"""Checked molecules from the records of a file; bad records are found and named.

Records are columns here (`record_columns.py`), whose arrays become those of `Molecules`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ...exceptions import InputError
from ..bad_records import BadRecord, describe, find_refused, refuse
from ..dipole_origin import warn_origin
from ..molecules import Molecules
from ..read_notes import NO_NOTES, ReadNotes
from .record_columns import RecordColumns

# Characters of a name: the names of all molecules are kept in one array, which has room for the
# longest one in every place.
_LONGEST_NAME = 250


def assemble(
    records: RecordColumns,
    source_keys: Iterable[str],
    notes: ReadNotes = NO_NOTES,
    skip_invalid: bool = False,
    unread: Sequence[BadRecord] = (),
    may_be_empty: bool = False,
) -> Molecules:
    """Build checked molecules from records; errors name the record's place in the files.

    Arrays are shared with the columns, which cannot grow any more.

    Parameters
    ----------
    records : RecordColumns
        Those that are bad are dropped from it.
    source_keys : iterable of str
        Keys found in the files.
    notes : ReadNotes, default=NO_NOTES
    skip_invalid : bool, default=False
        Leave out bad records; `ReadNotes` then names them. Else they are an error.
    unread : sequence of BadRecord, default=()
        Records that could not be read.
    may_be_empty : bool, default=False
        Whether bad records alone are no error, where they are left out.

    Raises
    ------
    FileFormatError, InputError
        If a record is bad and `skip_invalid` is not set, or all of them are.
    """
    n_records, keys, bad = len(records) + len(unread), list(source_keys), list(unread)
    molecules = _attempt(records, keys, notes)
    if isinstance(molecules, InputError):
        refused = _refused(records)
        if not refused:
            raise molecules
        bad = sorted([*unread, *refused.values()])
        if not skip_invalid:
            raise refuse(bad, n_records) from molecules
        usable = [place for place in range(len(records)) if place not in refused]
        records.take(np.array(usable, dtype=np.intp))
        molecules = _assemble(records, keys, notes)
    if bad and (not skip_invalid or (len(bad) == n_records and not may_be_empty)):
        raise refuse(bad, n_records)
    if bad:
        sentence = f"{describe(bad, n_records)}: left out."
        molecules = molecules.with_notes(replace(notes.also([sentence]), bad=tuple(bad)))
    warn_origin(molecules)
    return molecules


def _attempt(
    records: RecordColumns, source_keys: Sequence[str], notes: ReadNotes
) -> Molecules | InputError:
    """Return molecules, or the error without its traceback, which keeps all arrays in memory."""
    try:
        return _assemble(records, source_keys, notes)
    except InputError as error:
        return error.with_traceback(None)


def _refused(records: RecordColumns) -> dict[int, BadRecord]:
    """Find the records that cannot become molecules, by place."""

    def attempt(start: int, stop: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the usable ones are assembled once more
            _assemble(records, (), NO_NOTES, start, stop)

    found = {}
    for place, error in find_refused(len(records), attempt).items():
        row = place if records.rows[place] < 0 else records.rows[place]
        where = f"{records.places[place]}: " if records.places[place] else ""
        reason = str(error).replace("molecule 0 (", f"molecule {row} (")
        found[place] = BadRecord(row, records.names[place], f"{where}{reason}")
    return found


def _assemble(
    records: RecordColumns,
    source_keys: Iterable[str],
    notes: ReadNotes,
    start: int = 0,
    stop: int | None = None,
) -> Molecules:
    """Make molecules of the records of these places, all by default."""
    stop = len(records) if stop is None else stop
    if records.names.longest > _LONGEST_NAME:
        for place in range(start, stop):
            _check_name(records.names[place])
    fields = records.fields(start, stop)
    return Molecules.of_new_arrays(**fields, source_keys=tuple(source_keys), notes=notes)


def _check_name(name: str) -> None:
    if len(name) > _LONGEST_NAME:
        raise InputError(
            f"the name {name!r:.40}... has {len(name):,} characters: expected at most "
            f"{_LONGEST_NAME}. Shorten it."
        )
