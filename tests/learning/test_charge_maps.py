"""Linear maps from charges to dipoles: adjoints, plain loops, invariances."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from dipkit.data.molecules import Molecules
from dipkit.learning.charge_maps import (
    conserve_charge,
    molecule_sums,
    moment_map,
    project,
    sum_map,
)
from dipkit.learning.multipoles import constant_dipoles, dipoles
from dipkit.support.backend import NUMPY
from dipkit.units import DEBYE_PER_E_ANGSTROM


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    return toy(elements=(1, 6, 8, 9))


@pytest.fixture
def charges(molecules: Molecules) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(molecules.n_atoms)


class ElementBlock(NamedTuple):
    """Atoms of one element, and the maps from their raw charges to dipoles and sums."""

    number: int
    atoms: np.ndarray
    to_dipole: Any
    to_sum: Any


def element_blocks(molecules: Molecules) -> list[ElementBlock]:
    arms = DEBYE_PER_E_ANGSTROM * project(molecules.positions, molecules)
    found = []
    for number in molecules.elements.tolist():
        atoms = np.flatnonzero(molecules.numbers == number)
        owners, n = molecules.molecule_index[atoms], len(molecules)
        maps = (moment_map(arms[atoms], owners, n).sparse(NUMPY), sum_map(owners, n).sparse(NUMPY))
        found.append(ElementBlock(number, atoms, *maps))
    return found


def test_sums_of_molecules(molecules: Molecules, charges: np.ndarray) -> None:
    both = np.stack([charges, 2 * charges], axis=1)
    expected = [both[a:b].sum(axis=0) for a, b in pairwise(molecules.offsets)]
    np.testing.assert_allclose(molecule_sums(both, molecules.offsets), expected, rtol=1e-12)
    assert molecule_sums(np.zeros((0, 3)), np.array([0])).shape == (0, 3)


def test_conserved_charges_sum_to_the_total(molecules: Molecules, charges: np.ndarray) -> None:
    conserved = conserve_charge(charges, molecules)
    sums = molecule_sums(conserved, molecules.offsets)
    np.testing.assert_allclose(sums, molecules.total_charge, atol=1e-14)
    np.testing.assert_allclose(conserve_charge(conserved, molecules), conserved, atol=1e-14)
    # Each atom of a molecule moves by the same amount.
    shift = conserved - charges
    first = shift[molecules.offsets[:-1]][molecules.molecule_index]
    np.testing.assert_allclose(shift, first, atol=1e-14)


def test_the_projector_removes_means(molecules: Molecules, charges: np.ndarray) -> None:
    found = project(charges, molecules)
    neutral = molecules.replace(total_charge=None)
    np.testing.assert_allclose(found, conserve_charge(charges, neutral), atol=1e-14)
    both = np.stack([charges, 3 * charges], axis=1)
    np.testing.assert_allclose(project(both, molecules), np.stack([found, 3 * found], axis=1))


def test_moment_maps_and_the_constant_make_the_dipoles(
    molecules: Molecules, charges: np.ndarray
) -> None:
    # D q + mu_Q of raw charges is the dipole of the conserved charges, ions included.
    total = sum(block.to_dipole @ charges[block.atoms] for block in element_blocks(molecules))
    np.testing.assert_allclose(
        np.reshape(total, (-1, 3)) + constant_dipoles(molecules),
        dipoles(conserve_charge(charges, molecules), molecules),
        atol=1e-12,
    )


def test_maps_equal_plain_loops(molecules: Molecules) -> None:
    seen = []
    for block in element_blocks(molecules):
        seen += block.atoms.tolist()
        moment = np.zeros((3 * len(molecules), len(block.atoms)))
        member = np.zeros((len(molecules), len(block.atoms)))
        for column, atom in enumerate(block.atoms):
            assert molecules.numbers[atom] == block.number
            A = molecules.molecule_index[atom]
            own = molecules.positions[molecules.offsets[A] : molecules.offsets[A + 1]]
            arm = molecules.positions[atom] - own.mean(axis=0)
            moment[3 * A : 3 * A + 3, column] = DEBYE_PER_E_ANGSTROM * arm
            member[A, column] = 1.0
        np.testing.assert_allclose(block.to_dipole.toarray(), moment, atol=1e-12)
        np.testing.assert_array_equal(block.to_sum.toarray(), member)
    assert sorted(seen) == list(range(molecules.n_atoms))


@pytest.mark.parametrize("name", ["to_dipole", "to_sum"])
def test_maps_and_their_adjoints(molecules: Molecules, name: str) -> None:
    rng = np.random.default_rng(2)
    for block in element_blocks(molecules):
        matrix = getattr(block, name)
        x, y = rng.standard_normal(matrix.shape[1]), rng.standard_normal(matrix.shape[0])
        assert y @ (matrix @ x) == pytest.approx((matrix.T @ y) @ x, rel=1e-12)


def test_single_atoms_have_no_arm(molecules: Molecules) -> None:
    single = np.flatnonzero(molecules.natoms == 1)
    assert len(single)
    for block in element_blocks(molecules):
        assert abs(block.to_dipole.toarray().reshape(len(molecules), 3, -1)[single]).max() < 1e-14


def test_order_of_molecules_does_not_matter(molecules: Molecules, charges: np.ndarray) -> None:
    order = np.random.default_rng(3).permutation(len(molecules))
    shuffled, q = molecules[order], charges[molecules.atom_index(order)]
    np.testing.assert_allclose(dipoles(q, shuffled), dipoles(charges, molecules)[order], atol=1e-12)
    np.testing.assert_allclose(
        conserve_charge(q, shuffled),
        conserve_charge(charges, molecules)[molecules.atom_index(order)],
        atol=1e-14,
    )
