"""Dot products of descriptors that are zero in many columns, without multiplying the zeros.

The power spectrum of an atom is zero wherever it names an element that is not around it: in half to
two thirds of its columns. Atoms with the same columns go together, and only these are multiplied;
nothing is neglected. Symbols: x (n, d), z (M, d).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Columns looked at to tell which atoms go together; what they share is then looked up exactly.
N_PROBES = 128
# Groups smaller than this go together, whatever their columns.
LEAST_ROWS = 48
# Runs of columns are multiplied as one where no more zeros than these lie between them.
WIDEST_GAP = 64
# Factors that mix the bits of the probes into one number.
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


def dot(x: Any, z: Any, on_host: bool = True) -> Any:
    """Return x z^T.

    Parameters
    ----------
    x : array of shape (n, d)
    z : array of shape (M, d)
        In Fortran order, to say that it will meet many x: runs of its columns are then in one
        piece. Else everything is multiplied.
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
    together = groups(x)
    longest = max(map(len, together))
    result = np.empty((len(x), len(z)), np.result_type(x, z))
    total, term = (np.empty((longest, len(z)), result.dtype) for _ in range(2))
    for rows in together:
        part, n = x[rows], len(rows)
        runs = used_columns(part)
        if not runs:
            total[:n] = 0.0
        for i, run in enumerate(runs):
            # Of a view of z, which is not copied.
            values = part[:, run].astype(result.dtype, copy=False)
            np.matmul(values, z.T[run], out=term[:n] if i else total[:n])
            if i:
                total[:n] += term[:n]
        result[rows] = total[:n]
    return result


def groups(x: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Rows that are zero in the same columns, as far as a few columns tell."""
    probes = np.linspace(0, x.shape[1] - 1, N_PROBES).astype(np.intp)
    bits = np.ascontiguousarray(np.packbits(x[:, probes] != 0, axis=1)).view(np.uint64)
    _, group, counts = np.unique(bits @ _MIX, return_inverse=True, return_counts=True)
    group = np.where(counts[group] < LEAST_ROWS, -1, group)
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def used_columns(x: NDArray[Any]) -> list[slice]:
    """Find runs of columns that hold all of x that is not zero."""
    # Bits are quicker to look at than numbers.
    words = x.view(f"u{x.itemsize}")
    used = np.concatenate(([False], np.bitwise_or.reduce(words, axis=0) != 0, [False]))
    edges = np.flatnonzero(used[1:] != used[:-1])
    starts, stops = edges[::2], edges[1::2]
    apart = np.flatnonzero(starts[1:] - stops[:-1] > WIDEST_GAP)
    starts = starts[np.append(0, apart + 1)] if len(starts) else starts
    stops = stops[np.append(apart, len(stops) - 1)] if len(stops) else stops
    return [slice(a, b) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
