"""The CSV files of the CHAMPS competition (Predicting Molecular Properties, Kaggle 2019).

A folder with three files, the last two where there are labels; each begins with its column names:

- ``structures.csv``: ``molecule_name``, ``atom_index``, ``atom``, ``x``, ``y``, ``z`` in angstrom;
- ``dipole_moments.csv``: ``molecule_name``, ``X``, ``Y``, ``Z`` in debye;
- ``mulliken_charges.csv``: ``molecule_name``, ``atom_index``, ``mulliken_charge`` in e.

All molecules are neutral unless the user says otherwise. The dipole vectors refer to other axes
than the coordinates (ammonia's lies along z, whatever the molecule's orientation), so that only
their lengths are taken. Molecules are made of the records in `assembly.py`.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError
from ...support.files import existing_file
from ..declared_units import fixed_units
from ..elements import read_element
from ..molecules import Molecules
from ..read_options import ReadOptions
from ..total_charge import TotalCharges
from .assembly import assemble
from .boundary import boundary
from .record_columns import RecordColumns
from .records import Record, finite_number
from .text_sources import file_source

STRUCTURES, DIPOLES, CHARGES = "structures.csv", "dipole_moments.csv", "mulliken_charges.csv"

Row = tuple[str, Sequence[str], str]


def read_champs(path: Path, options: ReadOptions) -> Molecules:
    """Read a folder with ``structures.csv``, or that file; labels are in the same folder."""
    folder = path if path.is_dir() else path.parent
    labels = {name: folder / name for name in (DIPOLES, CHARGES) if (folder / name).exists()}
    present = [key for key, name in (("dipole", DIPOLES), ("mulliken", CHARGES)) if name in labels]
    options.check_found(present, present)
    notes = fixed_units(options, "the CSV files of CHAMPS")
    records = _structures(folder / STRUCTURES)
    if options.read_dipole and DIPOLES in labels:
        for name, fields, where in _rows(labels[DIPOLES], ("X", "Y", "Z")):
            if name in records:
                records[name].magnitude = math.hypot(*(finite_number(x, where) for x in fields))
    if options.read_charges and CHARGES in labels:
        _add_charges(records, labels[CHARGES])
    charges = TotalCharges(options)
    for name, record in records.items():
        record.total_charge = charges.find({}, name)
    notes = notes.also(charges.sentences(present))
    columns = RecordColumns(records.values())
    return assemble(columns, present, notes, options.skip_invalid)


def _structures(path: Path) -> dict[str, Record]:
    """Geometries by name, in the order of the file."""
    geometries: dict[str, tuple[array[int], array[float]]] = {}
    rows = _rows(path, ("atom_index", "atom", "x", "y", "z"))
    for name, (index, symbol, *position), where in rows:
        numbers, positions = geometries.setdefault(name, (array("B"), array("d")))
        if index != str(len(numbers)):
            raise FileFormatError(
                f"{where}: expected atom {len(numbers)} of {name}, got {index!r}. Atoms of a "
                "molecule are numbered from 0, in order."
            )
        numbers.append(read_element(symbol, where))
        positions.extend(finite_number(x, where) for x in position)
    return {
        name: Record(np.array(numbers), np.array(positions).reshape(-1, 3), name)
        for name, (numbers, positions) in geometries.items()
    }


def _add_charges(records: dict[str, Record], path: Path) -> None:
    found: dict[str, NDArray[np.float64]] = {}
    for name, (index, charge), where in _rows(path, ("atom_index", "mulliken_charge")):
        if name not in records:
            continue
        n_atoms = len(records[name].numbers)
        charges = found.setdefault(name, np.full(n_atoms, np.nan))
        atom = finite_number(index, where)
        if atom not in range(n_atoms) or not np.isnan(charges[int(atom)]):
            raise FileFormatError(
                f"{where}: expected one charge for each of the {n_atoms} atoms of {name}, counted "
                f"from 0, got one more for atom {index}."
            )
        charges[int(atom)] = finite_number(charge, where)
    for name, charges in found.items():
        if np.isnan(charges).any():
            n_known = np.count_nonzero(~np.isnan(charges))
            raise FileFormatError(
                f"{path}: {name} has charges of {n_known} atoms, expected one for each of "
                f"its {len(charges)} atoms."
            )
        records[name].charges = charges


def _rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the molecule's name, the fields of these columns, and the place of each row."""
    existing_file(path)
    with boundary(str(path)), closing(file_source(path).lines()) as lines:
        reader = csv.reader(lines)
        header = next(reader, [])
        wanted = ("molecule_name", *columns)
        absent = [column for column in wanted if column not in header]
        if absent:
            raise FileFormatError(
                f"{path}, line 1: columns {', '.join(absent)} are missing; present: "
                f"{', '.join(header)}."
            )
        places = [header.index(column) for column in wanted]
        for number, row in enumerate(reader, start=2):
            where = f"{path}, line {number}"
            if len(row) != len(header):
                raise FileFormatError(
                    f"{where}: expected {len(header)} columns, got {len(row)}: the file is cut "
                    "or damaged."
                )
            name, *fields = (row[place] for place in places)
            yield name, fields, where
