"""Index arithmetic of ragged arrays.

Symbols: N molecules, n atoms in all, offsets (N+1,): atoms of molecule A are
offsets[A] to offsets[A+1] - 1. The meaning of the arrays is not here (`dipkit.data`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = slice | NDArray[np.intp]


def normalise_index(key: Any, length: int) -> Index:
    """Turn a key into a slice or into indices from 0 to length - 1.

    A key is an integer, a slice, an array of integers or a boolean mask; scikit-learn uses the
    tuple ``(key, ...)``.
    """
    if isinstance(key, tuple):
        if len(key) != 2 or key[1] is not Ellipsis:
            raise IndexError(f"Molecules has one axis: expected one index, got {key!r:.80}.")
        key = key[0]
    if isinstance(key, slice):
        return key
    index = np.atleast_1d(np.asarray(key))
    if index.ndim != 1 or (index.dtype.kind not in "iub" and index.size):
        raise IndexError(f"expected integers, a slice or a boolean mask, got {key!r:.80}.")
    if index.dtype == bool:
        if len(index) != length:
            raise IndexError(f"mask of length {len(index)} for {length} molecules.")
        return np.flatnonzero(index)
    index = index.astype(np.intp)
    outside = (index < -length) | (index >= length)
    if outside.any():
        raise IndexError(f"index {index[outside][0]} is out of range for {length} molecules.")
    return np.where(index < 0, index + length, index)


def atoms_of(index: Index, offsets: NDArray[np.int64]) -> Index:
    """Atoms of the selected molecules; a slice stays a slice, which copies nothing."""
    if isinstance(index, slice):
        start, stop, step = index.indices(len(offsets) - 1)
        if step == 1:
            return slice(int(offsets[start]), int(offsets[max(start, stop)]))
        index = np.arange(start, stop, step)
    lengths = (offsets[1:] - offsets[:-1])[index]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    shift = np.repeat(offsets[:-1][index] - (ends - lengths), lengths)
    return (shift + np.arange(total)).astype(np.intp, copy=False)


def pairs(offsets: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of atoms of the same molecule, including each atom with itself; ascending."""
    sizes = np.diff(offsets)
    repeats = np.repeat(sizes, sizes)
    center = np.repeat(np.arange(offsets[-1]), repeats)
    first = np.repeat(np.cumsum(repeats) - repeats, repeats)
    neighbour = np.arange(len(center)) - first + np.repeat(np.repeat(offsets[:-1], sizes), repeats)
    return center, neighbour


def of_one_size(offsets: NDArray[np.int64], n_pairs: int) -> Iterator[NDArray[np.intp]]:
    """Yield atoms (m, size) of molecules of one size, so that no loop over molecules is needed.

    Parameters
    ----------
    offsets : ndarray of shape (n_molecules + 1,)
    n_pairs : int
        Largest number of pairs of atoms, m size^2, of one array; one molecule at least.
    """
    sizes = np.diff(offsets)
    for size in np.unique(sizes).tolist():
        members = np.flatnonzero(sizes == size)
        step = max(n_pairs // max(size, 1) ** 2, 1)
        for start in range(0, len(members), step):
            yield offsets[members[start : start + step]][:, None] + np.arange(size)


def join(arrays: Sequence[NDArray[Any] | None], lengths: Sequence[int]) -> NDArray[Any] | None:
    """Concatenate; parts that are None become NaN, unless all parts are None."""
    present = [array for array in arrays if array is not None]
    if not present:
        return None
    row = present[0].shape[1:]
    return np.concatenate(
        [
            np.full((length, *row), np.nan) if array is None else array
            for array, length in zip(arrays, lengths, strict=True)
        ]
    )


def cut(offsets: NDArray[np.int64], n_atoms: int) -> list[slice]:
    """Cut molecules into consecutive pieces of at most `n_atoms` atoms, one molecule at least.

    Parameters
    ----------
    offsets : ndarray of shape (n_molecules + 1,)
        Atoms of molecule A are ``offsets[A]:offsets[A + 1]``.
    n_atoms : int
    """
    runs, start, stop = [], 0, 0
    while start < len(offsets) - 1:
        stop = int(np.searchsorted(offsets, offsets[start] + n_atoms, side="right")) - 1
        stop = max(stop, start + 1)
        runs.append(slice(start, stop))
        start = stop
    return runs
