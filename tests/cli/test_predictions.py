"""What `predict`, `evaluate` and `report` write, and that `fit` takes no prediction for a label."""

import csv
import json
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from helpers.commands import refused, run

import dipkit
from dipkit.data.datasets import load_organics
from dipkit.estimator.metrics import compare, vector_angles


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model and six labelled molecules that it was not fitted to."""
    place, molecules = tmp_path_factory.mktemp("predictions"), load_organics()[:36]
    model = dipkit.default_model(basis__n_inducing=60, alpha=1e-4, device="cpu")
    dipkit.save_model(model.fit(molecules[:30]), place / "model.dipkit")
    dipkit.write(place / "test.npz", molecules[30:])
    return place


@pytest.fixture
def molecules(folder: Path) -> dipkit.Molecules:
    return dipkit.read(folder / "test.npz")


@pytest.fixture
def expected(folder: Path, molecules) -> dipkit.Prediction:
    return dipkit.predict_all(dipkit.load_model(folder / "model.dipkit"), molecules, True)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


@pytest.mark.parametrize("options", [(), ("--ase-results",)])
def test_fit_refuses_a_file_of_predictions(folder: Path, tmp_path: Path, options) -> None:
    model, out = folder / "model.dipkit", tmp_path / "p.xyz"
    run("predict", model, folder / "test.npz", "-o", out, *options)
    for arguments in (("fit", out, "-o", tmp_path / "m.dipkit"), ("evaluate", model, out)):
        said = refused(*arguments)
        assert "no dipole label found" in said
        assert "predictions of a model" in said
        assert "Perhaps" not in said
    by = ase.io.read(out).info["predicted_by"]
    assert by.startswith("model.dipkit of 20")
    assert by.endswith(f"dipkit {dipkit.__version__}")
    assert (ase.io.read(out).calc is not None) == bool(options)


def test_fit_warns_where_labels_stand_beside_predictions(folder: Path, tmp_path: Path) -> None:
    run("predict", folder / "model.dipkit", folder / "test.npz", "-o", tmp_path / "p.xyz")
    frames = ase.io.read(tmp_path / "p.xyz", ":")
    for frame in frames:
        frame.info["dipole_debye"] = 1.5
    ase.io.write(tmp_path / "both.xyz", frames)
    out = tmp_path / "m.dipkit"
    arguments = ("fit", tmp_path / "both.xyz", "-o", out, "--n-inducing", 10, "--device", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = run(*arguments)
    assert "warning: labels: The key 'predicted_by' says" in result.stderr


def test_reference_and_errors(folder: Path, tmp_path: Path, molecules, expected) -> None:
    run(
        "predict", folder / "model.dipkit", folder / "test.npz", "-o", tmp_path / "p.csv",
        "--reference",
    )  # fmt: skip
    rows = rows_of(tmp_path / "p.csv")
    np.testing.assert_allclose(
        column(rows, "reference_dipole_debye"), molecules.dipole_magnitude, atol=1e-6
    )
    errors = expected.magnitude - molecules.dipole_magnitude
    np.testing.assert_allclose(column(rows, "error_debye"), errors, atol=2e-6)
    np.testing.assert_allclose(column(rows, "predicted_std_debye"), expected.std, atol=1e-6)


def test_named_reference(folder: Path, tmp_path: Path, molecules) -> None:
    frames = dipkit.to_atoms(molecules)
    for frame in frames:
        frame.calc = None
        frame.info = {"mine": 2.0}
    ase.io.write(tmp_path / "new.xyz", frames)
    out = ("-o", tmp_path / "p.csv", "--reference")
    assert "no dipole label" in refused(
        "predict", folder / "model.dipkit", tmp_path / "new.xyz", *out
    )
    run("predict", folder / "model.dipkit", tmp_path / "new.xyz", *out, "--dipole", "mine")
    assert (column(rows_of(tmp_path / "p.csv"), "reference_dipole_debye") == 2.0).all()


def test_table_of_charges(folder: Path, tmp_path: Path, molecules, expected) -> None:
    for out in ("p.csv", "p.xyz"):
        run(
            "predict", folder / "model.dipkit", folder / "test.npz", "-o", tmp_path / out,
            "--charges-output", tmp_path / "q.csv",
        )  # fmt: skip
        rows = rows_of(tmp_path / "q.csv")
        np.testing.assert_allclose(column(rows, "predicted_charges_e"), expected.charges, atol=1e-6)
        assert [row["name"] for row in rows] == molecules.names[molecules.molecule_index].tolist()
        atoms = [row for row in rows if row["name"] == molecules.names[2]]
        assert [row["atom"] for row in atoms] == [str(k + 1) for k in range(len(atoms))]
        assert "".join(row["element"] for row in atoms) == "".join(
            dipkit.to_atoms(molecules[2])[0].get_chemical_symbols()
        )


def test_options_for_another_kind_of_file(folder: Path, tmp_path: Path) -> None:
    start = ("predict", folder / "model.dipkit", folder / "test.npz", "-o")
    assert "expected a table" in refused(*start, tmp_path / "p.xyz", "--reference")
    assert "expected a .xyz file" in refused(*start, tmp_path / "p.csv", "--ase-results")
    said = refused(*start, tmp_path / "p.csv", "--charges-output", tmp_path / "q.xyz")
    assert "unknown suffix '.xyz'" in said
    assert list(tmp_path.iterdir()) == []


def test_errors_of_each_molecule(folder: Path, tmp_path: Path, molecules, expected) -> None:
    vectors = molecules.dipole_vector.copy()
    vectors[1] = np.nan
    magnitudes = molecules.dipole_magnitude.copy()
    magnitudes[2], vectors[2] = np.nan, np.nan
    some = molecules.replace(dipole_vector=vectors, dipole_magnitude=magnitudes)
    dipkit.write(tmp_path / "some.npz", some)
    result = run(
        "evaluate", folder / "model.dipkit", tmp_path / "some.npz", "-o", tmp_path / "e.csv",
        "--json",
    )  # fmt: skip
    assert json.loads(result.stdout) == compare(None, some, expected)
    rows = rows_of(tmp_path / "e.csv")
    kept = [0, 1, 3, 4, 5]
    assert [row["name"] for row in rows] == molecules.names[kept].tolist()
    errors = expected.magnitude - some.dipole_magnitude
    np.testing.assert_allclose(column(rows, "error_debye"), errors[kept], atol=2e-6)
    np.testing.assert_allclose(column(rows, "predicted_std_debye"), expected.std[kept], atol=1e-6)
    assert rows[1]["vector_error_debye"] == rows[1]["vector_angle_deg"] == ""
    angle = vector_angles(molecules.dipole_vector[:1], expected.dipole[:1])[0]
    assert float(rows[0]["vector_angle_deg"]) == pytest.approx(angle, abs=1e-5)
    apart = np.abs(expected.charges_of(4) - molecules[4].charges).mean()
    assert float(rows[3]["charge_mae_e"]) == pytest.approx(apart, abs=1e-5)


def test_pages(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model, data, page = folder / "model.dipkit", folder / "test.npz", tmp_path / "a.html"
    run("report", model, data, "-o", page, "--title", "Six molecules")
    assert "<h1>Six molecules</h1>" in page.read_text("utf-8")
    errors = json.loads(
        run("evaluate", model, data, "--report", tmp_path / "b.html", "--json").stdout
    )
    assert f"{errors['mae_debye']:.3f} D" in (tmp_path / "b.html").read_text("utf-8")
    curve = tmp_path / "curve.csv"
    curve.write_text("train_size,mae\n100,0.5\n200,0.4\n", encoding="utf-8")
    run("report", model, data, "-o", page, "--curve", curve)
    assert "<h2>Learning curve</h2>" in page.read_text("utf-8")
    curve.write_text("size,r2\n100,0.5\n", encoding="utf-8")
    assert "no column with errors" in refused("report", model, data, "-o", page, "--curve", curve)
    assert ".html" in refused("report", model, data, "-o", tmp_path / "a.pdf")
    assert ".html" in refused("evaluate", model, data, "--report", tmp_path / "a.pdf")


def test_options_about_labels_need_a_reference(folder: Path, tmp_path: Path) -> None:
    said = refused(
        "predict", folder / "model.dipkit", folder / "test.npz", "-o", tmp_path / "p.csv",
        "--dipole", "mu",
    )  # fmt: skip
    assert "--dipole: no labels are read without --reference" in said
