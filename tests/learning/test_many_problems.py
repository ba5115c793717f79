"""Many problems minimised together: each against the objective and the solver of one fit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.objectives import gradient, value

import dipkit.learning.reweighted
from dipkit.learning.dipole_gram import weighted_gram
from dipkit.learning.iterate import Direction, Iterate
from dipkit.learning.line_search import find_lengths
from dipkit.learning.losses import HuberLoss, Loss, SquaredLoss
from dipkit.learning.normal_matrices import TRANSVERSE_SHARE, SharedFactors, shared_directions
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.learning.reweighted import minimise, solve_reweighted
from dipkit.search.fold_terms import FoldedTerm, FoldTerms
from dipkit.support.backend import NUMPY

N, R, FOLDS = 12, 7, 3
# Problems: fold and lambda.
FOLD, WEIGHT = np.array([0, 1, 2, 0, 1]), np.array([0.0, 0.0, 0.0, 0.3, 0.3])
B = len(FOLD)
Parts = dict[str, Any]


def charge_term(rng: np.random.Generator, n_atoms: int) -> QuadraticTerm:
    phi, p = rng.standard_normal((n_atoms, R)), rng.standard_normal(n_atoms)
    return QuadraticTerm(phi.T @ phi, phi.T @ p, float(p @ p), float(n_atoms))


@pytest.fixture(params=["magnitudes", "mixed"])
def parts(request: pytest.FixtureRequest) -> Parts:
    """Random rows and labels, of which molecules A = k (mod 3) are held out of fold k."""
    rng = np.random.default_rng(0)
    left_out = [charge_term(rng, 5 + k) for k in range(FOLDS)]
    total = left_out[0] + left_out[1] + left_out[2]
    vectors = np.full((N, 3), np.nan)
    if request.param == "mixed":
        vectors[::2] = rng.standard_normal((N, 3))[::2]
    weights = 1.0 + np.arange(N) % 2
    kept = np.arange(N) % FOLDS != np.arange(FOLDS)[:, None]
    return {
        "rows": rng.standard_normal((3 * N, R)),
        # The constant part of the dipoles differs between folds, as it does with a baseline.
        "constant": 0.3 * rng.standard_normal((FOLDS, N, 3)),
        "target": DipoleTarget(1.0 + rng.random(N), vectors, weights),
        "weights": weights * kept,
        "charges": FoldedTerm(total, [total - part for part in left_out]),
    }


def together(parts: Parts, loss: Loss, alpha: float, prior: np.ndarray) -> JointObjective:
    """Make the objective of all problems."""
    return JointObjective(
        parts["rows"], parts["constant"][FOLD], parts["target"],
        FoldTerms([(parts["charges"], WEIGHT)], FOLD, NUMPY), alpha, loss,
        weights=parts["weights"][FOLD],
    ).with_prior(prior)  # fmt: skip


def single(parts: Parts, b: int, loss: Loss, alpha: float, prior: np.ndarray) -> JointObjective:
    """Make the objective of one problem, as a fit makes it."""
    k, target = FOLD[b], parts["target"]
    target = DipoleTarget(target.magnitudes, target.vectors, parts["weights"][k])
    return JointObjective(
        parts["rows"], parts["constant"][k], target,
        [(parts["charges"].training[k], WEIGHT[b])], alpha, loss,
    ).with_prior(prior[b])  # fmt: skip


def factors(parts: Parts, alpha: float, own: bool = True) -> SharedFactors:
    """Factor the matrices of the folds, or those of all molecules."""

    def matrix(key: tuple[int | None, float]) -> np.ndarray:
        fold, charge_weight = key
        weights = parts["target"].weights if fold is None else parts["weights"][fold]
        dipoles = weighted_gram(parts["rows"], weights / weights.sum())
        return dipoles + parts["charges"].matrix(fold, charge_weight) + alpha * np.eye(R)

    folds = FOLD.tolist() if own else [None] * B
    return SharedFactors(NUMPY, matrix, list(zip(folds, WEIGHT.tolist(), strict=True)))


@pytest.fixture
def points() -> tuple[np.ndarray, np.ndarray]:
    """First weights and priors (B, r)."""
    first, prior = np.random.default_rng(1).standard_normal((2, B, R))
    return first, prior


LOSSES = [SquaredLoss(), HuberLoss(0.3)]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_values_and_gradients_are_those_of_each_fit(
    parts: Parts, points: tuple[np.ndarray, np.ndarray], loss: Loss
) -> None:
    W, prior = points
    objective = together(parts, loss, 0.02, prior)
    here = objective.at(W)
    found = 2 * objective.half_gradient(here)
    for b in range(B):
        one = single(parts, b, loss, 0.02, prior)
        assert here.value[b] == pytest.approx(value(one, W[b]), rel=1e-12)
        np.testing.assert_allclose(found[b], gradient(one, W[b]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_slope_is_that_of_the_value(
    parts: Parts, points: tuple[np.ndarray, np.ndarray], loss: Loss
) -> None:
    (W, prior), step = points, np.random.default_rng(2).standard_normal((B, R))
    objective = together(parts, loss, 0.02, prior)
    slope = objective.half_slope(objective.at(W), objective.direction(step))
    lengths, h = np.linspace(-0.4, 0.7, B), 1e-6

    def values(t: np.ndarray) -> np.ndarray:
        return objective.at(W + t[:, None] * step).value

    differences = (values(lengths + h) - values(lengths - h)) / (2 * h)
    np.testing.assert_allclose(2 * slope(lengths), differences, rtol=1e-6)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("memory", [0, 8])
@pytest.mark.parametrize("off", [1.0, 3.0])
def test_problems_end_where_each_fit_ends(
    parts: Parts, points: tuple[np.ndarray, np.ndarray], own: bool, memory: int, off: float
) -> None:
    """Whichever matrix is factored, and under an alpha that is off."""
    start, prior = points[0] / 10, points[1] / 10
    objective = together(parts, SquaredLoss(), 0.05, prior)
    found = minimise(objective, factors(parts, off * 0.05, own), start, 5000, 1e-15, memory)
    assert found.converged.all()
    for b in range(B):
        one, w = single(parts, b, SquaredLoss(), 0.05, prior), found.weights[b]
        assert found.history[-1][b] == pytest.approx(value(one, w), rel=1e-12)
        expected = solve_reweighted(one, start[b], tol=1e-15, max_iter=5000)
        # Not convex: where the ends differ, this one must be a minimum of its own.
        if not np.allclose(w, expected.weights, atol=1e-4):
            assert np.abs(gradient(one, w)).max() < 1e-5
        else:
            assert value(one, w) == pytest.approx(expected.objective, rel=1e-8)


@pytest.mark.parametrize("memory", [0, 8])
@pytest.mark.parametrize("own", [True, False])
def test_values_never_rise(
    parts: Parts, points: tuple[np.ndarray, np.ndarray], own: bool, memory: int
) -> None:
    start, prior = points
    objective = together(parts, SquaredLoss(), 1e-3, prior)
    found = minimise(objective, factors(parts, 1e-3, own), start, 40, 1e-13, memory)
    history = np.array(found.history)
    assert (np.diff(history, axis=0) <= 0).all()
    assert (history[-1] < history[0]).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_step_that_raises_one_problem_is_not_taken(
    parts: Parts,
    points: tuple[np.ndarray, np.ndarray],
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lengths that are far too long in some problems: these fall back, the others do not."""
    start, prior = np.random.default_rng(seed).standard_normal((2, B, R))
    objective, matrices = together(parts, SquaredLoss(), 1e-2, prior), factors(parts, 1e-2, False)
    usual = minimise(objective, matrices, start, 1, 1e-13)

    def too_long(slope: Any, xp: Any) -> np.ndarray:
        found = find_lengths(slope, xp)
        return np.where(np.arange(len(found)) % 2, 1e4, found)

    monkeypatch.setattr(dipkit.learning.reweighted, "find_lengths", too_long)
    found = minimise(objective, matrices, start, 1, 1e-13)
    odd = np.arange(B) % 2 == 1
    np.testing.assert_array_equal(found.weights[~odd], usual.weights[~odd])
    assert (found.history[1] < found.history[0]).all()
    # P is that of all molecules, so that the share may have been halved.
    step = matrices.solve(objective.half_gradient(objective.at(start)), np.arange(B))
    taken = (start - found.weights)[odd] / step[odd] / TRANSVERSE_SHARE
    halvings = np.log2(taken.mean(axis=1))
    np.testing.assert_allclose(taken, taken[:, :1] * np.ones(R), rtol=1e-6)
    np.testing.assert_allclose(halvings, np.round(halvings), atol=1e-6)


