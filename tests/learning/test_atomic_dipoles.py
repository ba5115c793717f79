"""Atomic dipoles: their vectors, columns, quadrupoles; what a fit with them is and turns into."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.dense_charges import dense_charge_rows
from helpers.fold_fits import exclude_no_directions
from helpers.objectives import gradient, value
from helpers.parts import all_at_once, in_parts
from scipy.spatial.transform import Rotation
from sklearn.model_selection import KFold

import dipkit.estimator.minimum
from dipkit import DipoleKernelRidge, InducingBasis
from dipkit.data.molecules import Molecules
from dipkit.estimator.fit import first_statistics
from dipkit.estimator.linearised import LinearisedObjective
from dipkit.estimator.memory_plan import default_n_inducing, plan_fit
from dipkit.estimator.metrics import mae_scorer
from dipkit.estimator.settings import Settings
from dipkit.estimator.std_prediction import StdPredictor
from dipkit.estimator.training_data import gather
from dipkit.exceptions import InputError
from dipkit.learning.accumulate import accumulate
from dipkit.learning.atomic_dipoles import (
    CUTOFF,
    SHARE,
    count_leading,
    neighbour_vectors,
    summed_derivatives,
    vector_derivatives,
)
from dipkit.learning.basis import Basis, build_basis
from dipkit.learning.charge_labels import ChargeLabels
from dipkit.learning.charge_maps import conserve_charge, even_charges, molecule_sums
from dipkit.learning.compensation import EVEN, Compensation
from dipkit.learning.inducing import choose_environments
from dipkit.learning.initial_charges import charge_start
from dipkit.learning.kernels import PowerKernel
from dipkit.learning.labels import FitLabels, read_labels
from dipkit.learning.losses import HuberLoss, SquaredLoss
from dipkit.learning.multipoles import atomic_quadrupoles, constant_dipoles, dipoles, quadrupoles
from dipkit.learning.objective import JointObjective
from dipkit.learning.quadrupole_term import accumulate_quadrupoles
from dipkit.learning.reweighted import solve_reweighted
from dipkit.search.fold_grid import FoldGrid
from dipkit.units import DEBYE_PER_E_ANGSTROM

SCALE = 0.4


def made_of(y: np.ndarray, molecules: Molecules, elements: list[int]) -> np.ndarray:
    """Dipoles of atoms (n, 3), debye, with amplitudes (n, E), e."""
    return DEBYE_PER_E_ANGSTROM * np.einsum("ie,iec->ic", y, neighbour_vectors(molecules, elements))


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    """Random molecules, some of them ions, with magnitudes that charges alone do not make."""
    molecules = toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4, 5, 3, 4, 5))
    rng, elements = np.random.default_rng(3), molecules.elements.tolist()
    first = molecules.features.scales[0].astype(float)
    raw, *y = (first @ rng.standard_normal((first.shape[1], 1 + len(elements))) + 0.1).T
    charges = conserve_charge(0.3 * raw, molecules)
    of_atoms = made_of(0.2 * np.array(y).T, molecules, elements)
    dipole = dipoles(charges, molecules) + molecule_sums(of_atoms, molecules.offsets)
    quadrupole = quadrupoles(charges, molecules) + atomic_quadrupoles(of_atoms, molecules)
    return molecules.replace(
        dipole_magnitude=np.linalg.norm(dipole, axis=1), quadrupole=quadrupole, charges=charges
    )


@pytest.fixture
def labels(molecules: Molecules) -> FitLabels:
    return read_labels(molecules, None, None, 0.5 + np.arange(len(molecules)) % 3)


def basis_of(molecules: Molecules, scale: float) -> Basis:
    environments = choose_environments(molecules, 20, PowerKernel(), np.random.default_rng(0))
    weights = molecules.features.weights
    return build_basis(environments, PowerKernel(), weights, 1e-8, dipole_scale=scale)


@pytest.fixture
def basis(molecules: Molecules) -> Basis:
    return basis_of(molecules, SCALE)


def ridge(**parameters: Any) -> DipoleKernelRidge:
    settings = {"basis__n_inducing": 24, "alpha": 1e-3, "device": "cpu", "solver__max_iter": 3000}
    return DipoleKernelRidge().set_params(
        **{"basis__atomic_dipoles": SCALE} | settings | parameters
    )


def with_vectors(molecules: Molecules) -> Molecules:
    """Vectors make the objective convex: every way to its minimum ends there."""
    vectors = dipoles(molecules.charges, molecules) + 0.1 * np.arange(3)
    return molecules.replace(dipole_vector=vectors, dipole_magnitude=None, quadrupole=None)


def atoms_of(molecules: Molecules, basis: Basis, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Charges (e) and dipoles (debye) of atoms for these weights, from the definition (21)."""
    y = np.zeros((molecules.n_atoms, len(basis.elements)))
    for number, element in basis.elements.items():
        atoms = np.flatnonzero(molecules.numbers == number)
        phi = basis.basis_functions(number, (scale[atoms] for scale in molecules.features.scales))
        n_leading = count_leading(phi.shape[1] - 1)
        leading = np.concatenate([phi[:, :n_leading], phi[:, -1:]], axis=1)
        y[atoms] = np.stack([leading @ w[run] for run in element.dipole_columns], axis=1)
    of_atoms = made_of(basis.dipole_scale * y, molecules, sorted(basis.elements))
    return dense_charge_rows(molecules, basis) @ w + even_charges(molecules), of_atoms


