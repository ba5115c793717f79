"""Options about reading are the same for all commands, and reach the reader."""

from pathlib import Path

import pytest
from ase.build import molecule
from ase.db import connect
from helpers.commands import refused, run

from dipkit.data.datasets import load_organics
from dipkit.data.io import write

LABELS = ("--dipole", "--dipole-unit", "--charges", "--skip-invalid")
GEOMETRY = ("--length-unit", "--total-charge", "--ignore-pbc", "--max-unpacked")


@pytest.fixture
def water(tmp_path: Path) -> Path:
    atoms = molecule("H2O")
    atoms.info = {"mine": 1.85, "charges": [-0.6, 0.3, 0.3]}
    with connect(tmp_path / "water.db") as database:
        database.write(atoms, data=atoms.info)
    return tmp_path / "water.db"


@pytest.mark.parametrize("command", ["fit", "tune", "evaluate", "info", "convert"])
def test_commands_with_labels_take_all_options(command: str) -> None:
    text = run(command, "--help").stdout
    assert all(option in text for option in LABELS + GEOMETRY)


def test_commands_without_labels_take_those_of_geometries() -> None:
    text = run("label", "--help").stdout
    assert all(option in text for option in GEOMETRY)
    assert not any(f"{option} " in text for option in LABELS)


def test_options_reach_the_reader(water: Path) -> None:
    lines = run("info", water, "--dipole", "mine", "--charges", "none").stdout
    assert "n_magnitudes        1\n" in lines
    assert "n_charges           0\n" in lines
    assert "--dipole-unit" in refused("info", water, "--dipole-unit", "furlong")


def test_fit_proposes_the_key(water: Path, tmp_path: Path) -> None:
    error = refused("fit", water, "-o", tmp_path / "m.dipkit")
    assert "with numbers: mine (1 number), charges" in error
    assert "unit of positions" not in error


def test_info_shows_units_and_hints(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    with connect(tmp_path / "water.db") as database:
        database.write(atoms, data={"dft_dipole": [0, 0, 0.7]})
    text = run("info", tmp_path / "water.db").stdout
    assert "--dipole dft_dipole" in text
    assert "positions read in angstrom: the file names no other unit" in text
    text = run(
        "info", tmp_path / "water.db", "--dipole", "dft_dipole", "--dipole-unit", "au"
    ).stdout
    assert "read in e*bohr (atomic units): dipole_unit='au'" in text
    assert "1.779" in text


def test_info_says_whether_the_unit_was_checked(tmp_path: Path) -> None:
    write(tmp_path / "one.npz", load_organics()[:1])
    assert "was not checked" in run("info", tmp_path / "one.npz").stdout
    write(tmp_path / "many.npz", load_organics()[:50])
    text = run("info", tmp_path / "many.npz").stdout
    assert "times what the baseline gives (median of" in text
    assert "no sign of another unit" in text
