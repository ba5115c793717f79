"""Compensation of charges: the map against dense matrices, its limits, its derivatives."""

from collections.abc import Callable

import numpy as np
import pytest
from ase.data import covalent_radii
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import dipkit.learning.compensation
from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules
from dipkit.learning.charge_maps import molecule_sums, project
from dipkit.learning.compensation import (
    ALONG_BONDS,
    BOND_STIFFNESS,
    EVEN,
    Compensation,
    count_bond_directions,
)
from dipkit.support.backend import NUMPY

ALL = {"even": EVEN, "bonds": ALONG_BONDS, "bond charges": Compensation(BOND_STIFFNESS, 0.2)}


@pytest.fixture(params=list(ALL))
def how(request: pytest.FixtureRequest) -> Compensation:
    return ALL[request.param]


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    """Molecules of mixed sizes, single atoms and ions among them; several have one size."""
    return toy()


@pytest.fixture
def raw(molecules: Molecules) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(molecules.n_atoms)


def bond_order(one: Molecules, i: int, j: int) -> float:
    reach = covalent_radii[one.numbers[i]] + covalent_radii[one.numbers[j]]
    r = np.linalg.norm(one.positions[i] - one.positions[j])
    return float(1 / (1 + np.exp(40 * (r / reach - 1.25))))


def dense(how: Compensation, one: Molecules) -> np.ndarray:
    """s (1 - M) of one molecule, from the definition (24)."""
    n = one.n_atoms
    if how is EVEN:
        return np.eye(n) - 1 / n
    laplacian = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                g = bond_order(one, i, j)
                laplacian[i, j] -= g
                laplacian[i, i] += g
    return how.scale * (np.eye(n) - np.linalg.inv(np.eye(n) + how.stiffness * laplacian))


def test_it_is_the_dense_inverse(how: Compensation, molecules: Molecules, raw: np.ndarray) -> None:
    columns = np.stack([raw, raw**2, np.ones_like(raw)], axis=1)
    found, one_column = how.apply(columns, molecules), how.apply(raw, molecules)
    matrix = how.matrix(molecules, NUMPY).toarray()
    expected = np.zeros_like(matrix)
    for index, one in enumerate(molecules):
        atoms = slice(*molecules.offsets[[index, index + 1]].tolist())
        expected[atoms, atoms] = dense(how, one)
    assert sorted(set(molecules.natoms.tolist())) == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(matrix, expected, atol=1e-12)
    np.testing.assert_allclose(found, expected @ columns, atol=1e-12)
    np.testing.assert_allclose(one_column, found[:, 0], atol=1e-14)


def test_the_constants_are_those_of_models_in_files() -> None:
    """The map is computed again for each prediction: other constants would change old models."""
    assert (ALONG_BONDS.stiffness, ALONG_BONDS.scale, BOND_STIFFNESS) == (4.0, 2.1, 4.0)
    # Radii 0.76 and 0.31 angstrom: half a bond at 1.3375. A pair of atoms: q = t g / (1 + 2 t g).
    for r, g in ((1.09, 0.9999), (1.3, 0.8025), (1.3375, 0.5), (1.4, 0.0882), (2.0, 0.0)):
        pair = Molecules([6, 1], [[0, 0, 0], [0, 0, r]], [0, 2])
        charge = 3 * g / (1 + 6 * g)
        found = Compensation(3.0).apply(np.array([1.0, 0.0]), pair)
        np.testing.assert_allclose(found, [charge, -charge], atol=2e-4)


def test_no_stiffness_is_no_charge(molecules: Molecules, raw: np.ndarray) -> None:
    np.testing.assert_allclose(Compensation(0.0).apply(raw, molecules), 0.0, atol=1e-15)


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_the_limit_of_high_stiffness_is_the_projector(scale: float) -> None:
    molecules = load_organics()[:12]
    raw = np.random.default_rng(0).standard_normal((molecules.n_atoms, 2))
    expected = scale * project(raw, molecules)
    np.testing.assert_allclose(Compensation(np.inf, scale).apply(raw, molecules), expected)
    stiff = Compensation(1e10, scale).apply(raw, molecules)
    np.testing.assert_allclose(stiff, expected, atol=1e-4)
    assert np.abs(Compensation(8.0, scale).apply(raw, molecules) - expected).max() > 0.1 * scale


def fragments(charge: float = 0.0) -> Molecules:
    """Water and hydrogen fluoride as one molecule, 20 angstrom apart."""
    water = [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]
    return Molecules(
        [8, 1, 1, 9, 1], [*water, [20, 0, 0], [20, 0.92, 0]], [0, 5], total_charge=[charge]
    )


@pytest.mark.parametrize("stiffness", [4.0, 8.0, 1e8])
def test_each_fragment_is_neutral(stiffness: float) -> None:
    raw, both = np.random.default_rng(0).standard_normal(5), fragments()
    found = Compensation(stiffness, 1.6).apply(raw, both)
    np.testing.assert_allclose([found[:3].sum(), found[3:].sum()], 0.0, atol=1e-7)
    assert np.abs(found).min() > 1e-3
    # The other fragment plays no part.
    alone = Molecules(both.numbers[:3], both.positions[:3], [0, 3])
    np.testing.assert_allclose(
        Compensation(stiffness, 1.6).apply(raw[:3], alone), found[:3], atol=1e-12
    )
    # Even compensation moves charge from one to the other.
    assert abs(EVEN.apply(raw, both)[:3].sum()) > 0.1


