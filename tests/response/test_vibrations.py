"""Normal modes, thermal geometries and infrared intensities against known answers and ASE."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.optimize import BFGS
from ase.vibrations import Infrared

from dipkit.exceptions import InputError
from dipkit.response.vibrations import (
    NormalModes,
    infrared_intensities,
    normal_modes,
    thermal_geometries,
)

CHARGES = {"H": 0.4, "O": -0.8, "C": 0.1, "N": -0.3}


class FixedCharges(Calculator):
    """Forces of EMT, dipoles of charges that do not change: all derivatives are known."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012

    def calculate(self, atoms: Any = None, properties: Any = (), changes: Any = ("all",)) -> None:
        super().calculate(atoms, properties, changes)
        bare = self.atoms.copy()
        bare.calc = EMT()
        forces = bare.get_forces(apply_constraint=False)
        self.results = {"energy": bare.get_potential_energy(), "forces": forces}
        self.results["dipole"] = charges_of(bare) @ bare.positions


def charges_of(atoms: Atoms) -> np.ndarray:
    return np.array([CHARGES[symbol] for symbol in atoms.symbols])


def relaxed(name: str) -> Atoms:
    atoms = molecule(name)
    atoms.calc = FixedCharges()
    with BFGS(atoms, logfile=None) as optimizer:
        optimizer.run(fmax=1e-4, steps=300)
    atoms.rotate(40, (1, 2, 3))
    return atoms


@pytest.fixture(scope="module")
def water() -> Atoms:
    return relaxed("H2O")


@pytest.fixture(scope="module")
def modes(water: Atoms) -> NormalModes:
    return normal_modes(water)


def test_a_diatomic_has_the_frequency_of_its_force_constant() -> None:
    atoms = relaxed("N2")
    found = normal_modes(atoms)
    assert found.wave_numbers.shape == (1,)
    step, energies = 0.005, []
    for shift in (-step, 0.0, step):
        moved = atoms.copy()
        moved.set_distance(0, 1, atoms.get_distance(0, 1) + shift)
        moved.calc = EMT()
        energies.append(moved.get_potential_energy())
    constant = (energies[0] - 2 * energies[1] + energies[2]) / step**2
    reduced = atoms.get_masses()[0] / 2
    expected = units._hbar * 1e10 * np.sqrt(constant / reduced / units._e / units._amu)
    assert found.wave_numbers[0] == pytest.approx(expected / units.invcm, rel=1e-3)


def test_modes_are_orthonormal_and_no_rigid_motion(water: Atoms, modes: NormalModes) -> None:
    mass = water.get_masses()
    overlap = np.einsum("kjb,ljb,j->kl", modes.vectors, modes.vectors, mass)
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(np.einsum("kjb,j->kb", modes.vectors, mass), 0, atol=1e-10)
    arms = water.positions - water.get_center_of_mass()
    turning = np.einsum("kjb,j->kjb", modes.vectors, mass)
    np.testing.assert_allclose(np.cross(arms, turning).sum(axis=1), 0, atol=1e-10)


def test_ase_finds_the_same(water: Atoms, modes: NormalModes, tmp_path: Path) -> None:
    infrared = Infrared(water, name=str(tmp_path / "ir"), delta=0.005)
    infrared.run()
    infrared.summary(log=io.StringIO())
    # Derivatives of the dipole of fixed charges: each atom's charge, in debye / angstrom.
    derivatives = charges_of(water)[:, None, None] * np.eye(3) / units.Debye
    ours = infrared_intensities(derivatives, modes.vectors)
    np.testing.assert_allclose(modes.wave_numbers, infrared.get_frequencies()[6:].real, rtol=1e-3)
    np.testing.assert_allclose(ours, 42.255 * infrared.intensities[6:], rtol=2e-3, atol=1e-3)


def test_linear_molecules_turn_about_two_axes() -> None:
    atoms = Atoms("CO2", [[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2]], calculator=FixedCharges())
    assert len(normal_modes(atoms).wave_numbers) == 4


@pytest.mark.parametrize("off_axis", [1e-12, 1e-8])
@pytest.mark.parametrize("along_z", [True, False])
def test_nearly_linear_molecules_keep_all_vibrations(off_axis: float, along_z: bool) -> None:
    """Noise of a relaxation is no rotation about the axis: it must not cost a bending vibration."""
    atoms = Atoms("CO2", [[off_axis, 0, 0], [0, 0, 1.2], [0, 0, -1.2]])
    if not along_z:
        atoms.rotate(40, (1, 2, 3))
    atoms.calc = FixedCharges()
    found = normal_modes(atoms)
    assert len(found.wave_numbers) == 4
    assert found.wave_numbers[0] == pytest.approx(found.wave_numbers[1], rel=1e-3)


