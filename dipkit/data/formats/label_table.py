"""Tables of labels in CSV files, joined with geometries by name.

The first line names the columns, each further line belongs to one molecule. What is looked for, in
any case of letters:

==============  ===================================================================
column          names
==============  ===================================================================
name            ``name``, ``molecule``, ``molecule_name``, ``mol_id``, ``id``,
                ``file``, ``filename``, else the first column with words
magnitude       ``dipole``, ``dipole_moment``, ``dipole_magnitude``, ``mu``,
                ``dipole_total``
vector          ``dipole_x``, ``dipole_y``, ``dipole_z``, also with ``mu`` or
                ``dipole_moment`` in place of ``dipole``
total charge    ``charge``, ``total_charge``, ``net_charge``, ``q``
==============  ===================================================================

A unit may follow the name of a dipole: ``mu_debye``, ``dipole (D)``, ``dipole_x_au``. Vectors are
those of the coordinates. How a unit is read is in `column_units.py`, how rows find molecules is in
`label_join.py`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError, InputError
from ..predicted_keys import has_predicted, warn_named
from ..read_options import ReadOptions
from ..unit_words import DEBYE_PER
from .boundary import boundary
from .column_units import split_unit, unit_of
from .records import finite_number
from .text_sources import file_source

NAME_COLUMNS = ("name", "molecule", "molecule_name", "mol_id", "id", "file", "filename")
MAGNITUDE_COLUMNS = ("dipole", "dipole_moment", "dipole_magnitude", "mu", "dipole_total")
CHARGE_COLUMNS = ("charge", "total_charge", "net_charge", "q")

_PREFIXES = ("dipole", "mu", "dipole_moment", "dip")
_MISSING = ("", "na", "n/a", "nan", "none", "null", "-")
# A comma may stand in a name such as "dipole, D": of equal numbers, the others count.
_DELIMITERS = (";", "\t", ",")
# A magnitude and the length of its vector may differ by this, debye, and by this fraction.
_TOLERANCE, _RELATIVE = 0.01, 0.01

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """Labels of one molecule: debye and e; None where a cell is empty."""

    name: str
    path: Path
    line: int
    magnitude: float | None = None
    vector: FloatArray | None = None
    total_charge: float | None = None

    @property
    def where(self) -> str:
        """The file and the line, for messages."""
        return f"{self.path}, line {self.line}"


@dataclass(frozen=True)
class LabelTable:
    """Names and units of the columns of a file, and sentences about how it is read."""

    path: Path
    rows: Callable[[], Iterator[Row]]
    """Reads the rows: a table may have many more of them than there are molecules."""
    columns: tuple[str, ...]
    units: tuple[str, ...]
    """Of the dipoles; several where a vector and a magnitude differ."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Columns:
    """Places of the columns that are read, and units of the dipoles."""

    name: int
    magnitude: int | None
    vector: tuple[int, ...]
    charge: int | None
    units: dict[str, str]
    """Of the magnitude and of the vector, where they are there."""


def read_label_table(path: Path, options: ReadOptions) -> LabelTable:
    """Read the columns of a table of labels, and check that it has rows.

    Parameters
    ----------
    path : Path
        A CSV file, separated by commas, semicolons or tabs; ``.csv.gz`` too.
    options : ReadOptions
        ``dipole_key`` names the column of the magnitude, or three columns of the vector with
        commas between them; ``dipole_unit`` is the unit of columns that name none.

    Raises
    ------
    FileFormatError
        If this is no table; from `rows`, if a row is damaged or a cell holds no number.
    InputError
        If the columns of the name or of the dipole are not found, or a unit is unknown or missing.
    """
    source = file_source(path, max_unpacked=options.most_unpacked)
    with closing(source.lines()) as lines:
        header, rows, _ = _open(path, lines)
        columns, notes = _find_columns(path, header, rows, options)
    used = {columns.name, columns.magnitude, columns.charge, *columns.vector}
    unread = [name for place, name in enumerate(header) if name and place not in used]
    if unread:
        notes.append(f"{path}: columns left unread: {', '.join(unread)}.")

    def read_rows() -> Generator[Row, None, None]:
        with boundary(str(path)), closing(source.lines()) as lines:
            _, rows, decimal = _open(path, lines)
            for line, fields in rows:
                yield _row(path, line, fields, columns, decimal)

    with closing(read_rows()) as some:
        if next(some, None) is None:
            raise FileFormatError(f"{path}: no rows below the names of the columns.")
    units = tuple(dict.fromkeys(columns.units.values()))
    return LabelTable(path, read_rows, tuple(header), units, tuple(notes))