def turned(molecules: Molecules) -> tuple[Molecules, np.ndarray]:
    turn = Rotation.random(random_state=0).as_matrix()
    moved = molecules.replace(positions=molecules.positions @ turn.T + [1.0, -2.0, 3.0])
    return moved.replace(features=molecules.features), turn


# Vectors and moments


def test_vectors_are_sums_over_neighbours(molecules: Molecules) -> None:
    elements = [1, 6, 9]  # no oxygen, though there is some: its atoms do not count
    assert 8 in molecules.elements
    found = neighbour_vectors(molecules, elements)
    for one, mine in zip(molecules, np.split(found, molecules.offsets[1:-1]), strict=True):
        for i, center in enumerate(one.positions):
            expected = np.zeros((len(elements), 3))
            for j, other in enumerate(one.positions):
                r, number = np.linalg.norm(other - center), int(one.numbers[j])
                if i != j and r < CUTOFF and number in elements:
                    term = (1 + np.cos(np.pi * r / CUTOFF)) / 2 * (other - center)
                    expected[elements.index(number)] += term
            np.testing.assert_allclose(mine[i], expected, atol=1e-12)


def test_vectors_turn_with_the_molecule(molecules: Molecules) -> None:
    moved, turn = turned(molecules)
    elements = molecules.elements.tolist()
    found = neighbour_vectors(moved, elements)
    expected = neighbour_vectors(molecules, elements) @ turn.T
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_single_and_distant_atoms_have_none() -> None:
    positions = [[0, 0, 0], [0, 0, 0], [CUTOFF, 0, 0]]
    molecules = Molecules([8, 1, 1], positions, [0, 1, 3])
    np.testing.assert_array_equal(neighbour_vectors(molecules, [1, 8]), 0)


@pytest.mark.parametrize(("r", "share"), [(4.9, 9.9e-4), (2.5, 0.5), (5.1, 0.0)])
def test_the_falloff_is_that_of_models_in_files(r: float, share: float) -> None:
    """Vectors are computed again for each prediction: another cutoff would change old models."""
    molecules = Molecules([8, 1], [[0, 0, 0], [0, 0, r]], [0, 2])
    found = neighbour_vectors(molecules, [1, 8])
    np.testing.assert_allclose(found[0, 0], [0, 0, share * r], rtol=5e-3)
    np.testing.assert_allclose(found[1, 1], [0, 0, -share * r], rtol=5e-3)


def test_atoms_beyond_the_cutoff_have_no_derivatives() -> None:
    far = Molecules([8, 1], [[0, 0, 0], [0, 0, 6.0]], [0, 2])
    np.testing.assert_allclose(vector_derivatives(far, [1, 8]), 0.0, atol=1e-15)


def test_amplitudes_have_a_twentieth_of_the_directions() -> None:
    assert [count_leading(n) for n in (1, 19, 20, 21, 100)] == [1, 1, 1, 2, 5]


