"""Whitening of kernel matrices: from kernel values to basis functions of unit covariance.

Symbols: a kernel matrix K (M, M) of the environments of one element, a whitening W (M, r) with
W^T K W = 1. What the basis functions are used for is in `basis.py`.
"""

from __future__ import annotations

import numpy as np

from ..support.backend import NUMPY, Array, Backend

__all__ = ["whiten"]


def whiten(matrix: Array, eigenvalue_cut: float, backend: Backend = NUMPY) -> Array:
    """Return W with W^T K W = 1 on the directions above the cut, largest eigenvalue first.

    Parameters
    ----------
    matrix : array of shape (M, M), float64
        Symmetric positive semidefinite.
    eigenvalue_cut : float
        Relative to the largest eigenvalue.
    backend : Backend
        Holds the matrix.

    Returns
    -------
    array of shape (M, r), r <= M
    """
    on_device, vectors = backend.eigh(matrix)
    values = backend.to_host(on_device)
    above = np.flatnonzero(values > eigenvalue_cut * values[-1])[::-1]
    directions = backend.xp.take(vectors, backend.asarray(np.ascontiguousarray(above)), axis=1)
    return directions / backend.asarray(np.sqrt(values[above]))
