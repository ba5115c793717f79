"""Starts: charges guessed from electronegativities, the fit to charges, the scale of weights."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from ase.build import molecule
from helpers.objectives import value
from scipy.optimize import minimize_scalar

from dipkit import as_molecules
from dipkit.data.molecules import Molecules
from dipkit.learning.charge_maps import even_charges, molecule_sums, project
from dipkit.learning.initial_charges import (
    ELECTRONEGATIVITY,
    START_ALPHA,
    charge_start,
    electronegativity_charges,
    magnitude_scale,
    random_start,
    start_charges,
)
from dipkit.learning.losses import SquaredLoss
from dipkit.learning.normal_matrices import FactorizationError
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.support.backend import NUMPY


@pytest.fixture
def molecules() -> Molecules:
    names = ("H2O", "CH3OH", "HCN", "C2H4", "NH3", "CH3NO2", "LiF", "NaCl", "SiH4")
    molecules = as_molecules([molecule(name) for name in names])
    return molecules.replace(total_charge=[0, 1, 0, 0, -1, 0, 0, 0, 0])


def test_guessed_charges_sum_to_the_total(molecules: Molecules) -> None:
    sums = molecule_sums(electronegativity_charges(molecules), molecules.offsets)
    np.testing.assert_allclose(sums, molecules.total_charge, atol=1e-13)


def test_guessed_charges_have_the_signs_of_chemistry() -> None:
    (oxygen, *hydrogen) = electronegativity_charges(as_molecules(molecule("H2O")))
    assert oxygen < -0.2
    np.testing.assert_allclose(hydrogen, -oxygen / 2)
    lithium, fluorine = electronegativity_charges(as_molecules(molecule("LiF")))
    assert lithium == -fluorine > 0.3
    assert electronegativity_charges(as_molecules(molecule("N2"))) == pytest.approx([0, 0])


def test_electronegativities_rise_along_each_period_and_fall_down_each_group() -> None:
    """Pauling's scale of main-group elements, from potassium to fluorine."""
    periods = [(3, 9), (11, 17), (19, 35), (49, 53)]
    for first, last in periods:
        row = [chi for z, chi in sorted(ELECTRONEGATIVITY.items()) if first <= z <= last]
        assert row == sorted(row)
    for group in [(9, 17, 35, 53), (8, 16, 34, 52), (7, 15, 33, 51), (3, 11, 19), (4, 12, 20)]:
        column = [ELECTRONEGATIVITY[z] for z in group]
        assert column == sorted(column, reverse=True)
    by_value = sorted(ELECTRONEGATIVITY, key=ELECTRONEGATIVITY.__getitem__)
    assert (by_value[0], by_value[-1]) == (19, 9)


def test_guess_moves_charge_over_bonds_only() -> None:
    water = as_molecules(molecule("H2O"))
    far = water.replace(positions=10 * water.positions)
    np.testing.assert_array_equal(electronegativity_charges(far), 0.0)


def test_guess_follows_the_order_of_atoms_and_molecules(molecules: Molecules) -> None:
    charges = electronegativity_charges(molecules)
    order = np.random.default_rng(0).permutation(len(molecules))
    np.testing.assert_allclose(
        electronegativity_charges(molecules[order]), charges[molecules.atom_index(order)]
    )
    inside = np.concatenate(
        [a + np.random.default_rng(a).permutation(b - a) for a, b in pairwise(molecules.offsets)]
    )
    shuffled = molecules.replace(
        numbers=molecules.numbers[inside], positions=molecules.positions[inside]
    )
    np.testing.assert_allclose(electronegativity_charges(shuffled), charges[inside], atol=1e-14)


def test_an_element_without_entry_counts_as_carbon() -> None:
    methane = as_molecules(molecule("CH4"))
    xenon = methane.replace(numbers=[54, 1, 1, 1, 1])
    np.testing.assert_allclose(electronegativity_charges(xenon), electronegativity_charges(methane))


N, R = 20, 8


def objective(kind: str = "magnitudes") -> JointObjective:
    rng = np.random.default_rng(0)
    vectors = np.full((N, 3), np.nan) if kind == "magnitudes" else rng.standard_normal((N, 3))
    target = DipoleTarget(rng.random(N) * 3, vectors, rng.random(N))
    rows = rng.standard_normal((3 * N, R))
    return JointObjective(rows, np.zeros((N, 3)), target, [], 1e-9, SquaredLoss())


