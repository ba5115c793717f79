"""Whitening of kernel matrices: from kernel values to basis functions of unit covariance.

Symbols: a kernel matrix K (M, M) of the environments of one element, a whitening W (M, r) with
W^T K W = 1. What the basis functions are used for is in `basis.py`.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

__all__ = ["whiten"]

FloatArray = NDArray[np.float64]


def whiten(matrix: FloatArray, eigenvalue_cut: float) -> FloatArray:
    """Return W with W^T K W = 1 on the directions above the cut, largest eigenvalue first.

    Parameters
    ----------
    matrix : ndarray of shape (M, M)
        Symmetric positive semidefinite.
    eigenvalue_cut : float
        Relative to the largest eigenvalue.

    Returns
    -------
    ndarray of shape (M, r), r <= M
    """
    values, vectors = scipy.linalg.eigh(matrix, driver="evd")
    above = np.flatnonzero(values > eigenvalue_cut * values[-1])[::-1]
    whitening: FloatArray = vectors[:, above] / np.sqrt(values[above])
    return whitening
