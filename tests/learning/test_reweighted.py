"""Reweighting: J never rises, it ends where J is stationary, and known answers come out."""

from collections.abc import Callable

import numpy as np
import pytest
from helpers.objectives import gradient, value
from sklearn.linear_model import Ridge

import dipkit.learning.normal_matrices
import dipkit.learning.reweighted
from dipkit.data.molecules import Molecules
from dipkit.learning.accumulate import accumulate
from dipkit.learning.basis import build_basis
from dipkit.learning.charge_labels import ChargeLabels
from dipkit.learning.charge_maps import conserve_charge
from dipkit.learning.inducing import choose_environments
from dipkit.learning.iterate import Direction, Iterate
from dipkit.learning.kernels import PowerKernel
from dipkit.learning.losses import AbsoluteLoss, HuberLoss, Loss, SquaredLoss
from dipkit.learning.multipoles import dipoles
from dipkit.learning.normal_matrices import (
    RENEWAL,
    TRANSVERSE_SHARE,
    FactorizationError,
    RenewedMatrix,
)
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.learning.reweighted import solve_annealed, solve_reweighted
from dipkit.learning.solve_result import Status

N, R = 60, 25
LOSSES = [SquaredLoss(), HuberLoss(0.3), AbsoluteLoss()]


@pytest.fixture(params=LOSSES, ids=lambda loss: type(loss).__name__)
def loss(request: pytest.FixtureRequest) -> Loss:
    return request.param


def charge_term(truth: np.ndarray | None = None) -> QuadraticTerm:
    """Make a charge term from charges of the weights of `problem`, or of others."""
    rng = np.random.default_rng(11)
    truth = problem(SquaredLoss())[1] if truth is None else truth
    c = rng.standard_normal((100, R)) * np.geomspace(1, 0.03, R)
    p = c @ truth + 0.1 * rng.standard_normal(100)
    return QuadraticTerm(c.T @ c, c.T @ p, float(p @ p), 100.0)


