"""Options about reading are the same for all commands, and reach the reader."""

from pathlib import Path

import pytest
from ase.build import molecule
from ase.db import connect
from helpers.commands import refused, run

LABELS = ("--dipole", "--dipole-unit", "--charges", "--skip-invalid")
GEOMETRY = ("--length-unit", "--total-charge", "--ignore-pbc")


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


@pytest.mark.parametrize("command", ["predict", "label"])
def test_commands_without_labels_take_those_of_geometries(command: str) -> None:
    text = run(command, "--help").stdout
    assert all(option in text for option in GEOMETRY)
    assert not any(f"{option} " in text for option in LABELS)


def test_options_reach_the_reader(water: Path) -> None:
    lines = run("info", water, "--dipole", "mine", "--charges", "none").stdout
    assert "n_magnitudes        1\n" in lines
    assert "n_charges           0\n" in lines
    assert "--dipole-unit" in refused("info", water, "--dipole-unit", "furlong")
