"""`DipkitCalculator` beside a calculator of forces: who gives what, spectra, dynamics, sums."""

import io
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.mixing import LinearCombinationCalculator, SumCalculator
from ase.constraints import FixAtoms
from ase.io import Trajectory, read
from ase.md import VelocityVerlet
from ase.optimize import BFGS
from ase.vibrations import Infrared
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, InducingBasis, as_molecules, predict_all
from dipkit.data.molecules import Molecules
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.exceptions import InputError
from dipkit.response import (
    DipkitCalculator,
    charge_derivatives,
    dipole_derivatives,
    infrared_intensities,
)
from dipkit.units import DEBYE_PER_E_ANGSTROM


class Springs(Calculator):
    """Springs between all pairs, at rest in the first geometry; a dipole and charges of its own."""

    implemented_properties = ["energy", "forces", "charges", "dipole"]  # noqa: RUF012

    def __init__(self, atoms: Atoms, stiffness: float = 20.0):
        super().__init__()
        self.rest, self.stiffness, self.n_calls = atoms.get_all_distances(), stiffness, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        """Calculate everything at once, as xTB does."""
        super().calculate(atoms, properties, system_changes)
        self.n_calls += 1
        arms = self.atoms.positions[:, None] - self.atoms.positions
        lengths = np.linalg.norm(arms, axis=2)
        stretch = lengths - self.rest
        pulls = -self.stiffness * stretch / np.where(lengths > 0, lengths, 1)
        self.results = {
            "energy": self.stiffness * float((stretch**2).sum()) / 4,
            "forces": (pulls[:, :, None] * arms).sum(axis=1),
            "charges": np.full(len(self.atoms), 9.0),
            "dipole": np.full(3, 9.0),
            "bond-orders": None,
        }


@pytest.fixture(scope="module")
def model(coarse_soap: SOAPTransformer, described: Molecules) -> Pipeline:
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=100)).fit(described)
    return make_pipeline(coarse_soap, ridge)


@pytest.fixture
def atoms(model: Pipeline) -> Atoms:
    atoms = molecule("CH3OH")
    atoms.calc = DipkitCalculator(model, base=Springs(atoms))
    atoms.rattle(0.02, seed=1)
    return atoms


def test_energies_of_one_and_dipoles_of_the_other(atoms: Atoms, model: Pipeline) -> None:
    alone = atoms.copy()
    alone.calc = Springs(molecule("CH3OH"))
    expected = predict_all(model, atoms.copy())
    assert atoms.get_potential_energy() == alone.get_potential_energy() > 0
    np.testing.assert_array_equal(atoms.get_forces(), alone.get_forces())
    np.testing.assert_array_equal(atoms.get_charges(), expected.charges)
    np.testing.assert_allclose(
        atoms.get_dipole_moment() * DEBYE_PER_E_ANGSTROM, expected.dipole[0], rtol=1e-14
    )
    assert atoms.calc.base.n_calls == 1
    assert set(atoms.calc.results) == {"energy", "forces", "charges", "dipole"}


