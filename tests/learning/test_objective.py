"""The joint objective: derivatives by finite differences, and a majoriser that lies above."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from helpers.objectives import gradient, normal_matrix, slope, value

import dipkit.learning.dipole_gram
import dipkit.learning.normal_matrices
from dipkit.learning.dipole_gram import weighted_gram
from dipkit.learning.losses import AbsoluteLoss, HuberLoss, Loss, SquaredLoss
from dipkit.learning.normal_matrices import TRANSVERSE_SHARE, RenewedMatrix
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm

N, R = 12, 6
LOSSES = [SquaredLoss(), HuberLoss(0.7), AbsoluteLoss()]


@pytest.fixture(params=LOSSES, ids=lambda loss: type(loss).__name__)
def loss(request: pytest.FixtureRequest) -> Loss:
    return request.param


@pytest.fixture(params=[0.0, 0.4], ids=["dipoles", "with-charges"])
def charge_weight(request: pytest.FixtureRequest) -> float:
    return request.param


def charge_statistics(seed: int = 3) -> QuadraticTerm:
    rng = np.random.default_rng(seed)
    rows, p, c = rng.standard_normal((40, R)), rng.standard_normal(40), rng.random(40)
    return QuadraticTerm(
        rows.T @ (c[:, None] * rows), rows.T @ (c * p), float(c @ p**2), float(c.sum())
    )


def make_target() -> DipoleTarget:
    """Magnitudes, vectors, both, and one molecule with neither; unequal weights."""
    rng = np.random.default_rng(1)
    magnitudes, vectors = 2 * rng.random(N), rng.standard_normal((N, 3))
    magnitudes[3:5] = np.nan
    vectors[:3] = vectors[6:] = np.nan
    vectors[4] = np.nan
    return DipoleTarget(magnitudes, vectors, rng.random(N) + 0.2)


PRIOR = np.linspace(-1.0, 2.0, R)


def objective(
    loss: Loss, charge_weight: float = 0.4, target: DipoleTarget | None = None
) -> JointObjective:
    """Make an objective of random rows, three ions, and a penalty on the distance to a prior."""
    rng = np.random.default_rng(2)
    constant = np.zeros((N, 3))
    constant[[1, 3, 8]] = rng.standard_normal((3, 3))  # ions
    return JointObjective(
        rng.standard_normal((3 * N, R)),
        constant,
        target or make_target(),
        [(charge_statistics(), charge_weight)],
        alpha=0.03,
        loss=loss,
    ).with_prior(PRIOR)


def test_value_equals_a_plain_sum(loss: Loss, charge_weight: float) -> None:
    J, target = objective(loss, charge_weight), make_target()
    w = np.random.default_rng(5).standard_normal(R)
    total = norm = 0.0
    for A in range(N):
        mu = J.constant[0, A] + J.rows[3 * A : 3 * A + 3] @ w
        if not np.isnan(target.vectors[A]).any():
            e = np.linalg.norm(mu - target.vectors[A])
        elif not np.isnan(target.magnitudes[A]):
            e = np.linalg.norm(mu) - target.magnitudes[A]
        else:
            continue
        total += target.weights[A] * float(loss.value(e))
        norm += target.weights[A]
    part = charge_statistics()
    charges = (w @ part.gram @ w - 2 * part.rhs @ w + part.constant) / part.weight
    expected = total / norm + charge_weight * charges + 0.03 * ((w - PRIOR) ** 2).sum()
    assert value(J, w) == pytest.approx(expected, rel=1e-12)


def test_weights_are_relative(loss: Loss) -> None:
    target = make_target()
    heavier = DipoleTarget(target.magnitudes, target.vectors, 7 * target.weights)
    w = np.random.default_rng(5).standard_normal(R)
    one, other = objective(loss), objective(loss, target=heavier)
    assert value(one, w) == pytest.approx(value(other, w), rel=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_and_slope_equal_finite_differences(
    loss: Loss, charge_weight: float, seed: int
) -> None:
    J = objective(loss, charge_weight)
    rng = np.random.default_rng(seed)
    w, h = rng.standard_normal(R), 1e-6
    found = gradient(J, w)
    numeric = [(value(J, w + h * e) - value(J, w - h * e)) / (2 * h) for e in np.eye(R)]
    np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-7)
    d = rng.standard_normal(R)
    assert slope(J, w, d) == pytest.approx(found @ d, rel=1e-10)


def majoriser(J: JointObjective, start: np.ndarray) -> partial[float]:
    """Build the quadratic from its matrix at a start, where it touches J."""
    matrix = normal_matrix(J, start)
    # Its gradient at the start is that of J.
    right = matrix @ start - gradient(J, start) / 2

    def quadratic(w: np.ndarray) -> float:
        return float(w @ matrix @ w - 2 * right @ w)

    constant = value(J, start) - quadratic(start)
    return partial(lambda w: quadratic(w) + constant)


@pytest.mark.parametrize("seed", range(3))
def test_majoriser_touches_and_lies_above(loss: Loss, charge_weight: float, seed: int) -> None:
    J = objective(loss, charge_weight)
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(R)
    above = majoriser(J, start)
    assert above(start) == pytest.approx(value(J, start), rel=1e-13)
    for size in (1e-3, 0.1, 1.0, 10.0):
        for w in start + size * rng.standard_normal((50, R)):
            assert above(w) >= value(J, w) * (1 - 1e-12)
    # It touches: the difference is of second order.
    d, h = rng.standard_normal(R), 1e-5
    rise = (above(start + h * d) - above(start - h * d)) / (2 * h)
    assert rise == pytest.approx(slope(J, start, d), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("directed", [False, True])
def test_normal_matrix_equals_dense_sums(
    loss: Loss, charge_weight: float, directed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    J, part = objective(loss, charge_weight), charge_statistics()
    here = J.at(np.ones(R))
    mu, omega = J.dipoles(here)[0], J.majoriser_weights(here.residual)[0]
    expected = 0.03 * np.eye(R) + charge_weight * part.gram / part.weight
    for A in range(N):
        d, u = J.rows[3 * A : 3 * A + 3], mu[A] / np.linalg.norm(mu[A])
        share = TRANSVERSE_SHARE if directed and not J.has_vector[A] else 1.0
        inside = (1 - share) * np.outer(u, u) + share * np.eye(3)
        expected += omega[A] * d.T @ inside @ d
    for rows in (8192, 7, 3):
        monkeypatch.setattr(dipkit.learning.dipole_gram, "ROWS_AT_ONCE", rows)
        matrices = RenewedMatrix(J, directed)
        for _ in range(2):  # a factorisation overwrites what it is given
            matrix = matrices.matrix(J, here)
            np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-14)
            matrix[:] = 0.0


def test_directions_leave_a_share_of_the_majoriser(loss: Loss, charge_weight: float) -> None:
    J = objective(loss, charge_weight)
    for seed in range(5):
        w = np.random.default_rng(seed).standard_normal(R)
        whole, directed = normal_matrix(J, w), normal_matrix(J, w, directed=True)
        shares = scipy.linalg.eigh(directed, whole, eigvals_only=True)
        assert shares.min() >= TRANSVERSE_SHARE
        assert shares.max() <= 1 + 1e-12
        assert shares.min() < 0.5


def test_a_magnitude_of_zero_holds_all_directions() -> None:
    target = make_target()
    magnitudes = np.where(np.isnan(target.magnitudes), np.nan, 0.0)
    J = objective(SquaredLoss(), target=DipoleTarget(magnitudes, target.vectors, target.weights))
    w = np.random.default_rng(0).standard_normal(R)
    whole, directed = normal_matrix(J, w), normal_matrix(J, w, directed=True)
    np.testing.assert_allclose(directed, whole, rtol=1e-12)


def test_near_the_labels_directions_are_the_curvature() -> None:
    """Where magnitudes are met, nothing holds a dipole from turning but the share across."""
    rows = np.random.default_rng(0).standard_normal((3 * N, R))
    truth = np.ones(R)
    mu = (rows @ truth).reshape(-1, 3)
    target = DipoleTarget(np.linalg.norm(mu, axis=1), np.full((N, 3), np.nan), np.ones(N))
    J = JointObjective(rows, np.zeros((N, 3)), target, [], 1e-9, SquaredLoss())
    h = 1e-5
    rise = [gradient(J, truth + h * e) - gradient(J, truth - h * e) for e in np.eye(R)]
    hessian = np.array(rise) / (4 * h)
    whole, directed = normal_matrix(J, truth), normal_matrix(J, truth, directed=True)
    expected = (1 - TRANSVERSE_SHARE) * hessian + TRANSVERSE_SHARE * whole
    np.testing.assert_allclose(directed, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(whole - hessian).max() > 0.1


@pytest.mark.parametrize("directed", [False, True])
def test_another_penalty(loss: Loss, charge_weight: float, directed: bool) -> None:
    J = objective(loss, charge_weight)
    w = np.random.default_rng(0).standard_normal(R)
    matrices, other = RenewedMatrix(J, directed), J.with_alpha(0.5)
    matrix = matrices.matrix(J, J.at(w))
    np.testing.assert_allclose(
        matrices.matrix(other, other.at(w)), matrix + 0.47 * np.eye(R), rtol=1e-12
    )
    assert value(other, w) == pytest.approx(value(J, w) + 0.47 * ((w - PRIOR) ** 2).sum())
    np.testing.assert_array_equal(matrices.matrix(J, J.at(w)), matrix)


def test_the_prior_is_zero_unless_given(loss: Loss) -> None:
    J = JointObjective(np.zeros((3 * N, R)), np.zeros((N, 3)), make_target(), [], 0.5, loss)
    w = np.arange(float(R))
    assert value(J, w) - value(J, np.zeros(R)) == pytest.approx(0.5 * w @ w)


def test_moving_equals_evaluating_again(loss: Loss, charge_weight: float) -> None:
    J = objective(loss, charge_weight)
    w, d = np.random.default_rng(0).standard_normal((2, R))
    moved, direct = J.moved(J.at(w), J.direction(d[None]), np.array([0.7])), J.at(w + 0.7 * d)
    for name in vars(direct):
        np.testing.assert_allclose(getattr(moved, name), getattr(direct, name), atol=1e-12)


def test_targets_are_as_far_as_the_residuals(loss: Loss) -> None:
    J = objective(loss)
    here = J.at(np.ones(R))
    mu = J.dipoles(here)
    np.testing.assert_allclose(J.residuals(mu), here.residual, rtol=1e-12)
    distance = np.linalg.norm(mu - J.target_vectors(mu), axis=-1)
    np.testing.assert_allclose(distance, np.abs(here.residual), rtol=1e-12, atol=1e-14)


def test_a_molecule_without_dipole_gets_a_direction(loss: Loss) -> None:
    target = DipoleTarget(np.ones(N), np.full((N, 3), np.nan), np.ones(N))
    J = JointObjective(np.zeros((3 * N, R)), np.zeros((N, 3)), target, [], 1.0, loss)
    pulled = J.target_vectors(np.zeros((N, 3)))
    np.testing.assert_allclose(np.linalg.norm(pulled, axis=1), 1.0)
    assert np.isfinite(gradient(J, np.zeros(R))).all()


@pytest.mark.parametrize("n_odd", [0, 1, 3, 12])
def test_a_known_gram_matrix_is_corrected(n_odd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of molecules whose weight is another one, among them those without a dipole."""
    n, rng = 20, np.random.default_rng(n_odd)
    rows, weights = rng.standard_normal((3 * n, R)), rng.uniform(1, 2, n)
    magnitudes, before = rng.uniform(1, 3, n), weights.copy()
    magnitudes[: n_odd // 2] = 0.0
    before[n_odd // 2 : n_odd] *= 3.0
    target = DipoleTarget(magnitudes, np.full((n, 3), np.nan), weights)
    known = before, weighted_gram(rows, before)
    plain, informed = (
        JointObjective(rows, np.zeros((n, 3)), target, [], 0.5, SquaredLoss(), gram=gram)
        for gram in (None, known)
    )
    w, used = rng.standard_normal(R), []

    def counted(rows: np.ndarray, *args: Any, **options: Any) -> np.ndarray:
        used.append(len(rows) // 3)
        return weighted_gram(rows, *args, **options)

    monkeypatch.setattr(dipkit.learning.normal_matrices, "weighted_gram", counted)
    expected = normal_matrix(plain, w, directed=True)
    assert used == [n]
    np.testing.assert_allclose(normal_matrix(informed, w, directed=True), expected, rtol=1e-10)
    assert sum(used[1:]) == (n_odd if n_odd <= 4 else n)
