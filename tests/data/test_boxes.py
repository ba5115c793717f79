"""Molecules in boxes: refused unless asked for, and never where they cross the box."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from dipkit.data.io import as_molecules, read
from dipkit.exceptions import InputError


def in_box(name: str, size: float, shift: float = 0.0) -> Atoms:
    atoms = molecule(name, cell=[size] * 3, pbc=True)
    atoms.center()
    atoms.positions += shift
    return atoms


def test_a_whole_molecule_in_a_box_is_read_where_asked() -> None:
    atoms = in_box("CH3OH", 12.0)
    with pytest.raises(InputError, match=r"molecule 0 .* periodic cell.*--ignore-pbc"):
        as_molecules(atoms)
    molecules = as_molecules(atoms, ignore_pbc=True)
    np.testing.assert_array_equal(molecules.positions, atoms.positions)
    assert atoms.pbc.all()
    # Outside the cell, and still whole.
    assert len(as_molecules(in_box("CH3OH", 12.0, shift=9.0), ignore_pbc=True)) == 1


@pytest.mark.parametrize("shift", [5.2, 6.0, 6.5])
def test_a_molecule_that_crosses_the_box_is_refused(shift: float) -> None:
    atoms = in_box("CH3OH", 12.0, shift=shift)
    atoms.wrap()
    assert np.ptp(atoms.positions, axis=0).max() > 6
    with pytest.raises(
        InputError, match=r"atoms \d and \d are \d.\d\d angstrom .* crosses the box"
    ):
        as_molecules(atoms, ignore_pbc=True)


def test_a_hydrogen_bond_through_the_wall_counts() -> None:
    dimer = Atoms("OHHOHH", pbc=True, cell=[15] * 3)
    dimer.positions = [
        *([0.2, 5, 5], [1.1, 5.3, 5], [0.2, 4.1, 5.2]),
        *([12.4, 5, 5], [13.36, 5, 5], [12.1, 5.9, 5]),
    ]
    with pytest.raises(InputError, match=r"atoms 0 and 4 are 1\.84 angstrom"):
        as_molecules(dimer, ignore_pbc=True)


def test_a_crystal_and_a_tight_box_are_refused() -> None:
    for atoms in (bulk("NaCl", "rocksalt", a=5.64), in_box("CH4", 3.3)):
        with pytest.raises(InputError, match="through a wall of the box"):
            as_molecules(atoms, ignore_pbc=True)


def test_a_wall_without_length_is_none() -> None:
    atoms = molecule("H2O")
    atoms.pbc = True
    assert len(as_molecules(atoms, ignore_pbc=True)) == 1


def test_files_name_the_molecule(tmp_path: Path) -> None:
    file = tmp_path / "boxes.xyz"
    frame = '2\nLattice="9 0 0 0 9 0 0 0 9" name={}\nF 0.1 1 1\nH {} 1 1\n'
    file.write_text(frame.format("whole", 1.02) + frame.format("split", 8.18))
    with pytest.raises(InputError, match=r"boxes.xyz, line 5: molecule 1 \('split'\): atoms 0 and"):
        read(file, ignore_pbc=True)
    file.write_text(frame.format("whole", 1.02))
    assert read(file, ignore_pbc=True).names.tolist() == ["whole"]