def test_each_is_asked_only_when_needed(atoms: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    predict = atoms.calc._predict
    monkeypatch.setattr(atoms.calc, "_predict", lambda a: calls.append(1) or predict(a))
    atoms.get_dipole_moment()
    assert atoms.calc.base.n_calls == 0
    atoms.get_potential_energy()
    atoms.get_forces()
    assert (len(calls), atoms.calc.base.n_calls) == (1, 1)
    dipole = atoms.get_dipole_moment()
    atoms.rattle(0.01, seed=2)
    assert np.abs(atoms.get_dipole_moment() - dipole).max() > 1e-5
    assert (len(calls), atoms.calc.base.n_calls) == (2, 1)
    energy = atoms.calc.base.results["energy"]
    assert atoms.get_potential_energy() != energy
    atoms.info["charge"] = 1
    atoms.get_forces()
    assert atoms.get_charges().sum() == pytest.approx(1, abs=1e-12)


def test_what_the_base_takes_from_the_atoms_counts(model: Pipeline) -> None:
    atoms = molecule("CH3OH")
    atoms.calc = DipkitCalculator(model, base=Springs(atoms))
    atoms.get_forces()
    atoms.set_initial_charges([0.5, -0.5, 0, 0, 0, 0])  # xTB takes the total charge from them
    atoms.get_forces()
    assert atoms.calc.base.n_calls == 2


def test_infrared_of_ase(atoms: Atoms, model: Pipeline, tmp_path: Path) -> None:
    infrared = Infrared(atoms, name=str(tmp_path / "ir"), delta=0.005)
    infrared.run()
    infrared.summary(log=io.StringIO())
    # Intensities from differences of the dipoles are those of the model's derivatives.
    vectors = (infrared.modes * infrared.im).reshape(-1, 6, 3)
    expected = infrared_intensities(dipole_derivatives(model, atoms.copy()), vectors)
    factor, _ = infrared.intensity_prefactor("km/mol")
    found = factor * infrared.intensities
    np.testing.assert_allclose(found[6:], expected[6:], rtol=0.02, atol=0.02 * expected.max())
    assert expected.max() > 1


def test_dynamics_and_trajectories(atoms: Atoms, model: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "md.traj"
    start = atoms.get_total_energy()
    with Trajectory(file, "w", atoms) as trajectory, VelocityVerlet(atoms, 0.5 * units.fs) as md:
        md.attach(trajectory.write)
        md.run(5)
    assert atoms.get_total_energy() == pytest.approx(start, rel=0.05)
    frames = read(file, ":")
    assert len(frames) == 6
    expected = predict_all(model, [frame.copy() for frame in frames]).dipole / DEBYE_PER_E_ANGSTROM
    found = [frame.get_dipole_moment() for frame in frames]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert all("forces" in frame.calc.results for frame in frames)
    # What a model predicted is not read back as a label.
    again = as_molecules(frames)
    assert not again.has_vector.any()
    assert not again.has_charges.any()
    assert not as_molecules(atoms).has_vector.any()


def test_relaxation_with_a_fixed_atom(atoms: Atoms) -> None:
    place = atoms.positions[0].copy()
    atoms.set_constraint(FixAtoms([0]))
    with BFGS(atoms, logfile=None) as optimizer:
        optimizer.run(fmax=0.01, steps=50)
    np.testing.assert_array_equal(atoms.positions[0], place)
    assert atoms.get_potential_energy() < 1e-3


def test_derivatives_in_the_units_of_ase(atoms: Atoms, model: Pipeline) -> None:
    found = atoms.calc.get_dipole_derivatives(atoms)
    np.testing.assert_allclose(
        found * DEBYE_PER_E_ANGSTROM, dipole_derivatives(model, atoms.copy()), rtol=1e-12
    )
    steps = np.zeros((6, 3))
    steps[1, 2] = 1e-3
    ends = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * steps
        ends.append(atoms.calc.get_property("dipole", moved))
    np.testing.assert_allclose(found[1, 2], (ends[0] - ends[1]) / 2e-3, atol=2e-3)
    (charges,) = charge_derivatives(model, atoms.copy())
    np.testing.assert_array_equal(atoms.calc.get_charge_derivatives(atoms), charges)
    with pytest.raises(InputError, match="nothing was calculated before"):
        DipkitCalculator(model).get_dipole_derivatives()


def test_a_sum_does_not_add_dipoles(atoms: Atoms, model: Pipeline) -> None:
    springs = Springs(molecule("CH3OH"))
    for calculators in (
        [springs, DipkitCalculator(model)],
        [DipkitCalculator(model, base=Springs(molecule("CH3OH"))), springs],
    ):
        atoms.calc = SumCalculator(calculators)
        for ask in (atoms.get_dipole_moment, atoms.get_charges):
            with pytest.raises(PropertyNotImplementedError, match=r"would add .* of Springs"):
                ask()


def test_energies_in_a_sum_are_added(atoms: Atoms) -> None:
    one = atoms.get_potential_energy()
    springs = Springs(molecule("CH3OH"))
    springs.implemented_properties = ["energy", "forces"]
    atoms.calc = SumCalculator([atoms.calc, springs])
    assert atoms.get_potential_energy() == pytest.approx(2 * one)
    assert "dipole" not in atoms.calc.implemented_properties


def test_models_are_averaged(atoms: Atoms, model: Pipeline) -> None:
    one = atoms.get_dipole_moment()
    both = [DipkitCalculator(model), DipkitCalculator(model)]
    atoms.calc = LinearCombinationCalculator(both, [0.25, 0.75])
    np.testing.assert_allclose(atoms.get_dipole_moment(), one)
    parts = [Springs(molecule("CH3OH")), DipkitCalculator(model)]
    atoms.calc = LinearCombinationCalculator(parts, [0, 1])
    np.testing.assert_allclose(atoms.get_dipole_moment(), one)


def test_what_neither_has(atoms: Atoms) -> None:
    with pytest.raises(PropertyNotImplementedError, match="base, Springs, does not have it"):
        atoms.get_magnetic_moment()


def test_a_base_that_is_none(model: Pipeline) -> None:
    with pytest.raises(InputError, match="base: expected an ASE calculator, got str"):
        DipkitCalculator(model, base="xtb")
