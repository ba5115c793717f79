"""Arrays of an npz file: headers are read at once, each array when it is asked for.

What a header claims is compared with the size of its member before memory is taken for it, and the
sum of all arrays that are read is bounded, see `unpacking.py`. Nothing is pickled. What the arrays
mean is in `npz.py`.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .unpacking import Allowance

EXPECTED = (
    "Expected an npz file that is whole, with arrays of numbers and words; pickled objects are not "
    "read."
)

_SUFFIX = ".npy"
# Numbers, truth values and words.
_KINDS = "biufcSU"
_LONGEST_HEADER = 12_000
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Header(NamedTuple):
    """What is known of an array without reading it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class NpzArrays(Mapping[str, NDArray[Any]]):
    """Arrays by name; use it in a ``with`` statement, which closes the file.

    Parameters
    ----------
    path : Path
    max_unpacked : int, default=None
        Bytes that all arrays may take; None is the usual limit.

    Raises
    ------
    ValueError, OSError, EOFError, zipfile.BadZipFile, ...
        If the file is damaged: read it within `boundary`.
    """

    headers: dict[str, Header]

    def __init__(self, path: Path, max_unpacked: int | None = None) -> None:
        self._allowance = Allowance(path, max_unpacked)
        if not zipfile.is_zipfile(path):
            raise ValueError("it is cut, or not an npz archive")
        self._archive = zipfile.ZipFile(path)
        self._members = {
            name.removesuffix(_SUFFIX): name
            for name in self._archive.namelist()
            if name.endswith(_SUFFIX)
        }
        self._read: dict[str, NDArray[Any]] = {}

    def __enter__(self) -> Self:
        """Read the headers."""
        try:
            self.headers = {key: self._header(name) for key, name in self._members.items()}
        except BaseException:
            self._archive.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._archive.close()

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return an array, which is read the first time."""
        if key not in self._read:
            header, name = self.headers[key], self._members[key]
            self._allowance.take(math.prod(header.shape) * header.dtype.itemsize)
            with self._archive.open(name) as handle:
                self._read[key] = npy.read_array(handle, allow_pickle=False)
                handle.read(1)  # the end, where the checksum is
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        """Count arrays."""
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        """Whether there is an array of this name; it is not read."""
        return key in self._members

    def _header(self, name: str) -> Header:
        """Read a header, and hold what it claims against the size of the member."""
        with self._archive.open(name) as handle:
            start = io.BytesIO(handle.read(_LONGEST_HEADER))
        version = npy.read_magic(start)
        if version not in _READERS:
            raise ValueError(f"{name} is of version {version}")
        shape, _, dtype = _READERS[version](start)
        n_bytes = math.prod(shape) * dtype.itemsize
        claimed, there = start.tell() + n_bytes, self._archive.getinfo(name).file_size
        if dtype.kind not in _KINDS or min(shape, default=1) < 0 or claimed != there:
            raise ValueError(
                f"{name} claims shape {shape} and type {dtype!s:.40}, {claimed:,} bytes in all; "
                f"there are {there:,}"
            )
        return Header(shape, dtype)
