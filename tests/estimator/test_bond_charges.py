"""Fits with bond charges and with compensation along bonds: what they predict and turn into."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.dense_charges import dense_charge_rows
from helpers.fold_fits import exclude_no_directions, fit_fold
from helpers.parts import all_at_once, in_parts
from sklearn.base import clone
from sklearn.model_selection import KFold

import dipkit.estimator.fitted_parts
import dipkit.estimator.minimum
import dipkit.learning.compensation
from dipkit import DipoleKernelRidge, InducingBasis, load_model, predict_all, save_model
from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.estimator.fit import first_statistics
from dipkit.estimator.linearised import LinearisedObjective
from dipkit.estimator.memory_plan import default_n_inducing, plan_fit
from dipkit.estimator.settings import Settings
from dipkit.estimator.training_data import gather
from dipkit.exceptions import InputError
from dipkit.learning.accumulate import accumulate
from dipkit.learning.charge_maps import conserve_charge, even_charges, molecule_sums
from dipkit.learning.initial_charges import charge_start
from dipkit.learning.labels import read_labels
from dipkit.learning.losses import SquaredLoss
from dipkit.learning.multipoles import constant_dipoles, dipoles, quadrupoles
from dipkit.learning.objective import JointObjective
from dipkit.learning.quadrupole_term import accumulate_quadrupoles
from dipkit.learning.reweighted import solve_reweighted
from dipkit.search.fold_grid import FoldGrid

KINDS = {
    "bond charges": {},
    "along bonds": {"basis__compensation": "bonds", "basis__bond_charges": 0.0},
    "all along bonds": {"basis__compensation": "bonds"},
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    return KINDS[request.param]


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    """Random molecules, ions and a single atom among them, with labels of all kinds."""
    molecules = toy(sizes=(3, 4, 5, 2, 6, 3, 1, 4, 5, 3, 4, 5))
    charges = conserve_charge(
        0.3 * np.random.default_rng(3).standard_normal(molecules.n_atoms), molecules
    )
    magnitude = np.linalg.norm(dipoles(charges, molecules), axis=1)
    return molecules.replace(
        dipole_magnitude=np.where(molecules.natoms > 1, magnitude, np.nan),
        quadrupole=quadrupoles(charges, molecules),
        charges=charges,
    )


def ridge(**parameters: Any) -> DipoleKernelRidge:
    settings = {"basis__n_inducing": 30, "alpha": 1e-3, "device": "cpu", "solver__max_iter": 3000}
    return DipoleKernelRidge().set_params(**settings | parameters)


def caught(function: str, molecules: Molecules, **parameters: Any) -> tuple[Any, ...]:
    """Fit a model; return it and the arguments that a function of `minimum.py` was called with."""
    seen: list[Any] = []
    original = getattr(dipkit.estimator.minimum, function)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            dipkit.estimator.minimum, function, lambda *a: (seen.extend(a), original(*a))[1]
        )
        model = ridge(**parameters).fit(molecules)
    return model, *seen


def test_they_are_on_by_default(molecules: Molecules) -> None:
    basis = InducingBasis()
    assert (basis.bond_charges, basis.compensation) == (0.2, "molecule")
    model, basis, _ = caught("_basis_attributes", molecules)
    assert basis.compensation.is_even
    assert (basis.compensation.scale, basis.bonds.stiffness, basis.bonds.scale) == (1.0, 4.0, 0.2)
    assert model.bond_coef_.shape == model.dual_coef_.shape
    assert model.stiffness_ == (np.inf, 4.0)
    other, basis, _ = caught("_basis_attributes", molecules, **KINDS["along bonds"])
    assert (basis.compensation.stiffness, basis.compensation.scale) == (4.0, 2.1)
    assert basis.bonds is other.bond_coef_ is None
    assert other.stiffness_[0] == 4.0


def test_predictions_are_the_rows_times_the_weights(
    molecules: Molecules, kind: dict[str, Any]
) -> None:
    settings = {"basis__precision": "double", "quadrupole_weight": 0.1} | kind
    model, basis, weights = caught("_basis_attributes", molecules, **settings)
    rows, _ = accumulate(molecules, basis)
    dipole = constant_dipoles(molecules) + (rows @ weights).reshape(-1, 3)
    charges = dense_charge_rows(molecules, basis) @ weights + even_charges(molecules)
    np.testing.assert_allclose(model.predict_dipole(molecules), dipole, atol=1e-7)
    np.testing.assert_allclose(model.predict_charges(molecules), charges, atol=1e-7)
    np.testing.assert_allclose(dipoles(charges, molecules), dipole, atol=1e-7)
    np.testing.assert_allclose(
        model.predict_quadrupole(molecules), quadrupoles(charges, molecules), atol=1e-6
    )
    assert np.abs(rows[:, basis.coupled_columns] @ weights[basis.coupled_columns]).max() > 1e-3


def test_the_quadrupole_term_is_the_mean_squared_error(
    molecules: Molecules, kind: dict[str, Any]
) -> None:
    labels = read_labels(molecules, None, None, 0.5 + np.arange(len(molecules)) % 3)
    basis = first_statistics(Settings.of(ridge(**kind)), labels, 1.0, False).basis
    term, w = accumulate_quadrupoles(labels, basis), np.random.default_rng(1)
    w = w.standard_normal(basis.n_columns)
    charges = dense_charge_rows(molecules, basis) @ w + even_charges(molecules)
    off = quadrupoles(charges, molecules) - molecules.quadrupole
    expected = np.average((off**2).sum(axis=(1, 2)), weights=labels.target.weights)
    found = (w @ term.gram @ w - 2 * term.rhs @ w + term.constant) / term.weight
    assert found == pytest.approx(expected)


def of_charge(molecules: Molecules, charge: float) -> Molecules:
    labels = {"charges": None, "quadrupole": None, "dipole_magnitude": None}
    total = np.full(len(molecules), charge)
    return molecules.replace(total_charge=total, **labels).replace(features=molecules.features)


@pytest.mark.parametrize("charge", [-1.0, 1.0])
def test_charges_of_ions_sum_to_the_total_charge(
    molecules: Molecules, kind: dict[str, Any], charge: float
) -> None:
    model = ridge(**kind).fit(molecules)
    ions, neutral = of_charge(molecules, charge), of_charge(molecules, 0.0)
    charges = model.predict_charges(ions)
    sums = molecule_sums(charges, ions.offsets)
    np.testing.assert_allclose(sums, charge, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        charges - model.predict_charges(neutral), even_charges(ions), atol=1e-12
    )
    moved = ions.replace(positions=ions.positions + np.array([4.0, -7.0, 11.0]))
    np.testing.assert_allclose(
        model.predict_dipole(moved.replace(features=ions.features)),
        model.predict_dipole(ions),
        atol=1e-9,
    )


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_two_fragments(molecules: Molecules, kind: dict[str, Any], charge: float) -> None:
    """Along bonds, each fragment keeps its share of the total charge, and nothing else."""
    model = ridge(**kind).fit(molecules)
    one, two = molecules[4], molecules[2]
    n = one.n_atoms + two.n_atoms
    features = Features(
        tuple(
            np.concatenate(each)
            for each in zip(one.features.scales, two.features.scales, strict=True)
        ),
        one.features.weights,
    )
    both = Molecules(
        np.concatenate([one.numbers, two.numbers]),
        np.concatenate([one.positions, two.positions + 50.0]),
        [0, n],
        total_charge=[charge],
        features=features,
    )
    charges = model.predict_charges(both)
    assert charges.sum() == pytest.approx(charge, abs=1e-12)
    parts = np.array([charges[: one.n_atoms].sum(), charges[one.n_atoms :].sum()])
    shares = charge * np.array([one.n_atoms, two.n_atoms]) / n
    if "basis__compensation" in kind:
        np.testing.assert_allclose(parts, shares, atol=1e-9)
    else:
        assert np.abs(parts - shares).max() > 1e-3


def test_standard_deviations_hold_the_draws(molecules: Molecules, kind: dict[str, Any]) -> None:
    """The variance within the basis is g^T H^-1 g / N, up to the finite number of draws."""
    some = molecules[molecules.natoms > 1].replace(quadrupole=None)
    some = some.replace(features=molecules[molecules.natoms > 1].features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dipkit.estimator.std_calibration.N_SAMPLES", 4000)
        model, objective, weights, basis, *_ = caught("calibrate_std", some, **kind)
    model.std_novelty_, scale = 0.0, model.std_floor_
    variance = dipkit.estimator.std_calibration.LinearisedObjective(
        objective, weights
    ).label_variance
    scale /= np.sqrt(0.1 * variance)
    std = model.predict(some, return_std=True)[1]
    mu = objective.dipoles(objective.at(weights))[0]
    unit = mu / np.linalg.norm(mu, axis=1, keepdims=True)
    g = np.einsum("ac,acr->ar", unit, objective.rows.reshape(len(mu), 3, -1))
    h = LinearisedObjective(objective, weights).curvature()
    for element in basis.elements.values():  # constants have a penalty of their own
        last = element.columns.stop - 1
        h[last, last] += 99 * objective.alpha
    within = np.einsum("ar,ar->a", g, np.linalg.solve(h, g.T).T) / len(mu)
    np.testing.assert_allclose(std, scale * np.sqrt(within + 0.1 * variance), rtol=0.05)


def test_no_scale_is_the_model_without_them(described: Molecules) -> None:
    none, hardly = (
        ridge(basis__bond_charges=scale).fit(described).predict_together(described, return_std=True)
        for scale in (0.0, 1e-9)
    )
    for one, two in zip(none, hardly, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    usual = ridge().fit(described).predict_charges(described)
    assert np.abs(usual - none[0]).max() > 1e-3


# Parts, workers, files


def test_parts_give_the_model_of_all_together(described: Molecules, kind: dict[str, Any]) -> None:
    settings = {"solver__tol": 1e-10} | kind
    first, second = described[:20], described[20:]
    parts = in_parts(ridge(**settings), first, second)
    whole = all_at_once(ridge(**settings), first, described)
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-6)
    for name in ("predict_dipole", "predict_charges"):
        found, expected = (getattr(model, name)(described) for model in (parts, whole))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    other = "molecule" if "basis__compensation" in kind else "bonds"
    for change in ({"basis__bond_charges": 0.1}, {"basis__compensation": other}):
        (name,) = change
        usual = parts.get_params()[name]
        with pytest.raises(InputError, match=f"{name}: changed since the first call"):
            parts.set_params(**change).partial_fit(second)
        parts.set_params(**{name: usual})


def test_workers_learn_the_same(
    described: Molecules, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dipkit.learning.accumulate.BLOCK_ATOMS", 60)
    here, there = (ridge(n_jobs=n, **kind).fit(described) for n in (1, 2))
    for name in ("dual_coef_", "bond_coef_", "std_bond_coef_"):
        found, expected = getattr(there, name), getattr(here, name)
        assert (found is None) == (expected is None)
        if expected is not None:
            atol = 1e-8 * np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=atol)


def test_a_saved_model_predicts_the_same_bits(
    described: Molecules, kind: dict[str, Any], tmp_path: Path
) -> None:
    model = ridge(**kind).fit(described)
    save_model(model, tmp_path / "model.dipkit")
    loaded = load_model(tmp_path / "model.dipkit")
    assert loaded.get_params().keys() == model.get_params().keys()
    assert loaded.basis.compensation == model.basis.compensation
    assert tuple(loaded.stiffness_) == model.stiffness_
    found, expected = (predict_all(each, described, return_std=True) for each in (loaded, model))
    for name in ("charges", "dipole", "std", "quadrupole"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_saved_model_keeps_its_stiffness(
    described: Molecules, kind: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other constants in the code change no model that is fitted already."""
    model = ridge(**kind).fit(described)
    expected = model.predict_together(described, return_std=True)
    save_model(model, tmp_path / "model.dipkit")
    for module in (dipkit.learning.compensation, dipkit.estimator.fitted_parts):
        monkeypatch.setattr(module, "BOND_STIFFNESS", 1.0)
    other = dipkit.learning.compensation.Compensation(1.0, 5.0)
    monkeypatch.setitem(dipkit.estimator.parameters.COMPENSATIONS, "bonds", other)
    monkeypatch.setitem(dipkit.estimator.parameters.COMPENSATIONS, "molecule", other)
    loaded = load_model(tmp_path / "model.dipkit")
    for found, same in zip(
        loaded.predict_together(described, return_std=True), expected, strict=True
    ):
        np.testing.assert_array_equal(found, same)