def _open(
    path: Path, lines: Iterator[str]
) -> tuple[list[str], Iterator[tuple[int, list[str]]], Callable[[str], str]]:
    """Return the names of the columns, the rows with their lines, and how a number is written."""
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    if delimiter not in first:
        raise FileFormatError(
            f"{path}, line 1: expected names of columns with commas between them, got "
            f"{first.strip()!r:.60}."
        )
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    header[0] = header[0].lstrip("# ")
    if any(_is_number(name) for name in header):
        raise FileFormatError(
            f"{path}, line 1: expected names of columns, got the values {first.strip()!r:.60}. Add "
            "a first line such as 'name,dipole_debye'."
        )
    repeated = sorted(name for name, times in Counter(header).items() if times > 1 and name)
    if repeated:
        raise FileFormatError(f"{path}, line 1: several columns are called {repeated[0]!r}.")
    decimal = _comma_to_point if delimiter == ";" else str
    return header, _rows(path, csv.reader(lines, delimiter=delimiter), len(header)), decimal


def _rows(path: Path, reader: Iterator[list[str]], width: int) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(reader, start=2):
        fields = [field.strip() for field in row]
        if not any(fields):
            continue
        if len(fields) != width:
            raise FileFormatError(
                f"{path}, line {number}: expected {width} columns, got {len(fields)}."
            )
        yield number, fields


def _comma_to_point(word: str) -> str:
    """Numbers in tables with semicolons may have a comma as decimal sign."""
    return word.replace(",", ".") if "." not in word and word.count(",") == 1 else word


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _find_columns(
    path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]], options: ReadOptions
) -> tuple[_Columns, list[str]]:
    bases = {place: split_unit(name) for place, name in enumerate(header)}
    by_base: dict[str, list[int]] = {}
    for place, (base, _) in bases.items():
        by_base.setdefault(base, []).append(place)
    magnitude, vector = _dipole_columns(path, header, by_base, options)
    magnitude_unit = None if magnitude is None else bases[magnitude][1]
    vector_units = {bases[place][1] for place in vector}
    if len(vector_units) > 1:
        raise InputError(f"{path}: the columns of the vector have different units in their names.")
    notes: list[str] = []
    units: dict[str, str] = {}
    if magnitude is not None:
        name = header[magnitude]
        units["magnitude"] = unit_of(path, name, magnitude_unit, options, "debye", notes)
    if vector:
        # Beside a magnitude the vector is in its unit; that their sizes agree is checked in rows.
        unit = next(iter(vector_units)) or (magnitude_unit if magnitude is not None else None)
        usual = None if magnitude is None else "debye"
        names = ", ".join(header[place] for place in vector)
        units["vector"] = unit_of(path, names, unit, options, usual, notes)
    charge = _one(path, header, [p for base in CHARGE_COLUMNS for p in by_base.get(base, [])])
    place = _name_column(path, header, rows, {magnitude, charge, *vector})
    return _Columns(place, magnitude, vector, charge, units), notes