def test_derivatives_of_vectors(molecules: Molecules) -> None:
    one, step = molecules[4], 1e-5
    rng, elements = np.random.default_rng(0), molecules.elements.tolist()
    e = len(elements)
    amplitudes = rng.standard_normal((6, e))
    found = vector_derivatives(one, elements)
    summed = summed_derivatives(one, elements, amplitudes)
    for j in range(6):
        for b in range(3):
            ends, sums = [], []
            for h in (step, -step):
                positions = one.positions.copy()
                positions[j, b] += h
                moved = one.replace(positions=positions)
                ends.append(neighbour_vectors(moved, elements))
                sums.append(made_of(amplitudes, moved, elements).sum(axis=0))
            np.testing.assert_allclose(
                found[:, j, :, b], (ends[0] - ends[1]) / (2 * step), atol=1e-8
            )
            np.testing.assert_allclose(summed[j, b], (sums[0] - sums[1]) / (2 * step), atol=1e-7)


# Columns


def test_rows_and_statistics_equal_the_definition(labels: FitLabels, basis: Basis) -> None:
    molecules, bare = labels.molecules, basis_of(labels.molecules, 0.0)
    charges = ChargeLabels.of(labels.charges, molecules, labels.target.weights)
    rows, (found,) = accumulate(molecules, basis, [charges])
    bare_rows, (expected,) = accumulate(molecules, bare, [charges])
    n = bare.n_columns
    assert n == basis.n_charge_columns == bare.n_charge_columns < basis.n_columns == rows.shape[1]
    w = np.random.default_rng(1).standard_normal(basis.n_columns)
    q, of_atoms = atoms_of(molecules, basis, w)
    dipole = dipoles(q, molecules) + molecule_sums(of_atoms, molecules.offsets)
    np.testing.assert_allclose(constant_dipoles(molecules) + (rows @ w).reshape(-1, 3), dipole)
    np.testing.assert_array_equal(rows[:, :n], bare_rows)
    np.testing.assert_array_equal(found.gram[:n, :n], expected.gram)
    np.testing.assert_array_equal(found.rhs[:n], expected.rhs)
    for part in (found.gram[n:], found.gram[:, n:], found.rhs[n:]):
        np.testing.assert_array_equal(part, 0.0)


def test_rows_of_elements_that_are_absent(molecules: Molecules, basis: Basis) -> None:
    without_oxygen = np.flatnonzero([8 not in one.numbers for one in molecules])
    assert len(without_oxygen)
    rows = np.full((3 * len(without_oxygen), basis.n_columns), np.nan)
    accumulate(molecules[without_oxygen], basis, rows=rows)
    assert np.isfinite(rows).all()
    assert len(basis.elements[8].dipole_columns) == len(basis.elements)
    for run in basis.elements[8].dipole_columns:
        np.testing.assert_array_equal(rows[:, run], 0.0)


def test_the_quadrupole_term_is_the_mean_squared_error(labels: FitLabels, basis: Basis) -> None:
    molecules, term = labels.molecules, accumulate_quadrupoles(labels, basis)
    w = np.random.default_rng(1).standard_normal(basis.n_columns)
    q, of_atoms = atoms_of(molecules, basis, w)
    off = quadrupoles(q, molecules) + atomic_quadrupoles(of_atoms, molecules) - molecules.quadrupole
    expected = np.average((off**2).sum(axis=(1, 2)), weights=labels.target.weights)
    found = (w @ term.gram @ w - 2 * term.rhs @ w + term.constant) / term.weight
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("loss", [SquaredLoss(), HuberLoss(0.3)], ids=["squared", "huber"])
def test_the_gradient_of_the_objective(labels: FitLabels, basis: Basis, loss: Any) -> None:
    statistics = gather(labels, basis, np.random.default_rng(0), True, False)
    objective = JointObjective(
        statistics.rows, statistics.constant, labels.target, [(statistics.charges, 0.1)], 1e-2, loss
    )
    rng = np.random.default_rng(2)
    w, step = 0.1 * rng.standard_normal((2, basis.n_columns))
    up, down = (value(objective, w + h * step) for h in (1e-5, -1e-5))
    assert gradient(objective, w) @ step == pytest.approx((up - down) / 2e-5, rel=1e-6)


