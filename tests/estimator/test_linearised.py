"""The linearised objective: curvature and left-out errors against dense formulas and refits."""

from typing import Any

import numpy as np
import pytest

from dipkit.estimator.linearised import LinearisedObjective, unit_vectors
from dipkit.learning.losses import AbsoluteLoss, HuberLoss, Loss, SquaredLoss
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.learning.reweighted import solve_reweighted

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
N, R = 12, 7
LOSSES = [SquaredLoss(), HuberLoss(0.6), HuberLoss(5.0), AbsoluteLoss()]


def objective_of(
    seed: int,
    n_vectors: int = 0,
    charges: bool = True,
    loss: Loss | None = None,
    weights: FloatArray | None = None,
    factor: float = 1.0,
) -> JointObjective:
    """Random rows with magnitudes, or vectors for the first; penalties times a factor."""
    rng = np.random.default_rng(seed)
    vectors = np.where(np.arange(N)[:, None] < n_vectors, rng.normal(size=(N, 3)), np.nan)
    random_weights = rng.uniform(0.5, 2, N)
    weights = random_weights if weights is None else weights
    target = DipoleTarget(rng.uniform(1, 3, N), vectors, weights)
    c = rng.normal(size=(20, R))
    term = QuadraticTerm(c.T @ c, c.T @ rng.normal(size=20), 1.0, 20.0) if charges else None
    rows, constant = rng.normal(size=(3 * N, R)), rng.normal(size=(N, 3))
    loss = SquaredLoss() if loss is None else loss
    return JointObjective(rows, constant, target, [(term, 0.3 * factor)], 0.1 * factor, loss)


def charge_gram(seed: int) -> FloatArray:
    """Gram matrix of the charge term of `objective_of`."""
    rng = np.random.default_rng(seed)
    rng.normal(size=(N, 3)), rng.uniform(0.5, 2, N), rng.uniform(1, 3, N)
    c = rng.normal(size=(20, R))
    return c.T @ c


def dipoles_at(objective: JointObjective, w: FloatArray) -> FloatArray:
    """Dipoles (N, 3) at weights."""
    return objective.dipoles(objective.at(w))[0]


def held(objective: JointObjective, mu: FloatArray, n_vectors: int) -> list[FloatArray]:
    """B_A of each molecule, written out."""
    found = []
    for a in range(N):
        s = objective.weights[0, a]
        residual = mu[a] - objective.target_vectors(mu)[a]
        e = np.array([np.linalg.norm(residual)])
        omega = objective.loss.weight(e)[0]
        kappa = max(objective.loss.curvature(e)[0], 0.05 * omega)
        if a < n_vectors:
            n = residual / e
            found.append(s * (omega * (np.eye(3) - np.outer(n, n)) + kappa * np.outer(n, n)))
        else:
            u = mu[a] / np.linalg.norm(mu[a])
            found.append(s * kappa * np.outer(u, u))
    return found


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_curvature_of_a_loss_is_half_its_second_derivative(loss: Loss) -> None:
    e = np.array([-2.0, -0.61, -0.3, 1e-4, 0.0, 4e-4, 0.59, 3.0])
    h = 1e-5
    numeric = (loss.value(e + h) - 2 * loss.value(e) + loss.value(e - h)) / (2 * h**2)
    np.testing.assert_allclose(loss.curvature(e), numeric, rtol=1e-4, atol=2e-5)
    assert (loss.curvature(e) <= loss.weight(e)).all()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("n_vectors", [0, 4, 12])
def test_the_curvature_is_the_dense_formula(n_vectors: int, loss: Loss) -> None:
    objective = objective_of(0, n_vectors=n_vectors, loss=loss)
    w = np.random.default_rng(1).normal(size=R)
    mu = dipoles_at(objective, w)
    dense = 0.1 * np.eye(R) + 0.3 / 20 * charge_gram(0)
    for b, rows in zip(
        held(objective, mu, n_vectors), objective.rows.reshape(N, 3, R), strict=True
    ):
        dense += rows.T @ b @ rows
    np.testing.assert_allclose(LinearisedObjective(objective, w).curvature(), dense, atol=1e-9)


def test_the_curvature_of_vectors_is_the_second_derivative_of_the_objective() -> None:
    """With vectors alone nothing is left out of H, for a loss whose curvature is no constant."""
    objective = objective_of(0, n_vectors=N, loss=HuberLoss(1.5))
    w = 0.3 * np.random.default_rng(1).normal(size=R)
    residuals = objective.residuals(dipoles_at(objective, w))
    inside = residuals < 1.5
    assert 0 < inside.sum() < N
    exact = LinearisedObjective(objective, w)
    exact._curvatures[~inside] = 0.0  # without the least curvature
    step = 1e-6
    numeric = [
        objective.half_gradient(objective.at(w + step * axis))[0]
        - objective.half_gradient(objective.at(w - step * axis))[0]
        for axis in np.eye(R)
    ]
    np.testing.assert_allclose(exact.curvature(), np.array(numeric) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("n_vectors", [0, 5])
def test_leaving_out_is_a_newton_step_without_the_molecule(n_vectors: int, loss: Loss) -> None:
    objective = objective_of(1, n_vectors=n_vectors, loss=loss)
    w = np.random.default_rng(2).normal(size=R)
    mu = dipoles_at(objective, w)
    residual = mu - objective.target_vectors(mu)
    linear = LinearisedObjective(objective, w)
    hessian, rows = linear.curvature(), objective.rows.reshape(N, 3, R)
    chosen = np.array([0, 3, 7, 11])
    errors, variances = linear.left_out(objective.backend.factor(hessian.copy()), chosen)
    terms, omega = held(objective, mu, n_vectors), loss.weight(objective.residuals(mu))
    for place, a in enumerate(chosen):
        without = hessian - rows[a].T @ terms[a] @ rows[a]
        # Without A the gradient is minus the pull of A.
        pull = objective.weights[0, a] * omega[a] * rows[a].T @ residual[a]
        unit = mu[a] / np.linalg.norm(mu[a])
        error = unit @ (residual[a] + rows[a] @ np.linalg.solve(without, pull))
        g = rows[a].T @ unit
        assert errors[place] == pytest.approx(abs(error), rel=1e-6)
        expected = g @ np.linalg.solve(without, g) / N
        assert variances[place] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [SquaredLoss(), HuberLoss(100.0)], ids=repr)