def _dipole_columns(
    path: Path, header: list[str], by_base: dict[str, list[int]], options: ReadOptions
) -> tuple[int | None, tuple[int, ...]]:
    if options.dipole_key is not None:
        words = [word.strip() for word in options.dipole_key.split(",")]
        absent = [word for word in words if word not in header]
        if absent or len(words) not in (1, 3):
            raise InputError(
                f"dipole_key={options.dipole_key!r}: expected one column of {path}, or three with "
                f"commas between them; columns present: {', '.join(header)}."
            )
        warn_named("dipole_key", options.dipole_key)
        places = tuple(header.index(word) for word in words)
        return (places[0], ()) if len(places) == 1 else (None, places)
    magnitude = _one(path, header, [p for base in MAGNITUDE_COLUMNS for p in by_base.get(base, [])])
    for prefix in _PREFIXES:
        for joint in ("_", "", " "):
            found = [by_base.get(f"{prefix}{joint}{axis}", []) for axis in "xyz"]
            if all(len(places) == 1 for places in found):
                return magnitude, tuple(places[0] for places in found)
    if magnitude is None:
        predicted = "Predictions are not read as labels. " if has_predicted(header) else ""
        raise InputError(
            f"{path}: no column of dipoles found: looked for {', '.join(MAGNITUDE_COLUMNS)}, also "
            "with a unit, or for dipole_x, dipole_y, dipole_z; columns present: "
            f"{', '.join(header)}. {predicted}Name the column: --dipole COLUMN, or "
            "--dipole X,Y,Z for a vector (dipole_key= in Python)."
        )
    return magnitude, ()


def _one(path: Path, header: list[str], places: list[int]) -> int | None:
    if len(places) > 1:
        names = ", ".join(header[place] for place in sorted(places))
        raise InputError(
            f"{path}: several columns may be meant: {names}. Rename the others; the column of the "
            "dipole can also be named: --dipole COLUMN (dipole_key= in Python)."
        )
    return places[0] if places else None


def _name_column(
    path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]], taken: set[int | None]
) -> int:
    lower = [name.lower() for name in header]
    for name in NAME_COLUMNS:
        if name in lower:
            return lower.index(name)
    free = [place for place in range(len(header)) if place not in taken]
    with_words: set[int] = set()
    for _, fields in rows:
        with_words |= {place for place in free if not _is_number(fields[place])}
        if free and free[0] in with_words:
            break
    if with_words:
        return min(with_words)
    raise InputError(
        f"{path}: no column with names of molecules found: looked for {', '.join(NAME_COLUMNS)}; "
        f"columns present: {', '.join(header)}. Rename the column to 'name'."
    )


def _row(
    path: Path, line: int, fields: list[str], columns: _Columns, decimal: Callable[[str], str]
) -> Row:
    where = f"{path}, line {line}"

    def numbers(places: Sequence[int]) -> list[float] | None:
        words = [fields[place] for place in places]
        if all(word.lower() in _MISSING for word in words):
            return None
        return [finite_number(decimal(word), where) for word in words]

    name = fields[columns.name]
    if not name:
        raise FileFormatError(f"{where}: the name of the molecule is missing.")
    one = None if columns.magnitude is None else numbers([columns.magnitude])
    three = numbers(columns.vector) if columns.vector else None
    charge = None if columns.charge is None else numbers([columns.charge])
    row = Row(
        name,
        path,
        line,
        magnitude=None if one is None else one[0] * DEBYE_PER[columns.units["magnitude"]],
        vector=None if three is None else np.array(three) * DEBYE_PER[columns.units["vector"]],
        total_charge=None if charge is None else charge[0],
    )
    _check_row(row)
    return row


def _check_row(row: Row) -> None:
    if row.magnitude is not None and row.magnitude < 0:
        raise FileFormatError(
            f"{row.where}: the magnitude of the dipole of {row.name!r} is {row.magnitude:g}: "
            "expected a value of at least 0."
        )
    if row.magnitude is None or row.vector is None:
        return
    length = float(np.linalg.norm(row.vector))
    if abs(length - row.magnitude) > _TOLERANCE + _RELATIVE * row.magnitude:
        raise FileFormatError(
            f"{row.where}: the magnitude of {row.name!r} is {row.magnitude:.4g} debye, and its "
            f"vector has the length {length:.4g} debye. Name the units in the columns, for example "
            "dipole_debye and dipole_x_au, or remove one of them."
        )
