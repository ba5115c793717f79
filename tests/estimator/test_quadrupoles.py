"""Quadrupole labels: the term against its definition, fits, folds, files, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import run
from helpers.fold_fits import fit_fold
from optuna.distributions import FloatDistribution
from scipy.spatial.transform import Rotation
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

import dipkit.estimator.fit
from dipkit import DipoleKernelRidge, DipoleSearchCV, Molecules, load_model, read, save_model, write
from dipkit.data.datasets import load_organics
from dipkit.estimator.fit import first_statistics
from dipkit.estimator.settings import Settings
from dipkit.exceptions import InputError
from dipkit.learning.basis import Basis, build_basis
from dipkit.learning.charge_maps import conserve_charge, project
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import PowerKernel
from dipkit.learning.labels import FitLabels, read_labels
from dipkit.learning.multipoles import dipoles, quadrupoles
from dipkit.learning.quadratic_term import QuadraticTerm, weighted_sum
from dipkit.learning.quadrupole_term import (
    accumulate_quadrupoles,
    components,
)
from dipkit.search.fold_grid import FoldGrid, cross_validate_grid
from dipkit.search.fold_labels import FoldLabels
from dipkit.search.fold_sums import fold_quadrupoles
from dipkit.search.fold_terms import FoldTerms
from dipkit.support.backend import NUMPY


def from_charges(molecules: Molecules, seed: int = 3) -> Molecules:
    """Label molecules with the moments of smooth charges, a vector here and there missing."""
    rng = np.random.default_rng(seed)
    first = molecules.features.scales[0].astype(float)
    raw = first @ rng.standard_normal(first.shape[1]) + 0.1 * molecules.numbers
    charges = conserve_charge(raw, molecules)
    return molecules.replace(
        dipole_magnitude=np.linalg.norm(dipoles(charges, molecules), axis=1),
        quadrupole=quadrupoles(charges, molecules),
    )


def without(molecules: Molecules, *missing: int) -> Molecules:
    """Take the quadrupoles of some molecules."""
    quadrupole = molecules.quadrupole.copy()
    quadrupole[list(missing)] = np.nan
    return molecules.replace(quadrupole=quadrupole)


@pytest.fixture
def molecules(toy) -> Molecules:
    """Random molecules, some of them ions, that charges describe exactly; two lack a quadrupole."""
    sizes = (3, 4, 5, 2, 6, 3, 4, 4, 5, 3, 4, 5)
    return without(from_charges(toy(sizes=sizes)), 2, 5)


@pytest.fixture
def labels(molecules: Molecules) -> FitLabels:
    weight = 0.5 + np.arange(len(molecules)) % 3
    return read_labels(molecules, None, None, weight)


@pytest.fixture
def basis(molecules: Molecules) -> Basis:
    kernel, rng = PowerKernel(), np.random.default_rng(0)
    environments = choose_environments(molecules, 12, kernel, rng)
    return build_basis(environments, kernel, molecules.features.weights, 1e-8)


def ridge(**parameters: Any) -> DipoleKernelRidge:
    settings = {"basis__n_inducing": 16, "alpha": 1e-4, "device": "cpu", "solver__max_iter": 3000}
    return DipoleKernelRidge().set_params(**settings | parameters)


def charges_of(molecules: Molecules, basis: Basis, w: np.ndarray) -> np.ndarray:
    """Charges of the model with these weights, from its definition."""
    raw = np.zeros(molecules.n_atoms)
    for number, element in basis.elements.items():
        atoms = np.flatnonzero(molecules.numbers == number)
        scales = (scale[atoms] for scale in molecules.features.scales)
        raw[atoms] = basis.basis_functions(number, scales) @ w[element.columns]
    return conserve_charge(raw, molecules)


def mean_error(labels: FitLabels, basis: Basis, w: np.ndarray) -> float:
    """Weighted mean of |Theta - Theta_ref|^2, from its definition."""
    molecules = labels.molecules
    found = quadrupoles(charges_of(molecules, basis, w), molecules)
    square = ((found - molecules.quadrupole) ** 2).sum(axis=(1, 2))
    known = molecules.has_quadrupole
    return float(np.average(square[known], weights=labels.target.weights[known]))


def value(term: QuadraticTerm, w: np.ndarray) -> float:
    return (w @ term.gram @ w - 2 * term.rhs @ w + term.constant) / term.weight


# The term


def test_components_have_the_norm_of_the_matrix() -> None:
    rng = np.random.default_rng(0)
    a, b = (x + x.T - 2 / 3 * np.trace(x) * np.eye(3) for x in rng.standard_normal((2, 3, 3)))
    assert components(a) @ components(b) == pytest.approx((a * b).sum())
    np.testing.assert_allclose(components(np.eye(3)), 0.0, atol=1e-15)


def test_the_term_is_the_mean_squared_error(labels: FitLabels, basis: Basis) -> None:
    term = accumulate_quadrupoles(labels, basis)
    for w in np.random.default_rng(1).standard_normal((3, basis.n_columns)):
        assert value(term, w) == pytest.approx(mean_error(labels, basis, w))


def test_blocks_sum_to_the_whole(
    labels: FitLabels, basis: Basis, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = accumulate_quadrupoles(labels, basis)
    monkeypatch.setattr("dipkit.learning.blocking.PIECE_ATOMS", 7)
    parts = accumulate_quadrupoles(labels, basis)
    # Kernel values of single precision depend on how many atoms go together.
    for one, two in ((parts.gram, whole.gram), (parts.rhs, whole.rhs)):
        np.testing.assert_allclose(one, two, atol=1e-6 * np.abs(two).max())


def test_moving_and_turning_molecules_change_nothing(labels: FitLabels, basis: Basis) -> None:
    molecules = labels.molecules
    turn = Rotation.random(random_state=0).as_matrix()
    moved = molecules.replace(
        positions=molecules.positions @ turn.T + [1.0, -2.0, 3.0],
        quadrupole=turn @ molecules.quadrupole @ turn.T,
    )
    moved = read_labels(moved.replace(features=molecules.features), None, None, None)
    still = read_labels(molecules, None, None, None)
    one, two = (accumulate_quadrupoles(each, basis) for each in (still, moved))
    np.testing.assert_allclose(two.gram, one.gram, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(two.rhs, one.rhs, rtol=1e-6, atol=1e-6)
    assert two.constant == pytest.approx(one.constant)


def test_it_adds_to_another_term(labels: FitLabels, basis: Basis) -> None:
    quadrupole, r = accumulate_quadrupoles(labels, basis), basis.n_columns
    rng = np.random.default_rng(2)
    c = rng.standard_normal((7, r))
    charges = QuadraticTerm(c.T @ c, rng.standard_normal(r), 2.0, 7.0)
    both, weight = weighted_sum([(charges, 0.3), (quadrupole, 0.01)])
    assert both is not None
    w = rng.standard_normal(r)
    expected = 0.3 * value(charges, w) + 0.01 * value(quadrupole, w)
    assert weight * value(both, w) == pytest.approx(expected)


def test_folds_are_differences(labels: FitLabels, basis: Basis) -> None:
    n, r = len(labels.molecules), basis.n_columns
    folds = list(KFold(3).split(np.arange(n)))
    folded = fold_quadrupoles(FoldLabels.of(labels, None, folds), basis, folds)
    rng = np.random.default_rng(3)
    grams = rng.standard_normal((4, r, r))
    others = [QuadraticTerm(g @ g.T, rng.standard_normal(r), 3.0, 5.0 + i)
              for i, g in enumerate(grams)]  # fmt: skip
    total = others[0] + others[1] + others[2] + others[3]
    other = type(folded)(total, [total - part for part in others[:3]])
    every = np.arange(3)
    joined = FoldTerms([(folded, np.full(3, 0.2)), (other, np.full(3, 0.5))], every, NUMPY)
    w = rng.standard_normal(r)
    for k, (train, _) in enumerate(folds):
        part = labels.molecules[train]
        part_labels = read_labels(part, None, None, labels.target.weights[train])
        training = accumulate_quadrupoles(part_labels, basis)
        assert value(folded.of(k), w) == pytest.approx(value(training, w))
        expected = 0.2 * value(training, w) + 0.5 * value(total - others[k], w)
        product = joined.product(np.tile(w, (3, 1)))
        found = w @ product[k] - 2 * w @ joined.rhs[k] + joined.constant[k]
        assert found == pytest.approx(expected)
        assert all(total.weight > term.weight for term in other.training)


# Fits


def test_the_objective_gains_the_term(molecules: Molecules) -> None:
    model = ridge(quadrupole_weight=0.05, charge_weight=0.0, start__prior=False, solver__tol=1e-10)
    model.fit(molecules)
    found = model.predict_quadrupole(molecules) - molecules.quadrupole
    known = molecules.has_quadrupole
    quadrupole = 0.05 * (found[known] ** 2).sum(axis=(1, 2)).mean()
    dipole = ((model.predict(molecules) - molecules.dipole_magnitude) ** 2).mean()
    labels = read_labels(molecules, None, None, None)
    statistics = first_statistics(Settings.of(ridge()), labels, 1.0, for_partial_fit=False)
    rows = statistics.rows
    mu = model.predict_dipole(molecules) - statistics.constant
    w = np.linalg.lstsq(rows, mu.ravel(), rcond=None)[0]
    # The smallest weights with these dipoles have no larger norm than those of the model.
    assert model.objective_ - dipole - quadrupole > 0
    assert 1e-4 * (w @ w) <= (model.objective_ - dipole - quadrupole) * (1 + 1e-3)


def test_a_large_weight_brings_the_quadrupoles(molecules: Molecules) -> None:
    def error(weight: float) -> float:
        model = ridge(quadrupole_weight=weight, solver__annealing=()).fit(molecules)
        assert model.converged_
        off = model.predict_quadrupole(molecules) - molecules.quadrupole
        return float(np.sqrt((off[molecules.has_quadrupole] ** 2).mean()))

    assert error(100.0) < 0.2 * error(0.0)


def test_no_weight_is_the_model_without_labels(molecules: Molecules) -> None:
    bare = molecules.replace(quadrupole=None)
    one, two = (ridge().fit(each).predict_dipole(molecules) for each in (molecules, bare))
    np.testing.assert_array_equal(one, two)


def test_dipoles_and_quadrupoles_turn_with_the_molecule(molecules: Molecules) -> None:
    model = ridge(quadrupole_weight=0.1).fit(molecules)
    turn = Rotation.random(random_state=1).as_matrix()
    turned = molecules.replace(
        positions=molecules.positions @ turn.T, quadrupole=turn @ molecules.quadrupole @ turn.T
    ).replace(features=molecules.features)
    again = ridge(quadrupole_weight=0.1).fit(turned)
    np.testing.assert_allclose(
        again.predict_dipole(turned), model.predict_dipole(molecules) @ turn.T, atol=1e-3
    )


def test_quadrupoles_of_molecules_without_a_dipole_count(molecules: Molecules) -> None:
    few = np.where(np.arange(len(molecules)) < 3, molecules.dipole_magnitude, np.nan)
    partly = molecules.replace(dipole_magnitude=few)
    model = ridge(quadrupole_weight=100.0, basis__n_inducing=30).fit(partly)
    assert model.label_summary_["n_magnitudes"] == 3
    assert model.label_summary_["n_quadrupoles"] == 10
    without_them = ridge(basis__n_inducing=30).fit(partly)
    errors = [
        np.abs(each.predict(molecules) - molecules.dipole_magnitude)[3:].mean()
        for each in (model, without_them)
    ]
    assert errors[0] < errors[1]


def test_parts_give_the_model_of_all_together(molecules: Molecules) -> None:
    first, second = molecules[:7], molecules[7:]
    settings = {"quadrupole_weight": 0.1, "solver__tol": 1e-10, "basis__n_inducing": 100}
    parts = ridge(**settings).partial_fit(first).partial_fit(second)
    choose = dipkit.estimator.fit.choose_environments
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            dipkit.estimator.fit, "choose_environments", lambda _, *rest: choose(first, *rest)
        )
        whole = ridge(**settings).fit(molecules)
    assert parts.label_summary_ == whole.label_summary_
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-4)


def test_the_weight_may_come_later(molecules: Molecules) -> None:
    later = ridge(basis__n_inducing=100).partial_fit(molecules[:7])
    later.set_params(quadrupole_weight=0.1).partial_fit(molecules[7:])
    soon = ridge(basis__n_inducing=100, quadrupole_weight=0.1).partial_fit(molecules[:7])
    soon.partial_fit(molecules[7:])
    np.testing.assert_array_equal(later.dual_coef_, soon.dual_coef_)


def test_a_saved_model_predicts_the_same_bits(molecules: Molecules, tmp_path: Path) -> None:
    model = ridge(quadrupole_weight=0.1).fit(molecules)
    save_model(model, tmp_path / "model.dipkit")
    loaded = load_model(tmp_path / "model.dipkit")
    assert loaded.get_params()["quadrupole_weight"] == 0.1
    np.testing.assert_array_equal(
        loaded.predict_quadrupole(molecules), model.predict_quadrupole(molecules)
    )


# Folds and searches


def test_folds_by_difference_equal_fits(molecules: Molecules) -> None:
    folds = list(KFold(3).split(molecules))
    # Bond charges have the leading directions of all environments in a grid, and with auxiliary
    # dipoles a fold of so few molecules may end in another minimum than its fit.
    model = ridge(alpha=1e-2, quadrupole_weight=0.3, solver__tol=1e-13, solver__max_iter=2000)
    model.set_params(basis__bond_charges=0.0, auxiliary=None)
    grid = FoldGrid(read_labels(molecules, None, None, None), model, folds, [1e-2], [0.0])
    found = grid.held_out_errors(tol=1e-13, max_iter=2000)
    for (train, test), errors in zip(folds, found, strict=True):
        fit_fold(model, grid.problem, molecules, train)
        expected = model.predict(molecules[test]) - molecules.dipole_magnitude[test]
        np.testing.assert_allclose(errors[0, 0], expected, atol=1e-5)


def test_a_search_over_the_weight(coarse_soap: Any) -> None:
    organics = load_organics()[:24]
    organics = organics.replace(quadrupole=quadrupoles(organics.charges, organics))
    pipeline = make_pipeline(coarse_soap, ridge(basis__n_inducing=30, quadrupole_weight=0.05))
    space = {"dipolekernelridge__quadrupole_weight": FloatDistribution(0.01, 1.0, log=True)}
    search = DipoleSearchCV(pipeline, space, n_trials=2, cv=2).fit(organics)
    best = search.best_estimator_[-1]
    assert best.quadrupole_weight == search.best_params_[next(iter(space))]
    assert best.label_summary_["n_quadrupoles"] == 24


# What is refused


def test_a_weight_needs_labels(molecules: Molecules) -> None:
    bare = molecules.replace(quadrupole=None)
    with pytest.raises(InputError, match="needs quadrupole labels"):
        ridge(quadrupole_weight=0.1).fit(bare)
    folds = list(KFold(2).split(molecules))
    with pytest.raises(InputError, match="needs quadrupole labels"):
        cross_validate_grid(bare, alphas=[1.0], folds=folds, ridge=ridge(quadrupole_weight=0.1))


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, "auto", None])
def test_weights_that_are_none(molecules: Molecules, weight: Any) -> None:
    with pytest.raises(InputError, match="quadrupole_weight: expected a number >= 0"):
        ridge(quadrupole_weight=weight).fit(molecules)


def test_a_fold_without_quadrupoles(molecules: Molecules) -> None:
    few = without(molecules, *range(6))
    folds = list(KFold(2).split(few))
    with pytest.raises(InputError, match="fold 1 trains on no molecule with a quadrupole"):
        cross_validate_grid(few, alphas=[1.0], folds=folds, ridge=ridge(quadrupole_weight=0.1))


def test_a_baseline_has_to_be_made_of_charges(molecules: Molecules) -> None:
    charges = project(np.random.default_rng(4).standard_normal(molecules.n_atoms), molecules)
    charges += (molecules.total_charge / molecules.natoms)[molecules.molecule_index]
    dipole = dipoles(charges, molecules)
    made = molecules.replace(baseline_charges=charges, baseline_dipole=dipole)
    model = ridge(baseline="given", quadrupole_weight=0.1).fit(made)
    assert np.isfinite(model.predict_quadrupole(made)).all()
    more = made.replace(baseline_dipole=dipole + 0.1)
    with pytest.raises(InputError, match="baseline holds more than charges"):
        model.fit(more)
    late = ridge(baseline="given").partial_fit(more)
    with pytest.raises(InputError, match="Set the weight before the first call"):
        late.set_params(quadrupole_weight=0.1).partial_fit(more)


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q + np.eye(3),
        lambda q: q + np.diag([1.0, 1.0], 1),
        lambda q: np.where(np.eye(3) > 0, np.nan, q),
    ],
    ids=["trace", "not symmetric", "partly missing"],
)
def test_labels_that_are_no_quadrupoles(molecules: Molecules, change: Any) -> None:
    quadrupole = molecules.quadrupole.copy()
    quadrupole[3] = change(quadrupole[3])
    with pytest.raises(InputError, match=r"quadrupole: expected nine components.*molecule 3"):
        molecules.replace(quadrupole=quadrupole)


def test_infinite_labels(molecules: Molecules) -> None:
    quadrupole = molecules.quadrupole.copy()
    quadrupole[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="quadrupole: expected finite values"):
        molecules.replace(quadrupole=quadrupole)


# The container and files


def test_molecules_carry_them(molecules: Molecules) -> None:
    assert molecules.has_quadrupole.sum() == molecules.summary().n_quadrupoles == 10
    assert "10 quadrupoles" in repr(molecules)
    np.testing.assert_array_equal(molecules[[3, 2]].quadrupole, molecules.quadrupole[[3, 2]])
    bare = molecules.replace(quadrupole=None)
    assert not bare.has_quadrupole.any()
    joined = Molecules.concatenate([molecules[:3], bare[3:5]])
    np.testing.assert_array_equal(joined.has_quadrupole, [True, True, False, False, False])


@pytest.mark.parametrize("suffix", [".npz", ".xyz", ".db", ".json"])
def test_files_keep_them(molecules: Molecules, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"molecules{suffix}"
    write(file, molecules.replace(features=None))
    found = read(file)
    np.testing.assert_allclose(found.quadrupole, molecules.quadrupole, atol=1e-7)
    assert "quadrupole_debye_angstrom" in found.source_keys
    assert read(file, labels=False).quadrupole is None


def test_a_file_with_too_few_numbers(molecules: Molecules, tmp_path: Path) -> None:
    from dipkit.data.formats.ase_atoms import from_atoms, to_atoms

    frames = to_atoms(molecules[:2])
    frames[1].info["quadrupole_debye_angstrom"] = np.ones(5)
    with pytest.raises(InputError, match="holds 5 numbers: expected 9"):
        from_atoms(frames)


def test_the_backend_of_a_term_without_labels(labels: FitLabels, basis: Basis) -> None:
    none = accumulate_quadrupoles(labels, basis, np.zeros(len(labels.molecules)))
    assert none.weight == none.constant == 0
    np.testing.assert_array_equal(NUMPY.to_host(none.gram), 0.0)


def test_the_command_learns_from_them(tmp_path: Path) -> None:
    organics = load_organics()[:20]
    organics = organics.replace(quadrupole=quadrupoles(organics.charges, organics))
    write(tmp_path / "train.xyz", organics)
    about = json.loads(run("info", tmp_path / "train.xyz", "--json").stdout)
    assert about["n_quadrupoles"] == 20
    words = ("fit", tmp_path / "train.xyz", "-o", tmp_path / "m.dipkit", "--n-inducing", 40)
    report = json.loads(run(*words, "--quadrupole-weight", 0.1, "--json").stdout)
    assert report["parameters"]["quadrupole_weight"] == 0.1
    assert report["labels"]["n_quadrupoles"] == 20
