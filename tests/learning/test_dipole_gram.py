"""Gram matrices of dipole rows: plain sums over molecules, runs of rows, matrices to add to."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dipkit.learning.dipole_gram import directed_gram, weighted_gram

Problem = tuple[np.ndarray, np.ndarray, np.ndarray]
N, R = 7, 4


@pytest.fixture(params=[3, 6, 9, 8192])
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs of one, two, three and of all molecules."""
    monkeypatch.setattr("dipkit.learning.dipole_gram.ROWS_AT_ONCE", request.param)
    return request.param


@pytest.fixture
def problem() -> Problem:
    """Rows, weights (one of them 0) and directions."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((3 * N, R)), np.arange(N) / 2, rng.standard_normal((N, 3))


@pytest.mark.usefixtures("rows_at_once")
def test_weighted_gram_is_a_sum_over_molecules(problem: Problem) -> None:
    rows, weights, _ = problem
    expected = sum(w * D.T @ D for w, D in zip(weights, rows.reshape(N, 3, R), strict=True))
    np.testing.assert_allclose(weighted_gram(rows, weights), expected, atol=1e-12)


@pytest.mark.usefixtures("rows_at_once")
def test_directed_gram_is_a_sum_over_molecules(problem: Problem) -> None:
    rows, weights, directions = problem
    before = rows.copy()
    along = np.einsum("ac,acr->ar", directions, rows.reshape(N, 3, R))
    expected = (along.T * weights) @ along
    np.testing.assert_allclose(directed_gram(rows, directions, weights), expected, atol=1e-12)
    start = np.eye(R)
    found = directed_gram(rows, directions, weights, out=start)
    assert found is start
    np.testing.assert_allclose(found, np.eye(R) + expected, atol=1e-12)
    np.testing.assert_array_equal(rows, before)


def test_three_orthogonal_directions_make_the_whole(problem: Problem) -> None:
    rows, weights, _ = problem
    axes = [np.tile(axis, (N, 1)) for axis in Rotation.random(random_state=0).as_matrix()]
    parts = [directed_gram(rows, axis, weights) for axis in axes]
    np.testing.assert_allclose(sum(parts), weighted_gram(rows, weights), atol=1e-12)
