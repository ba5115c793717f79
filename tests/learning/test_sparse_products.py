"""Products that leave zeros out equal plain ones."""

import numpy as np
import pytest

from dipkit.learning.sparse_products import LEAST_ROWS, dot, groups, used_columns


def descriptors(n: int, seed: int, d: int = 600) -> np.ndarray:
    """Rows that are zero in some of six blocks of columns."""
    rng = np.random.default_rng(seed)
    present = rng.random((n, 6)) < rng.choice([0.1, 0.5, 0.9], n)[:, None]
    return (rng.random((n, d)) * np.repeat(present, d // 6, axis=1)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 47, 48, 500])
@pytest.mark.parametrize("precise", [False, True])
def test_equals_the_plain_product(n: int, precise: bool) -> None:
    x, z = descriptors(n, 0), descriptors(80, 1)
    z = np.asfortranarray(z, np.float64 if precise else np.float32)
    found = dot(x, z)
    assert found.dtype == z.dtype
    exact = x.astype(float) @ z.T.astype(float)
    np.testing.assert_allclose(found, exact, rtol=1e-12 if precise else 1e-5, atol=1e-12)


def test_columns_that_no_probe_sees_count() -> None:
    x, z = np.zeros((100, 600), np.float32), np.ones((3, 600), order="F")
    x[:, 1] = 1.0  # between the probes
    x[7, 501] = 2.0
    np.testing.assert_array_equal(dot(x, z), x @ z.T)


def test_a_row_that_is_zero() -> None:
    x = np.zeros((60, 600), np.float32)
    np.testing.assert_array_equal(dot(x, np.ones((3, 600), order="F")), 0.0)


def test_groups_cover_all_rows_once() -> None:
    x = descriptors(500, 2)
    found = list(groups(x))
    assert len(found) > 1
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(500))


def test_rows_of_rare_patterns_are_a_group_of_their_own() -> None:
    pattern = np.repeat(np.arange(6), [LEAST_ROWS, LEAST_ROWS, LEAST_ROWS, LEAST_ROWS, 3, 1])
    x = (pattern[:, None] == np.arange(600) // 100).astype(np.float32)
    found = sorted(np.unique(pattern[rows]).tolist() for rows in groups(x))
    assert found == [[0], [1], [2], [3], [4, 5]]


def test_used_columns_are_runs_that_hold_everything() -> None:
    x = np.zeros((4, 1000), np.float32)
    x[0, 0] = x[1, 40] = x[2, 300] = x[3, 365] = x[0, 999] = 1.0
    assert used_columns(x) == [slice(0, 41), slice(300, 366), slice(999, 1000)]
    assert used_columns(x[:, 1:40]) == []


@pytest.mark.parametrize("case", ["device", "order", "few columns", "few rows"])
def test_where_zeros_are_multiplied_too(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sorting the rows does not pay, nothing is sorted."""

    def fail(x: np.ndarray) -> None:
        raise AssertionError("rows were sorted")

    monkeypatch.setattr("dipkit.learning.sparse_products.groups", fail)
    n, d = 47 if case == "few rows" else 48, 510 if case == "few columns" else 516
    x, z = descriptors(n, 0, d), np.asfortranarray(descriptors(20, 1, d))
    z = np.ascontiguousarray(z) if case == "order" else z
    np.testing.assert_array_equal(dot(x, z, on_host=case != "device"), x @ z.T)


def test_rows_are_sorted_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_rows = []
    monkeypatch.setattr(
        "dipkit.learning.sparse_products.groups",
        lambda x: sorted_rows.append(len(x)) or groups(x),
    )
    dot(descriptors(48, 0, 516), np.asfortranarray(descriptors(20, 1, 516)))
    assert sorted_rows == [48]