def test_a_model_from_before_they_were_there(described: Molecules, tmp_path: Path) -> None:
    model = ridge(basis__bond_charges=0.0).fit(described)
    expected = model.predict(described, return_std=True)
    for name in ("bond_coef_", "stiffness_", "std_bond_coef_"):
        delattr(model, name)
    parameters = ("bond_charges", "compensation")
    state = {name: value for name, value in vars(model.basis).items() if name not in parameters}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InducingBasis, "__getstate__", lambda self: state)
        save_model(model, tmp_path / "old.dipkit")
    with zipfile.ZipFile(tmp_path / "old.dipkit") as archive:
        assert "compensation" not in archive.read("schema.json").decode()
    loaded = load_model(tmp_path / "old.dipkit")
    for found, same in zip(loaded.predict(described, return_std=True), expected, strict=True):
        np.testing.assert_array_equal(found, same)
    # A model that had none goes on without them.
    assert (loaded.basis.bond_charges, loaded.basis.compensation) == (0.0, "molecule")
    again = clone(loaded).fit(described).predict(described)
    np.testing.assert_allclose(again, expected[0], atol=1e-6)


# Folds


def with_vectors(molecules: Molecules) -> Molecules:
    """Vectors make the objective convex: every way to its minimum ends there."""
    vectors = dipoles(molecules.charges, molecules) + 0.1 * np.arange(3)
    return molecules.replace(dipole_vector=vectors, dipole_magnitude=None)


