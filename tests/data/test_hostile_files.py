"""Files that claim what is not there, and values that no molecule has: each is a clear error."""

import json
import sqlite3
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.db import connect
from ase.io.trajectory import Trajectory
from helpers.commands import refused

from dipkit.data.io import read, write
from dipkit.data.molecules import Molecules
from dipkit.exceptions import FileFormatError, InputError

POSITIONS = [[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]
WATER = "3\n{}\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n"


@pytest.fixture
def xyz(tmp_path: Path) -> Callable[[str], Path]:
    def write_text(text: str) -> Path:
        path = tmp_path / "set.xyz"
        path.write_text(text)
        return path

    return write_text


@pytest.mark.parametrize("width", ["300000000", "2147483647", "4", "0", "-1", "9" * 30])
def test_columns_that_are_not_there(width: str, xyz: Callable[[str], Path]) -> None:
    file = xyz(WATER.format(f"Properties=species:S:1:pos:R:{width}"))
    with pytest.raises(FileFormatError, match=r"line 1: Properties=.* the first atom has 4"):
        read(file)


@pytest.mark.parametrize("count", ["2147483647", "9" * 30, "9" * 5000, "1000001"])
def test_more_atoms_than_any_molecule(count: str, xyz: Callable[[str], Path]) -> None:
    text = f"{count}\n" + WATER.format("")[2:] + WATER.format("")
    with pytest.raises(FileFormatError, match="line 1: expected the number of atoms"):
        read(xyz(text))
    # The frames behind it are not lost.
    with pytest.warns(UserWarning, match="1 of 2 records are bad"):
        assert len(read(xyz(text), skip_invalid=True)) == 1


def test_a_frame_that_claims_more_than_the_file_has(xyz: Callable[[str], Path]) -> None:
    text = "50" + WATER.format("")[1:] + WATER.format("") * 2
    with pytest.warns(UserWarning, match="1 of 3 records are bad"):
        assert len(read(xyz(text), skip_invalid=True)) == 2


def test_a_file_of_damaged_frames_ends_early(xyz: Callable[[str], Path]) -> None:
    with (
        pytest.warns(UserWarning, match="1001 of 1001 frames .*the rest of the file is left"),
        pytest.raises(FileFormatError, match="the file ends within a frame of 9998 atoms"),
    ):
        read(xyz("9998\n" * 3000))


@pytest.mark.parametrize("number", ["1e999999", "9" * 5000, "1e20", "-1e300"])
def test_coordinates_of_any_size(number: str, xyz: Callable[[str], Path]) -> None:
    with pytest.raises(InputError) as raised:
        read(xyz(WATER.format("").replace("0.12", number)))
    assert len(str(raised.value)) < 500


def test_lists_of_words_take_no_memory(xyz: Callable[[str], Path]) -> None:
    words = json.dumps(["x" * 5000, *["a"] * 100_000]).replace('"', '\\"')
    with pytest.raises(FileFormatError, match="characters of JSON"):
        read(xyz(WATER.format(f'note="_JSON {words}"')))


def test_names_are_bounded(xyz: Callable[[str], Path]) -> None:
    text = WATER.format(f"name={'x' * 251}") + WATER.format("")
    with pytest.raises(InputError, match="has 251 characters: expected at most 250"):
        read(xyz(text))
    with pytest.warns(UserWarning, match="1 of 2 records are bad"):
        assert len(read(xyz(text), skip_invalid=True)) == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("sign", ["_", "(", "."])
def test_keys_of_any_length_take_no_time(sign: str, xyz: Callable[[str], Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(read(xyz(WATER.format(f"a{sign * 100_000}=1.5")))) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positions": np.array(POSITIONS) + 1.1e4}, "beyond 10000 angstrom"),
        ({"total_charge": [21.0]}, "no molecule has 21 e"),
        ({"total_charge": [-1e300]}, "no molecule has -1e\\+300 e"),
        ({"charges": [-21.0, 10.5, 10.5]}, "charges: no molecule has more than 20 e"),
        ({"baseline_charges": [-21.0, 10.5, 10.5]}, "baseline_charges: no molecule has more"),
        ({"descriptor_charges": [-21.0, 10.5, 10.5]}, "descriptor_charges: no molecule has"),
        ({"dipole_magnitude": [1.1e4]}, "dipole_magnitude: no molecule has more than 10000 debye"),
        ({"dipole_vector": [[0, 0, -1.1e4]]}, "dipole_vector: no molecule has more than 10000"),
        ({"baseline_dipole": [[0, 0, 1e200]]}, "baseline_dipole: no molecule has more than 10000"),
        ({"quadrupole": [np.diag([1e9, 1e9, -2e9])]}, "quadrupole: no molecule has more than"),
    ],
)
def test_values_that_no_molecule_has(fields: dict[str, object], message: str) -> None:
    water = {"numbers": [8, 1, 1], "positions": POSITIONS, "offsets": [0, 3]}
    with pytest.raises(InputError, match=message):
        Molecules(**water | fields)


def test_values_at_the_limits_are_read() -> None:
    water = Molecules(
        numbers=[8, 1, 1],
        positions=np.array(POSITIONS) + 9.9e3,
        offsets=[0, 3],
        total_charge=[20.0],
        charges=[20.0, 0.0, 0.0],
        dipole_magnitude=[1e4],
    )
    assert len(water) == 1


def test_a_file_of_sqlite_that_is_no_database_of_ase_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE trials (id INTEGER)")
    connection.close()
    before = file.read_bytes()
    assert "no ASE database: it has no table 'systems'" in refused("info", file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


def test_databases_are_opened_for_reading_only(tmp_path: Path) -> None:
    file = tmp_path / "a#b%20c.db"
    with connect(file) as database:
        database.write(molecule("H2O"), total_charge=0)
    before, time_before = file.read_bytes(), file.stat().st_mtime_ns
    file.chmod(0o400)
    time.sleep(0.01)
    assert len(read(file)) == 1
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, time_before)


def rows(tmp_path: Path, n: int = 3) -> tuple[Path, dict[str, dict[str, object]]]:
    file = tmp_path / "set.json"
    water = Molecules([8, 1, 1] * n, POSITIONS * n, np.arange(n + 1) * 3, names=list("abc")[:n])
    write(file, water)
    return file, json.loads(file.read_text())


ARRAYS = (
    [[10_000_000_000], "float64", [0.0]],
    [[10_000], "float64", [0.0]],
    [[3, 3], "S1000000000", [0] * 9],
    [[-1, 3], "float64", []],
    [[1], "object", [0]],
    [None, "float64", [0.0]],
    None.__class__.__name__,
)


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("key", ["positions", "data", "constraints"])
def test_arrays_in_json_claim_what_is_there(key: str, array: object, tmp_path: Path) -> None:
    file, content = rows(tmp_path)
    content["2"][key] = (
        {"__ndarray__": array} if key == "positions" else {"a": {"__ndarray__": array}}
    )
    file.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"set\.json, row 2: cannot be read: ValueError"):
        read(file)
    with pytest.warns(UserWarning, match="1 of 3 records are bad"):
        assert read(file, skip_invalid=True).names.tolist() == ["a", "c"]


