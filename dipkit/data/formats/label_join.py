"""Joining a table of labels with geometries, by the names of molecules or of their files.

A name of the table is looked for among the names of the molecules, then among the stems of their
files; ``water.xyz`` in a table also means ``water``. A name that fits two molecules, or a molecule
that two rows fit, is an error. What fits nothing is counted and named in a warning. Reading the
table is in `label_table.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from ...exceptions import InputError
from ..molecules import Molecules
from ..naming import counted
from ..total_charge import NO_KEY
from .label_table import LabelTable, Row
from .names import file_stem
from .record_columns import RecordColumns

_FILE_SUFFIXES = (".xyz", ".extxyz", ".sdf", ".sd", ".mol", ".log", ".out", ".gz", ".db", ".traj")
_NAMED = 5  # names in messages
_CHARGE_TOLERANCE = 1e-6


def match_rows(
    table: LabelTable, names: Sequence[str], stems: Sequence[str], subset: bool = False
) -> list[Row | None]:
    """Find the row of each molecule.

    Parameters
    ----------
    table : LabelTable
    names : sequence of str
        Names of the molecules.
    stems : sequence of str
        Stems of their files.
    subset : bool, default=False
        The table may have more molecules than the files, without a warning.

    Returns
    -------
    list of Row or None
        For each molecule.

    Raises
    ------
    InputError
        If a name is there twice, or nothing fits.
    """
    by_name, by_stem = _index(names), _index(stems)
    found: list[Row | None] = [None] * len(names)
    left_over, n_rows, n_left = list[str](), 0, 0
    for row in table.rows():
        n_rows += 1
        places = _places(row.name, by_name, by_stem)
        if not places:
            n_left += 1
            left_over += [row.name] if n_left <= _NAMED else []
            continue
        if len(places) > 1:
            raise InputError(
                f"{row.where}: the name {row.name!r} fits {len(places)} molecules. Names must be "
                "different: rename the files, or the molecules in them."
            )
        if (other := found[places[0]]) is not None:
            raise _repeated(row, other)
        found[places[0]] = row
    without = [name for name, row in zip(names, found, strict=True) if row is None]
    if len(without) == len(names):
        raise InputError(
            f"{table.path}: none of its {n_rows} names fits a molecule. The table has "
            f"{_few(left_over, n_left)}; the molecules are {_few(without, len(without))}. Names "
            "are those of the molecules or of their files without the suffix."
        )
    parts = []
    if n_left and not subset:
        parts.append(
            f"{n_left} of {n_rows} rows fit no molecule ({_few(left_over, n_left)}) and are not "
            "used"
        )
    if without:
        parts.append(
            f"{len(without)} of {len(names)} molecules have no row "
            f"({_few(without, len(without))}) and no label of the dipole"
        )
    if parts:
        warnings.warn(f"{table.path}: {'; '.join(parts)}.", stacklevel=2)
    return found


def _repeated(row: Row, other: Row) -> InputError:
    if row.name == other.name:
        return InputError(
            f"{row.where}: the name {row.name!r} is there already, in {other.where}. Keep one row "
            "for each molecule."
        )
    return InputError(
        f"{row.where}: {row.name!r} is the molecule of {other.where} ({other.name!r}) again. Keep "
        "one row for each molecule."
    )


def add_to_records(rows: Sequence[Row | None], records: RecordColumns) -> None:
    """Put the labels of the rows into records; a record without a row has no dipole."""
    charges = records.total_charges()
    for place, row in enumerate(rows):
        if row is not None and row.total_charge is not None:
            charges[place] = _agreed_charge(row, row.total_charge, charges[place])
    records.set_labels("total_charge", charges)
    records.set_labels("magnitude", (None if row is None else row.magnitude for row in rows))
    records.set_labels("vector", (None if row is None else row.vector for row in rows))


def add_table(table: LabelTable, molecules: Molecules) -> Molecules:
    """Return molecules, of a format without records, with the labels of a table."""
    names = molecules.names.tolist()
    rows = match_rows(table, names, names)
    missing = np.full(3, np.nan)
    charge = molecules.total_charge.copy()
    for index, row in enumerate(rows):
        if row is not None and row.total_charge is not None:
            charge[index] = _agreed_charge(row, row.total_charge, float(charge[index]))
    notes, with_charge = molecules.notes, [r for r in rows if r and r.total_charge is not None]
    if with_charge:
        kept = tuple(line for line in notes.assumed if not line.startswith(NO_KEY))
        line = f"total charge: from {table.path} ({counted(len(with_charge))})."
        notes = replace(notes, assumed=(*kept, line))
    return molecules.replace(
        total_charge=charge,
        dipole_magnitude=[
            np.nan if row is None or row.magnitude is None else row.magnitude for row in rows
        ],
        dipole_vector=[
            missing if row is None or row.vector is None else row.vector for row in rows
        ],
        notes=replace(
            notes.also(table.notes),
            dipole_unit=table.units[0] if len(table.units) == 1 else None,
        ),
    )


def _agreed_charge(row: Row, charge: float, in_file: float) -> float:
    if in_file and abs(charge - in_file) > _CHARGE_TOLERANCE:
        raise InputError(
            f"{row.where}: the total charge of {row.name!r} is {charge:g} e here and {in_file:g} e "
            "beside its geometry. Correct one of them."
        )
    return charge


def _index(names: Iterable[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return places


def _places(name: str, by_name: dict[str, list[int]], by_stem: dict[str, list[int]]) -> list[int]:
    """Molecules of this name, tried as it is and without folder and suffix."""
    candidates = [name]
    path = PurePosixPath(name.replace("\\", "/"))
    if path.suffix.lower() in _FILE_SUFFIXES or len(path.parts) > 1:
        candidates.append(file_stem(path))
    for candidate in candidates:
        for places in (by_name, by_stem):
            if candidate in places:
                return places[candidate]
    return []


def _few(names: Sequence[str], number: int) -> str:
    """Name the first of a number of names."""
    return ", ".join(names[:_NAMED]) + (", ..." if number > _NAMED else "")
