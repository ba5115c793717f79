"""A folder of geometries and a table of dipoles, the most common layout of experimental data."""

import csv
import json
from pathlib import Path

import pytest
from ase.io import write
from helpers.commands import refused, run

from dipkit.data.datasets import load_organics
from dipkit.data.formats.ase_atoms import to_atoms

N_MOLECULES = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "geometries").mkdir()
    molecules = load_organics()[:N_MOLECULES]
    with (folder / "dipoles.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["molecule", "mu_debye", "charge"])
        for index, atoms in enumerate(to_atoms(molecules)):
            write(folder / "geometries" / f"m{index:02d}.xyz", atoms, plain=True)
            table.writerow([f"m{index:02d}.xyz", molecules.dipole_magnitude[index], 0])
    return folder


def test_fit_and_evaluate(folder: Path) -> None:
    data, table, model = folder / "geometries", folder / "dipoles.csv", folder / "m.dipkit"
    result = run("fit", data, "--labels", table, "-o", model, "--n-inducing", 40, "--json")
    report = json.loads(result.stdout)
    assert report["labels"]["n_magnitudes"] == N_MOLECULES
    errors = json.loads(run("evaluate", model, data, "--labels", table, "--json").stdout)
    assert errors["n"] == N_MOLECULES
    assert errors["mae_debye"] < 0.2
    run("predict", model, data, "-o", folder / "predicted.csv")
    with (folder / "predicted.csv").open() as handle:
        names = [row["name"] for row in csv.DictReader(handle)]
    assert names == [f"m{index:02d}" for index in range(N_MOLECULES)]
    # What dipkit predicted is no table of labels.
    message = refused("info", data, "--labels", folder / "predicted.csv")
    assert "Predictions are not read as labels" in message


def test_unit_column_and_notes(folder: Path) -> None:
    data, table = folder / "geometries", folder / "dipoles.csv"
    text = run("info", data, "--labels", table).stdout
    assert "dipoles read in debye: as the column says" in text
    assert "debye, and dipole_unit (--dipole-unit) says au" in refused(
        "info", data, "--labels", table, "--dipole-unit", "au"
    )
    assert "expected one column of" in refused("info", data, "--labels", table, "--dipole", "x")
    run("convert", data, folder / "all.npz", "--labels", table)
    assert f"n_magnitudes        {N_MOLECULES}\n" in run("info", folder / "all.npz").stdout


def test_no_table_and_commands_without_labels(folder: Path) -> None:
    data = folder / "geometries"
    assert "none.csv: no such file" in refused("info", data, "--labels", folder / "none.csv")
    help_text = {name: run(name, "--help").stdout for name in ("fit", "tune", "predict", "label")}
    assert all("--labels" in help_text[name] for name in ("fit", "tune"))
    assert "--labels" not in help_text["label"]
