"""`dipkit tune`."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.searches import small_search
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from typer.testing import CliRunner

import dipkit
from dipkit import DipoleSearchCV
from dipkit.cli.app import app
from dipkit.cli.tune import LiveTable, part
from dipkit.data.datasets import load_organics
from dipkit.exceptions import InputError
from dipkit.search import space_from_json

SPACE = {
    "dipolekernelridge__basis__n_inducing": [30],
    "dipolekernelridge__basis__kernel__degree": {"low": 1.6, "high": 3.0},
    "dipolekernelridge__alpha": {"low": 1e-4, "high": 1e-2, "log": True},
}


@pytest.fixture(scope="module")
def molecules():
    return load_organics()[:36]


@pytest.fixture(scope="module")
def searched(molecules) -> DipoleSearchCV:
    return small_search(n_trials=5).fit(molecules)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, molecules):
    path = tmp_path_factory.mktemp("tune")
    dipkit.write(path / "data.npz", molecules)
    (path / "space.json").write_text(json.dumps(SPACE))
    return path


def tune(folder: Path, *options, code: int = 0):
    arguments = ["tune", folder / "data.npz", "-o", folder / "model", *options, "--cv", 3]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_command(folder):
    shared = ("--space", folder / "space.json", "--storage", folder / "study.db", "--json")
    report = json.loads(tune(folder, "--trials", 2, *shared).stdout)
    assert report["trials"] == 2
    assert report["held_out"]["n"] == 7
    difference = report["held_out"]["mae_debye"] - report["inner_mae_debye"]
    assert report["optimism_debye"] == pytest.approx(difference)
    model = dipkit.load_model(folder / "model")
    assert model[-1].label_summary_["n_molecules"] == 36
    assert json.loads(tune(folder, "--trials", 2, *shared).stdout)["trials"] == 2
    assert json.loads(tune(folder, "--trials", 3, *shared).stdout)["trials"] == 3


def test_interrupt_after_the_search_keeps_its_model(folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dipkit.cli.tune.predicted_report", interrupt)
    report = json.loads(
        tune(folder, "--trials", 1, "--space", folder / "space.json", "--json").stdout
    )
    assert "held_out" not in report
    model = dipkit.load_model(folder / "model")
    assert model[-1].label_summary_["n_molecules"] == 29  # without the fifth that was kept out


def test_command_says_what_was_won(folder):
    shared = ("--trials", 2, "--space", folder / "space.json", "--json")
    report = json.loads(tune(folder, *shared).stdout)
    gain, error = report["gain_debye"]
    assert report["kept_untuned"] is not (gain > 2 * error)
    assert "kept_untuned" not in json.loads(tune(folder, *shared, "--no-guard").stdout)


def test_command_with_a_baseline(folder, molecules):
    path = folder / "given.npz"
    dipkit.write(path, molecules.replace(baseline_dipole=0.9 * molecules.dipole_vector))
    arguments = ["tune", path, "-o", folder / "corrected", "--baseline", "given", "--trials", 1]
    arguments += ["--space", folder / "space.json", "--cv", 3]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    assert dipkit.load_model(folder / "corrected")[-1].baseline == "given"


def test_command_writes_a_page_with_pictures(folder):
    page = folder / "study.html"
    tune(folder, "--trials", 3, "--space", folder / "space.json", "--report", page)
    text = page.read_text()
    # The history and the grids; importances take more trials.
    assert text.count("data:image/svg+xml") == 2
    assert "Importance of the parameters" not in text
    assert "molecules kept out" in text


def test_command_refuses_a_bad_space(folder):
    (folder / "bad.json").write_text('{"dipolekernelridge__alpha": 3}')
    assert "space" in tune(folder, "--space", folder / "bad.json", code=2).stderr
    with pytest.raises(InputError, match="JSON"):
        space_from_json("{")


def test_live_table_shows_the_study(searched):
    rows = dict(LiveTable(n_trials=9).table(searched.study_).rows)
    assert rows["trials"] == "5 of 9"
    assert rows["best MAE, debye"].startswith(f"{-searched.best_score_:.4f}")
    assert any(name.endswith("alpha") for name in rows)


def test_held_out_molecules_show_no_new_element(molecules):
    inside, outside = part(molecules)
    assert len(inside) + len(outside) == 36
    assert not np.intersect1d(inside, outside).size
    assert np.isin(molecules[outside].elements, molecules[inside].elements).all()
