"""Data frames and lists of texts: geometries in one column, labels in the others; no SMILES."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from dipkit.data.io import as_molecules
from dipkit.exceptions import FileFormatError, InputError
from dipkit.units import DEBYE_PER_E_ANGSTROM

pandas = pytest.importorskip("pandas")

WATER = "3\n\nO 0 0 0.117\nH 0 0.757 -0.468\nH 0 -0.757 -0.468\n"
FLUORIDE = "2\n\nF 0 0 0\nH 0 0 0.92\n"


def test_a_column_of_atoms_with_labels() -> None:
    atoms = [molecule("H2O"), molecule("OH")]
    frame = pandas.DataFrame(
        {
            "Name": ["water", "hydroxide"],
            "geometry": atoms,
            "mu": [1.85, np.nan],
            "charge": [0, -1],
            "mulliken": [[-0.6, 0.3, 0.3], None],
        }
    )
    molecules = as_molecules(frame)
    assert molecules.names.tolist() == ["water", "hydroxide"]
    np.testing.assert_array_equal(molecules.dipole_magnitude, [1.85, np.nan])
    assert molecules.total_charge.tolist() == [0, -1]
    assert molecules.has_charges.tolist() == [True, False]
    assert as_molecules(frame, dipole_key="none").has_magnitude.tolist() == [False, False]
    assert not atoms[0].info  # the atoms are left as they were


def test_a_column_of_texts_and_names_in_the_index() -> None:
    frame = pandas.DataFrame({"xyz": [WATER, FLUORIDE], "mine": [0.7, 0.3]}, index=["w", "f"])
    molecules = as_molecules(frame, dipole_key="mine", dipole_unit="e-angstrom")
    assert molecules.names.tolist() == ["w", "f"]
    assert molecules.natoms.tolist() == [3, 2]
    np.testing.assert_allclose(
        molecules.dipole_magnitude, np.array([0.7, 0.3]) * DEBYE_PER_E_ANGSTROM
    )
    assert as_molecules(frame.reset_index(drop=True)).names.tolist() == ["0", "1"]


def test_results_of_calculators_are_labels_too() -> None:
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, dipole=[0.0, 0.0, 0.4])
    assert as_molecules(pandas.DataFrame({"atoms": [atoms]})).has_vector.all()


def test_columns_and_lists_of_geometries() -> None:
    assert len(as_molecules(pandas.Series([WATER, FLUORIDE]))) == 2
    assert len(as_molecules(pandas.Series([molecule("H2O")]))) == 1
    assert len(as_molecules([WATER, FLUORIDE])) == 2
    assert len(as_molecules(np.array([WATER, FLUORIDE]))) == 2


@pytest.mark.parametrize(
    "smiles",
    [
        pandas.DataFrame({"smiles": ["O", "CCO"], "mu": [1.85, 1.69]}),
        pandas.DataFrame({"structure": ["O", "CCO"]}),
        pandas.Series(["O", "CCO"]),
        ["O", "CCO"],
        ("O",),
        np.array(["O", "CCO"]),
    ],
)
def test_smiles_are_refused_with_a_way_to_geometries(smiles: object) -> None:
    with pytest.raises(InputError, match=r"no geometry.*RDKit.*EmbedMolecule.*xtb") as caught:
        as_molecules(smiles)
    assert "molecules" in str(caught.value) or "molecule 0" in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pandas.DataFrame(), "got an empty one"),
        (pandas.DataFrame({"atoms": []}), "got an empty one"),
        (pandas.DataFrame({"a": [Atoms("He")], "b": [WATER]}), "several columns .*: a, b"),
        (pandas.DataFrame({"mu": [1.0]}), "columns present: mu"),
        (pandas.DataFrame({"a": [WATER, None]}), "row 1 of column 'a': expected a geometry"),
    ],
)
def test_tables_without_one_column_of_geometries(frame: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_molecules(frame)


def test_bad_texts_name_their_row() -> None:
    with pytest.raises(FileFormatError, match=r"row 1 of column 'a', line 3"):
        as_molecules(pandas.DataFrame({"a": [WATER, "1\n\nQq 0 0 0\n"]}))
    with pytest.raises(FileFormatError, match=r"row 0 of column 'a': expected one molecule, got 2"):
        as_molecules(pandas.DataFrame({"a": [WATER + WATER]}))
