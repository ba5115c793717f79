"""ASE databases in SQLite, opened for reading only.

ASE opens a database for writing, and makes its tables in a file that has none. Here the file is
opened by SQLite for reading, the tables are looked for first, and cells are checked before ASE
decodes them.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from ase.db.row import AtomsRow
from ase.db.sqlite import SQLite3Database

from ...exceptions import FileFormatError
from .ase_json import EXPECTED, check_cell
from .boundary import boundary
from .nesting import check_nesting

_FIRST_BYTES = b"SQLite format 3\x00"
# The fewest columns of any version of the format that ASE reads.
_COLUMNS = {"id", "unique_id", "numbers", "positions", "cell", "pbc", "key_value_pairs", "data"}
# Bytes of one cell. The positions of a million atoms have a fifth of it.
_LARGEST_CELL = 100_000_000


class ReadOnlyDatabase(SQLite3Database):
    """A database that is never written; use it in a ``with`` statement, which closes it.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileFormatError
        If this is no database of ASE.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as handle:
            if handle.read(len(_FIRST_BYTES)) != _FIRST_BYTES:
                raise FileFormatError(
                    f"{path}: no ASE database: the content is not that of SQLite. {EXPECTED}"
                )
        super().__init__(str(path), create_indices=False, use_lock_file=False)
        with boundary(f"{path}: no ASE database that can be read", EXPECTED):
            self._check_tables()

    def rows(self) -> list[int]:
        """Return the numbers of all rows, in order."""
        with closing(self._connect()) as connection:
            found = connection.execute("SELECT id FROM systems ORDER BY id").fetchall()
        return [int(row[0]) for row in found]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro", timeout=20, uri=True
        )
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_CELL)
        return connection

    def _check_tables(self) -> None:
        with closing(self._connect()) as connection:
            columns = {row[1] for row in connection.execute("PRAGMA table_info(systems)")}
            kinds = connection.execute("SELECT type FROM sqlite_master WHERE name = 'systems'")
            is_table = kinds.fetchone() == ("table",)
        if not is_table or not columns >= _COLUMNS:
            raise FileFormatError(
                f"{self.path}: a database of SQLite, but no ASE database: it has no table "
                f"'systems' with molecules. {EXPECTED}"
            )

    def _convert_tuple_to_row(self, values: Sequence[object]) -> AtomsRow:
        where = f"{self.path}, row {values[0]!r:.20}"
        for cell in values:
            check_cell(cell, where)
        if isinstance(values[-1], bytes):
            _check_bytes(values[-1], where)
        return super()._convert_tuple_to_row(values)  # type: ignore[no-untyped-call]


def _check_bytes(cell: bytes, where: str) -> None:
    """Check data in bytes: arrays, then a text of JSON that names their places, behind 8 bytes."""
    text = cell[int.from_bytes(cell[:8], "little") :].decode()
    check_nesting(text, where)
    claimed = 0

    def add(value: dict[str, object]) -> None:
        nonlocal claimed
        array = value.get("__ndarray__")
        if isinstance(array, list) and len(array) == 3:
            claimed += np.dtype(array[1]).itemsize * math.prod(array[0])

    json.loads(text, object_hook=add)
    if claimed > len(cell):  # each array has a place of its own
        raise ValueError(f"arrays claim {claimed:,} bytes of {len(cell):,}")
