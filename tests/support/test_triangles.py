"""Sums, inverses and solutions that BLAS computes in one triangle, against plain products."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from dipkit.support import triangles
from dipkit.support.backend import NUMPY


@pytest.fixture(params=[1, 5, 300], ids=lambda r: f"r={r}")
def matrix(request: pytest.FixtureRequest) -> np.ndarray:
    """A positive definite matrix; the largest one has more than one tile."""
    r = request.param
    a = np.random.default_rng(r).standard_normal((r + 10, r))
    return a.T @ a + np.eye(r)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_sums_of_grams_are_added_to_what_is_there(
    matrix: np.ndarray, dtype: type, rtol: float
) -> None:
    r, rng = len(matrix), np.random.default_rng(0)
    parts = [rng.standard_normal((n, r)).astype(dtype) for n in (3, 0, 7)]
    total = matrix.astype(dtype)
    assert triangles.add_grams(iter(parts), total) is total
    expected = matrix + sum(part.T.astype(float) @ part for part in parts)
    np.testing.assert_allclose(total, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    np.testing.assert_array_equal(total, total.T)


def test_a_total_that_blas_would_copy_is_refused(matrix: np.ndarray) -> None:
    if len(matrix) > 1:
        with pytest.raises(ValueError, match="C-contiguous"):
            triangles.add_grams([np.ones((2, len(matrix)))], np.asfortranarray(matrix))


def test_rows_that_are_not_contiguous_are_summed(matrix: np.ndarray) -> None:
    rows = np.random.default_rng(1).standard_normal((8, 2 * len(matrix)))[:, ::2]
    found = triangles.add_grams([rows], matrix.copy())
    np.testing.assert_allclose(found, matrix + rows.T @ rows, rtol=1e-12, atol=1e-10)


def test_a_matrix_and_its_transpose_have_one_mean(matrix: np.ndarray) -> None:
    skew = matrix + np.tri(len(matrix))
    for given in (skew.copy(), np.asfortranarray(skew)):
        found = triangles.symmetrise(given)
        np.testing.assert_array_equal(found, (skew + skew.T) / 2)
        assert found.flags.c_contiguous


def test_factors_solve_and_invert(matrix: np.ndarray) -> None:
    right = np.random.default_rng(2).standard_normal((len(matrix), 4))
    factor = NUMPY.factor(matrix.copy())
    np.testing.assert_allclose(matrix @ NUMPY.solve(factor, right), right, atol=1e-9)
    np.testing.assert_allclose(matrix @ NUMPY.solve(factor, right[:, 0]), right[:, 0], atol=1e-9)
    inverse = NUMPY.inverse(factor)
    np.testing.assert_allclose(inverse, scipy.linalg.inv(matrix), atol=1e-9)
    np.testing.assert_array_equal(inverse, inverse.T)
