"""Objectives minimised in step: each line against the objective and the solver of one fit."""

import numpy as np
import pytest
from dipkit.learning.lockstep import Factors, LockstepObjective, solve_in_step
from dipkit.learning.solvers import line_search

from dipkit.learning.dipole_gram import weighted_gram
from dipkit.learning.losses import HuberLoss, SquaredLoss
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.learning.reweighted import solve_reweighted
from dipkit.search.fold_terms import FoldedTerm
from dipkit.support.backend import NUMPY

N, R, FOLDS = 12, 7, 3
# Lines: fold and lambda.
FOLD, WEIGHT = np.array([0, 1, 2, 0, 1]), np.array([0.0, 0.0, 0.0, 0.3, 0.3])


def charge_statistics(rng, n_atoms):
    phi, p = rng.standard_normal((n_atoms, R)), rng.standard_normal(n_atoms)
    return QuadraticTerm(phi.T @ phi, phi.T @ p, float(p @ p), float(n_atoms))


@pytest.fixture(params=["magnitudes", "mixed"])
def problem(request):
    """Random rows and labels, of which molecules A = k (mod 3) are held out of fold k."""
    rng = np.random.default_rng(0)
    held = [charge_statistics(rng, 5 + k) for k in range(FOLDS)]
    total = sum(held[1:], start=held[0])
    vectors = np.full((N, 3), np.nan)
    if request.param == "mixed":
        vectors[::2] = rng.standard_normal((N, 3))[::2]
    weights = 1.0 + np.arange(N) % 2
    kept = np.arange(N) % FOLDS != np.arange(FOLDS)[:, None]
    return {
        "rows": rng.standard_normal((3 * N, R)),
        "constant": 0.3 * rng.standard_normal((N, 3)),
        "target": DipoleTarget(1.0 + rng.random(N), vectors, weights),
        "weights": weights * kept,
        "charges": FoldedTerm(total, [total - part for part in held]),
    }


def lockstep(problem, loss, alpha, prior):
    objective = LockstepObjective(**problem, fold=FOLD, charge_weight=WEIGHT, loss=loss,
                                  backend=NUMPY)  # fmt: skip
    return objective.with_alpha(alpha).with_prior(prior)


def single(problem, line, loss, alpha, prior):
    """Return the objective of one line, built as a fit builds it."""
    k, charges = FOLD[line], problem["charges"]
    target = problem["target"]
    target = DipoleTarget(target.magnitudes, target.vectors, problem["weights"][k])
    objective = JointObjective(
        problem["rows"], problem["constant"], target, [(charges.training[k], WEIGHT[line])],
        alpha=alpha, loss=loss,
    )  # fmt: skip
    return objective.with_prior(prior[line])


def factors(problem, alpha, own=True):
    def matrix(fold, charge_weight):
        charges, weights = problem["charges"].of(fold), problem["target"].weights
        if fold is not None:
            weights = problem["weights"][fold]
        dipoles = weighted_gram(problem["rows"], weights / weights.sum())
        return dipoles + charge_weight / charges.weight * charges.gram + alpha * np.eye(R)

    return Factors(NUMPY, matrix, FOLD, WEIGHT, own)


@pytest.fixture
def points():
    rng = np.random.default_rng(1)
    return rng.standard_normal((2, len(FOLD), R))


