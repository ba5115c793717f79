"""`SharedArray`: an array that worker processes of this machine fill in place.

Its memory is an anonymous file without a name in any folder, so that no file is left when the
program ends. A worker that cannot reach it (another machine, a system other than Linux) gets None
from `rows` and sends its rows back instead. It is used for descriptors
(`dipkit.descriptors.describer`).
"""

from __future__ import annotations

import mmap
import os
import uuid
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SharedArray:
    """A float32 array to be filled by rows, from this process or from others.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_columns).
    shared : bool, default=True
        False for an array that only this process, with its threads, fills.
    """

    def __init__(self, shape: tuple[int, int], shared: bool = True) -> None:
        self._shape = shape
        self._file = -1
        self._path = self._target = ""
        n_bytes = 4 * shape[0] * shape[1]
        if not (shared and n_bytes and hasattr(os, "memfd_create")):
            self.array: NDArray[np.float32] | None = np.empty(shape, np.float32)
            return
        token = f"dipkit-{uuid.uuid4().hex}"
        self._file = os.memfd_create(token)
        self._path = f"/proc/{os.getpid()}/fd/{self._file}"
        self._target = f"/memfd:{token} (deleted)"
        os.ftruncate(self._file, n_bytes)
        # The mapping outlives the descriptor, which only workers need.
        self.array = np.frombuffer(mmap.mmap(self._file, n_bytes), np.float32).reshape(shape)

    def rows(self, rows: slice) -> NDArray[np.float32] | None:
        """Return rows to be filled, None where the array cannot be reached from here."""
        array = self._open() if self.array is None else self.array
        return None if array is None else array[rows]

    def close(self) -> NDArray[np.float32]:
        """End the sharing and return the array, which stays valid."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self.array is None:
            raise RuntimeError("only the process that made a SharedArray can close it")
        return self.array

    def _open(self) -> NDArray[np.float32] | None:
        try:
            if not self._path or os.readlink(self._path) != self._target:
                return None
            return np.memmap(self._path, np.float32, mode="r+", shape=self._shape)
        except OSError:
            return None

    def __getstate__(self) -> dict[str, Any]:
        """Send the address, not the content."""
        return self.__dict__ | {"array": None, "_file": -1}