class Hill(Calculator):
    """The energy is highest at the distance of 1 angstrom: -k (d - 1)^2 / 2, in eV."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012
    k = 10.0

    def calculate(self, atoms: Any = None, properties: Any = (), changes: Any = ("all",)) -> None:
        super().calculate(atoms, properties, changes)
        bond = self.atoms.positions[1] - self.atoms.positions[0]
        length = np.linalg.norm(bond)
        pull = self.k * (length - 1.0) * bond / length
        self.results = {
            "energy": -0.5 * self.k * (length - 1) ** 2,
            "forces": np.array([-pull, pull]),
        }


def test_imaginary_frequencies_are_negative() -> None:
    atoms = Atoms("N2", [[0, 0, 0], [0, 0, 1.0]], calculator=Hill())
    expected = units._hbar * 1e10 * np.sqrt(2 * Hill.k / atoms.get_masses()[0])
    expected /= np.sqrt(units._e * units._amu) * units.invcm
    assert normal_modes(atoms).wave_numbers[0] == pytest.approx(-expected, rel=1e-3)


def test_constraints_do_not_hold_atoms(water: Atoms, modes: NormalModes) -> None:
    fixed = water.copy()
    fixed.set_constraint(FixAtoms([0]))
    fixed.calc = FixedCharges()
    np.testing.assert_allclose(normal_modes(fixed).wave_numbers, modes.wave_numbers, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 300.0, 2000.0])
def test_thermal_geometries_have_the_variance_of_the_oscillator(
    modes: NormalModes, temperature: float
) -> None:
    # Those of EMT are so soft that the atoms would meet.
    modes = NormalModes(modes.atoms, np.array([1600.0, 3600.0, 3700.0]), modes.vectors)
    drawn = thermal_geometries(modes, 4000, temperature, random_state=0)
    assert len(drawn) == 4000
    change = drawn.positions.reshape(4000, 3, 3) - modes.atoms.positions
    mass = modes.atoms.get_masses()
    coordinates = np.einsum("gjb,kjb,j->gk", change, modes.vectors, mass)
    energy = modes.wave_numbers * units.invcm
    # hbar / 2 omega (2 n + 1), n the mean number of quanta.
    quanta = 1 / np.expm1(energy / units.kB / temperature) if temperature else 0.0
    length2 = 1e20 * units._hbar**2 / (units._amu * units._e * energy)
    expected = length2 * (quanta + 0.5)
    np.testing.assert_allclose((coordinates**2).mean(axis=0), expected, rtol=0.1)
    again = thermal_geometries(modes, 4000, temperature, random_state=0)
    np.testing.assert_array_equal(again.positions, drawn.positions)


def test_low_vibrations_stay_at_rest(modes: NormalModes) -> None:
    numbers = np.array([-50.0, 3600.0, 3700.0])
    drawn = thermal_geometries(
        NormalModes(modes.atoms, numbers, modes.vectors), 5, random_state=0, lowest=200
    )
    change = drawn.positions.reshape(5, 3, 3) - modes.atoms.positions
    along = np.einsum("gjb,kjb,j->gk", change, modes.vectors, modes.atoms.get_masses())
    np.testing.assert_allclose(along[:, 0], 0, atol=1e-12)
    assert (np.abs(along[:, 1:]) > 1e-3).all()


def test_total_charge_goes_along(modes: NormalModes) -> None:
    ion = modes.atoms.copy()
    ion.info["charge"] = 1
    drawn = thermal_geometries(
        NormalModes(ion, modes.wave_numbers, modes.vectors), 2, random_state=0
    )
    assert drawn.total_charge.tolist() == [1, 1]


def test_what_is_refused(water: Atoms, modes: NormalModes) -> None:
    with pytest.raises(InputError, match="expected at least two atoms with a calculator"):
        normal_modes(molecule("H2O"))
    with pytest.raises(InputError, match="got 1 atoms"):
        normal_modes(Atoms("O", calculator=EMT()))
    saddle = NormalModes(modes.atoms, -modes.wave_numbers, modes.vectors)
    with pytest.raises(InputError, match="modes: expected positive wave numbers"):
        thermal_geometries(saddle, 1)
    with pytest.raises(InputError, match="temperature: expected a number >= 0"):
        thermal_geometries(modes, 1, temperature=-1.0)
    with pytest.raises(InputError, match=r"vectors: expected derivatives of shape \(n, 3, 3\)"):
        infrared_intensities(np.zeros((4, 3, 3)), modes.vectors)


def test_atoms_are_left_alone(water: Atoms) -> None:
    before = water.positions.copy()
    found = normal_modes(water)
    np.testing.assert_array_equal(water.positions, before)
    assert found.atoms is not water
    assert found.atoms.calc is None