def test_charges_sum_to_zero(how: Compensation, molecules: Molecules, raw: np.ndarray) -> None:
    sums = molecule_sums(how.apply(raw, molecules), molecules.offsets)
    np.testing.assert_allclose(sums, 0.0, atol=1e-14)
    single = molecules.natoms[molecules.molecule_index] == 1
    assert single.any()
    np.testing.assert_array_equal(how.apply(raw, molecules)[single], 0.0)


def test_the_map_is_symmetric(how: Compensation, molecules: Molecules, raw: np.ndarray) -> None:
    """The dipole of the charges is that of the raw charges with the arms."""
    other = np.random.default_rng(2).standard_normal(molecules.n_atoms)
    left, right = raw @ how.apply(other, molecules), how.apply(raw, molecules) @ other
    assert left == pytest.approx(right, rel=1e-12)
    matrix = how.matrix(molecules, NUMPY).toarray()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-13)
    values = np.linalg.eigvalsh(matrix)
    assert values[0] > -1e-12
    assert values[-1] <= how.scale + 1e-12


def test_what_an_atom_takes_comes_from_near(how: Compensation) -> None:
    """A chain: along bonds, the opposite charge falls off with the distance."""
    positions = 1.5 * np.arange(9)[:, None] * [1.0, 0.0, 0.0]
    chain = Molecules([6] * 9, positions, [0, 9])
    charges = how.apply(np.eye(9)[0], chain)
    assert charges[0] > 0
    assert (charges[1:] < 0).all()
    if how is EVEN:
        np.testing.assert_allclose(charges[1:], charges[1])
    else:
        assert (np.diff(charges[1:]) > 0).all()


def test_turning_and_moving_changes_nothing(
    how: Compensation, molecules: Molecules, raw: np.ndarray
) -> None:
    turn = Rotation.random(random_state=0).as_matrix()
    moved = molecules.replace(positions=molecules.positions @ turn.T + [5.0, -2.0, 3.0])
    np.testing.assert_allclose(how.apply(raw, moved), how.apply(raw, molecules), atol=1e-12)
    arms, turned = (how.apply(each.positions, each) for each in (molecules, moved))
    np.testing.assert_allclose(turned, arms @ turn.T, atol=1e-11)


def test_order_of_atoms_and_molecules(
    how: Compensation, molecules: Molecules, raw: np.ndarray
) -> None:
    order = np.random.default_rng(3).permutation(len(molecules))
    found = how.apply(raw[molecules.atom_index(order)], molecules[order])
    expected = how.apply(raw, molecules)
    np.testing.assert_allclose(found, expected[molecules.atom_index(order)], atol=1e-13)
    one = molecules[4]
    places = np.random.default_rng(4).permutation(one.n_atoms)
    other = Molecules(one.numbers[places], one.positions[places], [0, one.n_atoms])
    mine = raw[molecules.atom_index(4)]
    np.testing.assert_allclose(how.apply(mine[places], other), how.apply(mine, one)[places])


@pytest.mark.parametrize("n_pairs", [1, 20, 40])
def test_few_pairs_at_once_give_the_same(
    how: Compensation,
    molecules: Molecules,
    raw: np.ndarray,
    n_pairs: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, matrix = how.apply(raw, molecules), how.matrix(molecules, NUMPY).toarray()
    monkeypatch.setattr(dipkit.learning.compensation, "PAIRS_AT_ONCE", n_pairs)
    np.testing.assert_allclose(how.apply(raw, molecules), expected, atol=1e-14)
    np.testing.assert_allclose(how.matrix(molecules, NUMPY).toarray(), matrix, atol=1e-14)


def test_no_molecules(how: Compensation, molecules: Molecules) -> None:
    none = molecules[:0]
    assert how.apply(np.zeros((0, 3)), none).shape == (0, 3)
    assert how.matrix(none, NUMPY).shape == (0, 0)


def test_derivatives(how: Compensation, molecules: Molecules, raw: np.ndarray) -> None:
    """Also where bonds are half formed: the atoms of the toy are 1.2 angstrom apart."""
    step, largest = 1e-5, 0.0
    for index in np.flatnonzero(molecules.natoms > 1).tolist():
        one, mine = molecules[index], raw[molecules.atom_index(index)]
        found = how.derivatives(one, mine)
        assert found.shape == (one.n_atoms, one.n_atoms, 3)
        for j in range(one.n_atoms):
            for b in range(3):
                ends = []
                for h in (step, -step):
                    positions = one.positions.copy()
                    positions[j, b] += h
                    ends.append(how.apply(mine, one.replace(positions=positions)))
                expected = (ends[0] - ends[1]) / (2 * step)
                np.testing.assert_allclose(found[:, j, b], expected, atol=1e-7)
        # The charges sum to zero, and a translation changes none.
        np.testing.assert_allclose(found.sum(axis=0), 0.0, atol=1e-12)
        np.testing.assert_allclose(found.sum(axis=1), 0.0, atol=1e-12)
        largest = max(largest, np.abs(found).max())
    assert largest > 0.01 if how is not EVEN else largest == 0.0


def test_a_single_atom_has_no_derivative(how: Compensation) -> None:
    single = Molecules([8], [[0, 0, 1]], [0, 1])
    np.testing.assert_array_equal(how.derivatives(single, np.ones(1)), 0.0)


@given(st.integers(1, 100_000))
def test_bond_charges_have_a_tenth_of_the_directions(n: int) -> None:
    found = count_bond_directions(n)
    assert 1 <= found <= n
    assert (found - 1) < 0.1 * n <= found + 1e-9
