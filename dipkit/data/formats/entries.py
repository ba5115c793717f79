"""One molecule as a file holds it, before its labels are understood.

Readers of files yield entries, one after another; `AtomsReader` in `ase_atoms.py` turns them into
records and collects the keys that occur.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ase import Atoms

from ...exceptions import InputError
from ..declared_units import DeclaredUnits, fixed_units
from ..read_options import ReadOptions
from ..total_charge import TotalCharges
from .records import Record


@dataclass(frozen=True, slots=True)
class Context:
    """What the readers of all files of one call share."""

    options: ReadOptions
    total_charges: TotalCharges
    units: DeclaredUnits

    def fixed_units(self, what: str) -> tuple[str, ...]:
        """Return the note about files of fixed units; refuse another unit of the user."""
        notes = fixed_units(self.options, what)
        if notes.dipole_unit is not None:
            self.units.dipole_units[notes.dipole_unit] = None
        return notes.assumed


@dataclass(slots=True)
class Entry:
    """Atoms whose labels are still to be found, a record whose labels are known, or an error."""

    content: Atoms | Record | InputError
    """The error is the reason why this molecule cannot be read; others follow."""
    where: str
    """The file, and the line or member, for messages."""
    stem: str = ""
    """Stem of the file."""
    name: str = ""
    """Name of a molecule that has no title."""
    keys: tuple[str, ...] = ()
    """Keys of the labels of a record, found in the file."""
    values: Mapping[str, object] = field(default_factory=dict)
    """What stands under the keys of a record, where it may be proposed as a label."""
    notes: tuple[str, ...] = ()
    """Sentences about what was assumed or left unread."""
    order: int | None = None
    """Place among the molecules of a folder or an archive, where all of them have one."""


def with_errors(entries: Iterator[Entry], where: str) -> Iterator[Entry]:
    """Yield entries; an error of their reader, which ends it, becomes the last entry."""
    try:
        yield from entries
    except InputError as error:
        yield Entry(error, where)
