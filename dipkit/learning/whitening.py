"""Whitening of kernel matrices: from kernel values to basis functions of unit covariance.

Symbols: a kernel matrix K (M, M) of the environments of one element, a whitening W (M, r) with
W^T K W = 1. What the basis functions are used for is in `basis.py`.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from ..support.backend import NUMPY, Array, Backend

__all__ = ["is_triangular", "triangular_whitening", "whiten", "whiten_triangular"]


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
    xp = backend.xp
    directions = xp.take(vectors, backend.asarray(np.ascontiguousarray(above)), axis=1)
    # The sign of an eigenvector is arbitrary. With one rule, what is drawn at random in these
    # directions is the same on every device.
    negative = xp.sum(directions * directions * directions, axis=0) < 0
    signed = xp.where(negative, -directions, directions)
    return signed / backend.asarray(np.sqrt(values[above]))


def triangular_whitening(matrix: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Return a triangular W with W^T (K + c 1) W = 1, in a small part of the time of `whiten`.

    It spans what `whiten` spans: c is `cut` times a bound of the largest eigenvalue, so that
    directions below the cut hardly count.

    Parameters
    ----------
    matrix : ndarray of shape (M, M)
        Symmetric positive semidefinite.
    cut : float
        Relative to the largest eigenvalue.

    Returns
    -------
    ndarray of shape (M, r), r <= M
        r = M, or fewer where the matrix has negative eigenvalues below -c.
    """
    shifted = matrix + cut * np.abs(matrix).sum(axis=1).max() * np.eye(len(matrix))
    try:
        lower = scipy.linalg.cholesky(shifted, lower=True)
    except np.linalg.LinAlgError:
        directions: NDArray[np.float64] = whiten(shifted, cut)
        return directions
    inverse, _ = lapack.dtrtri(lower, lower=1, overwrite_c=1)
    return np.asarray(inverse.T, np.float64)


def is_triangular(whitening: NDArray[np.float64]) -> bool:
    """Return whether a whitening is square, with zeros below its diagonal, as most are."""
    return whitening.shape[0] == whitening.shape[1] and not np.tril(whitening, -1).any()


def whiten_triangular(
    k: NDArray[np.float64], whitening: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return k W, in half the operations of the product, where W is triangular.

    Parameters
    ----------
    k : ndarray of shape (n, M), float64
    whitening : ndarray of shape (M, M)
        With zeros below the diagonal, in C order.

    Returns
    -------
    ndarray of shape (n, M)
    """
    # BLAS takes the transposes, which are in Fortran order.
    product: NDArray[np.float64] = blas.dtrmm(1.0, whitening.T, k.T, lower=1).T
    return product
