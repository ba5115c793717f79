"""Outputs of Gaussian and ORCA: dipole and charges belong to the coordinates beside them."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from helpers.outputs import gaussian, orca, orientation

from dipkit.data.io import read
from dipkit.exceptions import FileFormatError, InputError
from dipkit.units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM

CHARGES = (-0.6, 0.35, 0.25)
# In the input orientation the dipole is along x, in the standard orientation along z.
ALONG_X = Atoms("OH2", [[0.117, 0, 0], [-0.468, 0.757, 0], [-0.468, -0.757, 0]])
ALONG_Z = Atoms("OH2", [[0, 0, 0.117], [0, 0.757, -0.468], [0, -0.757, -0.468]])


def in_frame(positions: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Angles of a vector with the bonds: the same in every orientation."""
    return (positions - positions[0]) @ vector


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "water.log"


def test_a_gaussian_dipole_is_in_the_frame_of_the_coordinates(file: Path) -> None:
    file.write_text(gaussian(ALONG_X, (0, 0, -1.85), CHARGES, standard=ALONG_Z))
    water = read(file)
    assert water.names.tolist() == ["water"]
    assert water.charges.tolist() == list(CHARGES)
    np.testing.assert_allclose(water.dipole_magnitude, 1.85)
    # The dipole points from the oxygen to the hydrogens, whatever the axes.
    expected = in_frame(ALONG_Z.positions, np.array([0, 0, -1.85]))
    np.testing.assert_allclose(in_frame(water.positions, water.dipole_vector[0]), expected)
    # ASE has the coordinates of one orientation and the dipole of the other.
    frame = ase.io.read(file, format="gaussian-out")
    mixed = in_frame(frame.positions, frame.get_dipole_moment() * DEBYE_PER_E_ANGSTROM)
    assert not np.allclose(mixed, expected, atol=0.1)


def test_without_a_standard_orientation_the_dipole_belongs_to_the_input(file: Path) -> None:
    file.write_text(gaussian(ALONG_X, (-1.85, 0, 0), CHARGES))
    frame, water = ase.io.read(file, format="gaussian-out"), read(file)
    np.testing.assert_allclose(water.positions, frame.positions)
    np.testing.assert_allclose(water.dipole_vector[0], [-1.85, 0, 0])
    np.testing.assert_allclose(
        water.dipole_vector[0], frame.get_dipole_moment() * DEBYE_PER_E_ANGSTROM, rtol=1e-5
    )


def centred(numbers: list[int], positions: list[list[float]]) -> Atoms:
    """Atoms with their centre of nuclear charge at the origin."""
    atoms = Atoms(numbers, positions)
    atoms.positions -= np.average(atoms.positions, axis=0, weights=numbers)
    return atoms


def test_a_gaussian_ion_is_moved_to_its_centre_of_mass(file: Path) -> None:
    hydroxide = centred([8, 1], [[0, 0, 0], [0, 0, 0.96]])
    file.write_text(gaussian(hydroxide, (0, 0, 1.0), charge=-1, standard=hydroxide))
    ion = read(file)
    assert ion.total_charge.tolist() == [-1]
    shifted = 1.0 + hydroxide.get_center_of_mass()[2] * DEBYE_PER_E_ANGSTROM
    np.testing.assert_allclose(ion.dipole_vector[0], [0, 0, shifted], atol=1e-4)
    assert abs(shifted - 1.0) > 0.1


def test_an_ion_about_an_unknown_point_keeps_no_dipole(file: Path) -> None:
    hydroxide = Atoms("OH", [[1, 0, 0], [1, 0, 0.96]])
    file.write_text(gaussian(hydroxide, (0, 0, 1.0), charge=-1))
    ion = read(file)
    assert not ion.has_magnitude.any()
    assert any("does not say about which point" in line for line in ion.notes.assumed)


def test_the_last_geometry_counts_and_its_dipole_alone(file: Path) -> None:
    first = gaussian(ALONG_X, (-1.5, 0, 0), CHARGES)
    last = Atoms("OH2", ALONG_X.positions * 1.01)
    file.write_text(first + gaussian(last, (-1.9, 0, 0), CHARGES))
    water = read(file)
    np.testing.assert_allclose(water.positions, last.positions, atol=1e-6)
    np.testing.assert_allclose(water.dipole_magnitude, 1.9)
    # A dipole of the geometry before is none of the last one.
    end = " Normal termination of Gaussian 16\n"
    file.write_text(first + orientation("Input", last) + end)
    late = read(file)
    assert not late.has_magnitude.any()
    assert not late.has_charges.any()
    assert any("no dipole is printed after the last geometry" in t for t in late.notes.assumed)


@pytest.mark.parametrize("end", ["", " Error termination via Lnk1e in l502.exe\n"])
def test_a_gaussian_job_that_failed_is_refused(file: Path, end: str) -> None:
    file.write_text(gaussian(ALONG_X, (-1.85, 0, 0), end=end))
    with pytest.raises(FileFormatError, match=r"water.log: .*did not end normally"):
        read(file)


def test_a_failed_second_step_is_no_success(file: Path) -> None:
    file.write_text(gaussian(ALONG_X, (-1.85, 0, 0)) + gaussian(ALONG_X, None, end=""))
    with pytest.raises(FileFormatError, match="did not end normally"):
        read(file)


