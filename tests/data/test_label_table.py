"""Tables of labels are joined with geometries by name, in the unit that is said."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from dipkit.data.io import as_molecules, read, write
from dipkit.data.molecules import Molecules
from dipkit.exceptions import FileFormatError, InputError
from dipkit.units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM

WATER = "3\n\nO 0 0 0.117\nH 0 0.757 -0.468\nH 0 -0.757 -0.468\n"
FLUORIDE = "2\n\nF 0 0 0\nH 0 0 0.92\n"
AU = ANGSTROM_PER_BOHR * DEBYE_PER_E_ANGSTROM


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "geometries").mkdir()
    (tmp_path / "geometries" / "water.xyz").write_text(WATER)
    (tmp_path / "geometries" / "hf.xyz").write_text(FLUORIDE)
    return tmp_path / "geometries"


def joined(folder: Path, text: str, **options: object) -> Molecules:
    table = folder.parent / "dipoles.csv"
    table.write_text(text)
    return read(folder, labels_file=table, **options)


@pytest.mark.parametrize("head", ["name", "Molecule", "mol_id", "id", "file", "FileName", "what"])
@pytest.mark.parametrize(
    ("dipole", "factor"),
    [
        ("dipole_debye", 1),
        ("mu", 1),
        ("Dipole (D)", 1),
        ("dipole moment [debye]", 1),
        ("dipole_au", AU),
        ("mu_eA", DEBYE_PER_E_ANGSTROM),
    ],
)
def test_columns_and_units_of_magnitudes(
    folder: Path, head: str, dipole: str, factor: float
) -> None:
    molecules = joined(folder, f"{dipole},{head}\n1.5,water\n0.5,hf\n")
    assert molecules.names.tolist() == ["hf", "water"]
    np.testing.assert_allclose(molecules.dipole_magnitude, [0.5 * factor, 1.5 * factor])
    assert not molecules.has_vector.any()
    assert any(dipole in line and "read in" in line for line in molecules.notes.assumed)


@pytest.mark.parametrize("start", ["dipole", "mu", "Dipole_Moment"])
@pytest.mark.parametrize(("unit", "factor"), [("_debye", 1), ("_au", AU), (" (D)", 1)])
def test_columns_and_units_of_vectors(folder: Path, start: str, unit: str, factor: float) -> None:
    names = ",".join(f"{start}_{axis}{unit}" for axis in "xyz")
    molecules = joined(folder, f"name,{names}\nwater,0.1,0,-1.5\nhf,0,0,0.5\n")
    np.testing.assert_allclose(molecules.dipole_vector[1], np.array([0.1, 0, -1.5]) * factor)


def test_the_unit_of_a_vector_must_be_said(folder: Path) -> None:
    text = "name,dipole_x,dipole_y,dipole_z\nwater,0,0,-0.7\nhf,0,0,0.3\n"
    with pytest.raises(InputError, match=r"the unit of these vectors is not said.*--dipole-unit"):
        joined(folder, text)
    molecules = joined(folder, text, dipole_unit="au")
    np.testing.assert_allclose(molecules.dipole_magnitude, np.array([0.3, 0.7]) * AU)
    # Beside a magnitude it is that of the magnitude, and sizes must agree.
    beside = "name,mu_debye,dipole_x,dipole_y,dipole_z\nwater,{},0,0,-0.7\nhf,0.3,0,0,0.3\n"
    molecules = joined(folder, beside.format(0.7))
    np.testing.assert_allclose(molecules.dipole_vector[:, 2], [0.3, -0.7])
    with pytest.raises(FileFormatError, match=r"dipoles.csv, line 2: the magnitude of 'water'"):
        joined(folder, beside.format(1.7))


def test_units_that_disagree_or_are_unknown(folder: Path) -> None:
    with pytest.raises(InputError, match=r"column 'mu_debye' says debye, and .* says au"):
        joined(folder, "name,mu_debye\nwater,1.8\n", dipole_unit="au")
    with pytest.raises(InputError, match=r"column 'mu \(mD\)': unknown unit 'mD'"):
        joined(folder, "name,mu (mD)\nwater,1800\n")
    with pytest.raises(InputError, match="have different units"):
        joined(folder, "name,mu_x_au,mu_y_debye,mu_z_debye\nwater,0,0,1.8\n")


def test_named_columns(folder: Path) -> None:
    text = "name,X,Y,Z,exp,calc\nwater,0,0,1.7,1.8,1.9\nhf,0,0,0.7,0.8,0.9\n"
    assert joined(folder, text, dipole_key="calc").dipole_magnitude.tolist() == [0.9, 1.9]
    vectors = joined(folder, text, dipole_key="X,Y,Z", dipole_unit="debye").dipole_vector
    np.testing.assert_array_equal(vectors, [[0, 0, 0.7], [0, 0, 1.7]])
    with pytest.raises(InputError, match=r"dipole_key='foo'.*columns present: name, X"):
        joined(folder, text, dipole_key="foo")
    with pytest.raises(InputError, match=r"no column of dipoles found: .*present: name, X, Y"):
        joined(folder, text)
    with pytest.raises(InputError, match=r"several columns may be meant: mu, dipole_debye"):
        joined(folder, "name,mu,dipole_debye\nwater,1.8,1.8\n")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffname,mu\nwater,1.8\nhf,0.8\n",
        "name;mu\nwater;1,8\nhf;0,8\n",
        "name\tmu\nwater\t1.8\n\nhf\t0.8\n",
        '# name , mu \n"water", 1.8\r\n hf ,0.8\r\n',
        "name,mu\ngeometries/water.xyz,1.8\nhf.xyz,0.8\n",
    ],
)
def test_ways_to_write_a_table(folder: Path, text: str) -> None:
    assert joined(folder, text).dipole_magnitude.tolist() == [0.8, 1.8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("water 1.8\n", "line 1: expected names of columns with commas"),
        ("water,1.8\nhf,0.8\n", r"line 1: expected names of columns, got the values"),
        ("name,mu\n", "no rows below"),
        ("name,mu\nwater\n", "line 2: expected 2 columns, got 1"),
        ("name,mu\nwater,1.8\nhf,large\n", "line 3: expected a finite number, got 'large'"),
        ("name,mu\nwater,inf\n", "line 2: expected a finite number"),
        ("name,mu\nwater,-1.8\n", "line 2: the magnitude .* is -1.8: expected"),
        ("name,mu\n,1.8\n", "line 2: the name of the molecule is missing"),
        ("name,mu,mu\nwater,1,1\n", "line 1: several columns are called 'mu'"),
        ("name,mu_x_au,mu_y_au,mu_z_au\nwater,1,,1\n", "line 2: expected a finite number"),
    ],
)
def test_damaged_tables(folder: Path, text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"dipoles.csv.*{message}"):
        joined(folder, text)


def test_no_column_of_names(folder: Path) -> None:
    with pytest.raises(InputError, match="no column with names of molecules found"):
        joined(folder, "number,mu\n1,1.8\n2,0.8\n")


def test_what_fits_nothing_is_counted_and_named(folder: Path) -> None:
    message = r"1 of 2 rows fit no molecule \(neon\).*1 of 2 molecules have no row \(hf\)"
    with pytest.warns(UserWarning, match=message):
        molecules = joined(folder, "name,mu\nwater,1.8\nneon,0\n")
    assert molecules.has_magnitude.tolist() == [False, True]
    with pytest.raises(
        InputError, match=r"none of its 2 names fits .*has Water, neon; .*are hf, w"
    ):
        joined(folder, "name,mu\nWater,1.8\nneon,0\n")


def test_empty_cells_are_missing_labels(folder: Path) -> None:
    molecules = joined(folder, "name,mu\nwater,\nhf,0.8\n")
    assert molecules.has_magnitude.tolist() == [True, False]


def test_names_that_are_there_twice(folder: Path) -> None:
    with pytest.raises(InputError, match=r"line 3: the name 'water' is there already.*line 2"):
        joined(folder, "name,mu\nwater,1.8\nwater,1.9\n")
    with pytest.raises(InputError, match=r"line 3: 'water.xyz' is the molecule of .*line 2"):
        joined(folder, "name,mu\nwater,1.8\nwater.xyz,1.8\n")
    (folder / "other.xyz").write_text(WATER.replace("\n\n", "\nname=water\n"))
    with pytest.raises(InputError, match="the name 'water' fits 2 molecules"):
        joined(folder, "name,mu\nwater,1.8\n")


def test_titles_go_before_stems(folder: Path) -> None:
    (folder / "water.xyz").write_text(WATER.replace("\n\n", "\nname=oxidane\n"))
    for name in ("water", "oxidane"):
        assert joined(folder, f"name,mu\n{name},1.8\nhf,0.8\n").dipole_magnitude[1] == 1.8


def test_charges_and_columns_that_are_not_read(folder: Path) -> None:
    molecules = joined(folder, "name,mu,charge,uncertainty\nwater,1.8,1,0.1\nhf,0.8,,0.1\n")
    assert molecules.total_charge.tolist() == [0, 1]
    assert any("left unread: uncertainty" in line for line in molecules.notes.assumed)
    (folder / "water.xyz").write_text(WATER.replace("\n\n", "\ncharge=-1\n"))
    with pytest.raises(InputError, match=r"line 2: the total charge of 'water' is 1 e here and -1"):
        joined(folder, "name,mu,charge\nwater,1.8,1\nhf,0.8,\n")


def test_dipoles_beside_the_geometries_are_not_mixed_in(folder: Path) -> None:
    (folder / "hf.xyz").write_text(FLUORIDE.replace("\n\n", "\nmu=9.0 dipole='0 0 1'\n"))
    with pytest.warns(UserWarning, match="have no row"):
        molecules = joined(folder, "name,mu\nwater,1.8\n")
    assert molecules.has_magnitude.tolist() == [False, True]
    assert molecules.has_vector.tolist() == [False, False]


def test_arrays_databases_and_lists_are_joined_too(tmp_path: Path) -> None:
    molecules = Molecules.concatenate(
        [as_molecules(molecule("H2O")), as_molecules(molecule("HF"))]
    ).replace(names=["water", "hf"], dipole_magnitude=[5.0, 5.0])
    table = tmp_path / "dipoles.csv"
    table.write_text("name,mine_au,charge\nhf,0.5,0\nwater,1.5,0\n")
    for suffix in (".npz", ".db", ".xyz"):
        write(tmp_path / f"set{suffix}", molecules)
        read_back = read(tmp_path / f"set{suffix}", labels_file=table, dipole_key="mine_au")
        np.testing.assert_allclose(read_back.dipole_magnitude, [1.5 * AU, 0.5 * AU])
    atoms = [Atoms("He", info={"name": name}) for name in ("water", "hf")]
    listed = as_molecules(atoms, labels_file=table, dipole_key="mine_au")
    np.testing.assert_allclose(listed.dipole_magnitude, [1.5 * AU, 0.5 * AU])
    with pytest.raises(InputError, match="labels_file: keys and units are for files"):
        as_molecules(molecules, labels_file=table)
    assert not read(tmp_path / "set.xyz", labels_file=table, labels=False).has_magnitude.any()


SD = (
    "{}\n  made-up 3D\n\n  2  0  0  0  0  0  0  0  0  0999 V2000\n"
    "    0.0000    0.0000    0.0000 F   0  0\n    0.0000    0.0000    0.9200 H   0  0\n"
    "M  END\n{}$$$$\n"
)


def test_the_table_beside_gdb9_is_found_by_itself(tmp_path: Path) -> None:
    file, table = tmp_path / "gdb9.sdf", tmp_path / "gdb9.sdf.csv"
    file.write_text(SD.format("gdb_1", "") + SD.format("gdb_3", ""))
    table.write_text(
        "mol_id,A,B,C,mu,alpha\ngdb_1,1,1,1,0.0,6\ngdb_2,1,1,1,1.6,9\ngdb_3,1,1,1,1.8,6\n"
    )
    molecules = read(file)
    assert molecules.dipole_magnitude.tolist() == [0.0, 1.8]
    assert any("lies beside the SD file" in line for line in molecules.notes.assumed)
    assert read(file, dipole_key="mu").has_magnitude.all()
    assert not read(file, dipole_key="none").has_magnitude.any()
    assert not read(file, labels=False).has_magnitude.any()
    # Labels in the file itself go first, and another table is none.
    file.write_text(SD.format("gdb_1", "> <mu>\n0.5\n\n"))
    assert read(file).dipole_magnitude.tolist() == [0.5]
    file.write_text(SD.format("gdb_1", ""))
    table.write_text("mol_id,price\ngdb_1,3\n")
    assert not read(file).has_magnitude.any()


@pytest.mark.parametrize("head", ["name;dipole, D", "name;mu / D", "name;dipole moment / Debye"])
def test_units_behind_a_slash_or_a_comma(folder: Path, head: str) -> None:
    molecules = joined(folder, f"{head}\nwater;1,5\nhf;0,5\n")
    np.testing.assert_allclose(molecules.dipole_magnitude, [0.5, 1.5])
    with pytest.raises(InputError, match="unknown unit 'furlong'"):
        joined(folder, "name,mu / furlong\nwater,1.5\nhf,0.5\n")


@pytest.mark.parametrize("key", ["charge", "q"])
def test_total_charges_of_a_table_are_said_to_come_from_there(folder: Path, key: str) -> None:
    text = f"name,mu,{key}\nwater,1.5,1\nhf,0.5,0\n"
    molecules = joined(folder, text)
    assert molecules.total_charge.tolist() == [0, 1]
    arrays = {key: getattr(molecules, key) for key in ("natoms", "numbers", "positions")}
    np.savez(folder.parent / "all.npz", name=molecules.names, **arrays)
    for found in (molecules, joined(folder.parent / "all.npz", text)):
        said = [line for line in found.notes.assumed if line.startswith("total charge")]
        assert len(said) == 1
        assert "dipoles.csv (2 molecules)" in said[0]


def test_a_table_in_another_encoding_is_told(folder: Path) -> None:
    table = folder.parent / "dipoles.csv"
    table.write_bytes("name,mu (D),remark\nwater,1.5,25 °C\n".encode("latin-1"))
    with pytest.raises(FileFormatError, match="expected text in UTF-8"):
        read(folder, labels_file=table)


def test_a_column_without_a_name_is_not_listed(folder: Path) -> None:
    molecules = joined(folder, ",name,mu\n0,water,1.5\n1,hf,0.5\n")
    assert not any("left unread" in line for line in molecules.notes.assumed)


def test_a_table_in_place_of_geometries_is_told(tmp_path: Path) -> None:
    (tmp_path / "dipoles.csv").write_text("name,mu\nwater,1.5\n")
    with pytest.raises(FileFormatError, match="goes beside geometries: --labels"):
        read(tmp_path / "dipoles.csv")
