"""Gram matrices of dipole rows, summed over runs of rows.

Symbols: N molecules A, r basis functions, dipole rows D (3 N, r) in debye / e with D_A (3, r),
weights w_A (N,), unit vectors u_A (N, 3). The rows may lie in a file, and their weighted copy takes
memory: hence the runs. How the rows are computed, and which weights an objective has, is not here.
"""

from __future__ import annotations

from ..support.backend import NUMPY, Array, Backend

# Dipole rows in one product: the limit of the size of their weighted copy.
ROWS_AT_ONCE = 3072


def weighted_gram(
    rows: Array, weights: Array, backend: Backend = NUMPY, out: Array | None = None
) -> Array:
    """Return sum_A w_A D_A^T D_A, or add the sum to a matrix.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
        Dipole rows D.
    weights : array of shape (n_molecules,)
        Not negative.
    backend : Backend
    out : array of shape (r, r), default=None
        Symmetric matrix to add to; None for zeros.

    Returns
    -------
    array of shape (r, r)
    """
    xp, n_rows = backend.xp, rows.shape[0]
    weights = backend.asarray(weights)
    roots = xp.repeat(xp.sqrt(weights), 3)[:, None]
    runs = (
        slice(start, min(start + ROWS_AT_ONCE, n_rows)) for start in range(0, n_rows, ROWS_AT_ONCE)
    )
    plain = bool(xp.all(weights == 1))  # no copy of the rows
    scaled = (rows[run, :] if plain else roots[run, :] * rows[run, :] for run in runs)
    total = backend.zeros((rows.shape[1],) * 2) if out is None else out
    return backend.sum_of_grams(scaled, total)


def directed_gram(
    rows: Array,
    directions: Array,
    weights: Array,
    backend: Backend = NUMPY,
    out: Array | None = None,
) -> Array:
    """Return sum_A w_A D_A^T u_A u_A^T D_A, or add the sum to a matrix.

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
        Symmetric matrix to add to; None for zeros.

    Returns
    -------
    array of shape (r, r)
    """
    xp, (n_rows, r) = backend.xp, rows.shape
    arms = xp.sqrt(backend.asarray(weights))[:, None] * directions
    n_at_once = ROWS_AT_ONCE // 3

    def directed(start: int) -> Array:
        stop = min(start + n_at_once, n_rows // 3)
        block = xp.reshape(rows[3 * start : 3 * stop, :], (-1, 3, r))
        return xp.matmul(arms[start:stop, None, :], block)[:, 0, :]

    parts = (directed(start) for start in range(0, n_rows // 3, n_at_once))
    return backend.sum_of_grams(parts, backend.zeros((r, r)) if out is None else out)