def test_charges_that_do_not_fit_are_left_unread(file: Path) -> None:
    file.write_text(gaussian(ALONG_X, (-1.85, 0, 0), (-0.6, 0.35, 0.35)))
    water = read(file)
    assert not water.has_charges.any()
    assert any("sum to 0.100000 e, expected" in line for line in water.notes.assumed)


def test_a_damaged_dipole_is_an_error(file: Path) -> None:
    text = gaussian(ALONG_X, (-1.85, 0, 0))
    file.write_text(text.replace("X=             -1.8500", "X=             -1.9500"))
    with pytest.raises(FileFormatError, match=r"length 1.9500 debye, .* printed as 1.8500"):
        read(file)


def test_dummy_atoms_are_refused(file: Path) -> None:
    file.write_text(gaussian(Atoms("XOH", np.eye(3)), None))
    with pytest.raises(FileFormatError, match=r"line 8: atomic number 0: dummy atoms"):
        read(file)


def test_an_orca_dipole_is_in_atomic_units(tmp_path: Path) -> None:
    file = tmp_path / "water.out"
    file.write_text(orca(ALONG_X, (-0.728, 0, 0), CHARGES))
    water, frame = read(file), ase.io.read(file)
    np.testing.assert_allclose(water.positions, frame.positions)
    np.testing.assert_allclose(water.dipole_magnitude, 1.8504, atol=1e-4)
    np.testing.assert_allclose(
        water.dipole_vector[0], frame.get_dipole_moment() * DEBYE_PER_E_ANGSTROM, rtol=1e-6
    )
    assert water.charges.tolist() == list(CHARGES)


def test_an_orca_ion_stays_about_its_centre_of_mass(tmp_path: Path) -> None:
    file = tmp_path / "oh.out"
    hydroxide = Atoms("OH", [[5, 0, 0], [5, 0, 0.96]])
    file.write_text(orca(hydroxide, (0, 0, 0.5), (-1.2, 0.2), charge=-1))
    ion = read(file)
    assert ion.total_charge.tolist() == [-1]
    debye = 0.5 * ANGSTROM_PER_BOHR * DEBYE_PER_E_ANGSTROM
    np.testing.assert_allclose(ion.dipole_vector[0], [0, 0, debye])
    for origin in ("", "CENTER OF NUCLEAR CHARGE"):
        file.write_text(orca(hydroxide, (0, 0, 0.5), charge=-1, origin=origin))
        assert not read(file).has_magnitude.any()
    # Without charges of the atoms there is nothing to sum, and the total charge is known all the
    # same; a neutral molecule needs no origin.
    file.write_text(orca(ALONG_X, (-0.728, 0, 0), origin=""))
    assert read(file).has_vector.all()


def test_several_dipoles_of_one_geometry_are_said(tmp_path: Path) -> None:
    file = tmp_path / "mp2.out"
    start, end = orca(ALONG_X, (-0.70, 0, 0), end=""), orca(ALONG_X, (-0.75, 0, 0))
    file.write_text(start + end[end.index("-------------\nDIPOLE") :])
    molecules = read(file)
    np.testing.assert_allclose(molecules.dipole_magnitude, 0.75 * 2.541746473, rtol=1e-6)
    assert any("2 dipoles are printed" in line for line in molecules.notes.assumed)


def test_labels_of_outputs_can_be_left_unread_and_units_cannot_be_changed(file: Path) -> None:
    file.write_text(gaussian(ALONG_X, (-1.85, 0, 0), CHARGES))
    assert not read(file, charges_key="none").has_charges.any()
    assert not read(file, dipole_key="none").has_magnitude.any()
    assert not read(file, labels=False).has_magnitude.any()
    assert read(file, dipole_key="dipole").has_magnitude.all()
    with pytest.raises(InputError, match="dipole_key='mu': found in no molecule"):
        read(file, dipole_key="mu")
    with pytest.raises(InputError, match=r"outputs of Gaussian are in debye by definition"):
        read(file, dipole_unit="au")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("      |                           x T B                           |\n", "--method gfn2"),
        ("#INFO: **** input file is x.py ****\nPySCF version 2.7.0\n", r"mol.tofile\('FILE.xyz'\)"),
        ("   Psi4: An Open-Source Ab Initio Electronic Structure Package\n", "extended XYZ"),
        ("slurmstepd: error: job cancelled\n", "no output of Gaussian or ORCA"),
    ],
)
def test_other_outputs_are_refused_with_a_way_out(file: Path, text: str, advice: str) -> None:
    file.write_text(text)
    with pytest.raises(FileFormatError, match=f"water.log: .*{advice}"):
        read(file)


def test_a_folder_of_outputs_and_logs_of_a_queue(tmp_path: Path) -> None:
    for name, atoms in (("one", ALONG_X), ("two", molecule("NH3"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "orca.out").write_text(orca(atoms, (0, 0, 0.5)))
        (tmp_path / name / "slurm-12.out").write_text("job 12 on node 3\n")
    molecules = read(tmp_path)
    assert molecules.names.tolist() == ["one/orca", "two/orca"]
    assert molecules.has_vector.all()
