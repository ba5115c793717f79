"""Records of a file as columns: one growing array for each field, for all molecules together.

A Python object for each molecule would take more memory than the text that it is read from. A
column grows at its end, in place, and becomes an array of `Molecules` without a copy.
One record is in `records.py`, columns of texts are in `text_columns.py`, and `Molecules` are made
of the columns in `assembly.py`.

Symbols: N records, n atoms of all of them; units are those of `Molecules`; NaN marks a missing
value.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...support import ragged_index
from ..geometry_checks import coerce, whole_numbers
from .records import Record
from .text_columns import Places, Runs, Texts

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Fields of a record that `Molecules` has, and the shape of one value.
_PER_MOLECULE: dict[str, tuple[int, ...]] = {
    "total_charge": (),
    "magnitude": (),
    "vector": (3,),
    "baseline_dipole": (3,),
    "quadrupole": (3, 3),
    "multiplicity": (),
}
_PER_ATOM: dict[str, tuple[int, ...]] = {
    "charges": (),
    "baseline_charges": (),
    "descriptor_charges": (),
}
_NAMES_OF_MOLECULES = {"magnitude": "dipole_magnitude", "vector": "dipole_vector"}

AnyTexts = TypeVar("AnyTexts", Texts, Runs, Places)


class _Numbers:
    """A column of numbers; it takes no memory as long as all of them are missing."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self._shape, self._values, self._n_rows = shape, array("d"), 0
        self.is_known = False
        """Whether a number is there."""

    def append(self, values: FloatArray | None, n_rows: int = 1) -> None:
        """Take rows; None marks that they are missing."""
        if values is not None and not self.is_known:
            self.is_known = True
            self._add_missing(self._n_rows)
        self._n_rows += n_rows
        if values is not None:
            self._values.frombytes(values.tobytes())
        elif self.is_known:
            self._add_missing(n_rows)

    def to_array(self) -> FloatArray | None:
        """Return all rows, without a copy; None where none is known."""
        if not self.is_known:
            return None
        return np.frombuffer(self._values).reshape(-1, *self._shape)

    def taken(self, rows: ragged_index.Index) -> _Numbers:
        """Return a column of some rows."""
        values, other = self.to_array(), _Numbers(self._shape)
        if values is not None and not np.isnan(part := values[rows]).all():
            other.append(part, len(part))
        else:
            other._n_rows = np.arange(self._n_rows)[rows].size
        return other

    def _add_missing(self, n_rows: int) -> None:
        self._values.frombytes(np.full((n_rows, *self._shape), np.nan).tobytes())


class RecordColumns:
    """Fields of all records, in order."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._numbers, self._ends = array("q"), array("q", [0])
        self._positions = _Numbers((3,))
        self._columns = {key: _Numbers(shape) for key, shape in (_PER_MOLECULE | _PER_ATOM).items()}
        self.names, self.stems, self.places = Texts(), Runs(), Places()
        self.rows = array("q")
        """Places among all records of the file or the folder, from 0; -1 where not said."""
        for record in records:
            self.append(record)

    def __len__(self) -> int:
        """Count records."""
        return len(self.rows)

    def append(self, record: Record) -> None:
        """Take one more record.

        Raises
        ------
        InputError
            If a field has another shape or type than it should; no column then changes.
        """
        numbers = whole_numbers("numbers", record.numbers)
        n_atoms = len(numbers)
        positions = coerce("positions", record.positions, np.float64, (n_atoms, 3))
        values: dict[str, FloatArray | None] = {}
        for key in self._columns:
            shape = _PER_MOLECULE.get(key, (n_atoms,))
            value = getattr(record, key)
            values[key] = None if value is None else coerce(key, value, np.float64, shape)
        self._numbers.frombytes(numbers.tobytes())
        self._positions.append(positions, n_atoms)
        for key, column in self._columns.items():
            column.append(values[key], n_atoms if key in _PER_ATOM else 1)
        self._ends.append(len(self._numbers))
        self.names.append(record.name)
        self.stems.append(record.stem)
        self.places.append(record.where)
        self.rows.append(record.index)

    @property
    def has_dipoles(self) -> bool:
        """Whether a molecule has a dipole."""
        return any(self._columns[key].is_known for key in ("magnitude", "vector"))

    def set_labels(self, key: str, values: Iterable[float | FloatArray | None]) -> None:
        """Put other values of a field of molecules in the place of the present ones."""
        shape = _PER_MOLECULE[key]
        column = self._columns[key] = _Numbers(shape)
        for value in values:
            column.append(None if value is None else coerce(key, value, np.float64, shape))

    def total_charges(self) -> list[float]:
        """Return the total charges of the molecules, e."""
        values = self._columns["total_charge"].to_array()
        return [] if values is None else values.tolist()

    def fields(self, start: int, stop: int) -> dict[str, Any]:
        """Return fields of `Molecules` for the records of these places, without a copy."""
        ends = np.frombuffer(self._ends, np.int64)
        atoms = slice(int(ends[start]), int(ends[stop]))
        rows = slice(start, stop)
        positions = self._positions.to_array()
        found: dict[str, Any] = {
            "numbers": np.frombuffer(self._numbers, np.int64)[atoms],
            "positions": np.zeros((0, 3)) if positions is None else positions[atoms],
            "offsets": ends[start : stop + 1] - ends[start],
            "names": self.names.to_array(start, stop),
        }
        for key, column in self._columns.items():
            values = column.to_array()
            part = atoms if key in _PER_ATOM else rows
            name = _NAMES_OF_MOLECULES.get(key, key)
            found[name] = None if values is None else values[part]
        return found

    def take(self, rows: NDArray[np.intp]) -> None:
        """Keep these records, in this order; one column is copied after another."""
        ends = np.frombuffer(self._ends, np.int64)
        atoms = ragged_index.atoms_of(rows, ends)
        lengths = np.diff(ends)[rows]
        self._numbers = _array("q", np.frombuffer(self._numbers, np.int64)[atoms])
        self._positions = self._positions.taken(atoms)
        for key in self._columns:
            self._columns[key] = self._columns[key].taken(atoms if key in _PER_ATOM else rows)
        self._ends = _array("q", np.concatenate(([0], np.cumsum(lengths))))
        self.names, self.stems = _some(self.names, rows), _some(self.stems, rows)
        self.places = _some(self.places, rows)
        self.rows = _array("q", np.frombuffer(self.rows, np.int64)[rows])


def _array(code: str, values: IntArray) -> array[int]:
    found: array[int] = array(code)
    found.frombytes(values.tobytes())
    return found


def _some(texts: AnyTexts, rows: NDArray[np.intp]) -> AnyTexts:
    found = type(texts)()
    for row in rows.tolist():
        found.append(texts[row])
    return found