def test_folds_by_difference_equal_fits_in_the_same_basis(
    described: Molecules, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    molecules = with_vectors(described)
    exclude_no_directions(monkeypatch)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    labels = read_labels(molecules, None, None, None)
    grid = FoldGrid(labels, ridge(**kind), folds, [1e-3], [0.0, 0.1])
    problem = grid.problem
    found = grid.held_out_errors(tol=1e-14, max_iter=500)
    for (train, test), errors in zip(folds, found, strict=True):
        part = read_labels(problem.labels.molecules[train], None, None, None)
        statistics = gather(part, problem.basis, np.random.default_rng(0), True, False)
        for place, weight in enumerate((0.0, 0.1)):
            objective = JointObjective(
                statistics.rows, statistics.constant, part.target,
                [(statistics.charges, weight)], 1e-3, SquaredLoss(),
            )  # fmt: skip
            start = charge_start(statistics.charges, problem.basis.backend)
            result = solve_reweighted(objective.with_prior(start), start, tol=1e-14)
            rows = problem.rows.reshape(len(molecules), 3, -1)[test]
            mu = problem.constants[0][test] + rows @ result.weights
            expected = np.linalg.norm(mu, axis=1) - problem.magnitudes[test]
            np.testing.assert_allclose(errors[0, place], expected, atol=1e-4)


def test_folds_along_bonds_equal_separate_fits(described: Molecules) -> None:
    folds = list(KFold(3).split(np.arange(len(described))))
    # Of so many environments each fold has some of every element.
    settings = KINDS["along bonds"] | {
        "basis__n_inducing": 80,
        "charge_weight": 0.1,
        "solver__tol": 1e-13,
    }
    model, labels = ridge(**settings), read_labels(described, None, None, None)
    grid = FoldGrid(labels, model, folds, [1e-3], [0.1])
    found = grid.held_out_errors(tol=1e-13, max_iter=2000)
    for (train, test), errors in zip(folds, found, strict=True):
        fitted = fit_fold(clone(model), grid.problem, described, train)
        expected = fitted.predict(described[test]) - described.dipole_magnitude[test]
        np.testing.assert_allclose(errors[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", [KINDS["bond charges"], KINDS["all along bonds"]])
def test_the_grid_comes_near_separate_fits(described: Molecules, kind: dict[str, Any]) -> None:
    """The leading directions, which bond charges have, are not those of the basis of a fold."""
    molecules = described.replace(dipole_vector=None)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    # With auxiliary dipoles a fold of so few molecules may end in another minimum than its fit.
    model = ridge(basis__n_inducing=150, charge_weight=0.0, auxiliary=None, **kind)
    grid = FoldGrid(read_labels(molecules, None, None, None), model, folds, [1e-3], [0.0])
    found = [np.abs(part).mean() for part in grid.held_out_errors(tol=1e-8, max_iter=500)]
    separate = []
    for train, test in folds:
        predicted = fit_fold(clone(model), grid.problem, molecules, train).predict(molecules[test])
        separate.append(np.abs(predicted - molecules.dipole_magnitude[test]).mean())
    np.testing.assert_allclose(found, separate, rtol=0.02)


# Memory, and what is refused


@pytest.mark.parametrize("n_inducing", [5, 60, 400])
def test_the_forecast_counts_all_columns(described: Molecules, n_inducing: int) -> None:
    # Without the baseline of the molecules, with which atomic dipoles would have columns too.
    molecules = described.replace(baseline_dipole=None, baseline_charges=None)
    labels = read_labels(molecules, None, None, None)
    settings = Settings.of(ridge(basis__n_inducing=n_inducing))
    statistics = first_statistics(settings, labels, 1.0, for_partial_fit=False)
    bare, plan = (plan_fit(described, n_inducing, with_bonds=on) for on in (False, True))
    row, e = 24 * len(described), len(described.elements)
    assert row * statistics.basis.n_columns <= plan.rows
    assert bare.rows < plan.rows <= bare.rows + row * (0.1 * n_inducing + e + 1)
    assert plan.matrices > bare.matrices
    assert statistics.origin.memory_plan["rows_gb"] == round(plan.rows / 1e9, 3)


def test_fewer_environments_where_memory_is_short(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(4,) * 3000)
    plan = plan_fit(molecules, 2798)
    with pytest.warns(UserWarning, match="the memory budget allows"):
        few = default_n_inducing(molecules, budget=plan.peak, with_bonds=True)
    assert few < 2798 == default_n_inducing(molecules)


@pytest.mark.parametrize("scale", [-0.1, np.nan, np.inf, "auto", None, True])
def test_scales_that_are_none(molecules: Molecules, scale: Any) -> None:
    with pytest.raises(InputError, match="bond_charges: expected a number >= 0"):
        ridge(basis__bond_charges=scale).fit(molecules)


@pytest.mark.parametrize("name", ["bond", "", None, 8.0, ["bonds"], np.array(["bonds"])])
def test_compensations_that_are_none(molecules: Molecules, name: Any) -> None:
    with pytest.raises(InputError, match=r"compensation: expected one of \('molecule', 'bonds'\)"):
        ridge(basis__compensation=name).fit(molecules)
