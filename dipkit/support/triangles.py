"""Triangles of symmetric matrices on the host: sums of products and solutions with a factor.

BLAS computes one triangle of A^T A, at half the cost of the whole, and can add it to a matrix.
NumPy makes a new matrix of both triangles for each product instead, but lets other threads of
Python run meanwhile, as BLAS called by SciPy does not: on threads use `Backend.gram`. Other devices
are in `backend.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, cho_solve, lapack

__all__ = ["add_gram", "add_grams", "inverse", "mirror", "solve", "symmetrise"]

Real = NDArray[np.floating]

# Rows and columns that are copied at a time: both places of such a tile fit in the cache.
TILE = 256


def add_gram(part: Real, total: Real) -> None:
    """Add A^T A to the upper triangle of a matrix, in place.

    Parameters
    ----------
    part : ndarray of shape (n, r)
        A.
    total : ndarray of shape (r, r)
        C-contiguous. What is below its diagonal is not changed.

    Raises
    ------
    ValueError
        If the total is not C-contiguous: BLAS would add to a copy of it.
    """
    if not total.flags.c_contiguous:
        raise ValueError("total: expected a C-contiguous matrix")
    syrk = blas.dsyrk if total.dtype == np.float64 else blas.ssyrk
    part = np.ascontiguousarray(part, dtype=total.dtype)
    # BLAS needs Fortran order: the transposes are such arrays, without a copy.
    syrk(1.0, part.T, beta=1.0, c=total.T, trans=0, lower=1, overwrite_c=1)


def add_grams(parts: Iterable[Real], total: Real) -> Real:
    """Add A^T A of some arrays A (n, r) to a symmetric matrix (r, r), in place, and return it."""
    for part in parts:
        add_gram(part, total)
    return mirror(total)


def mirror(matrix: Real) -> Real:
    """Copy the upper triangle of a matrix (r, r) to the lower one, in place, and return it."""
    r = matrix.shape[0]
    for first in range(0, r, TILE):
        run = slice(first, min(first + TILE, r))
        square = matrix[run, run]
        square[...] = np.triu(square) + np.triu(square, 1).T
        for start in range(run.stop, r, TILE):
            beside = slice(start, min(start + TILE, r))
            matrix[beside, run] = matrix[run, beside].T
    return matrix


def symmetrise(matrix: Real) -> Real:
    """Return the mean of a matrix (r, r) and its transpose, in place, in C order if it has one."""
    r = matrix.shape[0]
    for first in range(0, r, TILE):
        run, later = slice(first, first + TILE), slice(first, None)
        mean = (matrix[run, later] + matrix[later, run].T) / 2
        matrix[run, later], matrix[later, run] = mean, mean.T
    # The transpose is the same matrix: rows of the result lie together in memory.
    return matrix.T if matrix.flags.f_contiguous else matrix


def solve(factor: Real, right: Real) -> Real:
    """Solve L L^T x = right, (r,) or (r, k), with the factor L (r, r) in Fortran order."""
    if right.ndim == 2:
        many: Real = cho_solve((factor, True), right, check_finite=False)
        return many
    # The function of LAPACK for many right-hand sides takes twice as long for one.
    half = blas.dtrsv(factor, right, lower=1)
    one: Real = blas.dtrsv(factor, half, lower=1, trans=1, overwrite_x=1)
    return one


def inverse(factor: Real) -> Real:
    """Return (L L^T)^-1 for a factor L (r, r) in Fortran order, which is overwritten."""
    lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    # The transpose is in C order, with the triangle above.
    return mirror(lower.T)
