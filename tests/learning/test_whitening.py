"""Whitening: the kernel matrix becomes one on the directions above the cut."""

import numpy as np
import pytest

from dipkit.learning.whitening import (
    is_triangular,
    triangular_whitening,
    whiten,
    whiten_triangular,
)


def gram(eigenvalues: list[float], seed: int = 0) -> np.ndarray:
    n = len(eigenvalues)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return (q * eigenvalues) @ q.T


def test_whitening_makes_the_kernel_matrix_one() -> None:
    matrix = gram([5.0, 2.0, 1.0, 0.3, 1e-3, 1e-12, 0.0])
    w = whiten(matrix, 1e-6)
    assert w.shape == (7, 5)
    np.testing.assert_allclose(w.T @ matrix @ w, np.eye(5), atol=1e-11)


@pytest.mark.parametrize(("cut", "rank"), [(1e-15, 4), (1e-4, 3), (1e-2, 2), (0.5, 1)])
def test_directions_below_the_cut_are_dropped(cut: float, rank: int) -> None:
    w = whiten(gram([10.0, 1.0, 1e-2, 1e-6]), cut)
    assert w.shape[1] == rank
    # Largest eigenvalue first: the columns of W have length 1 / sqrt(eigenvalue).
    lengths = np.linalg.norm(w, axis=0)
    np.testing.assert_allclose(lengths[: min(rank, 3)], [10**-0.5, 1, 10][:rank], rtol=1e-6)


def test_duplicate_environments_span_nothing_new() -> None:
    matrix = gram([3.0, 1.0, 0.5])
    twice = np.block([[matrix, matrix], [matrix, matrix]])
    assert whiten(twice, 1e-9).shape == (6, 3)


def test_the_cut_is_relative_to_the_largest_eigenvalue() -> None:
    several = gram([10.0, 10.0, 10.0, 1.5, 0.5])
    assert whiten(several, 0.1).shape == (5, 4)
    assert whiten(1e-3 * several, 0.1).shape == (5, 4)


def test_triangular_whitening_makes_the_shifted_matrix_one() -> None:
    matrix = gram([5.0, 2.0, 1.0, 0.3, 1e-3])
    w = triangular_whitening(matrix, 1e-6)
    shift = 1e-6 * np.abs(matrix).sum(axis=1).max()
    assert is_triangular(w)
    np.testing.assert_allclose(w.T @ (matrix + shift * np.eye(5)) @ w, np.eye(5), atol=1e-10)


def test_product_with_a_triangular_whitening() -> None:
    rng = np.random.default_rng(0)
    w, k = np.triu(rng.standard_normal((7, 7))), rng.standard_normal((4, 7))
    before = k.copy()
    np.testing.assert_allclose(whiten_triangular(k, w), k @ w, rtol=1e-13)
    np.testing.assert_array_equal(k, before)
    assert not is_triangular(w[:, :6])
    assert not is_triangular(w + np.tril(np.full((7, 7), 1e-9), -1))
