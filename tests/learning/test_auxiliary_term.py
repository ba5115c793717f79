"""The penalty of auxiliary dipoles, against the formulas that it stands for."""

import numpy as np
import pytest
import scipy.optimize

from dipkit.learning.auxiliary_term import auxiliary_penalty, auxiliary_term
from dipkit.learning.losses import SquaredLoss
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm, SingleTerms
from dipkit.learning.reweighted import solve_reweighted
from dipkit.support.backend import NUMPY

N, R, BETA, SIGMA = 7, 9, 0.3, 0.4
RNG = np.random.default_rng(0)
ROWS, CONSTANT = RNG.normal(size=(3 * N, R)), RNG.normal(size=(N, 3))
AUXILIARY = RNG.normal(size=(N, 3))
AUXILIARY[[1, 4]] = np.nan
HAS = ~np.isnan(AUXILIARY[:, 0])


def penalty(weights: np.ndarray | None = None, beta: float = BETA) -> QuadraticTerm:
    weights = np.ones(N) if weights is None else weights
    term = auxiliary_term(ROWS, CONSTANT, AUXILIARY, weights, NUMPY)
    return auxiliary_penalty(term, beta, SIGMA, NUMPY)


def value(term: QuadraticTerm, w: np.ndarray) -> float:
    """The penalty at weights w, as the objective counts it with weight 1."""
    return SingleTerms([(term, 1.0)], R).product(w[None])[0] @ w - 2 * (
        term.rhs @ w / term.weight
    ) + term.constant / term.weight  # fmt: skip


def test_it_is_the_distance_under_a_correlated_error() -> None:
    """(D w - y)^T (beta D D^T + sigma^2)^-1 (D w - y)."""
    rows = ROWS.reshape(N, 3, R)[HAS].reshape(-1, R)
    y = (AUXILIARY - CONSTANT)[HAS].ravel()
    covariance = BETA * rows @ rows.T + SIGMA**2 * np.eye(len(rows))
    for w in RNG.normal(size=(3, R)):
        off = rows @ w - y
        expected = off @ np.linalg.solve(covariance, off)
        assert value(penalty(), w) == pytest.approx(expected, rel=1e-10)


def test_it_is_the_minimum_over_a_second_function() -> None:
    rows = ROWS.reshape(N, 3, R)[HAS].reshape(-1, R)
    y = (AUXILIARY - CONSTANT)[HAS].ravel()
    w = RNG.normal(size=R)

    def both(d: np.ndarray) -> float:
        off = rows @ (w + d) - y
        return float(off @ off / SIGMA**2 + d @ d / BETA)

    found = scipy.optimize.minimize(both, np.zeros(R), method="BFGS", options={"gtol": 1e-9})
    assert value(penalty(), w) == pytest.approx(found.fun, rel=1e-8)


def test_without_discrepancy_it_is_the_mean_square_distance() -> None:
    rows = ROWS.reshape(N, 3, R)[HAS].reshape(-1, R)
    y = (AUXILIARY - CONSTANT)[HAS].ravel()
    w = RNG.normal(size=R)
    expected = np.sum((rows @ w - y) ** 2) / SIGMA**2
    assert value(penalty(beta=1e-9), w) == pytest.approx(expected, rel=1e-6)


def test_a_weight_of_two_is_two_molecules() -> None:
    weights = np.where(np.arange(N) == 0, 2.0, 1.0)
    twice = [0, *range(N)]
    rows = ROWS.reshape(N, 3, R)[twice].reshape(-1, R)
    copied = auxiliary_term(rows, CONSTANT[twice], AUXILIARY[twice], np.ones(N + 1), NUMPY)
    weighted = auxiliary_term(ROWS, CONSTANT, AUXILIARY, weights, NUMPY)
    for name in ("gram", "rhs", "constant", "weight"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(copied, name), rtol=1e-12)


def test_no_auxiliary_dipole_is_no_penalty() -> None:
    nothing = auxiliary_term(ROWS, CONSTANT, np.full((N, 3), np.nan), np.ones(N), NUMPY)
    term = auxiliary_penalty(nothing, BETA, SIGMA, NUMPY)
    terms = SingleTerms([(term, 1.0)], R)
    assert term.weight == 0
    np.testing.assert_array_equal(terms.product(np.ones((1, R))), 0.0)


def objective(alpha: float, with_penalty: bool = True) -> JointObjective:
    magnitudes = np.abs(np.random.default_rng(1).normal(2, 1, N))
    target = DipoleTarget(magnitudes, np.full((N, 3), np.nan), np.ones(N))
    terms = SingleTerms([(penalty(), 1.0)], R) if with_penalty else None
    return JointObjective(ROWS, CONSTANT, target, [], alpha, SquaredLoss(), penalty=terms)


@pytest.mark.parametrize("alpha", [0.3, 20.0])
def test_the_objective_counts_it_in_units_of_alpha(alpha: float) -> None:
    w = np.random.default_rng(2).normal(size=R)
    one, other = (objective(1.0, on).with_alpha(alpha).at(w).value[0] for on in (True, False))
    assert one - other == pytest.approx(alpha * value(penalty(), w), rel=1e-10)


@pytest.mark.parametrize("alpha", [0.3, 20.0])
def test_the_gradient_is_that_of_the_value(alpha: float) -> None:
    J, w, h = objective(alpha), np.random.default_rng(2).normal(size=R), 1e-6
    numeric = [
        (J.at(w + h * axis).value[0] - J.at(w - h * axis).value[0]) / (2 * h) for axis in np.eye(R)
    ]
    np.testing.assert_allclose(2 * J.half_gradient(J.at(w))[0], numeric, rtol=1e-6, atol=1e-7)
    step = np.random.default_rng(3).normal(size=R)
    slope = J.half_slope(J.at(w), J.direction(step[None]))(np.array([0.4]))[0]
    ahead = [J.at(w + (0.4 + s) * step).value[0] for s in (h, -h)]
    assert 2 * slope == pytest.approx((ahead[0] - ahead[1]) / (2 * h), rel=1e-5)


def test_the_minimum_under_a_strong_penalty_is_that_of_the_auxiliary_dipoles() -> None:
    """With alpha to infinity the labels count for nothing: |w|^2 and the penalty alone are left."""
    term = penalty()
    expected = np.linalg.solve(np.eye(R) + term.gram / term.weight, term.rhs / term.weight)
    found = solve_reweighted(objective(1e9), np.zeros(R), tol=1e-14).weights
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("memory", [0, 8])
def test_iterations_never_raise_the_objective(memory: int) -> None:
    found = solve_reweighted(objective(0.05), np.ones(R), tol=1e-13, memory=memory)
    history = np.array(found.history)
    assert (np.diff(history) <= 1e-12 * history[0]).all()
    gradient = objective(0.05).half_gradient(objective(0.05).at(found.weights))
    assert np.abs(gradient).max() < 1e-5