@pytest.mark.parametrize("loss", [SquaredLoss(), HuberLoss(0.3)])
def test_values_and_gradients_are_those_of_each_fit(problem, points, loss):
    W, prior = points
    objective = lockstep(problem, loss, 0.02, prior)
    place = objective.at(W, *objective.products(W))
    gradient = 2 * objective.half_gradient(place)
    for line in range(len(FOLD)):
        one = single(problem, line, loss, 0.02, prior)
        point = one.at(W[line])
        assert place.value[line] == pytest.approx(one.value(point), rel=1e-12)
        np.testing.assert_allclose(gradient[line], one.gradient(point), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", [SquaredLoss(), HuberLoss(0.3)])
def test_slope_is_that_of_the_value(problem, points, loss):
    (W, prior), step = points, np.random.default_rng(2).standard_normal((len(FOLD), R))
    objective = lockstep(problem, loss, 0.02, prior)
    slope = objective.slope_along(objective.at(W, *objective.products(W)), step,
                                  *objective.products(step))  # fmt: skip
    lengths, h = np.linspace(-0.4, 0.7, len(FOLD)), 1e-6

    def value(t):
        moved = W + t[:, None] * step
        return objective.at(moved, *objective.products(moved)).value

    differences = (value(lengths + h) - value(lengths - h)) / (2 * h)
    np.testing.assert_allclose(2 * slope(lengths), differences, rtol=1e-6)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("memory", [0, 8])
@pytest.mark.parametrize("off", [1.0, 3.0])
def test_lines_end_where_each_fit_ends(problem, points, own, memory, off):
    """Whichever matrix is factored, and under an alpha that is off."""
    start, prior = points[0] / 10, points[1] / 10
    objective = lockstep(problem, SquaredLoss(), 0.05, prior)
    W = solve_in_step(objective, factors(problem, off * 0.05, own), start, 1e-15, 5000, memory)
    for line in range(len(FOLD)):
        one = single(problem, line, SquaredLoss(), 0.05, prior)
        expected = solve_reweighted(one, start[line], tol=1e-15, max_iter=5000)
        found = one.value(one.at(W[line]))
        # Not convex: where the ends differ, this one must be a minimum of its own.
        if not np.allclose(W[line], expected.weights, atol=1e-4):
            assert np.abs(one.gradient(one.at(W[line]))).max() < 1e-5
        else:
            assert found == pytest.approx(expected.objective, rel=1e-8)


def test_values_never_rise(problem, points):
    start, prior = points
    objective, matrices = lockstep(problem, SquaredLoss(), 1e-3, prior), factors(problem, 1e-3)
    values = []
    for passes in range(1, 15):
        W = solve_in_step(objective, matrices, start, 1e-12, passes)
        values.append(objective.at(W, *objective.products(W)).value)
    assert (np.diff(values, axis=0) <= 1e-12).all()
    assert (values[-1] < values[0]).all()


def test_lines_do_not_touch_each_other(problem, points):
    start, prior = points
    objective, matrices = lockstep(problem, SquaredLoss(), 0.05, prior), factors(problem, 0.05)
    together = solve_in_step(objective, matrices, start, 1e-10)
    for line in range(len(FOLD)):
        alone = solve_in_step(objective.take(np.array([line])), matrices, start[[line]], 1e-10)
        np.testing.assert_allclose(together[line], alone[0], atol=1e-6)


def test_matrix_that_cannot_be_factored_is_told():
    made = Factors(
        NUMPY, lambda fold, weight: np.eye(R) * (1 if weight else -1), FOLD, WEIGHT, True
    )
    np.testing.assert_array_equal(made.good, WEIGHT > 0)


def test_dipole_of_zero_moves(problem, points):
    """A molecule without any dipole has no direction: the gradient is finite all the same."""
    still = problem | {"constant": np.zeros((N, 3))}
    objective = lockstep(still, SquaredLoss(), 0.05, np.zeros_like(points[0]))
    zero = np.zeros_like(points[0])
    gradient = objective.half_gradient(objective.at(zero, *objective.products(zero)))
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=1) > 0).all()


def test_directions_are_those_of_the_lines_that_see_a_molecule(problem, points):
    (W, prior), held = points, np.flatnonzero(np.arange(N) % FOLDS == 0)
    objective = lockstep(problem, SquaredLoss(), 0.05, prior)
    off = objective.at(W, *objective.products(W)).off
    unit = off / np.linalg.norm(off, axis=-1, keepdims=True)
    # Of one line: its own. Fold 0 leaves some molecules out.
    one = objective.take(np.array([0])).directions(W[:1])
    overlap = np.abs(np.sum(one * unit[0], axis=-1))
    np.testing.assert_allclose(np.delete(overlap, held), 1.0)
    # The others decide for those; two lines that agree, and a third that does not.
    W = W.copy()
    W[[1, 2]] = W[1]
    some = objective.take(np.array([0, 1, 2]))
    found = some.directions(W[:3])
    np.testing.assert_allclose(np.abs(np.sum(found * unit[1], axis=-1))[held], 1.0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0)


def test_line_search_finds_every_root():
    roots = np.array([0.02, 0.7, 1.0, 40.0])
    lengths = line_search(lambda t: (t - roots) * (1 + (t - roots) ** 2 / 1e4), np)
    np.testing.assert_allclose(lengths, roots, rtol=0.11)
    assert line_search(lambda t: np.ones(2), np).tolist() == [1.0, 1.0]
