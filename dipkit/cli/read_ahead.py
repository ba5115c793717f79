"""A large file is read by a process of its own, while `dipkit predict` loads its model or predicts.

Most of reading is Python, of which a process runs one line at a time: a thread would delay the
other work. No module of molecules is imported here before it is needed, so that the process starts
before the modules of models are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..support.ahead import ItemsAhead, count_cores
from .collection import loading

if TYPE_CHECKING:
    from ..data.molecules import Molecules
    from ..data.read_options import ReadKeywords

__all__ = ["begin_reading", "read_file"]

# Formats that are read part by part, and whose text takes time.
_SUFFIXES = (".xyz", ".extxyz", ".sdf", ".sd")
# Bytes of a file that is read in the time that a process takes to start, 2,000 molecules or so.
_LARGE = 3_000_000


@contextmanager
def begin_reading(
    data: Sequence[Path], reading: ReadKeywords, reference: bool
) -> Iterator[ItemsAhead[Molecules] | None]:
    """Begin to read the first file, if it is large, for `read_file`; end its process at the end."""
    begun = None if reference else _begin(data[0], reading)
    try:
        yield begun
    finally:
        if begun is not None:
            begun.close()


def read_file(
    path: Path, reading: ReadKeywords, begun: ItemsAhead[Molecules] | None
) -> Iterator[Molecules]:
    """Read geometries part by part, in another process if the file is large.

    Parameters
    ----------
    path : Path
    reading : dict
        Keywords of `dipkit.data.io.read`.
    begun : ItemsAhead or None
        From `begin_reading`, if this is the file.
    """
    ahead = begun or _begin(path, reading)
    return _read(path, _of_geometries(reading)) if ahead is None else iter(ahead)


def _begin(path: Path, reading: ReadKeywords) -> ItemsAhead[Molecules] | None:
    """Begin to read a file in another process, where that is worth it."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file() or count_cores() == 1:
        return None
    if os.path.getsize(path) < _LARGE:
        return None
    try:
        return ItemsAhead(f"reading {path}", _read, path, _of_geometries(reading))
    except OSError:  # no more processes are allowed here
        return None


def _read(path: Path, geometries: ReadKeywords) -> Iterator[Molecules]:
    with loading():
        from ..data.read_files import PART_MOLECULES, read_parts

    return read_parts(path, PART_MOLECULES, **geometries)


def _of_geometries(reading: ReadKeywords) -> ReadKeywords:
    """Return the keywords that are about geometries."""
    return {
        "length_unit": reading["length_unit"],
        "total_charge": reading["total_charge"],
        "ignore_pbc": reading["ignore_pbc"],
        "skip_invalid": reading["skip_invalid"],
        "max_unpacked": reading["max_unpacked"],
    }