def problem(
    loss: Loss,
    kind: str = "magnitudes",
    alpha: float = 1e-3,
    charge_weight: float = 0.1,
    noise: float = 0.3,
) -> tuple[JointObjective, np.ndarray]:
    """Make an objective whose labels come from weights of our own, and these weights."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3 * N, R)) * np.geomspace(1, 0.03, R)
    truth = rng.standard_normal(R)
    mu = (rows @ truth).reshape(-1, 3) + noise * rng.standard_normal((N, 3))
    missing = np.full((N, 3), np.nan)
    vectors = {"magnitudes": missing, "vectors": mu}.get(kind, mu)
    if kind == "mixed":
        vectors = np.where(np.arange(N)[:, None] % 3, missing, mu)
    target = DipoleTarget(np.linalg.norm(mu, axis=1), vectors, rng.random(N) + 0.5)
    charges = charge_term(truth)
    constant = np.zeros((N, 3))
    return JointObjective(rows, constant, target, [(charges, charge_weight)], alpha, loss), truth


@pytest.mark.parametrize("memory", [0, 3, 8])
@pytest.mark.parametrize("kind", ["magnitudes", "mixed"])
@pytest.mark.parametrize("charge_weight", [0.0, 0.1])
def test_iterations_never_raise_the_objective(
    loss: Loss, memory: int, kind: str, charge_weight: float
) -> None:
    objective, _ = problem(loss, kind, charge_weight=charge_weight)
    start = np.random.default_rng(3).standard_normal(R)  # a bad one
    result = solve_reweighted(objective, start, max_iter=60, tol=1e-12, memory=memory)
    history = np.array(result.history)
    assert len(history) > 5
    assert (np.diff(history) <= 0).all()
    assert history[0] == pytest.approx(value(objective, start))
    assert result.objective == history[-1]
    assert result.objective == pytest.approx(value(objective, result.weights))


@pytest.mark.parametrize("memory", [0, 8])
@pytest.mark.parametrize("kind", ["magnitudes", "vectors"])
def test_the_end_is_stationary(loss: Loss, memory: int, kind: str) -> None:
    if memory == 0 and isinstance(loss, AbsoluteLoss):
        pytest.skip("plain iterations take thousands of factorisations here")
    objective, truth = problem(loss, kind)
    result = solve_reweighted(objective, 0.5 * truth, max_iter=1000, tol=1e-14, memory=memory)
    assert result.status is Status.CONVERGED
    before = np.linalg.norm(gradient(objective, 0.5 * truth))
    after = np.linalg.norm(gradient(objective, result.weights))
    assert after < 1e-5 * before


@pytest.mark.parametrize("seed", range(5))
def test_a_short_step_lowers_the_objective_wherever_it_starts(loss: Loss, seed: int) -> None:
    """Also where the directions are those of another point, as they are after the first step."""
    objective, truth = problem(loss)
    rng = np.random.default_rng(seed)
    before, here = (truth * rng.standard_normal(R) for _ in range(2))
    matrices = RenewedMatrix(objective, directed=True)
    matrices.renew(objective, objective.at(before))
    matrices.renew(objective, objective.at(here))
    step = matrices.solve(gradient(objective, here)[None] / 2, np.zeros(1, int))[0]
    assert value(objective, here - TRANSVERSE_SHARE * step) < value(objective, here)


@pytest.mark.parametrize("memory", [0, 8])
@pytest.mark.parametrize("seed", range(8))
def test_the_fallback_never_raises_the_objective(
    loss: Loss, seed: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every direction leads up, each iteration takes the share that cannot raise J."""
    objective, truth = problem(loss, noise=1.0)
    monkeypatch.setattr(
        dipkit.learning.reweighted.LimitedMemory,
        "direction",
        lambda self, g, step, solve: 1e3 * step,
    )
    tried: list[float] = []
    moved = JointObjective.moved

    def count(self: JointObjective, here: Iterate, direction: Direction, t: np.ndarray) -> Iterate:
        tried.extend(t.tolist())
        return moved(self, here, direction, t)

    monkeypatch.setattr(JointObjective, "moved", count)
    start = truth * np.random.default_rng(seed).standard_normal(R)
    result = solve_reweighted(objective, start, max_iter=5, tol=1e-12, memory=memory)
    assert (np.diff(result.history) < 0).all()
    assert len(result.history) == 6
    # The first length of the fallback is enough: it was never halved.
    share = TRANSVERSE_SHARE if memory else 1.0
    assert tried[1::2] == [share] * 5


def test_directions_save_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, truth = problem(SquaredLoss(), noise=0.05)
    directed = solve_reweighted(objective, truth, tol=1e-12)
    monkeypatch.setattr(
        dipkit.learning.reweighted, "RenewedMatrix", lambda J, directed: RenewedMatrix(J, False)
    )
    undirected = solve_reweighted(objective, truth, tol=1e-12)
    assert directed.objective == pytest.approx(undirected.objective, rel=1e-10)
    assert directed.n_iter < 0.7 * undirected.n_iter


def test_a_step_that_would_raise_the_objective_is_shortened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective, truth = problem(SquaredLoss())
    monkeypatch.setattr(
        dipkit.learning.reweighted, "find_lengths", lambda slope, xp: 1e3 * xp.ones(1)
    )
    result = solve_reweighted(objective, truth, max_iter=20, tol=1e-12)
    assert (np.diff(result.history) < 0).all()
    assert len(result.history) == 21


def test_a_new_matrix_begins_without_memory() -> None:
    """After a renewal the iterations are those of a fit that starts there."""
    objective, _ = problem(SquaredLoss(), charge_weight=0.0, alpha=1e-5)
    start = np.random.default_rng(1).standard_normal(R)
    first = solve_reweighted(objective, start, max_iter=RENEWAL, tol=1e-13)
    assert len(first.history) == RENEWAL + 1
    for more in (1, 4):
        whole = solve_reweighted(objective, start, max_iter=RENEWAL + more, tol=1e-13)
        again = solve_reweighted(objective, first.weights, max_iter=more, tol=1e-13)
        np.testing.assert_allclose(whole.weights, again.weights, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: type(loss).__name__)
