"""ASE databases and trajectories are read through ASE; extended XYZ and databases are written.

XYZ files are read in `xyz_files.py`. The conversion of Atoms is in `ase_atoms.py`.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from ase import Atoms
from ase.db import connect
from ase.db.core import now
from ase.db.row import AtomsRow, atoms2dict
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict, write_xyz
from ase.io.jsonio import encode
from ase.io.trajectory import Trajectory

from ...exceptions import FileFormatError
from ...support.files import atomic_write
from .ase_json import EXPECTED, JSONRows
from .ase_sqlite import ReadOnlyDatabase
from .boundary import boundary
from .trajectory_checks import check_trajectory


def write_xyz_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Write an extended XYZ file, frame by frame."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for frame in frames:
            write_xyz(handle, [_with_safe_name(frame)])


def _with_safe_name(frame: Atoms) -> Atoms:
    """Quote a name that ASE would read back as a number, a truth value or an array."""
    name = frame.info.get("name")
    if not isinstance(name, str):
        return frame
    plain = key_val_dict_to_str({"name": name})
    if name.isascii() and name.isprintable() and _same(key_val_str_to_dict(plain), name):
        return frame
    quoted = frame.copy()
    quoted.calc = frame.calc
    # ASE reads strings after _JSON as JSON, and takes one backslash of two.
    quoted.info["name"] = "_JSON " + json.dumps(name).replace("\\", "\\\\")
    return quoted


def _same(read: dict[str, object], name: str) -> bool:
    value = read.get("name")
    return isinstance(value, str) and value == name


def read_database(path: Path) -> Iterator[Atoms | FileFormatError]:
    """Yield the rows of an ASE database, with their key-value pairs and data as info.

    A damaged row is yielded as an error.
    """
    if path.suffix.lower() == ".json":
        rows = JSONRows(path)
        yield from _atoms_of_rows(path, rows.ids, rows.row)
        return
    with (
        boundary(f"{path}: no ASE database that can be read", EXPECTED),
        ReadOnlyDatabase(path) as database,
    ):
        yield from _atoms_of_rows(path, database.rows(), lambda number: database.get(id=number))


def _atoms_of_rows(
    path: Path, numbers: Iterable[object], row: Callable[[object], AtomsRow]
) -> Iterator[Atoms | FileFormatError]:
    for number in numbers:
        try:
            with boundary(f"{path}, row {number!r:.20}", EXPECTED):
                atoms = _row_to_atoms(row(number))
        except FileFormatError as damage:
            yield damage
        else:
            yield atoms


def read_trajectory(path: Path) -> Iterator[Atoms]:
    """Yield the frames of a trajectory that ASE wrote."""
    remedy = "Expected a file that ase.io.trajectory wrote; it may be cut."
    with boundary(f"{path}: no trajectory of ASE that can be read", remedy):
        check_trajectory(path)
        with Trajectory(path) as frames:
            yield from frames


def read_metadata(path: Path) -> dict[str, object]:
    """Read the metadata of an ASE database, where programs write units."""
    if path.suffix.lower() == ".json":
        return JSONRows(path).metadata
    with (
        boundary(f"{path}: no ASE database that can be read", EXPECTED),
        ReadOnlyDatabase(path) as database,
    ):
        return dict(database.metadata)


def _row_to_atoms(row: AtomsRow) -> Atoms:
    atoms: Atoms = row.toatoms()
    atoms.info.update(row.data)
    atoms.info.update(row.key_value_pairs)
    return atoms


def write_database(path: Path, frames: Sequence[Atoms]) -> None:
    """Write an ASE database: SQLite for .db, text for .json."""
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".json":
            with temporary.open("w", encoding="utf-8") as handle:
                _write_json(handle, frames)
        else:
            _write_sqlite(temporary, frames)


def _write_sqlite(path: Path, frames: Sequence[Atoms]) -> None:
    try:
        with connect(path, type="db", use_lock_file=False) as database:
            for frame in frames:
                database.write(frame, **_database_entries(frame))
    except sqlite3.Error as error:
        raise OSError(f"the database cannot be written: {error}") from error


def _write_json(handle: TextIO, frames: Sequence[Atoms]) -> None:
    """Write all rows at once: ASE rewrites the whole file for every row."""
    times = {"ctime": now(), "mtime": now(), "user": os.environ.get("USER", "")}
    handle.write("{")
    for number, frame in enumerate(frames, start=1):
        row = atoms2dict(frame) | times | _database_entries(frame)
        handle.write(f'"{number}": {encode(row)},\n')
    handle.write(f'"ids": {list(range(1, len(frames) + 1))},\n"nextid": {len(frames) + 1}}}\n')


def _database_entries(frame: Atoms) -> dict[str, object]:
    """Sort info into searchable numbers and the rest; ASE reserves the key 'charge'."""
    numbers, data = {}, {}
    for key, value in frame.info.items():
        if isinstance(value, float):
            numbers["total_charge" if key == "charge" else key] = value
        else:
            data[key] = value.tolist() if isinstance(value, np.ndarray) else value
    extra = {k: v.tolist() for k, v in frame.arrays.items() if k not in ("numbers", "positions")}
    return {"key_value_pairs": numbers, "data": data | extra}
