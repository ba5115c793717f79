"""Sums over the atoms of molecules, with factors: maps from atoms to components of moments.

On the host a map is a sparse matrix. On a GPU a kernel (`segment_sums.cu`) writes the sums in
place, which takes less time than to build a sparse matrix. Symbols: N molecules, n atoms of one
element, k components. Which factors a moment has is in `charge_maps.py` and `columns.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array, Backend, DeviceFunction

__all__ = ["SegmentMap"]

FUNCTION = "segment_sums"
THREADS = 128


@dataclass(frozen=True)
class SegmentMap:
    """The linear map from values of some atoms (n,) to k sums in each molecule (k N,).

    Row k A + c holds component c of molecule A.

    Parameters
    ----------
    arms : ndarray of shape (n, k)
        Contribution of a value of 1 on each atom to each component.
    pointer : ndarray of shape (N + 1,), int32
        Atoms of molecule A are those from ``pointer[A]`` to ``pointer[A + 1]``.
    """

    arms: NDArray[np.float64]
    pointer: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, int]:
        """Sums and atoms."""
        return self.arms.shape[1] * (len(self.pointer) - 1), len(self.arms)

    def write(self, values: Array, out: Array, backend: Backend) -> None:
        """Write the sums of many columns at once.

        Parameters
        ----------
        values : array of shape (n, r), float64
            Each row contiguous.
        out : array of shape (k N, r), float64
            Each row contiguous.
        backend : Backend
            Holds both.
        """
        if not backend.compiles:
            out[...] = self.sparse(backend) @ values
        elif out.shape[0] and out.shape[1]:
            self._launch(values, out, backend)

    def sparse(self, backend: Backend) -> Array:
        """Return the map as a sparse matrix (k N, n) on a device."""
        n, k = self.arms.shape
        index = np.repeat(np.arange(len(self.pointer) - 1), np.diff(self.pointer))
        counts = np.repeat(np.diff(self.pointer), k)
        row_pointer = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        # Each atom has an entry in k rows: the order of entries is (molecule, component, atom).
        axis, atom = np.tile(np.arange(k), n), np.repeat(np.arange(n), k)
        order = np.lexsort((atom, axis, np.repeat(index, k)))
        values, columns = self.arms.ravel()[order], atom[order].astype(np.int32)
        return backend.csr(values, columns, row_pointer, self.shape)

    def _launch(self, values: Array, out: Array, backend: Backend) -> None:
        k, n_columns = self.arms.shape[1], out.shape[1]
        arguments = (
            backend.asarray(np.ascontiguousarray(self.arms)),
            backend.asarray(self.pointer),
            values,
            np.int64(values.strides[0] // values.itemsize),
            np.int32(n_columns),
            out,
            np.int64(out.strides[0] // out.itemsize),
        )
        grid = len(self.pointer) - 1, -(-n_columns // THREADS)
        _compiled(k, backend.place, backend)(grid, (THREADS,), arguments)


@lru_cache(maxsize=16)
def _compiled(k: int, place: tuple[str, int], backend: Backend) -> DeviceFunction:
    """Return the kernel for k components on the current device, `place`."""
    source = resources.files(__package__).joinpath("segment_sums.cu").read_text("utf-8")
    return backend.compile(source, FUNCTION, {"K": k})