def test_texts_of_json_within_json_are_checked(tmp_path: Path) -> None:
    file, content = rows(tmp_path)
    inner = json.dumps({"a": {"__ndarray__": ARRAYS[0]}})
    content["1"]["calculator_parameters"] = json.dumps(inner)
    file.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match="row 1: cannot be read: ValueError: an array claims"):
        read(file)


@pytest.mark.parametrize(
    "text",
    [
        *("[", "{" * 100_000, '{"ids": [1], "1": ' + "[" * 100_000, "[1, 2]", "{}", '{"ids": 1}'),
        *('{"ids": [1]}', '{"ids": [1], "1": {}} {}', '{"1": {"a": 1}', '{"1" 1}', "{1: 2}", "nan"),
    ],
)
def test_json_that_is_no_database(text: str, tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    file.write_text(text)
    assert "set.json" in refused("info", file)


def test_json_without_numbers_of_rows_has_one(tmp_path: Path) -> None:
    file, content = rows(tmp_path)
    file.write_text(json.dumps({"1": content["1"]}))
    assert len(read(file)) == 1


@pytest.mark.parametrize("column", ["data", "key_value_pairs", "calculator_parameters"])
def test_texts_in_cells_are_checked(column: str, tmp_path: Path) -> None:
    file = tmp_path / "set.db"
    with connect(file) as database:
        for _ in range(3):
            database.write(molecule("H2O"))
    cell = json.dumps({"a": {"__ndarray__": ARRAYS[0]}})
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE systems SET {column} = ? WHERE id = 2", (cell,))
    connection.close()
    with pytest.raises(
        FileFormatError, match=r"set\.db, row 2: cannot be read: ValueError: an array"
    ):
        read(file)
    with pytest.warns(UserWarning, match="1 of 3 records are bad"):
        assert len(read(file, skip_invalid=True)) == 2


@pytest.mark.parametrize("place", [24 + 8, 24 + 16])
def test_trajectories_claim_what_is_there(place: int, tmp_path: Path) -> None:
    file = tmp_path / "set.traj"
    with Trajectory(file, "w") as trajectory:
        trajectory.write(molecule("H2O"))
    content = bytearray(file.read_bytes())
    content[place : place + 8] = (2**40).to_bytes(8, "little")
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"set\.traj: no trajectory .* bytes are claimed at"):
        read(file)


def test_arrays_of_trajectories_have_places_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "set.traj"
    atoms = molecule("C60")
    with Trajectory(file, "w") as trajectory:
        for _ in range(20):
            trajectory.write(atoms)
    content = file.read_bytes()
    count, place = np.frombuffer(content[32:48], "<i8")
    first = content[place : place + 8]
    file.write_bytes(content[:place] + first * int(count) + content[place + 8 * int(count) :])
    with pytest.raises(FileFormatError, match="bytes are claimed at 0"):
        read(file)