def test_acceleration_ends_in_the_same_minimum_sooner(loss: Loss) -> None:
    objective, truth = problem(loss)
    plain = solve_reweighted(objective, truth, max_iter=2000, tol=1e-12, memory=0)
    fast = solve_reweighted(objective, truth, max_iter=2000, tol=1e-12, memory=8)
    assert plain.status is fast.status is Status.CONVERGED
    assert fast.objective == pytest.approx(plain.objective, rel=1e-10)
    np.testing.assert_allclose(fast.weights, plain.weights, atol=1e-4)
    assert fast.n_iter < 0.5 * plain.n_iter


def test_acceleration_helps_the_absolute_loss() -> None:
    objective, truth = problem(AbsoluteLoss())
    plain = solve_reweighted(objective, truth, max_iter=200, tol=1e-12, memory=0)
    fast = solve_reweighted(objective, truth, max_iter=200, tol=1e-12, memory=8)
    assert fast.objective < plain.objective


def test_convex_problems_have_one_end(loss: Loss) -> None:
    # With vectors every loss is convex: the start does not matter.
    objective, truth = problem(loss, "vectors")
    ends = [
        solve_reweighted(objective, start, max_iter=5000, tol=1e-12).objective
        for start in (truth, -truth, np.zeros(R))
    ]
    np.testing.assert_allclose(ends, ends[0], rtol=1e-7)


def test_vectors_and_squared_loss_are_ridge_regression() -> None:
    objective, _ = problem(SquaredLoss(), "vectors", charge_weight=0.0, alpha=0.02)
    result = solve_reweighted(objective, np.zeros(R))
    ridge = Ridge(alpha=0.02, fit_intercept=False).fit(
        objective.rows, objective.vectors.ravel(), sample_weight=np.repeat(objective.weights[0], 3)
    )
    np.testing.assert_allclose(result.weights, ridge.coef_, rtol=1e-9, atol=1e-12)
    # One iteration reaches the minimum, another one shows it.
    assert (result.status, result.n_iter, len(result.history)) == (Status.CONVERGED, 2, 2)


def test_joint_ridge_has_a_closed_form() -> None:
    objective, _ = problem(SquaredLoss(), "vectors", charge_weight=0.7)
    d, s, part = objective.rows, np.repeat(objective.weights[0], 3), charge_term()
    matrix = d.T @ (s[:, None] * d) + 0.7 * part.gram / part.weight + 1e-3 * np.eye(R)
    right = d.T @ (s * objective.vectors.ravel()) + 0.7 * part.rhs / part.weight
    result = solve_reweighted(objective, np.zeros(R))
    np.testing.assert_allclose(result.weights, np.linalg.solve(matrix, right), rtol=1e-8)


def test_a_huge_charge_weight_leaves_the_charge_fit(loss: Loss) -> None:
    objective, _ = problem(loss, alpha=1e-9, charge_weight=1e9)
    part = charge_term()
    result = solve_reweighted(objective, np.zeros(R))
    np.testing.assert_allclose(result.weights, np.linalg.solve(part.gram, part.rhs), rtol=1e-4)