def test_dual_coefficients_are_the_weights(molecules: Molecules, basis: Basis) -> None:
    w = np.random.default_rng(1).standard_normal((basis.n_columns, 2))
    coefficients, constants = basis.dipole_dual(w)
    first = basis.dipole_dual(w[:, 0])
    np.testing.assert_allclose(coefficients[..., 0], first[0])
    np.testing.assert_allclose(constants[..., 0], first[1])
    of_atoms, start = atoms_of(molecules, basis, w[:, 0])[1], 0
    for place, (number, element) in enumerate(basis.elements.items()):
        atoms = molecules.numbers == number
        x = [scale[atoms].astype(float) for scale in molecules.features.scales]
        z = [scale.astype(float) for scale in element.environments]
        stop = start + len(z[0])
        y = PowerKernel()(x, z, basis.weights) @ first[0][start:stop] + first[1][place]
        whole = np.zeros((molecules.n_atoms, len(basis.elements)))
        whole[atoms] = y
        found = made_of(whole, molecules, sorted(basis.elements))
        np.testing.assert_allclose(found[atoms], of_atoms[atoms], atol=1e-4)
        start = stop


# Fits


def test_predictions_are_the_rows_times_the_weights(
    molecules: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, attributes = [], dipkit.estimator.minimum._basis_attributes
    monkeypatch.setattr(
        dipkit.estimator.minimum,
        "_basis_attributes",
        lambda *a: (seen.extend(a), attributes(*a))[1],
    )
    model = ridge().fit(molecules)
    basis, weights = seen
    rows, _ = accumulate(molecules, basis)
    mu = constant_dipoles(molecules) + (rows @ weights).reshape(-1, 3)
    np.testing.assert_allclose(model.predict_dipole(molecules), mu, atol=1e-7)
    np.testing.assert_allclose(model.predict(molecules), np.linalg.norm(mu, axis=1), atol=1e-7)
    q, of_atoms = atoms_of(molecules, basis, weights)
    np.testing.assert_allclose(model.predict_charges(molecules), q, atol=1e-7)
    np.testing.assert_allclose(model.predict_atomic_dipoles(molecules), of_atoms, atol=1e-7)
    charges, dipole, std = model.predict_together(molecules)
    total = dipoles(charges, molecules) + molecule_sums(of_atoms, molecules.offsets)
    np.testing.assert_allclose(dipole, total, atol=1e-7)
    assert std is None


@pytest.mark.parametrize("parameters", [{}, {"charge_weight": 0.0, "start": "electronegativity"}])
def test_no_scale_is_the_model_without_them(
    described: Molecules, parameters: dict[str, Any]
) -> None:
    models = [
        ridge(basis__n_inducing=60, basis__atomic_dipoles=scale, **parameters).fit(described)
        for scale in (0.0, 1e-9)
    ]
    none, hardly = (model.predict_together(described, return_std=True) for model in models)
    for one, two in zip(none, hardly, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    assert models[0].atomic_dipole_coef_ is models[0].atomic_dipole_intercept_ is None
    np.testing.assert_array_equal(models[0].predict_atomic_dipoles(described), 0.0)
    assert models[0].predict_atomic_dipoles(described).shape == (described.n_atoms, 3)


def test_they_learn_what_charges_cannot(molecules: Molecules) -> None:
    def error(scale: float) -> float:
        model = ridge(
            basis__atomic_dipoles=scale, basis__n_inducing=100, alpha=1e-5, quadrupole_weight=1.0
        )
        model.fit(molecules)
        off = model.predict_quadrupole(molecules) - molecules.quadrupole
        return float(np.sqrt((off**2).mean()))

    assert error(1.0) < 0.5 * error(0.0)


def test_atomic_dipoles_turn_with_the_molecule(molecules: Molecules) -> None:
    model, (moved, turn) = ridge(quadrupole_weight=0.1).fit(molecules), turned(molecules)
    for name in ("predict_atomic_dipoles", "predict_dipole"):
        found, still = (getattr(model, name)(each) for each in (moved, molecules))
        np.testing.assert_allclose(found, still @ turn.T, atol=1e-9)
    np.testing.assert_allclose(
        model.predict_quadrupole(moved),
        turn @ model.predict_quadrupole(molecules) @ turn.T,
        atol=1e-8,
    )
    one, two = (model.predict(each, return_std=True)[1] for each in (molecules, moved))
    np.testing.assert_allclose(two, one, rtol=1e-9)


def test_a_turned_training_set_gives_the_same_model(described: Molecules) -> None:
    molecules, settings = with_vectors(described), {"basis__n_inducing": 60, "solver__tol": 1e-12}
    moved, turn = turned(molecules)
    moved = moved.replace(dipole_vector=molecules.dipole_vector @ turn.T)
    one, two = (ridge(**settings).fit(each) for each in (molecules, moved))
    np.testing.assert_allclose(
        two.predict_dipole(moved), one.predict_dipole(molecules) @ turn.T, atol=1e-6
    )


def test_a_part_equals_the_part_of_all(described: Molecules) -> None:
    model = ridge(basis__n_inducing=60).fit(described)
    some = [3, 17, 4]
    expected = model.predict_atomic_dipoles(described)[described.atom_index(some)]
    np.testing.assert_allclose(model.predict_atomic_dipoles(described[some]), expected, atol=1e-6)


@pytest.mark.parametrize("maps", [[EVEN], [EVEN, Compensation(4.0)], [Compensation(8.0)]])
def test_the_draws_vary_as_dipoles_of_atoms_do(
    molecules: Molecules, maps: list[Compensation]
) -> None:
    rng, k = np.random.default_rng(0), len(maps)
    n, elements = molecules.n_atoms, molecules.elements.tolist()
    draws = rng.standard_normal((n, k + len(elements), 50))
    axes = rng.standard_normal((len(molecules), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    predictor = StdPredictor.__new__(StdPredictor)
    predictor.floor, predictor.n_samples = 0.0, 50
    predictor.compensations, predictor.dipole_elements = maps, elements
    drawn = [(np.arange(n), draws.reshape(n, -1), np.zeros(n))]
    found = predictor.std(molecules, 2 * axes, drawn)
    expected = np.zeros(len(molecules))
    for one in np.moveaxis(draws, 2, 0):
        charges = sum(how.apply(raw, molecules) for how, raw in zip(maps, one.T, strict=False))
        dipole = dipoles(charges, molecules)
        dipole += molecule_sums(made_of(one[:, k:], molecules, elements), molecules.offsets)
        expected += (dipole * axes).sum(axis=1) ** 2
    np.testing.assert_allclose(found**2, expected)


def test_standard_deviations_hold_the_draws(
    molecules: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variance within the basis is g^T H^-1 g / N, up to the finite number of draws."""
    seen, fit = [], dipkit.estimator.minimum.calibrate_std
    monkeypatch.setattr(
        dipkit.estimator.minimum, "calibrate_std", lambda *a: (seen.extend(a[:3]), fit(*a))[1]
    )
    model = ridge(quadrupole_weight=0.0).fit(molecules)
    objective, weights, basis = seen
    model.std_novelty_, scale = 0.0, model.std_floor_ / np.sqrt(0.1)
    std = model.predict(molecules, return_std=True)[1]
    mu = objective.dipoles(objective.at(weights))[0]
    unit = mu / np.linalg.norm(mu, axis=1, keepdims=True)
    g = np.einsum("ac,acr->ar", unit, objective.rows.reshape(len(mu), 3, -1))
    h = LinearisedObjective(objective, weights).curvature()
    h = dipkit.estimator.std_calibration._with_constants(h, objective.alpha, basis)
    within = np.einsum("ar,ar->a", g, np.linalg.solve(h, g.T).T) / len(mu)
    several = molecules.natoms > 1
    expected = scale * np.sqrt(within + 0.1)
    assert np.median(np.abs(std / expected - 1)[several]) < 0.1
    n_draws = 128 * (2 + len(basis.elements))
    assert StdPredictor(model, basis.backend).elements[1][0].shape[1] == n_draws


# Parts, workers, files, folds


def test_parts_give_the_model_of_all_together(described: Molecules) -> None:
    settings = {"basis__n_inducing": 60, "solver__tol": 1e-10}
    first, second = described[:20], described[20:]
    parts = in_parts(ridge(**settings), first, second)
    whole = all_at_once(ridge(**settings), first, described)
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-6)
    for name in ("predict_dipole", "predict_atomic_dipoles"):
        found, expected = (getattr(model, name)(described) for model in (parts, whole))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(InputError, match="basis__atomic_dipoles: changed since the first call"):
        parts.set_params(basis__atomic_dipoles=0.1).partial_fit(second)


def test_workers_learn_the_same(described: Molecules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dipkit.learning.accumulate.BLOCK_ATOMS", 60)
    here, there = (ridge(basis__n_inducing=60, n_jobs=n).fit(described) for n in (1, 2))
    np.testing.assert_allclose(there.atomic_dipole_coef_, here.atomic_dipole_coef_, rtol=1e-6)
    np.testing.assert_allclose(there.dual_coef_, here.dual_coef_, rtol=1e-6)


def test_rows_in_a_file_give_the_same_model(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ridge(basis__n_inducing=60, solver__tol=1e-8)
    held = model.fit(described).predict_dipole(described)
    assert model.memory_plan_["rows_in"] == "memory"
    plan = plan_fit(described, 60, with_dipoles=True, precise=True, with_bonds=True)
    model.set_params(memory_budget=plan.peak - plan.rows // 2 + 2**20 // 4)
    monkeypatch.setattr(dipkit.estimator.memory_plan, "process_memory", lambda: plan.present)
    monkeypatch.setattr(
        dipkit.estimator.memory_forecast,
        "SLACK_BYTES",
        dipkit.estimator.memory_forecast.SLACK_BYTES + 2**20 // 4,
    )
    spilled = model.fit(described).predict_dipole(described)
    assert model.memory_plan_["rows_in"] == "file"
    np.testing.assert_allclose(spilled, held, atol=1e-6)


@pytest.mark.parametrize("n_inducing", [5, 60, 400])
def test_the_forecast_counts_all_columns(described: Molecules, n_inducing: int) -> None:
    labels = read_labels(described, None, None, None)
    basis = first_statistics(
        Settings.of(ridge(basis__n_inducing=n_inducing)), labels, 1.0, for_partial_fit=False
    ).basis
    bare, plan = (plan_fit(described, n_inducing, with_dipoles=on) for on in (False, True))
    row, n_elements = 24 * len(described), len(basis.elements)
    assert row * basis.n_columns <= plan.rows
    assert bare.rows < plan.rows
    e = n_elements
    assert plan.rows <= row * ((1 + SHARE * e) * n_inducing + 2 * e * e + 2 * e + 1)
    assert plan.matrices > bare.matrices


def test_fewer_environments_where_memory_is_short(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(4,) * 3000)
    plan = plan_fit(molecules, 2798)
    with pytest.warns(UserWarning, match="the memory budget allows"):
        few = default_n_inducing(molecules, budget=plan.peak, with_dipoles=True)
    assert few < 2798 == default_n_inducing(molecules)
    assert default_n_inducing(molecules, with_dipoles=True) == 2798


def test_folds_by_difference_equal_fits_in_the_same_basis(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    molecules = with_vectors(described)
    exclude_no_directions(monkeypatch)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    labels = read_labels(molecules, None, None, None)
    grid = FoldGrid(labels, ridge(basis__n_inducing=40), folds, [1e-3], [0.0, 0.1])
    problem = grid.problem
    assert problem.basis.n_columns == problem.rows.shape[1] > problem.basis.n_charge_columns
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


def test_the_grid_comes_near_separate_fits(described: Molecules) -> None:
    """Magnitudes alone. The grid has one basis for all folds, chosen among all molecules.

    Its leading directions, which atomic dipoles have, are not those of the basis of a fold, so that
    equality is not exact.
    """
    molecules = described.replace(dipole_vector=None)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    # Bond charges have leading directions too. With auxiliary dipoles a fold of so few molecules
    # may end in another minimum than its fit.
    model = DipoleKernelRidge(
        alpha=1e-3,
        basis=InducingBasis(atomic_dipoles=0.03, bond_charges=0.0),
        charge_weight=0.0,
        auxiliary=None,
    )
    grid = FoldGrid(read_labels(molecules, None, None, None), model, folds, [1e-3], [0.0])
    errors = grid.held_out_errors(tol=1e-8, max_iter=500)
    found = [np.abs(part).mean() for part in errors]
    separate = [-mae_scorer(model.fit(molecules[train]), molecules[test]) for train, test in folds]
    np.testing.assert_allclose(found, separate, rtol=0.01)


@pytest.mark.parametrize("scale", [-0.1, np.nan, np.inf, "none", None, True])
def test_scales_that_are_none(molecules: Molecules, scale: Any) -> None:
    with pytest.raises(InputError, match="atomic_dipoles: expected a number >= 0"):
        ridge(basis__atomic_dipoles=scale).fit(molecules)
