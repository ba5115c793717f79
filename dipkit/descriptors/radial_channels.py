"""`RadialChannels`: few combinations of the radial functions of a scale, for each element and l.

A channel q of element s and degree l is a combination of the n_max radial functions:

    I_sql(r) = sum_n W_sl,qn I_nl(r),   c_sqlm = sum_n W_sl,qn c_snlm

The second equation follows from the first, so that channels cost nothing once the radial integrals
are tabulated for them: see `RadialTable.combined`. The columns of the spectrum then fall with the
square of n_max over the number of channels. How W is learned is not here (`channel_learning.py`).
Symbols: S elements, k channels at most, rows of W that are zero where there are fewer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["RadialChannels"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RadialChannels:
    """The matrices W of one scale, as bytes: equal matrices are equal, and have the same hash.

    Parameters
    ----------
    shape : tuple of int
        (S, l_max + 1, k, n_max)
    data : bytes
        float64, in C order.
    """

    shape: tuple[int, int, int, int]
    data: bytes

    @classmethod
    def of(cls, matrices: FloatArray) -> Self:
        """Keep matrices of shape (S, l_max + 1, k, n_max)."""
        n_species, n_l, k, n_max = matrices.shape
        data = np.ascontiguousarray(matrices, np.float64).tobytes()
        return cls((n_species, n_l, k, n_max), data)

    @property
    def matrices(self) -> FloatArray:
        """W, of shape (S, l_max + 1, k, n_max), read-only."""
        return np.frombuffer(self.data, np.float64).reshape(self.shape)

    @property
    def counts(self) -> tuple[int, ...]:
        """Channels of each l, those of all elements being the same number."""
        return channel_counts(self.matrices)

    @property
    def digest(self) -> str:
        """Text that differs between different matrices, for the origin of descriptors."""
        text = repr(self.shape).encode() + self.data
        return hashlib.sha256(text).hexdigest()[:16]


def channel_counts(matrices: FloatArray) -> tuple[int, ...]:
    """Count the channels of each l: the last row that is not zero for an element.

    Parameters
    ----------
    matrices : ndarray of shape (S, l_max + 1, k, n_max)
    """
    used = (matrices != 0).any(axis=(0, 3))
    return tuple(int(np.flatnonzero(row).max(initial=-1)) + 1 for row in used)
