"""Quadratic terms: sums leave their operands as they are, and are sums of values."""

import numpy as np
import pytest

from dipkit.learning.quadratic_term import QuadraticTerm, TermSum, weighted_sum

R = 4
NAMES = ("gram", "rhs", "constant", "weight")


def random_term(seed: int) -> QuadraticTerm:
    rng = np.random.default_rng(seed)
    rows, labels = rng.standard_normal((9, R)), rng.standard_normal(9)
    return QuadraticTerm(rows.T @ rows, rows.T @ labels, float(labels @ labels), 9.0 + seed)


def parts(term: QuadraticTerm) -> list[np.ndarray]:
    return [np.array(getattr(term, name)) for name in NAMES]


def sum_in_steps(a: QuadraticTerm, b: QuadraticTerm) -> QuadraticTerm:
    total = a
    total += b
    return total


def accumulate_sum(a: QuadraticTerm, b: QuadraticTerm) -> QuadraticTerm:
    total = TermSum(R)
    total.add(a)
    total.add(b)
    return total.finish()


@pytest.mark.parametrize("add", [lambda a, b: a + b, sum_in_steps, accumulate_sum])
def test_adding_leaves_both_terms_unchanged(add) -> None:
    a, b = random_term(0), random_term(1)
    before = parts(a), parts(b)
    total = add(a, b)
    for term, values in zip((a, b), before, strict=True):
        for now, then in zip(parts(term), values, strict=True):
            np.testing.assert_array_equal(now, then)
    w = np.arange(1.0, R + 1)
    assert total.value(w) == pytest.approx(a.value(w) + b.value(w))
    assert total.weight == a.weight + b.weight


def test_the_difference_of_a_sum_is_the_other_term() -> None:
    a, b = random_term(0), random_term(1)
    for found, expected in zip(parts(a + b - b), parts(a), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_value_is_the_sum_of_squares() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((9, R)), rng.standard_normal(9)
    w = rng.standard_normal(R)
    assert random_term(0).value(w) == pytest.approx(((rows @ w - labels) ** 2).sum())


def test_a_weighted_sum_is_the_sum_of_the_means() -> None:
    a, b, c = (random_term(seed) for seed in range(3))
    before = parts(a)
    term, weight = weighted_sum([(a, 0.3), (b, 2.0), (c, 0.0), (None, 1.0)])
    assert term is not None
    w = np.arange(1.0, R + 1)
    expected = 0.3 / a.weight * a.value(w) + 2.0 / b.weight * b.value(w)
    assert weight / term.weight * term.value(w) == pytest.approx(expected)
    for now, then in zip(parts(a), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_single_term_is_not_copied() -> None:
    a = random_term(0)
    assert weighted_sum([(a, 0.3), (random_term(1), 0.0)]) == (a, 0.3)


def test_nothing_to_add() -> None:
    assert weighted_sum([(None, 0.3), (QuadraticTerm.zero(R), 1.0)]) == (None, 0.0)


def test_the_term_of_no_molecules_changes_no_sum() -> None:
    term = QuadraticTerm(np.diag([2.0, 3.0]), np.array([1.0, -1.0]), 0.5, 4.0)
    for found in (term + QuadraticTerm.zero(2), term - QuadraticTerm.zero(2)):
        np.testing.assert_array_equal(found.gram, term.gram)
        np.testing.assert_array_equal(found.rhs, term.rhs)
        assert (found.constant, found.weight) == (0.5, 4.0)
