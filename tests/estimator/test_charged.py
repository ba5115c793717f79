"""Charged molecules: charges sum exactly, and the origin is the centre of mass."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, InducingBasis, predict_all, read, to_atoms, write
from dipkit.data.molecules import Molecules
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.learning.charge_maps import molecule_sums
from dipkit.learning.multipoles import dipoles
from dipkit.units import DEBYE_PER_E_ANGSTROM

CHARGES = (-2.0, -1.0, 0.0, 1.0, 2.0)
NAMES = ("CH3OH", "CH3CN", "HCOOH", "CH3NO2", "H2O", "C2H6")


@pytest.fixture(scope="module")
def model(coarse_soap: SOAPTransformer, described: Molecules) -> Pipeline:
    return make_pipeline(
        coarse_soap, DipoleKernelRidge(basis=InducingBasis(n_inducing=150)).fit(described)
    )


def ions(charge: float, shift: float = 0.0) -> list[Atoms]:
    frames = []
    for name in NAMES:
        atoms = molecule(name)
        atoms.info["charge"] = charge
        atoms.translate([shift, -2 * shift, 0.3 * shift])
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("charge", CHARGES)
def test_charges_sum_to_the_total_charge(model: Pipeline, charge: float) -> None:
    found = predict_all(model, ions(charge))
    sums = molecule_sums(found.charges, found.molecules.offsets)
    np.testing.assert_allclose(sums, charge, rtol=0, atol=1e-12)


@pytest.mark.parametrize("charge", CHARGES)
def test_moving_a_molecule_moves_nothing(model: Pipeline, charge: float) -> None:
    here, there = (predict_all(model, ions(charge, s), return_std=True) for s in (0.0, 50.0))
    np.testing.assert_allclose(there.charges, here.charges, atol=1e-6)
    np.testing.assert_allclose(there.dipole, here.dipole, atol=1e-5)
    np.testing.assert_allclose(there.quadrupole, here.quadrupole, atol=1e-4)
    np.testing.assert_allclose(there.std, here.std, atol=1e-5)


@pytest.mark.parametrize("charge", CHARGES)
def test_the_origin_is_the_centre_of_mass(model: Pipeline, charge: float) -> None:
    frames = ions(charge, shift=3.0)
    found = predict_all(model, frames)
    for index, atoms in enumerate(frames):
        arms = atoms.positions - atoms.get_center_of_mass()
        expected = DEBYE_PER_E_ANGSTROM * found.charges_of(index) @ arms
        np.testing.assert_allclose(found.dipole[index], expected, atol=1e-10)
        # About the origin of the coordinates it differs by the total charge times the shift.
        about_zero = DEBYE_PER_E_ANGSTROM * found.charges_of(index) @ atoms.positions
        shift = DEBYE_PER_E_ANGSTROM * charge * atoms.get_center_of_mass()
        np.testing.assert_allclose(about_zero - shift, found.dipole[index], atol=1e-10)


def test_the_total_charge_spreads_evenly(model: Pipeline) -> None:
    """The charges depend on the surroundings only: a total charge shifts all atoms equally."""
    neutral, cation = predict_all(model, ions(0.0)), predict_all(model, ions(1.0))
    shift = cation.charges - neutral.charges
    np.testing.assert_allclose(
        shift, 1.0 / cation.molecules.natoms[cation.molecules.molecule_index], atol=1e-12
    )


def test_single_ions(model: Pipeline) -> None:
    found = predict_all(model, [Atoms("O", info={"charge": -2}), Atoms("H", info={"charge": 1})])
    assert found.charges.tolist() == [-2.0, 1.0]
    np.testing.assert_array_equal(found.dipole, 0.0)
    np.testing.assert_array_equal(found.quadrupole, 0.0)


def test_files_keep_the_total_charge(model: Pipeline, tmp_path: Path) -> None:
    expected = predict_all(model, ions(1.0))
    for suffix in (".xyz", ".npz", ".db"):
        write(tmp_path / f"ions{suffix}", expected.molecules)
        found = predict_all(model, read(tmp_path / f"ions{suffix}"))
        np.testing.assert_allclose(found.dipole, expected.dipole, atol=1e-4)


def test_labels_of_ions_are_learned(toy: Callable[..., Molecules]) -> None:
    """Noiseless dipoles of element charges plus the total charge, cations among the molecules."""
    molecules = toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4) * 3)
    raw = np.where(molecules.numbers == 1, 0.2, np.where(molecules.numbers == 8, -0.5, 0.0))
    index = molecules.molecule_index
    excess = molecule_sums(raw, molecules.offsets) - molecules.total_charge
    charges = raw - (excess / molecules.natoms)[index]
    vectors = dipoles(charges, molecules)
    model = DipoleKernelRidge(alpha=1e-9, charge_weight=0.0).fit(molecules, vectors)
    np.testing.assert_allclose(model.predict_dipole(molecules), vectors, atol=1e-3)
    frames = to_atoms(molecules.replace(dipole_vector=vectors, features=None))
    assert {frame.info["charge"] for frame in frames} == {0.0, 1.0}