@pytest.mark.parametrize("memory", [0, 8])
def test_a_matrix_of_the_squared_loss_serves_many_iterations(loss: Loss, memory: int) -> None:
    objective, _ = problem(loss, noise=2.0)
    start = np.random.default_rng(5).standard_normal(R)
    result = solve_reweighted(objective, start, max_iter=50, tol=1e-14, memory=memory)
    assert result.n_iter > RENEWAL
    shared = 1 if memory == 0 else -(-result.n_iter // RENEWAL)
    assert result.n_factorizations == (shared if isinstance(loss, SquaredLoss) else result.n_iter)


def test_renewed_directions_end_a_slow_problem_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, _ = problem(SquaredLoss(), charge_weight=0.0, alpha=1e-5)
    start = np.random.default_rng(1).standard_normal(R)  # a bad one, whose directions change
    anew = solve_reweighted(objective, start, max_iter=2000, tol=1e-10)
    monkeypatch.setattr(dipkit.learning.normal_matrices, "RENEWAL", 10_000)
    kept = solve_reweighted(objective, start, max_iter=2000, tol=1e-10)
    assert kept.n_factorizations == 1
    assert anew.n_iter < 0.8 * kept.n_iter


@pytest.mark.parametrize("memory", [0, 8])
def test_the_number_of_iterations_is_bounded(loss: Loss, memory: int) -> None:
    objective, truth = problem(loss)
    for max_iter in (1, 4):
        result = solve_reweighted(objective, -0.3 * truth, max_iter, 1e-13, memory)
        assert result.status is Status.MAX_ITER
        assert len(result.history) == max_iter + 1
        assert result.n_iter == max_iter


def test_tol_bounds_what_is_left(loss: Loss) -> None:
    objective, truth = problem(loss)
    best = solve_reweighted(objective, truth, max_iter=1000, tol=1e-13).objective
    left = [
        solve_reweighted(objective, truth, max_iter=1000, tol=tol).objective - best
        for tol in (1e-3, 1e-6, 1e-9)
    ]
    assert left[0] > left[1] > -1e-12
    assert left[2] < 1e-6 * best


def test_annealing_ends_where_iterations_end(loss: Loss) -> None:
    objective, truth = problem(loss)
    result = solve_annealed(objective, truth, (100.0, 10.0), max_iter=1000, tol=1e-10)
    direct = solve_reweighted(objective, truth, max_iter=1000, tol=1e-10)
    assert result.status is Status.CONVERGED
    assert result.objective == pytest.approx(value(objective, result.weights))
    assert result.objective <= direct.objective * (1 + 1e-6)
    assert result.n_iter > len(result.history)  # those of the stages before count as well
    assert objective.alpha == 1e-3


def test_annealing_without_stages_is_one_solve(loss: Loss) -> None:
    objective, truth = problem(loss)
    np.testing.assert_array_equal(
        solve_annealed(objective, truth, ()).weights, solve_reweighted(objective, truth).weights
    )


def test_annealing_sums_the_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, truth = problem(SquaredLoss())
    calls, sum_rows = [], RenewedMatrix._without_directions

    def count(self: RenewedMatrix, objective: JointObjective, weights: np.ndarray) -> np.ndarray:
        calls.append(objective.alpha)
        return sum_rows(self, objective, weights)

    monkeypatch.setattr(RenewedMatrix, "_without_directions", count)
    result = solve_annealed(objective, truth, (100.0, 10.0))
    assert result.n_factorizations == 3
    assert len(calls) == 1


def test_annealing_leaves_a_poor_start_behind() -> None:
    # From random starts, following the minimum while the penalty falls ends lower on the whole.
    objective, _ = problem(SquaredLoss(), charge_weight=0.0, noise=1.0)
    starts = np.random.default_rng(5).standard_normal((12, R))
    direct = [solve_reweighted(objective, start).objective for start in starts]
    annealed = [solve_annealed(objective, s, (1e3, 100.0, 10.0)).objective for s in starts]
    assert np.mean(annealed) < 0.9 * np.mean(direct)


@pytest.mark.parametrize("memory", [0, 8])
def test_a_perfect_start_stays(loss: Loss, memory: int) -> None:
    # No labels to fit but zeros: w = 0 is the minimum, and nothing divides by it.
    target = DipoleTarget(np.zeros(N), np.full((N, 3), np.nan), np.ones(N))
    rows = np.random.default_rng(0).standard_normal((3 * N, R))
    objective = JointObjective(rows, np.zeros((N, 3)), target, [], 1e-3, loss)
    result = solve_reweighted(objective, np.zeros(R), memory=memory)
    assert result.status is Status.CONVERGED
    np.testing.assert_array_equal(result.weights, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_iterations_beyond_rounding_do_no_harm(loss: Loss, seed: int) -> None:
    # A tolerance that cannot be met: steps and slopes become rounding noise.
    objective, _ = problem(loss)
    start = np.random.default_rng(seed).standard_normal(R)
    result = solve_reweighted(objective, start, max_iter=300, tol=1e-300)
    history = np.array(result.history)
    assert np.isfinite(history).all()
    assert (np.diff(history) <= 0).all()


def test_a_matrix_that_cannot_be_factored(loss: Loss) -> None:
    objective, truth = problem(loss, alpha=-1e6)
    with pytest.raises(FactorizationError, match=r"alpha: .* penalty of -1e\+06 .*Raise alpha"):
        solve_reweighted(objective, truth)
    with pytest.raises(np.linalg.LinAlgError):
        solve_reweighted(objective, truth)


@pytest.mark.parametrize("kind", ["magnitudes", "vectors"])
def test_noiseless_charges_are_recovered(
    toy: Callable[..., Molecules], loss: Loss, kind: str
) -> None:
    """Magnitudes of a model of our own: its predictions for other molecules are recovered."""
    molecules = toy(sizes=(3, 4, 5, 6, 2) * 24, widths=(4,), elements=(1, 8))
    assert molecules.features is not None
    chosen = choose_environments(molecules, 60, PowerKernel(1), np.random.default_rng(0))
    basis = build_basis(chosen, PowerKernel(1), (1.0,), 1e-6)
    # From a start so far away, about half of all truths are recovered: the problem is not convex.
    truth = np.random.default_rng(1).standard_normal(basis.n_columns)
    truth[[element.columns.stop - 1 for element in basis.elements.values()]] *= 0.05
    charges = np.empty(molecules.n_atoms)
    for number, element in basis.elements.items():
        mine = molecules.numbers == number
        phi = basis.basis_functions(number, [scale[mine] for scale in molecules.features.scales])
        charges[mine] = phi @ truth[element.columns]
    mu = dipoles(conserve_charge(charges, molecules), molecules)
    train, held_out = np.arange(90), np.arange(90, 120)

    rows, _ = accumulate(molecules, basis, [])
    rows = rows.reshape(-1, 3, basis.n_columns)
    constant = mu - rows @ truth
    vectors = mu[train] if kind == "vectors" else np.full((90, 3), np.nan)
    target = DipoleTarget(np.linalg.norm(mu[train], axis=1), vectors, np.ones(90))
    objective = JointObjective(
        rows[train].reshape(-1, basis.n_columns), constant[train], target, [], 1e-9, loss
    )
    noisy = 0.6 * truth + 0.1 * np.random.default_rng(8).standard_normal(len(truth))
    result = solve_reweighted(objective, noisy, max_iter=3000, tol=1e-12)
    found = np.linalg.norm(constant[held_out] + rows[held_out] @ result.weights, axis=1)
    np.testing.assert_allclose(found, np.linalg.norm(mu[held_out], axis=1), atol=2e-3)
    assert np.linalg.norm(mu[held_out], axis=1).mean() > 1.0


def test_charges_alone_are_learned(toy: Callable[..., Molecules]) -> None:
    """Dipoles of one molecule, charges of all: the charge term carries the model."""
    molecules = toy(sizes=(3, 4, 5, 6, 2) * 8, widths=(4,), elements=(1, 8), charged=False)
    assert molecules.features is not None
    chosen = choose_environments(molecules, 20, PowerKernel(1), np.random.default_rng(0))
    basis = build_basis(chosen, PowerKernel(1), (1.0,), 1e-6)
    raw = np.where(molecules.numbers == 8, 1.0, -1.0) * molecules.features.scales[0][:, 0]
    charges = conserve_charge(raw.astype(float), molecules)
    labels = ChargeLabels.of(charges, molecules, np.ones(len(molecules)))
    rows, (part,) = accumulate(molecules, basis, [labels])
    mu = dipoles(charges, molecules)
    magnitudes = np.where(np.arange(len(molecules)) == 0, np.linalg.norm(mu, axis=1), np.nan)
    target = DipoleTarget(magnitudes, np.full_like(mu, np.nan), np.ones(len(molecules)))
    constant = np.zeros_like(mu)
    objective = JointObjective(rows, constant, target, [(part, 1.0)], 1e-10, SquaredLoss())
    result = solve_reweighted(objective, np.zeros(basis.n_columns), tol=1e-12)
    np.testing.assert_allclose((rows @ result.weights).reshape(-1, 3), mu, atol=1e-3)