def test_problems_do_not_touch_each_other(
    parts: Parts, points: tuple[np.ndarray, np.ndarray]
) -> None:
    start, prior = points
    objective, matrices = together(parts, SquaredLoss(), 0.05, prior), factors(parts, 0.05)
    found = minimise(objective, matrices, start, tol=1e-10).weights
    for b in range(B):
        some = np.array([b])
        alone = minimise(objective.take(some), matrices.take(some), start[some], tol=1e-10)
        np.testing.assert_allclose(found[b], alone.weights[0], atol=1e-6)


def test_excluded_directions_stay_as_they_are(
    parts: Parts, points: tuple[np.ndarray, np.ndarray]
) -> None:
    start, _ = points
    directions = np.linalg.qr(np.random.default_rng(4).standard_normal((B, R, 2)))[0]

    def project(W: np.ndarray, problems: np.ndarray) -> np.ndarray:
        for row, b in enumerate(problems):
            W[row] -= directions[b] @ (directions[b].T @ W[row])
        return W

    objective = JointObjective(
        parts["rows"], parts["constant"][FOLD], parts["target"],
        FoldTerms([(parts["charges"], WEIGHT)], FOLD, NUMPY), 0.05, SquaredLoss(),
        weights=parts["weights"][FOLD], project=project,
    )  # fmt: skip
    found = minimise(objective, factors(parts, 0.05), start, 2000, 1e-14)
    moved = np.einsum("brm,br->bm", directions, found.weights - start)
    np.testing.assert_allclose(moved, 0, atol=1e-12)
    gradients = objective.half_gradient(objective.at(found.weights))
    assert np.abs(gradients).max() < 1e-5
    assert np.abs(found.weights - start).max() > 0.1


