"""Dot products of descriptors with many zero columns, without the products of zeros.

The power spectrum of an atom has columns for each pair of elements. Columns of elements that are
not among its neighbours are zero: half to two thirds of all. Atoms with the same nonzero columns
are put in one group, and only these columns are multiplied. The result is exact. Symbols:
descriptors x (n, d) and z (M, d) at one SOAP scale. What kernels make of the products is in
`kernels.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array

# Columns that decide about the groups. The nonzero columns of each group are then found exactly.
N_PROBES = 128
# With fewer columns it is faster to multiply zeros as well.
LEAST_COLUMNS = 512
# Groups with fewer rows are joined into one group, whatever their columns.
LEAST_ROWS = 48
# Runs of columns are joined where no more than this number of zero columns lies between them.
WIDEST_GAP = 64
# Factors that combine the bits of the probed columns into one number, as a hash does.
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


def dot(x: Array, z: Array, on_host: bool = True) -> Array:
    """Return x z^T.

    Parameters
    ----------
    x : array of shape (n, d)
    z : array of shape (M, d)
        In Fortran order, so that a run of its columns is contiguous. In another order, zeros are
        multiplied as well.
    on_host : bool, default=True
        False multiplies zeros as well: on a GPU this is faster than sorting.

    Returns
    -------
    array of shape (n, M)
    """
    if not on_host or not z.T.flags.c_contiguous:
        return x @ z.T
    if x.shape[1] < LEAST_COLUMNS or not len(x):
        return x @ z.T
    all_groups = groups(x) if len(x) >= LEAST_ROWS else [np.arange(len(x))]
    longest = max(map(len, all_groups))
    result = np.empty((len(x), len(z)), np.result_type(x, z))
    total, term = (np.empty((longest, len(z)), result.dtype) for _ in range(2))
    for rows in all_groups:
        part, n = x[rows], len(rows)
        runs = used_columns(part)
        if not runs:
            total[:n] = 0.0
        for i, run in enumerate(runs):
            # z.T[run] is a view, not a copy.
            values = part[:, run].astype(result.dtype, copy=False)
            np.matmul(values, z.T[run], out=term[:n] if i else total[:n])
            if i:
                total[:n] += term[:n]
        result[rows] = total[:n]
    return result


def groups(x: NDArray[np.floating]) -> list[NDArray[np.intp]]:
    """Divide rows into groups that are zero in the same of a few columns.

    Parameters
    ----------
    x : ndarray of shape (n, d)

    Returns
    -------
    list of ndarray
        Positions of the rows of each group; each row is in one group.
    """
    probes = np.linspace(0, x.shape[1] - 1, N_PROBES).astype(np.intp)
    bits = np.ascontiguousarray(np.packbits(x[:, probes] != 0, axis=1)).view(np.uint64)
    _, group, counts = np.unique(bits @ _MIX, return_inverse=True, return_counts=True)
    group = np.where(counts[group] < LEAST_ROWS, -1, group)
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def used_columns(x: NDArray[np.floating]) -> list[slice]:
    """Find runs of columns that hold all nonzero values of x.

    Parameters
    ----------
    x : ndarray of shape (n, d)

    Returns
    -------
    list of slice
        Ascending, with more than `WIDEST_GAP` columns between two of them.
    """
    # Comparing bits is faster than comparing numbers.
    words = x.view(f"u{x.itemsize}")
    used = np.concatenate(([False], np.bitwise_or.reduce(words, axis=0) != 0, [False]))
    edges = np.flatnonzero(used[1:] != used[:-1])
    starts, stops = edges[::2], edges[1::2]
    apart = np.flatnonzero(starts[1:] - stops[:-1] > WIDEST_GAP)
    starts = starts[np.append(0, apart + 1)] if len(starts) else starts
    stops = stops[np.append(apart, len(stops) - 1)] if len(stops) else stops
    return [slice(a, b) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
