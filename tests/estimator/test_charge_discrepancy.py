"""The charge discrepancy: the second function eliminated, its limits, and every way to fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from helpers.commands import refused, run
from helpers.fold_fits import exclude_no_directions, fit_fold
from helpers.parts import all_at_once, exact_ridge, in_parts
from helpers.searches import small_model, small_search
from optuna.distributions import CategoricalDistribution, FloatDistribution
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

import dipkit
import dipkit.estimator.fit
from dipkit import DipoleKernelRidge, InducingBasis, load_model, save_model
from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules
from dipkit.estimator.memory_plan import plan_fit
from dipkit.estimator.metrics import mae_scorer
from dipkit.estimator.persistence import read_metadata
from dipkit.estimator.training_data import gather
from dipkit.exceptions import InputError
from dipkit.learning.charge_discrepancy import absorb
from dipkit.learning.initial_charges import charge_start
from dipkit.learning.labels import read_labels
from dipkit.learning.losses import SquaredLoss
from dipkit.learning.normal_matrices import FactorizationError
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.learning.reweighted import solve_reweighted
from dipkit.search.fold_grid import FoldGrid
from dipkit.search.fold_problem import FoldedProblem
from dipkit.search.fold_terms import AbsorbedTerm, FoldedTerm
from dipkit.support.backend import NUMPY

N_ATOMS, R, LAMBDA, BETA = 30, 5, 0.7, 0.02


class Dense:
    """Charge rows C, weights c and charges p of a random problem."""

    def __init__(self, seed: int = 0, n_atoms: int = N_ATOMS):
        rng = np.random.default_rng(seed)
        self.rows, self.p = rng.standard_normal((n_atoms, R)), rng.standard_normal(n_atoms)
        self.c = 0.5 + rng.random(n_atoms)

    @property
    def statistics(self) -> QuadraticTerm:
        weighted = self.c[:, None] * self.rows
        square, weight = self.c @ self.p**2, self.c.sum()
        return QuadraticTerm(
            self.rows.T @ weighted, weighted.T @ self.p, float(square), float(weight)
        )

    def term(self, w: np.ndarray, d: np.ndarray) -> float:
        """Charge term and penalty, of both functions, written out."""
        error = self.rows @ (w + d) - self.p
        return float(LAMBDA * (self.c @ error**2) / self.c.sum() + BETA * (d @ d))


def value(statistics: QuadraticTerm, w: np.ndarray) -> float:
    """Charge term that statistics stand for."""
    fit = w @ statistics.gram @ w - 2 * statistics.rhs @ w + statistics.constant
    return float(LAMBDA / statistics.weight * fit)


def test_absorbed_statistics_give_the_least_over_the_second_function() -> None:
    dense, rng = Dense(), np.random.default_rng(1)
    absorbed = absorb(dense.statistics, LAMBDA, BETA, NUMPY)
    for _ in range(3):
        w = rng.standard_normal(R)
        least = scipy.optimize.minimize(lambda d, w=w: dense.term(w, d), np.zeros(R), tol=1e-12)
        assert value(absorbed, w) == pytest.approx(least.fun, rel=1e-8)


def test_the_minimum_is_that_over_both_functions() -> None:
    """Of the whole objective, whose slopes by finite differences vanish there."""
    dense, rng, n = Dense(), np.random.default_rng(2), 8
    target = DipoleTarget(1 + rng.random(n), np.full((n, 3), np.nan), np.ones(n))
    rows, constant = rng.standard_normal((3 * n, R)), np.zeros((n, 3))
    absorbed = absorb(dense.statistics, LAMBDA, BETA, NUMPY)
    objective = JointObjective(rows, constant, target, [(absorbed, LAMBDA)], 0.05, SquaredLoss())
    result = solve_reweighted(objective, rng.standard_normal(R), tol=1e-15)

    def joint(both: np.ndarray) -> float:
        w, d = np.split(both, 2)
        errors = np.linalg.norm((rows @ w).reshape(n, 3), axis=1) - target.magnitudes
        return float(np.mean(errors**2) + 0.05 * (w @ w) + dense.term(w, d))

    w, statistics = result.weights, dense.statistics
    scale = LAMBDA / statistics.weight
    d = scale * np.linalg.solve(
        scale * statistics.gram + BETA * np.eye(R), statistics.rhs - statistics.gram @ w
    )
    here = np.concatenate([w, d])
    assert joint(here) == pytest.approx(result.objective, rel=1e-10)
    slopes = scipy.optimize.approx_fprime(here, joint, 1e-6)
    np.testing.assert_allclose(slopes, 0, atol=1e-5)
    for _ in range(20):
        assert joint(here + 1e-2 * rng.standard_normal(2 * R)) > result.objective


def test_it_finds_the_truth_better_where_labels_err_by_a_function() -> None:
    """Where w and d are normal, the minimum is the posterior mean: no other error is smaller."""
    rng, n, n_atoms, noise, spread = np.random.default_rng(3), 2, 40, 0.1, 0.5
    alpha, beta = noise**2 / n, noise**2 / (n * spread**2)
    charge_weight, errors = n_atoms / n, np.zeros(3)
    for _ in range(100):
        rows, charge_rows = rng.standard_normal((3 * n, R)), rng.standard_normal((n_atoms, R))
        w, d = rng.standard_normal(R), spread * rng.standard_normal(R)
        vectors = (rows @ w + noise * rng.standard_normal(3 * n)).reshape(n, 3)
        p = charge_rows @ (w + d) + noise * rng.standard_normal(n_atoms)
        target = DipoleTarget(np.full(n, np.nan), vectors, np.ones(n))
        shared = QuadraticTerm(
            charge_rows.T @ charge_rows, charge_rows.T @ p, float(p @ p), float(n_atoms)
        )
        terms = absorb(shared, charge_weight, beta, NUMPY), shared, None
        for k, term in enumerate(terms):
            objective = JointObjective(
                rows, np.zeros((n, 3)), target, [(term, charge_weight)], alpha, SquaredLoss(),
            )  # fmt: skip
            found = solve_reweighted(objective, np.zeros(R), tol=1e-12).weights
            errors[k] += np.sum((found - w) ** 2)
    assert errors[0] < 0.8 * errors[1:].min()


def test_statistics_are_not_changed() -> None:
    statistics = Dense().statistics
    before = statistics.gram.copy(), statistics.rhs.copy()
    absorb(statistics, LAMBDA, BETA, NUMPY)
    np.testing.assert_array_equal(statistics.gram, before[0])
    np.testing.assert_array_equal(statistics.rhs, before[1])


def test_a_large_penalty_leaves_the_statistics() -> None:
    statistics = Dense().statistics
    found = absorb(statistics, LAMBDA, 1e12, NUMPY)
    np.testing.assert_allclose(found.gram, statistics.gram, rtol=1e-10)
    np.testing.assert_allclose(found.rhs, statistics.rhs, rtol=1e-10)
    assert found.constant == pytest.approx(statistics.constant, rel=1e-10)


def test_a_large_charge_weight_shrinks_towards_the_fit_to_the_charges() -> None:
    """lambda -> infinity: the charge term becomes beta |w - w_p|^2 and a constant."""
    statistics = Dense().statistics
    found, scale = absorb(statistics, 1e8, BETA, NUMPY), 1e8 / statistics.weight
    np.testing.assert_allclose(scale * found.gram, BETA * np.eye(R), atol=1e-6 * BETA)
    fitted = np.linalg.solve(statistics.gram, statistics.rhs)
    np.testing.assert_allclose(scale * found.rhs, BETA * fitted, rtol=1e-6)


def test_a_penalty_lost_in_rounding_is_refused() -> None:
    statistics = Dense(n_atoms=3).statistics  # fewer atoms than functions: singular
    gram = statistics.gram - 1e-12 * np.eye(R)  # to within rounding
    statistics = replace(statistics, gram=gram)
    with pytest.raises(FactorizationError, match=r"charge_discrepancy: 1e-30 is too small"):
        absorb(statistics, 1.0, 1e-30, NUMPY)


# The model


def ridge(**parameters: Any) -> DipoleKernelRidge:
    usual = {
        "basis__n_inducing": 60,
        "alpha": 1e-3,
        "solver__tol": 1e-10,
        "solver__max_iter": 3000,
        "device": "cpu",
    }
    return DipoleKernelRidge().set_params(**usual | parameters)


def test_none_and_infinity_are_the_model_without(described: Molecules) -> None:
    without = ridge(charge_weight=0.1).fit(described)
    for same in (None, np.inf, float("inf")):
        model = ridge(charge_weight=0.1, charge_discrepancy=same).fit(described)
        np.testing.assert_array_equal(model.dual_coef_, without.dual_coef_)


def with_vectors(described: Molecules) -> Molecules:
    """With vectors there is one minimum."""
    assert not np.isnan(described.dipole_vector).any()
    return described


def test_a_large_penalty_is_the_model_without(described: Molecules) -> None:
    molecules = with_vectors(described)
    without = ridge(charge_weight=0.1).fit(molecules).predict_dipole(molecules)
    near = ridge(charge_weight=0.1, charge_discrepancy=1e9).fit(molecules)
    np.testing.assert_allclose(near.predict_dipole(molecules), without, atol=1e-5)


def test_a_small_penalty_leaves_the_charges_no_weight(described: Molecules) -> None:
    molecules = with_vectors(described)
    without = ridge(charge_weight=0.0).fit(molecules).predict_dipole(molecules)
    shared = ridge(charge_weight=10.0).fit(molecules).predict_dipole(molecules)
    model = ridge(charge_weight=10.0, charge_discrepancy=1e-10).fit(molecules)
    np.testing.assert_allclose(model.predict_dipole(molecules), without, atol=1e-5)
    assert np.abs(shared - without).max() > 0.1


def test_a_smaller_penalty_gives_the_charges_less_influence(described: Molecules) -> None:
    molecules = with_vectors(described)
    errors = []
    for beta in (10.0, 1e-1, 1e-3, 1e-5):
        model = ridge(charge_weight=1e3, alpha=1e-6, start__prior=False, charge_discrepancy=beta)
        model.fit(molecules)
        dipoles = model.predict_dipole(molecules) - molecules.dipole_vector
        charges = model.predict_charges(molecules) - molecules.charges
        errors.append([np.mean(dipoles**2), np.mean(charges**2)])
    dipole_errors, charge_errors = np.transpose(errors)
    assert (np.diff(dipole_errors) < 0).all()
    assert (np.diff(charge_errors) > 0).all()


@pytest.mark.parametrize("bad", [0, 0.0, -1.0, np.nan, "none", True])
def test_what_cannot_be_used(toy: Callable[..., Molecules], bad: Any) -> None:
    model = DipoleKernelRidge(charge_discrepancy=bad)
    with pytest.raises(InputError, match="charge_discrepancy: expected a number > 0 or None, got"):
        model.fit(toy(sizes=(3, 4)), [1.0, 2.0])


def test_the_usual_charge_weight_with_it(described: Molecules) -> None:
    bare = described.replace(charges=None)
    found = [
        ridge(charge_discrepancy=beta, solver__tol=1e-3).fit(molecules).charge_weight_
        for beta, molecules in (
            (None, described),
            (1e-3, described),
            (np.inf, described),
            (1, bare),
        )
    ]
    assert found == [1e-3, 100.0, 1e-3, 0.0]


def test_without_charges_it_has_no_effect(described: Molecules) -> None:
    bare = described.replace(charges=None)
    models = [ridge(charge_discrepancy=beta).fit(bare) for beta in (None, 1e-3)]
    np.testing.assert_array_equal(models[0].dual_coef_, models[1].dual_coef_)


@pytest.mark.parametrize("beta", [1e-3, np.inf])
def test_saved_cloned_and_listed(described: Molecules, tmp_path: Path, beta: float) -> None:
    model = ridge(charge_discrepancy=beta, solver__tol=1e-6).fit(described)
    assert clone(model).get_params()["charge_discrepancy"] == beta
    file = tmp_path / "model.dipkit"
    save_model(model, file)
    loaded = load_model(file)
    assert loaded.charge_discrepancy == beta
    np.testing.assert_array_equal(loaded.predict(described), model.predict(described))
    told = read_metadata(file)["parameters"]["DipoleKernelRidge"]["charge_discrepancy"]
    assert told == (beta if np.isfinite(beta) else "inf")


@pytest.mark.parametrize("parameters", [{}, {"loss": "huber", "solver__max_iter": 300}], ids=str)
def test_parts_equal_the_whole(described: Molecules, parameters: dict[str, Any]) -> None:
    model = exact_ridge(charge_discrepancy=1e-3, charge_weight=0.1, **parameters)
    parts = in_parts(clone(model), described[:20], described[20:33], described[33:])
    whole = all_at_once(clone(model), described[:20], described)
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-6)
    np.testing.assert_allclose(
        parts.predict_dipole(described), whole.predict_dipole(described), atol=1e-5
    )


def test_a_baseline_keeps_its_directions(described: Molecules) -> None:
    """Both terms travel as one: absorbing comes first."""
    off = 0.3 * np.random.default_rng(0).standard_normal(described.dipole_vector.shape)
    given = described.replace(
        baseline_dipole=described.dipole_vector + off,
        baseline_charges=0.8 * described.charges,
        dipole_vector=None,
    )
    settings = {"baseline": "given", "alpha": 0.1, "solver__tol": 1e-8, "charge_weight": 0.1}
    shared, none = (ridge(**settings | {"charge_weight": w}).fit(given) for w in (0.1, 0.0))
    between = [
        ridge(charge_discrepancy=beta, **settings).fit(given).predict(given)
        for beta in (1e6, 1e-10)
    ]
    np.testing.assert_allclose(between[0], shared.predict(given), atol=1e-5)
    np.testing.assert_allclose(between[1], none.predict(given), atol=1e-5)


def test_one_more_matrix_is_forecast(described: Molecules) -> None:
    plans = [
        ridge(charge_discrepancy=beta).fit(described).memory_plan_["matrices_gb"]
        for beta in (None, 1e-3)
    ]
    assert plans[1] >= plans[0]
    r = 4000 + len(described.elements)
    held = [plan_fit(described, 4000, n_matrices=n).matrices for n in (6, 7)]
    assert held[1] - held[0] == 8 * r * r


# Folds and searches


@pytest.mark.parametrize("fold", [0, 1])
def test_problems_have_the_terms_of_their_folds(fold: int) -> None:
    parts = [Dense(seed).statistics for seed in range(3)]
    charges = FoldedTerm(parts[0] + parts[1] + parts[2], parts[:2])
    absorbed, part = AbsorbedTerm(charges, BETA, NUMPY), charges.of(fold)
    expected, scale = absorb(part, LAMBDA, BETA, NUMPY), LAMBDA / part.weight
    W = np.random.default_rng(0).standard_normal((3, R))
    folds = np.array([fold, 1 - fold, fold])
    scales = np.array([scale, 0.0, scale])
    product = absorbed.product(W, folds, scales, NUMPY)
    np.testing.assert_allclose(product[[0, 2]], scale * W[[0, 2]] @ expected.gram, rtol=1e-10)
    np.testing.assert_array_equal(product[1], 0)
    rhs = absorbed.rhs(folds, scales, NUMPY)
    np.testing.assert_allclose(rhs[0], scale * expected.rhs, rtol=1e-10)
    constant = absorbed.constant(folds, scales, NUMPY)
    np.testing.assert_allclose(constant, [scale * expected.constant, 0, constant[0]], rtol=1e-10)
    matrix = absorbed.matrix(fold, LAMBDA)
    np.testing.assert_allclose(matrix, scale * expected.gram, rtol=1e-10)
    assert absorbed.matrix(fold, LAMBDA) is matrix


def refit_errors(problem: FoldedProblem, train: Any, test: Any, weight: float) -> np.ndarray:
    """Fit one fold in the basis of the problem, which must exclude no direction, and predict."""
    labels, basis = read_labels(problem.labels.molecules[train], None, None, None), problem.basis
    statistics = gather(labels, basis, np.random.default_rng(0), True, False)
    assert statistics.charges is not None
    term = absorb(statistics.charges, weight, problem.settings.charge_discrepancy, NUMPY)
    objective = JointObjective(
        statistics.rows, statistics.constant, labels.target, [(term, weight)], 1e-3, SquaredLoss()
    )
    start = charge_start(statistics.charges, NUMPY)
    result = solve_reweighted(objective.with_prior(start), start, tol=1e-14)
    held = problem.rows.reshape(-1, 3, basis.n_columns)[test] @ result.weights
    return np.linalg.norm(held + problem.constants[0][test], axis=1) - problem.magnitudes[test]


@pytest.mark.parametrize("weight", [1e-2, 1.0])
def test_folds_by_difference_equal_folds_by_recomputation(
    described: Molecules, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    """With vectors J is convex: both end in one minimum."""
    molecules = with_vectors(described)
    exclude_no_directions(monkeypatch)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    model = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=40), charge_discrepancy=1e-3, device="cpu"
    )
    labels = read_labels(molecules, None, None, None)
    grid = FoldGrid(labels, model, folds, [1e-3], [0.0, weight])
    found = grid.held_out_errors(tol=1e-14, max_iter=500)
    for (train, test), errors in zip(folds, found, strict=True):
        expected = refit_errors(grid.problem, train, test, weight)
        np.testing.assert_allclose(errors[0, 1], expected, atol=1e-5)


def test_the_grid_equals_separate_fits(described: Molecules) -> None:
    """Magnitudes alone, one matrix for all folds, the same environments in fit and grid.

    Without bond charges, whose directions in a grid are the leading ones of all its environments.
    """
    molecules = described.replace(dipole_vector=None)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    model = DipoleKernelRidge(
        alpha=1e-3,
        charge_weight=0.1,
        charge_discrepancy=1e-2,
        basis=InducingBasis(bond_charges=0.0),
        auxiliary=None,
    )
    model.set_params(solver__tol=1e-12, solver__max_iter=3000)
    grid = FoldGrid(read_labels(molecules, None, None, None), model, folds, [1e-3], [0.1])
    found = grid.held_out_errors(tol=1e-12, max_iter=3000)
    for (train, test), errors in zip(folds, found, strict=True):
        alone = fit_fold(clone(model), grid.problem, molecules, train)
        expected = alone.predict(molecules[test]) - molecules.dipole_magnitude[test]
        # The discrepancy leaves directions of little curvature: convergence is to 1e-5 debye.
        np.testing.assert_allclose(errors.ravel(), expected, atol=1e-4)


NAME = "dipolekernelridge__charge_discrepancy"


@pytest.mark.parametrize(
    ("distribution", "grid"),
    [
        (FloatDistribution(1e-6, 1e-1, log=True), {"alpha": [1e-3], "charge_weight": [0.0, 0.1]}),
        (CategoricalDistribution([None, 1e-4, 1e-2]), {"alpha": [1e-3], "charge_weight": [0.1]}),
        (FloatDistribution(1e-6, 1e-1, log=True), False),
    ],
)
def test_a_search_tunes_it(distribution: Any, grid: Any) -> None:
    molecules = load_organics()[:24]
    search = small_search({NAME: distribution}, grid=grid, n_trials=3).fit(molecules)
    found = search.best_params_[NAME]
    assert len(set(search.cv_results_[f"param_{NAME}"])) > 1
    assert search.best_estimator_[-1].charge_discrepancy == found
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_search_of_scikit_learn_tunes_it() -> None:
    molecules = load_organics()[:24]
    values = [None, 1e-4, 1e-2]
    model = small_model(charge_weight=0.1)
    search = GridSearchCV(model, {NAME: values}, cv=2, scoring=mae_scorer, error_score="raise")
    search.fit(molecules, molecules.dipole_magnitude)
    assert search.best_params_[NAME] in values
    assert len(set(search.cv_results_["mean_test_score"])) == 3


def test_the_command_takes_it(tmp_path: Path) -> None:
    data, out = tmp_path / "train.xyz", tmp_path / "model.dipkit"
    dipkit.write(data, load_organics()[:12])
    settings = ("--charge-weight", 0.1, "--n-inducing", 20, "--json")
    report = json.loads(run("fit", data, "-o", out, "--charge-discrepancy", 0.01, *settings).stdout)
    assert report["parameters"]["charge_discrepancy"] == 0.01
    assert load_model(out)[-1].charge_discrepancy == 0.01
    assert "charge_discrepancy" in refused("fit", data, "-o", out, "--charge-discrepancy", 0)
