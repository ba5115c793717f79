"""Tools that readers share: numbers in text, records, molecules from records.

A reader makes one `Record` for each molecule and gives all records to `assemble`. Units are those
of `Molecules`: angstrom, e, debye; None marks a missing value. File formats are not here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError, InputError
from ..bad_records import BadRecord, describe, find_refused, refuse
from ..dipole_origin import warn_origin
from ..molecules import Molecules
from ..read_notes import NO_NOTES, ReadNotes

FloatArray = NDArray[np.float64]

# Characters of a number, and of a name: the names of all molecules are kept in one array, which
# has room for the longest one in every place.
_LONGEST_NUMBER, _LONGEST_NAME = 100, 250


@dataclass(slots=True)
class Record:
    """One molecule as read."""

    numbers: Sequence[int] | NDArray[Any]
    positions: Sequence[Sequence[float]] | NDArray[Any]
    name: str
    total_charge: float = 0.0
    magnitude: float | None = None
    vector: FloatArray | None = None
    charges: Sequence[float] | FloatArray | None = None
    baseline_dipole: FloatArray | None = None
    baseline_charges: FloatArray | None = None
    quadrupole: FloatArray | None = None
    multiplicity: float | None = None
    where: str = ""
    """The file and the line or member, for messages; empty where the reader is told by others."""
    index: int = -1
    """Place among all records of the file or the folder, from 0; -1 is the place in the list."""
    stem: str = ""
    """Stem of the file, by which tables of labels may name the molecule."""

    def pack(self) -> None:
        """Keep one number of each atom in few bytes: all records are in memory at once."""
        numbers = np.array(self.numbers)
        small = numbers.astype(np.uint8)
        # What is no atomic number is refused later, with a message that names it.
        self.numbers = small if np.array_equal(small, numbers) else numbers
        self.positions = np.array(self.positions, dtype=np.float64)
        if self.charges is not None:
            self.charges = np.array(self.charges, dtype=np.float64)


def finite_number(field: str, where: str) -> float:
    """Read a finite number of a text file; `where` names the file and the line."""
    try:
        value = float(field) if len(field) <= _LONGEST_NUMBER else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileFormatError(f"{where}: expected a finite number, got {field!r:.60}.")
    return value


def assemble(
    records: Sequence[Record],
    source_keys: Iterable[str],
    notes: ReadNotes = NO_NOTES,
    skip_invalid: bool = False,
    unread: Sequence[BadRecord] = (),
    may_be_empty: bool = False,
) -> Molecules:
    """Build checked molecules from records; errors name the record's place in the files.

    Parameters
    ----------
    records : sequence of Record
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
    n_records, keys = len(records) + len(unread), list(source_keys)
    try:
        molecules = _assemble(records, keys, notes)
        bad = list(unread)
    except InputError as error:
        refused = _refused(records)
        if not refused:
            raise
        bad = sorted([*unread, *refused.values()])
        if not skip_invalid:
            raise refuse(bad, n_records) from error
        usable = [record for place, record in enumerate(records) if place not in refused]
        molecules = _assemble(usable, keys, notes)
    if bad and (not skip_invalid or (len(bad) == n_records and not may_be_empty)):
        raise refuse(bad, n_records)
    if bad:
        sentence = f"{describe(bad, n_records)}: left out."
        molecules = molecules.with_notes(replace(notes.also([sentence]), bad=tuple(bad)))
    warn_origin(molecules)
    return molecules


def _refused(records: Sequence[Record]) -> dict[int, BadRecord]:
    """Find the records that cannot become molecules, by place."""

    def attempt(start: int, stop: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the usable ones are assembled once more
            _assemble(records[start:stop], (), NO_NOTES)

    found = {}
    for place, error in find_refused(len(records), attempt).items():
        record = records[place]
        row = place if record.index < 0 else record.index
        where = f"{record.where}: " if record.where else ""
        reason = str(error).replace("molecule 0 (", f"molecule {row} (")
        found[place] = BadRecord(row, record.name, f"{where}{reason}")
    return found


def _assemble(records: Sequence[Record], source_keys: Iterable[str], notes: ReadNotes) -> Molecules:
    for record in records:
        if len(record.name) > _LONGEST_NAME:
            raise InputError(
                f"the name {record.name!r:.40}... has {len(record.name):,} characters: expected at "
                f"most {_LONGEST_NAME}. Shorten it."
            )
    lengths = [len(record.numbers) for record in records]
    filled = [record for record in records if len(record.numbers)]
    magnitudes = [np.nan if r.magnitude is None else r.magnitude for r in records]
    return Molecules.of_new_arrays(
        numbers=_concatenate([r.numbers for r in filled], np.zeros(0)),
        positions=_concatenate([r.positions for r in filled], np.zeros((0, 3))),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        names=np.array([r.name for r in records]),
        total_charge=np.array([r.total_charge for r in records]),
        dipole_magnitude=np.array(magnitudes),
        dipole_vector=_stack([r.vector for r in records], (3,)),
        charges=_per_atom([r.charges for r in records], lengths),
        baseline_dipole=_stack([r.baseline_dipole for r in records], (3,)),
        baseline_charges=_per_atom([r.baseline_charges for r in records], lengths),
        source_keys=tuple(source_keys),
        quadrupole=_stack([r.quadrupole for r in records], (3, 3)),
        multiplicity=_numbers_or_none([r.multiplicity for r in records]),
        notes=notes,
    )


def _numbers_or_none(values: Sequence[float | None]) -> Any:
    """NaN where missing, None where none is known."""
    if all(value is None for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values])


def _concatenate(values: Sequence[Any], empty: Any) -> Any:
    return np.concatenate(values) if values else empty


def _stack(values: Sequence[FloatArray | None], shape: tuple[int, ...]) -> Any:
    """Stack arrays of one shape; NaN where missing, None where none is known."""
    if all(value is None for value in values):
        return None
    return np.array([np.full(shape, np.nan) if value is None else value for value in values])


def _per_atom(values: Sequence[Any], lengths: Sequence[int]) -> Any:
    """Concatenate; NaN where missing, None where none is known."""
    if all(value is None for value in values):
        return None
    pairs = zip(values, lengths, strict=True)
    return np.concatenate([np.full(n, np.nan) if v is None else v for v, n in pairs])
