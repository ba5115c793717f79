"""Dot products of descriptors that are zero in many columns, without multiplying the zeros.

The power spectrum of an atom is zero wherever it names an element that is not around it: in half to
two thirds of its columns. Atoms with the same columns go together, and only these are multiplied;
nothing is neglected. Symbols: x (n, d), z (M, d).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Columns looked at to tell which atoms go together; what they share is then looked up exactly.
N_PROBES = 128
# Groups smaller than this go together, whatever their columns.
LEAST_ROWS = 48
# Where fewer of the columns than this are zero, all are multiplied.
LEAST_SAVING = 0.2


def dot(x: Any, z: Any, on_host: bool = True) -> Any:
    """Return x z^T.

    Parameters
    ----------
    x : array of shape (n, d)
    z : array of shape (M, d)
        In Fortran order, to say that it will meet many x: its columns are then quick to pick.
        Else everything is multiplied.
    on_host : bool, default=True
        False multiplies everything: on a GPU that is quicker than to sort.

    Returns
    -------
    array of shape (n, M)
    """
    if not on_host or not z.T.flags.c_contiguous:
        return x @ z.T
    if x.shape[1] < 2 * N_PROBES or len(x) < LEAST_ROWS:
        return x @ z.T
    result = np.empty((len(x), len(z)), np.result_type(x, z))
    for rows in groups(x):
        part = x[rows]
        columns = np.flatnonzero(part.any(axis=0))
        if len(columns) > (1 - LEAST_SAVING) * x.shape[1]:
            result[rows] = part @ z.T
        else:
            result[rows] = np.take(part, columns, axis=1) @ np.take(z.T, columns, axis=0)
    return result


def groups(x: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
    """Yield rows that are zero in the same columns, as far as a few columns tell."""
    probes = np.linspace(0, x.shape[1] - 1, N_PROBES).astype(np.intp)
    flags = np.packbits(x[:, probes] != 0, axis=1)
    _, group, counts = np.unique(flags, axis=0, return_inverse=True, return_counts=True)
    group = np.where(counts[group.ravel()] < LEAST_ROWS, -1, group.ravel())
    for number in np.unique(group):
        yield np.flatnonzero(group == number)
