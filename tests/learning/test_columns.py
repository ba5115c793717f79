"""Rows of moments: the columns of charges, bond charges and atomic dipoles, and their arms."""

from collections.abc import Callable

import numpy as np
import pytest

from dipkit.data.molecules import Molecules
from dipkit.learning.atomic_dipoles import dipole_arms
from dipkit.learning.basis import Basis, build_basis
from dipkit.learning.columns import RowMaps, arms_of_dipoles, fill_columns
from dipkit.learning.compensation import ALONG_BONDS, EVEN, Compensation
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import PowerKernel
from dipkit.learning.segment_map import SegmentMap
from dipkit.support.backend import NUMPY
from dipkit.units import DEBYE_PER_E_ANGSTROM


def basis_of(molecules: Molecules, bond_scale: float, how: Compensation = EVEN) -> Basis:
    chosen = choose_environments(molecules, 40, PowerKernel(), np.random.default_rng(0))
    assert molecules.features is not None
    weights = molecules.features.weights
    options = {"dipole_scale": 0.3, "bond_scale": bond_scale}
    return build_basis(chosen, PowerKernel(), weights, 1e-6, compensation=how, **options)


@pytest.mark.parametrize("bond_scale", [0.0, 0.2])
def test_columns_equal_plain_products(toy: Callable[..., Molecules], bond_scale: float) -> None:
    molecules, rng = toy(), np.random.default_rng(0)
    basis = basis_of(molecules, bond_scale)
    number, element = 6, basis.elements[6]
    assert molecules.features is not None
    phi = basis.basis_functions(
        number, [scale[molecules.numbers == number] for scale in molecules.features.scales]
    )
    pointer = np.array([0, len(phi) // 2, len(phi) // 2, len(phi)], dtype=np.int32)
    arms = rng.standard_normal((2 + len(basis.elements), len(phi), 3))
    found = [SegmentMap(of_atoms, pointer) for of_atoms in arms]
    of_charges, of_bonds, *of_dipoles = (part.sparse(NUMPY).toarray() for part in found)
    maps = RowMaps(found[0], found[1] if bond_scale else None, tuple(found[2:]))
    rows = np.zeros((9, basis.n_columns))
    fill_columns(rows, maps, phi, element, NUMPY)
    expected = np.zeros_like(rows)
    expected[:, element.columns] = of_charges @ phi
    if bond_scale:
        n = element.n_bond
        assert 0 < n < phi.shape[1] - 1
        expected[:, element.bond_columns] = of_bonds @ phi[:, :n]
    chosen = np.concatenate([phi[:, : element.n_leading], phi[:, -1:]], axis=1)
    for run, moment in zip(element.dipole_columns, of_dipoles, strict=True):
        expected[:, run] = moment @ chosen
    np.testing.assert_allclose(rows, expected, atol=1e-12)
    with pytest.raises(ValueError, match="zip"):
        fill_columns(rows, maps._replace(dipoles=maps.dipoles[1:]), phi, element, NUMPY)


@pytest.mark.parametrize("how", [EVEN, ALONG_BONDS], ids=["even", "bonds"])
def test_maps_are_the_arms_of_the_atoms(toy: Callable[..., Molecules], how: Compensation) -> None:
    molecules = toy()
    basis = basis_of(molecules, 0.2, how)
    arms, n = arms_of_dipoles(molecules, basis), len(molecules)
    positions = DEBYE_PER_E_ANGSTROM * molecules.positions
    assert basis.bonds is not None
    expected = [
        how.matrix(molecules, NUMPY) @ positions,
        basis.bonds.matrix(molecules, NUMPY) @ positions,
        *np.moveaxis(dipole_arms(molecules, [1, 6, 8], 0.3), 1, 0),
    ]
    atoms = np.flatnonzero(molecules.numbers == 6)
    maps = arms.maps(atoms, molecules)
    for found, arm in zip([maps.charges, maps.bonds, *maps.dipoles], expected, strict=True):
        assert found is not None
        dense = np.zeros((n, 3, len(atoms)))
        dense[molecules.molecule_index[atoms], :, np.arange(len(atoms))] = arm[atoms]
        np.testing.assert_allclose(
            found.sparse(NUMPY).toarray().reshape(dense.shape), dense, atol=1e-12
        )


def test_no_bond_charges_no_arms(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    arms = arms_of_dipoles(molecules, basis_of(molecules, 0.0))
    assert arms.bonds is None
    assert arms.maps(np.arange(3), molecules[:1]).bonds is None
