"""Directions of the weights that a fold must not use.

One basis serves all folds, and its inducing environments are chosen among all molecules. For each
fold we project out the directions that are spanned only by environments of held-out molecules;
otherwise the score would be optimistic: a sharp kernel would look better than it is for molecules
that it has not seen. Symbols: folds k, r basis functions, orthonormal directions (r, m_k), problems
b = 1..B, each of a fold k(b). How the problems use them is in `fold_problem.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..learning.basis import Basis
from ..support.backend import Array, Backend

__all__ = ["find_excluded", "hold_at_zero", "projection"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]

# Penalty on excluded directions in a fold's own matrix, relative to its largest diagonal element.
PENALTY = 1e3


def find_excluded(
    basis: Basis, owners: Mapping[int, Indices], train: Indices, eigenvalue_cut: float
) -> Array:
    """Find the directions (r, m) that only environments of molecules outside `train` add.

    With the whitening W = V L^-1/2 of an element, its environments have the basis functions
    K W = V L^1/2. Directions that those of the training part do not reach, up to the eigenvalue
    cut, would not be in a basis of the training part alone.

    Parameters
    ----------
    basis : Basis
    owners : mapping of int to ndarray of int
        For each element, the molecules from which its environments were taken.
    train : ndarray of int
    eigenvalue_cut : float

    Returns
    -------
    array of shape (r, m)
        Orthonormal, on the device of the basis.
    """
    blocks = []
    for number, element in basis.elements.items():
        whitening = basis.backend.to_host(element.whitening)
        inside = np.isin(owners[number], train)
        functions = (whitening / (whitening * whitening).sum(axis=0))[inside]
        parts = [(functions, element.columns)]
        leading = functions[:, : element.n_leading]
        parts += [(leading, columns) for columns in element.dipole_columns]
        if element.bond_columns is not None:
            parts.append((functions[:, : element.n_bond], element.bond_columns))
        for reached, columns in parts:
            directions = _not_reached(reached, eigenvalue_cut)
            block = np.zeros((basis.n_columns, directions.shape[1]))
            # The constant of charges and of dipoles, the last of their columns, is not excluded.
            block[columns.start : columns.start + len(directions)] = directions
            blocks.append(block)
    return basis.backend.asarray(np.concatenate(blocks, axis=1))


def _not_reached(functions: FloatArray, eigenvalue_cut: float) -> FloatArray:
    """Directions (c, m) of basis functions (n, c) that these environments do not reach."""
    values, vectors = scipy.linalg.eigh(functions.T @ functions, driver="evd")
    kept: FloatArray = vectors[:, values <= eigenvalue_cut * values[-1:]]
    return kept


def hold_at_zero(matrix: Array, directions: Array, backend: Backend) -> Array:
    """Add, in place, a penalty to a matrix (r, r) that keeps the directions (r, m) at zero."""
    size = PENALTY * float(backend.xp.max(backend.diagonal(matrix)))
    matrix += (size * directions) @ directions.T
    return matrix


def projection(
    excluded: Sequence[Array], fold: Indices, backend: Backend
) -> Callable[[Array, Indices], Array]:
    """Return the function that removes the excluded directions from the weights of problems.

    Parameters
    ----------
    excluded : sequence of array of shape (r, m_k)
        Of each fold.
    fold : ndarray of shape (B,)
        Of each problem.
    backend : Backend

    Returns
    -------
    callable
        ``project(W, problems)`` changes W (B', r) of these problems (B',) in place.
    """

    def project(W: Array, problems: Indices) -> Array:
        folds = fold[problems]
        for k in np.unique(folds):
            mine, directions = np.flatnonzero(folds == k), excluded[k]
            of_fold = backend.take(W, mine)
            backend.put(W, mine, of_fold - (of_fold @ directions) @ directions.T)
        return W

    return project
