"""Sparse matrices that are built on the host, on any thread, and brought to a device later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .backend import Array, Backend


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix of compressed rows, on the host, to be brought to a device later.

    Parameters
    ----------
    values : ndarray of shape (k,)
    columns : ndarray of shape (k,), int32
    pointer : ndarray of shape (n + 1,), int32
        Values of row i are those from ``pointer[i]`` to ``pointer[i + 1]``.
    shape : tuple of int
    """

    values: NDArray[np.float64]
    columns: NDArray[np.int32]
    pointer: NDArray[np.int32]
    shape: tuple[int, int]

    def on(self, backend: Backend) -> Array:
        """Return the sparse matrix on a device."""
        return backend.csr(self.values, self.columns, self.pointer, self.shape)
