"""Dipoles and quadrupoles of charges and of atomic dipoles: plain loops, invariances."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dipkit.data.molecules import Molecules
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import (
    conserve_charge,
    constant_charges,
    even_charges,
    molecule_sums,
    project,
)
from dipkit.learning.multipoles import (
    atomic_quadrupoles,
    constant_dipoles,
    dipoles,
    even_dipoles,
    quadrupoles,
    quadrupoles_of_atoms,
    require_made_of_charges,
)
from dipkit.units import DEBYE_PER_E_ANGSTROM


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    return toy(elements=(1, 6, 8, 9))


@pytest.fixture
def charges(molecules: Molecules) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(molecules.n_atoms)


def test_dipoles_equal_a_plain_loop(molecules: Molecules, charges: np.ndarray) -> None:
    from ase.data import atomic_masses

    for A, mu in enumerate(dipoles(charges, molecules)):
        atoms = range(molecules.offsets[A], molecules.offsets[A + 1])
        mass = sum(atomic_masses[molecules.numbers[i]] for i in atoms)
        centre = (
            sum(atomic_masses[molecules.numbers[i]] * molecules.positions[i] for i in atoms) / mass
        )
        expected = sum(charges[i] * (molecules.positions[i] - centre) for i in atoms)
        np.testing.assert_allclose(mu, DEBYE_PER_E_ANGSTROM * expected, rtol=1e-10, atol=1e-12)


def test_translation_changes_nothing(molecules: Molecules, charges: np.ndarray) -> None:
    q = conserve_charge(charges, molecules)
    shifts = np.random.default_rng(0).uniform(-5, 5, (len(molecules), 3))
    moved = molecules.replace(positions=molecules.positions + shifts[molecules.molecule_index])
    np.testing.assert_allclose(dipoles(q, moved), dipoles(q, molecules), atol=1e-11)
    np.testing.assert_allclose(constant_dipoles(moved), constant_dipoles(molecules), atol=1e-11)


def test_dipoles_rotate_with_the_molecules(molecules: Molecules, charges: np.ndarray) -> None:
    rotation = Rotation.random(random_state=0).as_matrix()
    turned = molecules.replace(positions=molecules.positions @ rotation.T)
    np.testing.assert_allclose(
        dipoles(charges, turned), dipoles(charges, molecules) @ rotation.T, atol=1e-11
    )
    np.testing.assert_allclose(
        constant_dipoles(turned), constant_dipoles(molecules) @ rotation.T, atol=1e-11
    )


def test_constant_dipoles_belong_to_ions(molecules: Molecules) -> None:
    ions = molecules.total_charge != 0
    constant = np.linalg.norm(constant_dipoles(molecules), axis=1)
    assert (constant[~ions] == 0).all()
    assert (constant[ions & (molecules.natoms > 1)] > 0.01).all()


# Quadrupoles


def of_points(charges: list[float], positions: list[list[float]], number: int = 6) -> Molecules:
    return Molecules(
        [number] * len(charges), positions, [0, len(charges)], total_charge=[sum(charges)]
    )


@pytest.mark.parametrize(
    ("charges", "positions", "diagonal"),
    [
        # Linear: 2 q a^2 along the axis, with q = 0.5 and a = 1.2.
        ([0.5, -1.0, 0.5], [[0, 0, -1.2], [0, 0, 0], [0, 0, 1.2]], [-0.72, -0.72, 1.44]),
        # Four in a square: 3 q a^2 along either axis, and the opposite of both.
        (
            [1.0, -1.0, 1.0, -1.0],
            [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]],
            [3.0, -3.0, 0.0],
        ),
        # Tetrahedral: none.
        ([0.3] * 4, [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], [0, 0, 0]),
    ],
)
def test_quadrupoles_of_point_charges(
    charges: list[float], positions: list[list[float]], diagonal: list[float]
) -> None:
    found = quadrupoles(np.array(charges), of_points(charges, positions))[0]
    np.testing.assert_allclose(found, DEBYE_PER_E_ANGSTROM * np.diag(diagonal), atol=1e-12)


def test_quadrupoles_equal_a_plain_loop(molecules: Molecules, charges: np.ndarray) -> None:
    centers = molecules.centers_of_mass()
    for A, found in enumerate(quadrupoles(charges, molecules)):
        expected = np.zeros((3, 3))
        for i in range(molecules.offsets[A], molecules.offsets[A + 1]):
            r = molecules.positions[i] - centers[A]
            expected += 0.5 * charges[i] * (3 * np.outer(r, r) - r @ r * np.eye(3))
        np.testing.assert_allclose(found, DEBYE_PER_E_ANGSTROM * expected, atol=1e-10)


def test_quadrupoles_are_symmetric_and_traceless(molecules: Molecules, charges: np.ndarray) -> None:
    found = quadrupoles(charges, molecules)
    np.testing.assert_allclose(np.trace(found, axis1=1, axis2=2), 0, atol=1e-11)
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))


def test_quadrupoles_move_with_the_molecules(molecules: Molecules, charges: np.ndarray) -> None:
    rotation = Rotation.random(random_state=0).as_matrix()
    turned = molecules.replace(positions=molecules.positions @ rotation.T + [2.0, -7.0, 1.0])
    np.testing.assert_allclose(
        quadrupoles(charges, turned),
        rotation @ quadrupoles(charges, molecules) @ rotation.T,
        atol=1e-10,
    )


def test_quadrupoles_without_charge_and_dipole_have_no_origin() -> None:
    """Heavier atoms move the centre of mass, and nothing else."""
    charges, positions = [0.5, -1.0, 0.5], [[0, 0, -1.2], [0, 0, 0], [0, 0, 1.2]]
    lighter = of_points(charges, positions)
    heavier = lighter.replace(numbers=[6, 6, 53])
    assert np.abs(heavier.centers_of_mass() - lighter.centers_of_mass()).max() > 0.5
    np.testing.assert_allclose(
        quadrupoles(np.array(charges), heavier), quadrupoles(np.array(charges), lighter), atol=1e-11
    )


# Atomic dipoles


def test_quadrupoles_are_those_of_pairs_of_charges(molecules: Molecules) -> None:
    one, gap = molecules[4], 1e-4
    dipole = np.random.default_rng(0).standard_normal((6, 3))
    center = one.centers_of_mass()[0]
    expected = np.zeros((3, 3))
    for place, moment in zip(one.positions, dipole, strict=True):
        size = np.linalg.norm(moment)
        for sign in (1, -1):
            d = place + sign * gap / 2 * moment / size - center
            expected += sign * size / gap * (3 * np.outer(d, d) - d @ d * np.eye(3)) / 2
    np.testing.assert_allclose(atomic_quadrupoles(dipole, one)[0], expected, atol=1e-6)


@pytest.fixture
def atomic(molecules: Molecules) -> np.ndarray:
    return np.random.default_rng(6).standard_normal((molecules.n_atoms, 3))


def test_each_molecule_has_the_quadrupole_of_its_own_atoms(
    molecules: Molecules, atomic: np.ndarray
) -> None:
    found = atomic_quadrupoles(atomic, molecules)
    centers = molecules.centers_of_mass()
    for A in range(len(molecules)):
        expected = np.zeros((3, 3))
        for i in range(molecules.offsets[A], molecules.offsets[A + 1]):
            r, p = molecules.positions[i] - centers[A], atomic[i]
            expected += 1.5 * (np.outer(p, r) + np.outer(r, p)) - p @ r * np.eye(3)
        np.testing.assert_allclose(found[A], expected, atol=1e-10)


def test_quadrupoles_of_atomic_dipoles_rotate(molecules: Molecules, atomic: np.ndarray) -> None:
    rotation = Rotation.random(random_state=0).as_matrix()
    turned = molecules.replace(positions=molecules.positions @ rotation.T + [2.0, -7.0, 1.0])
    found = atomic_quadrupoles(atomic @ rotation.T, turned)
    expected = rotation @ atomic_quadrupoles(atomic, molecules) @ rotation.T
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(np.trace(found, axis1=1, axis2=2), 0, atol=1e-11)


def test_charges_and_dipoles_of_atoms_add(
    molecules: Molecules, charges: np.ndarray, atomic: np.ndarray
) -> None:
    dipole = dipoles(charges, molecules) + molecule_sums(atomic, molecules.offsets)
    found = quadrupoles_of_atoms(charges, atomic, dipole, molecules)
    expected = quadrupoles(charges, molecules) + atomic_quadrupoles(atomic, molecules)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(InputError, match="expected dipoles that the predicted charges make"):
        quadrupoles_of_atoms(charges, atomic, dipoles(charges, molecules), molecules)


@pytest.mark.parametrize("off", [2e-6, -2e-6, 0.1])
def test_dipoles_of_more_than_charges_are_refused(
    molecules: Molecules, charges: np.ndarray, off: float
) -> None:
    dipole = dipoles(charges, molecules)
    require_made_of_charges(dipole, charges, molecules)
    dipole[3, 1] += 5e-7  # rounding
    require_made_of_charges(dipole, charges, molecules)
    dipole[3, 1] += off
    with pytest.raises(InputError, match="expected dipoles that the predicted charges make"):
        require_made_of_charges(dipole, charges, molecules)


def test_molecules_without_a_dipole_are_left_out(molecules: Molecules, charges: np.ndarray) -> None:
    dipole = dipoles(charges, molecules)
    dipole[3] = np.nan
    require_made_of_charges(dipole, charges, molecules)
    charges = charges.copy()
    charges[0] = np.nan
    with pytest.raises(InputError, match="expected dipoles that the predicted charges make"):
        require_made_of_charges(dipole, charges, molecules)


# The part without weights


def test_even_dipoles_are_those_of_evenly_divided_charges(molecules: Molecules) -> None:
    neutral = conserve_charge(np.zeros(molecules.n_atoms), molecules)
    expected = dipoles(neutral, molecules)
    np.testing.assert_array_equal(even_dipoles(molecules), expected)
    np.testing.assert_array_equal(constant_dipoles(molecules), expected)


def test_a_baseline_takes_the_place_of_the_constant(molecules: Molecules) -> None:
    rng = np.random.default_rng(0)
    dipole, charges = rng.standard_normal((len(molecules), 3)), even_charges(molecules) + 0.0
    bare = molecules.replace(baseline_dipole=dipole)
    np.testing.assert_array_equal(constant_dipoles(bare), dipole)
    np.testing.assert_array_equal(constant_charges(bare), even_charges(molecules))
    charges += project(rng.standard_normal(molecules.n_atoms), molecules)
    both = bare.replace(baseline_charges=charges)
    np.testing.assert_array_equal(constant_charges(both), charges)
