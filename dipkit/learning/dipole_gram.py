"""Gram matrices of the dipole rows D (3 N, r) of N molecules, debye / e.

The rows are walked in runs: they may lie in a file, and copies of them take memory.
"""

from __future__ import annotations

from typing import Any

from ..support.backend import NUMPY, Backend

# Dipole rows in one product: bounds the copy that carries the weights.
ROWS_AT_ONCE = 8192


def weighted_gram(rows: Any, weights: Any, backend: Backend = NUMPY) -> Any:
    """Return sum_A w_A D_A^T D_A.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
        Dipole rows D.
    weights : array of shape (n_molecules,)
        Not negative.
    backend : Backend

    Returns
    -------
    array of shape (r, r)
    """
    xp = backend.xp
    roots = xp.repeat(xp.sqrt(backend.asarray(weights)), 3)[:, None]
    n_rows, matrix = rows.shape[0], backend.zeros((rows.shape[1],) * 2)
    for start in range(0, n_rows, ROWS_AT_ONCE):
        run = slice(start, min(start + ROWS_AT_ONCE, n_rows))
        scaled = roots[run, :] * rows[run, :]
        matrix += scaled.T @ scaled
    return matrix


def directed_gram(
    rows: Any, directions: Any, weights: Any, backend: Backend = NUMPY, out: Any = None
) -> Any:
    """Return sum_A w_A D_A^T u_A u_A^T D_A, or add it to a matrix.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
        Dipole rows D.
    directions : array of shape (n_molecules, 3)
        u_A.
    weights : array of shape (n_molecules,)
        Not negative.
    backend : Backend
    out : array of shape (r, r), default=None
        What to add to; None starts from zeros.

    Returns
    -------
    array of shape (r, r)
    """
    xp, (n_rows, r) = backend.xp, rows.shape
    arms = xp.sqrt(backend.asarray(weights))[:, None] * directions
    matrix = backend.zeros((r, r)) if out is None else out
    for start in range(0, n_rows // 3, ROWS_AT_ONCE // 3):
        stop = min(start + ROWS_AT_ONCE // 3, n_rows // 3)
        block = xp.reshape(rows[3 * start : 3 * stop, :], (-1, 3, r))
        # One component after the other: a product of all three would be as large as the block.
        directed = sum(arms[start:stop, c, None] * block[:, c, :] for c in range(3))
        matrix += directed.T @ directed
    return matrix
