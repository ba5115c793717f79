"""One bad molecule does not lose the others: `predict`, `label`, `fit`, `info`, `convert`."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read as ase_read
from helpers.commands import refused, run, warned

import dipkit
from dipkit.data.datasets import load_organics
from dipkit.estimator import predict_all
from dipkit.exceptions import InputError

WATER = "3\nname=water\nO 0 0 0.117\nH 0 0.757 -0.468\nH 0 -0.757 -0.468\n"
METHANE = (
    "5\nname=methane\nC 0 0 0\nH 0.63 0.63 0.63\nH -0.63 -0.63 0.63\n"
    "H 0.63 -0.63 -0.63\nH -0.63 0.63 -0.63\n"
)
UNKNOWN = "2\nname=acid\nCl 0 0 0\nH 0 0 1.28\n"
TWICE = "2\nname=twice\nO 0 0 0\nO 0 0 0.001\n"
DAMAGED = "2\nname=damaged\nO 0 0 0\nH 0 zero 1\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.dipkit"
    fitted = dipkit.default_model(basis__n_inducing=60).fit(load_organics()[:40])
    dipkit.save_model(fitted, path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.xyz"
    path.write_text(WATER + UNKNOWN + METHANE + TWICE + DAMAGED + WATER)
    return path


@pytest.mark.parametrize("per_part", [1, 2, 5000])
def test_predict_goes_on_and_keeps_the_order(model, mixed, tmp_path, monkeypatch, per_part) -> None:
    monkeypatch.setattr("dipkit.estimator.pipeline.PART_MOLECULES", per_part)
    output = tmp_path / "out.csv"
    result = warned("predict", model, mixed, "-o", output, "--json")
    report = json.loads(result.stdout)
    assert (report["molecules"], report["failed"]) == (6, 3)
    assert (
        "3 of 6 records could not be predicted: record 1 ('acid'): Cl is none of" in result.stderr
    )
    assert "record 3 ('twice'): " in result.stderr
    assert "atoms 0 and 1 of molecule 3 ('twice') are 0.001 angstrom apart" in result.stderr
    assert "mixed.xyz, line 21" in result.stderr  # the damaged frame
    rows = rows_of(output)
    missing = [row["predicted_dipole_debye"] == "nan" for row in rows]
    assert missing == [False, True, False, True, True, False]
    assert [row["name"] for row in rows][:4] == ["water", "acid", "methane", "twice"]
    only = tmp_path / "only.xyz"
    only.write_text(WATER + METHANE)
    run("predict", model, only, "-o", tmp_path / "only.csv")
    for alone, row in zip(rows_of(tmp_path / "only.csv"), (rows[0], rows[2]), strict=False):
        assert alone.pop("name") == row.pop("name")
        # Parts of other sizes differ in the last digit, and in the sign of zero.
        assert list(map(float, alone.values())) == pytest.approx(
            list(map(float, row.values())), abs=2e-5
        )


def test_predict_writes_xyz_that_reads_as_missing(model, mixed, tmp_path) -> None:
    output = tmp_path / "out.xyz"
    warned("predict", model, mixed, "-o", output)
    found = dipkit.read(output)
    assert found.names.tolist() == ["water", "acid", "methane", "water"]
    frames = ase_read(output, ":")
    predicted = ["predicted_dipole_debye" in frame.info for frame in frames]
    assert predicted == [True, False, True, True]


def test_strict_writes_nothing(model, mixed, tmp_path) -> None:
    output = tmp_path / "out.csv"
    assert "3 of 6" not in refused("predict", model, mixed, "-o", output, "--strict")
    assert not output.exists()
    mixed.write_text(WATER + UNKNOWN)
    said = refused("predict", model, mixed, "-o", output, "--strict")
    assert "1 of 2 molecules" in said
    assert not output.exists()


def test_nothing_that_can_be_predicted_is_an_error(model, tmp_path) -> None:
    (tmp_path / "all.xyz").write_text(UNKNOWN + TWICE)
    said = refused("predict", model, tmp_path / "all.xyz", "-o", tmp_path / "out.csv")
    assert "2 of 2 records are bad" in said
    assert not (tmp_path / "out.csv").exists()


def test_any_refusal_of_the_model_is_one_row(model, monkeypatch) -> None:
    molecules, loaded = load_organics()[40:52], dipkit.load_model(model)
    whole = predict_all(loaded, molecules)
    np.testing.assert_array_equal(
        predict_all(loaded, molecules, skip_invalid=True).dipole, whole.dipole
    )
    refused_name, transform = molecules.names[7], type(loaded[0]).transform

    def refuse(self, X):
        if refused_name in X.names:
            raise InputError("an atom has no descriptor.")
        return transform(self, X)

    monkeypatch.setattr(type(loaded[0]), "transform", refuse)
    prediction = predict_all(loaded, molecules, skip_invalid=True)
    assert prediction.failures == {7: "an atom has no descriptor."}
    expected = whole.dipole.copy()
    expected[7] = np.nan
    np.testing.assert_allclose(prediction.dipole, expected, rtol=1e-5, atol=2e-5)
    assert np.isnan(prediction.charges_of(7)).all()
    assert not np.isnan(prediction.charges_of(8)).any()


def test_predictions_with_standard_deviations_and_nan(model, mixed, tmp_path) -> None:
    output = tmp_path / "out.csv"
    warned("predict", model, mixed, "-o", output, "--std")
    stds = [row["predicted_std_debye"] for row in rows_of(output)]
    assert [value == "nan" for value in stds] == [False, True, False, True, True, False]


def test_label_goes_on(mixed, tmp_path) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    output = tmp_path / "out.npz"
    label = ("label", mixed, "-o", output, "--method", "gfn2", "--jobs", 1, "--json")
    assert "2 of 6 records are bad" in refused(*label, "--strict")
    result = warned(*label)
    report = json.loads(result.stdout)
    assert (report["molecules"], report["unread"]) == (4, 2)
    assert "2 of 6 records are bad" in result.stderr
    assert dipkit.read(output).names.tolist() == ["water", "acid", "methane", "water"]


@pytest.mark.parametrize("command", ["info", "convert", "fit"])
def test_bad_records_are_counted_and_can_be_left_out(tmp_path, command) -> None:
    molecules = load_organics()[:30]
    dipkit.write(tmp_path / "good.xyz", molecules)
    good = (tmp_path / "good.xyz").read_text()
    path = tmp_path / "in.xyz"
    path.write_text(TWICE + good + DAMAGED)
    arguments = {
        "info": ("info", path, "--json"),
        "convert": ("convert", path, tmp_path / "out.npz"),
        "fit": ("fit", path, "-o", tmp_path / "m.dipkit", "--n-inducing", 40, "--json"),
    }[command]
    said = refused(*arguments)
    assert "2 of 32 records are bad" in said
    assert "angstrom apart" in said
    assert "damaged" in said or "line" in said
    assert "--skip-invalid" in said
    result = warned(*arguments, "--skip-invalid")
    assert "2 of 32 records are bad: record 0 ('twice'): " in result.stderr
    assert "left out" in result.stderr
    if command == "info":
        assert json.loads(result.stdout)["n_molecules"] == 30
    elif command == "convert":
        assert dipkit.read(tmp_path / "out.npz").names.tolist() == molecules.names.tolist()
