"""The greedy choice of labels: against the dense formula, and what it prefers."""

import numpy as np
import pytest

from dipkit.estimator.label_choice import SAME_WEIGHTS, LabelPosterior, choose_labels
from dipkit.estimator.label_problem import ERROR_OVER_STD, LabelProblem


@pytest.fixture
def problem() -> LabelProblem:
    """Random rows of 40 molecules, of which the first five have a label."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 25)) * np.exp(-np.arange(25) / 5)
    return LabelProblem(
        rows=rows,
        beyond=rng.uniform(0.0, 0.2, 40),
        label_noise=0.05,
        std=rng.uniform(0.1, 0.5, 40),
        scale=0.3,
        floor=0.02,
        labelled=np.arange(5),
        candidates=np.arange(5, 38),
    )


def dense(problem: LabelProblem, labelled: list[int]) -> np.ndarray:
    """Covariance (n, n) with these labels."""
    rows, noise = problem.rows, problem.label_noise + problem.beyond
    precision = (rows[labelled].T / noise[labelled]) @ rows[labelled] + np.eye(rows.shape[1])
    return rows @ np.linalg.solve(precision, rows.T)


def test_each_choice_is_the_best_by_the_dense_formula(problem: LabelProblem) -> None:
    noise, labelled = problem.label_noise + problem.beyond, problem.labelled.tolist()
    free, expected = problem.candidates.tolist(), []
    for place in range(SAME_WEIGHTS + 5):
        covariance = dense(problem, labelled)
        variance = np.diag(covariance)
        if place % SAME_WEIGHTS == 0:
            weights = np.zeros(len(noise))
            weights[problem.candidates] = ((variance + noise) ** -0.5)[problem.candidates]
        lowered = (covariance**2 @ weights - weights * variance**2) / (variance + noise)
        expected.append(max(free, key=lambda molecule: lowered[molecule]))
        free.remove(expected[-1])
        labelled.append(expected[-1])
    posterior = LabelPosterior(problem.rows, noise, problem.labelled, len(expected))
    assert choose_labels(posterior, problem.candidates, len(expected)).tolist() == expected
    np.testing.assert_allclose(posterior.variance, np.diag(dense(problem, labelled)), atol=1e-12)


def test_expected_errors_leave_the_own_label_out(problem: LabelProblem) -> None:
    chosen = np.array([7, 20, 33])
    widths = []
    for n in range(len(chosen) + 1):
        with_label = [*problem.labelled, *chosen[:n]]
        variances = [
            dense(problem, [other for other in with_label if other != one])[one, one]
            for one in problem.candidates
        ]
        beyond = np.array(variances) + problem.beyond[problem.candidates]
        widths.append(np.sqrt(problem.scale**2 * beyond + problem.floor**2).mean())
    now = ERROR_OVER_STD * problem.std[problem.candidates].mean()
    found = problem.expected_errors(chosen)
    np.testing.assert_allclose(found, now * np.array(widths) / widths[0], rtol=1e-10)
    assert (np.diff(found) < 0).all()


def test_one_of_many_alike_is_chosen_before_a_more_uncertain_stranger() -> None:
    rows = np.zeros((21, 3))
    rows[:20, 0] = 1.0
    rows[20, 1] = 3.0
    posterior = LabelPosterior(rows, np.full(21, 0.1), np.empty(0, dtype=np.intp), 2)
    first, second = choose_labels(posterior, np.arange(21), 2)
    assert first < 20
    assert second < 20  # nothing is learned about others from the stranger's label
    assert posterior.variance[20] == pytest.approx(9.0)
