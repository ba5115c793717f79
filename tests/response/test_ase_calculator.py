"""The ASE calculator: units, caching, the total charge, and what it does not offer."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, InducingBasis, predict_all, read, save_model
from dipkit.data.molecules import Molecules
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.exceptions import InputError
from dipkit.response.ase_calculator import DipkitCalculator
from dipkit.units import DEBYE_PER_E_ANGSTROM


@pytest.fixture(scope="module")
def model(coarse_soap: SOAPTransformer, described: Molecules) -> Pipeline:
    return make_pipeline(
        coarse_soap, DipoleKernelRidge(basis=InducingBasis(n_inducing=100)).fit(described)
    )


@pytest.fixture
def atoms(model: Pipeline) -> Atoms:
    atoms = molecule("CH3OH")
    atoms.calc = DipkitCalculator(model)
    return atoms


def test_agrees_with_the_model_in_the_units_of_ase(atoms: Atoms, model: Pipeline) -> None:
    expected = predict_all(model, atoms.copy())
    np.testing.assert_array_equal(atoms.get_charges(), expected.charges)
    np.testing.assert_allclose(
        atoms.get_dipole_moment() * DEBYE_PER_E_ANGSTROM, expected.dipole[0], rtol=1e-14
    )
    # ASE's own sum over the charges, for a neutral molecule.
    np.testing.assert_allclose(
        atoms.get_dipole_moment(), atoms.get_charges() @ atoms.positions, atol=1e-12
    )


def test_computes_where_something_has_changed(
    atoms: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = atoms.calc.calculate
    monkeypatch.setattr(atoms.calc, "calculate", lambda *a: calls.append(1) or original(*a))
    first = atoms.get_dipole_moment()
    atoms.get_charges()
    assert len(calls) == 1
    atoms.rotate(90, "z")
    np.testing.assert_allclose(
        atoms.get_dipole_moment(), [-first[1], first[0], first[2]], atol=1e-6
    )
    assert len(calls) == 2
    atoms.info["charge"] = 1
    assert atoms.get_charges().sum() == pytest.approx(1, abs=1e-12)
    atoms.get_dipole_moment()
    assert len(calls) == 3
    atoms.set_initial_charges([0.1] * 6)
    atoms.get_charges()
    assert len(calls) == 3


def test_offers_no_energy(atoms: Atoms) -> None:
    for ask in (atoms.get_potential_energy, atoms.get_forces, atoms.get_magnetic_moment):
        with pytest.raises(PropertyNotImplementedError, match="predicts only charges and dipoles"):
            ask()


def test_written_files_carry_the_results(atoms: Atoms, tmp_path: Path) -> None:
    dipole = atoms.get_dipole_moment()
    ase.io.write(tmp_path / "out.xyz", atoms)
    molecules = read(tmp_path / "out.xyz")
    np.testing.assert_allclose(molecules.dipole_vector[0], dipole * DEBYE_PER_E_ANGSTROM, atol=1e-6)
    assert molecules.has_charges.all()


def test_a_model_file(atoms: Atoms, model: Pipeline, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.dipkit")
    for path in (tmp_path / "model.dipkit", str(tmp_path / "model.dipkit")):
        other = molecule("CH3OH")
        other.calc = DipkitCalculator(path)
        np.testing.assert_array_equal(other.get_charges(), atoms.get_charges())


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], pbc=True, cell=[9, 9, 9]), "periodic"),
        (molecule("HCl"), "Cl"),
    ],
    ids=["periodic", "unseen"],
)
def test_what_cannot_be_predicted(model: Pipeline, atoms: Atoms, message: str) -> None:
    atoms.calc = DipkitCalculator(model)
    with pytest.raises(InputError, match=message):
        atoms.get_dipole_moment()


def test_a_model_of_another_kind() -> None:
    atoms = molecule("H2O")
    atoms.calc = DipkitCalculator(object())
    with pytest.raises(InputError, match="model: expected a pipeline"):
        atoms.get_charges()
