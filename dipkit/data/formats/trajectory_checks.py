"""Trajectories of ASE: what their headers claim is compared with the size of the file.

A trajectory begins with 24 bytes of names, then the version, the number of items and the place of
their places, 8 bytes each. Each item is its length, a text of JSON, and arrays at places that the
text names; see ``ase.io.ulm``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .ase_json import check_json

_FIRST_BYTES = (b"- of Ulm", b"AFFormat")
_NAMES = 24


def check_trajectory(path: Path) -> None:
    """Check the headers of all items; arrays are not read.

    Raises
    ------
    FileFormatError
        If the text of an item is nested too deeply.
    ValueError, TypeError, KeyError, EOFError
        If the file is no trajectory, or shorter than it claims.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        if handle.read(_NAMES)[:8] not in _FIRST_BYTES:
            raise ValueError("the first bytes are those of another format")
        _, count, place = _integers(handle, 3)
        _hold(place, 8 * count, size)
        handle.seek(place)
        total = 0
        for start in _integers(handle, count):
            _hold(start, 8, size)
            handle.seek(start)
            (length,) = _integers(handle, 1)
            _hold(start + 8, length, size)
            item = check_json(handle.read(length).decode(), str(path))
            total += length + _bytes_of_arrays(item, size)
            _hold(0, total, size)  # each has a place of its own


def _integers(handle: BinaryIO, count: int) -> list[int]:
    content = handle.read(8 * count)
    if len(content) < 8 * count:
        raise EOFError("the file ends too early")
    return np.frombuffer(content, "<i8").tolist()


def _hold(place: int, length: int, size: int) -> None:
    if place < 0 or length < 0 or place + length > size:
        raise EOFError(f"{length:,} bytes are claimed at {place:,}: the file has {size:,}")


def _bytes_of_arrays(item: object, size: int) -> int:
    """Add up arrays of an item and of the items within; both have keys with a dot at the end."""
    if not isinstance(item, dict):
        raise TypeError(f"expected an item with keys, got {item!r:.40}")
    total = 0
    for key, value in item.items():
        if not key.endswith("."):
            continue
        array = value.get("ndarray")
        if array is None:
            total += _bytes_of_arrays(value, size)
            continue
        shape, kind, place = array
        dtype = np.dtype(kind)
        if dtype.kind not in "biufc" or min(shape, default=1) < 0:
            raise ValueError(f"an array claims shape {shape!r:.40} and type {kind!r:.20}")
        n_bytes = math.prod(shape) * dtype.itemsize
        _hold(place, n_bytes, size)
        total += n_bytes
    return total