def statistics() -> tuple[QuadraticTerm, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    c, p = rng.standard_normal((30, R)), rng.standard_normal(30)
    return QuadraticTerm(c.T @ c, c.T @ p, float(p @ p), 30.0), c, p


def test_charge_start_is_a_ridge_fit() -> None:
    part, c, p = statistics()
    w = np.linalg.solve(c.T @ c + 30 * START_ALPHA * np.eye(R), c.T @ p)
    np.testing.assert_allclose(charge_start(part, NUMPY), w, rtol=1e-9)


def test_charge_start_leaves_the_statistics_alone() -> None:
    part, c, _ = statistics()
    charge_start(part, NUMPY)
    np.testing.assert_array_equal(part.gram, c.T @ c)


def test_charge_start_that_cannot_be_had() -> None:
    part, _, _ = statistics()
    with pytest.raises(FactorizationError, match=r"eigenvalue_cut: .*Raise the cut"):
        charge_start(QuadraticTerm(-part.gram, part.rhs, 0.0, 30.0), NUMPY)


@pytest.mark.parametrize("kind", ["magnitudes", "vectors"])
def test_the_scale_fits_best(kind: str) -> None:
    J = objective(kind)
    part, _, _ = statistics()
    w = charge_start(part, J.backend)
    best = minimize_scalar(lambda t: value(J, t * w), bounds=(0, 10), method="bounded")
    assert magnitude_scale(J, w) == pytest.approx(best.x, abs=1e-4)


def test_no_scale_for_weights_without_dipoles() -> None:
    assert magnitude_scale(objective(), np.zeros(R)) == 1.0


def test_random_starts_follow_the_generator() -> None:
    J = objective()
    first = random_start(J, np.random.default_rng(3))
    np.testing.assert_array_equal(first, random_start(J, np.random.default_rng(3)))
    assert np.abs(first - random_start(J, np.random.default_rng(4))).max() > 1e-3
    assert magnitude_scale(J, first) == pytest.approx(1.0)


def test_toy_molecules_get_charges_of_their_ions(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    sums = molecule_sums(electronegativity_charges(molecules), molecules.offsets)
    np.testing.assert_allclose(sums, molecules.total_charge, atol=1e-13)


def test_charges_that_a_start_is_fitted_to(toy: Callable[..., Molecules]) -> None:
    molecules, rng = toy(), np.random.default_rng(0)
    labels = rng.standard_normal(molecules.n_atoms)
    guess = electronegativity_charges(molecules)
    np.testing.assert_array_equal(start_charges(molecules, labels, "charges"), labels)
    np.testing.assert_array_equal(start_charges(molecules, labels, "electronegativity"), guess)
    np.testing.assert_array_equal(start_charges(molecules, labels, "zero"), 0.0)
    assert start_charges(molecules, labels, "random") is None


def test_the_guess_is_corrected_for_baseline_charges(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    noise = project(np.random.default_rng(0).standard_normal(molecules.n_atoms), molecules)
    baseline = even_charges(molecules) + noise
    found = start_charges(
        molecules.replace(baseline_charges=baseline, baseline_dipole=np.zeros((len(molecules), 3))),
        noise,
        "electronegativity",
    )
    np.testing.assert_allclose(found + baseline, electronegativity_charges(molecules), atol=1e-13)


@pytest.mark.parametrize(("stretch", "bonded"), [(1.2, True), (1.3, False)])
def test_bonds_are_up_to_a_quarter_longer_than_the_radii(stretch: float, bonded: bool) -> None:
    from ase.data import covalent_radii

    apart = stretch * (covalent_radii[1] + covalent_radii[9])
    hydrogen, fluorine = electronegativity_charges(
        Molecules([1, 9], [[0, 0, 0], [0, 0, apart]], [0, 2])
    )
    # 0.15 e per unit of electronegativity, and 3.98 - 2.20 units.
    assert hydrogen == -fluorine == pytest.approx(0.15 * 1.78 * bonded)


def test_many_molecules_of_one_size_are_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    water = as_molecules(molecule("H2O"))
    many = Molecules.concatenate([water] * 7)
    expected = np.tile(electronegativity_charges(water), 7)
    monkeypatch.setattr("dipkit.learning.initial_charges.PAIRS_AT_ONCE", 20)
    np.testing.assert_array_equal(electronegativity_charges(many), expected)


def test_a_scale_is_not_negative() -> None:
    """Vectors opposite to the dipoles of the weights: no positive factor is better than 0."""
    J = objective("vectors")
    w = np.random.default_rng(0).standard_normal(R)
    J.vectors = -J.at(w).dipole_change[0]
    assert magnitude_scale(J, w) == 0.0
    assert magnitude_scale(J, -w) == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("size", [np.nan, 1e200])
def test_weights_that_are_not_finite_are_not_scaled(size: float) -> None:
    assert magnitude_scale(objective(), np.full(R, size)) == 1.0


def test_the_scale_is_that_of_molecules_of_positive_weight() -> None:
    J = objective()
    w = np.random.default_rng(0).standard_normal(R)
    size = np.linalg.norm(J.at(w).dipole_change[0], axis=1)
    J.magnitudes = np.where(np.arange(N) < 5, 2 * size, 9 * size)
    J.weights = np.where(np.arange(N) < 5, 0.2, 0.0)[None]
    assert magnitude_scale(J, w) == pytest.approx(2.0)