def test_left_out_errors_of_vectors_are_those_of_a_refit(loss: Loss) -> None:
    """Vectors under the squared loss make a linear problem, where the formula is exact."""
    weights = np.linspace(0.5, 2, N)
    objective = objective_of(3, n_vectors=N, loss=loss, weights=weights)
    w = solve_reweighted(objective, np.zeros(R), tol=1e-14, memory=0).weights
    linear = LinearisedObjective(objective, w)
    factor = objective.backend.factor(linear.curvature())
    errors, _ = linear.left_out(factor, np.arange(N))
    for a in range(N):
        less = np.where(np.arange(N) == a, 0.0, weights)
        # Weights are divided by their sum: other terms shrink with it.
        share = weights.sum() / less.sum()
        other = objective_of(3, n_vectors=N, loss=loss, weights=less, factor=share)
        refit = solve_reweighted(other, np.zeros(R), tol=1e-14, memory=0).weights
        moved = dipoles_at(objective, refit)[a] - objective.vectors[a]
        assert errors[a] == pytest.approx(abs(linear.directions[a] @ moved), rel=1e-5)


def test_a_far_outlier_is_left_out_without_a_division_by_its_weight() -> None:
    objective = objective_of(4, loss=HuberLoss(1e-12))
    w = np.random.default_rng(2).normal(size=R)
    linear = LinearisedObjective(objective, w)
    errors, variances = linear.left_out(objective.backend.factor(linear.curvature()), np.arange(N))
    # Labels without a pull change nothing: what is left are residuals and the other terms.
    residuals = np.abs(objective.residuals(dipoles_at(objective, w)))
    np.testing.assert_allclose(errors, residuals, rtol=1e-9)
    others = np.linalg.inv(linear.curvature())
    g = np.einsum("ac,acr->ar", linear.directions, objective.rows.reshape(N, 3, R))
    np.testing.assert_allclose(variances, np.einsum("ar,rs,as->a", g, others, g) / N, rtol=1e-9)


def test_a_loss_times_a_number_changes_no_ratio() -> None:
    """Absolute loss is Huber's of threshold t over 2 t: with all terms so, s^2 takes it up."""
    t = 1e-3
    w = np.random.default_rng(2).normal(size=R)
    found = []
    for loss, factor in ((AbsoluteLoss(), 1.0), (HuberLoss(t), 2 * t)):
        objective = objective_of(5, n_vectors=4, loss=loss, factor=factor)
        linear = LinearisedObjective(objective, w)
        left = linear.left_out(objective.backend.factor(linear.curvature()), np.arange(N))
        found.append((*left, linear.label_variance))
    (errors, variances, label), (same, times, label_times) = found
    np.testing.assert_allclose(errors, same, rtol=1e-9)
    np.testing.assert_allclose(variances, 2 * t * times, rtol=1e-9)
    assert label == pytest.approx(2 * t * label_times)


def test_the_typical_label() -> None:
    loss = HuberLoss(1.5)
    objective = objective_of(6, loss=loss)
    w = np.random.default_rng(2).normal(size=R)
    omega = loss.weight(objective.residuals(dipoles_at(objective, w)))
    assert 0 < (omega < 1).sum() < N
    expected = 1 / np.average(omega, weights=objective.weights[0])
    assert LinearisedObjective(objective, w).label_variance == pytest.approx(expected)
    assert LinearisedObjective(objective_of(6), w).label_variance == pytest.approx(1.0)


def test_molecules_of_weight_zero_do_not_count() -> None:
    weights = np.where(np.arange(N) < 8, 1.0, 0.0)
    objective = objective_of(7, weights=weights)
    linear = LinearisedObjective(objective, np.ones(R))
    assert linear.n_labelled == 8
    factor = objective.backend.factor(linear.curvature())
    _, variances = linear.left_out(factor, np.array([10]))
    g = linear.directions[10] @ objective.rows.reshape(N, 3, R)[10]
    assert variances[0] == pytest.approx(g @ np.linalg.inv(linear.curvature()) @ g / 8)


def test_unit_vectors() -> None:
    found = unit_vectors(np.array([[0.0, 3.0, 4.0], [0.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.0, 0.6, 0.8], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
