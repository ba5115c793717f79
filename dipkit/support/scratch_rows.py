"""Dipole rows in a file: for fits whose rows do not fit into memory.

The file is made in the folder for temporary files (``TMPDIR``) and has no name there once it is
open (on Windows it is removed when it is closed), so that no file is left when the program ends,
even after a crash. Where the system can, used pages are freed at the next access: only the pages of
one access are in memory. Whether rows are in a file is decided elsewhere (`memory_plan.py`).
"""

from __future__ import annotations

import mmap
import shutil
import tempfile
from typing import Any

import numpy as np

from ..exceptions import InputError
from .backend import Array, Backend

# Size of the part of the rows that a product reads before its pages are freed.
PART_BYTES = 64 * 2**20


class ScratchRows(np.memmap[Any, np.dtype[np.float64]]):
    """A float64 array (n_rows, n_columns) in a file without a name.

    Slices are plain views; products with vectors and matrices go part by part.
    """

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> ScratchRows:
        """Make the file.

        Raises
        ------
        InputError
            If the folder for temporary files has too little space for it.
        """
        n_bytes, folder = 8 * shape[0] * shape[1], tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if n_bytes > free:
            raise InputError(
                f"memory_budget: the dipole rows need {n_bytes / 1e9:.3g} GB on disk, and {folder} "
                f"has {free / 1e9:.3g} GB free. Set TMPDIR to a folder on a larger disk, raise the "
                "budget, or lower n_inducing."
            )
        with tempfile.TemporaryFile() as file:
            rows = cls(file, dtype=np.float64, mode="w+", shape=shape)
        return rows

    def __getitem__(self, index: Any) -> Array:
        """Return a plain view or copy, and free the pages used before."""
        self.release()
        return self.view(np.ndarray)[index]

    def __setitem__(self, index: Any, value: Array) -> None:
        self.release()
        self.view(np.ndarray)[index] = value

    def __matmul__(self, right: Array) -> Array:
        return np.concatenate([self[part] @ right for part in self._parts()])

    def __rmatmul__(self, left: Array) -> Array:
        result: Array = 0.0
        for part in self._parts():
            result = result + left[..., part] @ self[part]
        return result

    def release(self) -> None:
        """Free the pages in memory; their content stays in the file."""
        memory = getattr(self, "_mmap", None)
        if memory is not None and hasattr(mmap, "MADV_DONTNEED"):
            memory.madvise(mmap.MADV_DONTNEED)

    def _parts(self) -> list[slice]:
        size = max(PART_BYTES // (8 * max(self.shape[1], 1)), 1)
        return [slice(start, start + size) for start in range(0, max(len(self), 1), size)]


def allocate_rows(shape: tuple[int, int], on_disk: bool, backend: Backend) -> Array:
    """Make an array for the dipole rows, in memory or in a file."""
    return ScratchRows.empty(shape) if on_disk else backend.empty(shape)