def test_matrices_that_cannot_be_factored_are_marked() -> None:
    keys = WEIGHT.tolist()
    made = SharedFactors(NUMPY, lambda weight: np.eye(R) * (1 if weight else -1), keys)
    np.testing.assert_array_equal(made.good, WEIGHT > 0)
    np.testing.assert_array_equal(made.take(np.array([3, 0])).good, [True, False])
    assert made.n_factorizations == 2


def test_dipole_of_zero_moves(parts: Parts) -> None:
    """A molecule without any dipole has no direction: the gradient is finite all the same."""
    zero = np.zeros((B, R))
    still = parts | {"constant": np.zeros((FOLDS, N, 3))}
    objective = together(still, SquaredLoss(), 0.05, zero)
    found = objective.half_gradient(objective.at(zero))
    assert np.isfinite(found).all()
    assert (np.abs(found).max(axis=1) > 0).all()


def test_shared_directions_are_those_of_problems_that_see_a_molecule(
    parts: Parts, points: tuple[np.ndarray, np.ndarray]
) -> None:
    (W, prior), left_out = points, np.flatnonzero(np.arange(N) % FOLDS == 0)
    parts = parts | {"constant": parts["constant"][[0, 0, 0]]}
    objective = together(parts, SquaredLoss(), 0.05, prior)
    units = objective.units(objective.at(W))
    # Of one problem: its own. Fold 0 leaves some molecules out.
    one = shared_directions(objective.take(np.array([0])), W[:1])
    overlap = np.abs(np.sum(one * units[0], axis=-1))
    np.testing.assert_allclose(np.delete(overlap, left_out), 1.0)
    # The others decide for those; two problems that agree, and a third that does not.
    W = W.copy()
    W[[1, 2]] = W[1]
    found = shared_directions(objective.take(np.array([0, 1, 2])), W[:3])
    np.testing.assert_allclose(np.abs(np.sum(found * units[1], axis=-1))[left_out], 1.0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0)


def test_line_search_finds_every_root() -> None:
    roots = np.array([0.02, 0.7, 1.0, 40.0])
    lengths = find_lengths(lambda t: (t - roots) * (1 + (t - roots) ** 2 / 1e4), np)
    np.testing.assert_allclose(lengths, roots, rtol=0.11)
    assert find_lengths(lambda t: np.ones(2), np).tolist() == [1.0, 1.0]


def test_line_search_ends_where_every_slope_is_small() -> None:
    """A slope takes the time of a product with all dipole rows."""
    asked: list[Any] = []

    def slope(length: Any) -> np.ndarray:
        asked.append(length)
        return np.array([-1.0, -2.0]) * (1 - np.asarray(length))

    assert find_lengths(slope, np).tolist() == [1.0, 1.0]
    assert len(asked) == 2


def test_steps_of_a_matrix_that_is_too_small_are_halved(
    parts: Parts, points: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share of P^-1 g is safe for a matrix of its own; any other may lead too far."""
    start, prior = points
    objective, matrices = together(parts, SquaredLoss(), 0.05, prior), factors(parts, 0.05)
    solve = matrices.solve
    matrices.solve = lambda right, problems: 1e3 * solve(right, problems)  # type: ignore[method-assign]
    monkeypatch.setattr(
        dipkit.learning.reweighted, "find_lengths", lambda slope, xp: 1e6 * xp.ones_like(slope(0.0))
    )
    history = np.array(minimise(objective, matrices, start, 10, 1e-9).history)
    assert len(history) == 11
    assert (np.diff(history, axis=0) < 0).all()


def test_a_problem_that_no_step_lowers_ends_where_it_is(
    parts: Parts, points: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a minimum to rounding; it is not tried again."""
    (start, prior), moved = points, JointObjective.moved

    def higher(self: JointObjective, here: Iterate, direction: Direction, t: np.ndarray) -> Iterate:
        there = moved(self, here, direction, t)
        return replace(there, value=np.where(t == 0, here.value, np.maximum(there.value, 1e9)))

    monkeypatch.setattr(JointObjective, "moved", higher)
    objective, matrices = together(parts, SquaredLoss(), 0.05, prior), factors(parts, 0.05)
    found = minimise(objective, matrices, start, 50, 1e-9)
    np.testing.assert_array_equal(found.weights, start)
    assert found.converged.all()
    assert found.n_iter == 2
