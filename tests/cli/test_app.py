"""The command line, end to end, and its messages about bad input."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read as ase_read
from ase.io import write as ase_write
from helpers.commands import refused, run
from helpers.devices import why_no_cuda

import dipkit
from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return load_organics()[:36]


@pytest.fixture(scope="module")
def data(folder: Path, molecules: Molecules) -> Path:
    dipkit.write(folder / "train.xyz", molecules[:30])
    return folder / "train.xyz"


@pytest.fixture(scope="module")
def held_out_data(folder: Path, molecules: Molecules) -> Path:
    dipkit.write(folder / "test.npz", molecules[30:])
    return folder / "test.npz"


@pytest.fixture(scope="module")
def fitted(folder: Path, data: Path):
    """Model file, and what `fit` reported."""
    path = folder / "model.dipkit"
    settings = ("--n-inducing", 60, "--alpha", 1e-4, "--charge-weight", 1e-3, "--seed", 1)
    result = run("fit", data, "-o", path, *settings, "--device", "cpu", "--json")
    return path, json.loads(result.stdout)


@pytest.fixture(scope="module")
def model(fitted) -> Path:
    return fitted[0]


# From files to files


def test_fit_reports_what_it_did(fitted) -> None:
    path, report = fitted
    assert report["model"] == str(path)
    assert report["molecules"] == 30
    assert report["labels"]["n_charges"] == 30
    assert report["parameters"]["alpha"] == 1e-4
    assert report["charge_weight"] == 1e-3
    assert report["training_error"]["n"] == 30
    assert report["seconds"] > 0


def test_model_file_holds_the_pipeline(model: Path, molecules: Molecules) -> None:
    pipeline = dipkit.load_model(model)
    described = pipeline[0].transform(molecules[30:])
    assert np.array_equal(pipeline[-1].predict(described), pipeline.predict(molecules[30:]))


def test_fit_without_json_keeps_stdout_clean(data: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.npz"
    dipkit.write(small, dipkit.read(data)[:4].replace(charges=None))
    result = run("fit", small, "-o", tmp_path / "m.dipkit", "--n-inducing", 10)
    assert result.stdout == ""
    for word in ("molecules", "4 vectors", "alpha", "MAE", "seconds"):
        assert word in result.stderr


def test_info_of_data_and_models(model: Path, data: Path, tmp_path: Path) -> None:
    about = json.loads(run("info", data, "--json").stdout)
    assert (about["n_molecules"], about["n_charges"]) == (30, 30)
    assert "n_magnitudes" in run("info", data).stdout
    renamed = tmp_path / "model.xyz"  # the content counts, not the name
    renamed.write_bytes(model.read_bytes())
    about = json.loads(run("info", renamed, "--json").stdout)
    assert about["parameters"]["DipoleKernelRidge"]["basis__n_inducing"] == 60
    assert "dipkit_version" in run("info", model).stdout


def test_predict_csv_and_xyz(model: Path, molecules: Molecules, tmp_path: Path) -> None:
    # Labels that would be refused: prediction does not read them.
    frames = dipkit.to_atoms(molecules[30:])
    for frame in frames:
        frame.calc = None
        frame.info["dipole_debye"] = -1.0
    ase_write(tmp_path / "new.xyz", frames, format="extxyz")
    expected = dipkit.predict_all(dipkit.load_model(model), molecules[30:])

    assert run("predict", model, tmp_path / "new.xyz", "-o", tmp_path / "out.csv").stdout == ""
    with open(tmp_path / "out.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    vector = ["predicted_x", "predicted_y", "predicted_z"]
    columns = ["name", "predicted_dipole_debye", *vector]
    assert list(rows[0]) == [*columns, "predicted_std_debye"]
    assert [row["name"] for row in rows] == molecules.names[30:].tolist()
    vectors = np.array([[row[name] for name in vector] for row in rows], float)
    np.testing.assert_allclose(vectors, expected.dipole, atol=1e-5)
    lengths = [float(row["predicted_dipole_debye"]) for row in rows]
    np.testing.assert_allclose(lengths, expected.magnitude, atol=1e-5)

    result = run("predict", model, tmp_path / "new.xyz", "-o", tmp_path / "out.xyz", "--json")
    assert json.loads(result.stdout)["molecules"] == 6
    read = ase_read(tmp_path / "out.xyz", ":")
    dipoles = np.array([frame.info["predicted_dipole_vector_debye"] for frame in read])
    np.testing.assert_allclose(dipoles, expected.dipole, atol=1e-5)
    charges = np.concatenate([frame.arrays["predicted_charges"] for frame in read])
    np.testing.assert_allclose(charges, expected.charges, atol=1e-6)
    stds = [float(row["predicted_std_debye"]) for row in rows]
    assert [frame.info["predicted_std_debye"] for frame in read] == pytest.approx(stds, abs=1e-5)

    run("predict", model, tmp_path / "new.xyz", "-o", tmp_path / "bare.csv", "--no-std")
    assert (tmp_path / "bare.csv").read_text().splitlines()[0] == ",".join(columns)


def test_predict_with_an_older_model(model: Path, molecules: Molecules, tmp_path: Path) -> None:
    older = dipkit.load_model(model)
    for name in [name for name in vars(older[-1]) if name.startswith("std_")]:
        delattr(older[-1], name)
    dipkit.save_model(older, tmp_path / "older.dipkit")
    dipkit.write(tmp_path / "new.npz", molecules[30:])
    arguments = (tmp_path / "older.dipkit", tmp_path / "new.npz", "-o", tmp_path / "out.csv")
    run("predict", *arguments)
    assert "std" not in (tmp_path / "out.csv").read_text()
    assert "fitted by an older dipkit" in run("predict", *arguments, "--std", code=2).stderr


def test_evaluate(model: Path, held_out_data: Path) -> None:
    report = json.loads(run("evaluate", model, held_out_data, "--json").stdout)
    assert report["n"] == report["n_vectors"] == 6
    keys = {"mae_debye", "rmse_debye", "r2", "median_debye", "p95_debye"}
    assert keys | {"vector_mae_debye", "charge_mae_e"} <= report.keys()


def test_convert_keeps_labels(held_out_data: Path, tmp_path: Path) -> None:
    run("convert", held_out_data, tmp_path / "copy.xyz")
    before, after = dipkit.read(held_out_data), dipkit.read(tmp_path / "copy.xyz")
    np.testing.assert_allclose(after.dipole_vector, before.dipole_vector, atol=1e-6)
    np.testing.assert_allclose(after.charges, before.charges, atol=1e-6)


def test_named_keys(tmp_path: Path) -> None:
    water = molecule("H2O")
    water.info["my_mu"] = 1.85
    water.set_array("my_q", np.array([-0.6, 0.3, 0.3]))
    ase_write(tmp_path / "water.xyz", [water], format="extxyz")
    keys = ("--dipole", "my_mu", "--charges", "my_q")
    about = json.loads(run("info", tmp_path / "water.xyz", *keys, "--json").stdout)
    assert (about["n_magnitudes"], about["n_charges"]) == (1, 1)
    assert "my_mu" in refused("fit", tmp_path / "water.xyz", "-o", tmp_path / "m")


def test_one_atom_molecule_is_allowed(model: Path, tmp_path: Path) -> None:
    ase_write(tmp_path / "atom.xyz", [Atoms("F", info={"charge": -1})], format="extxyz")
    run("predict", model, tmp_path / "atom.xyz", "-o", tmp_path / "out.csv")
    assert "0.000000" in (tmp_path / "out.csv").read_text()


@pytest.mark.filterwarnings("default")  # commands print warnings
def test_odd_electrons_are_named(model: Path, tmp_path: Path) -> None:
    frames = [
        Atoms("HF", [[0, 0, 0], [0, 0, 0.92]], info={"charge": q, "name": f"q{q}"}) for q in (0, 1)
    ]
    ase_write(tmp_path / "ions.xyz", frames, format="extxyz")
    ions, out = tmp_path / "ions.xyz", tmp_path / "out.dipkit"
    for result in (
        run("info", ions),
        run("predict", model, ions, "-o", tmp_path / "out.csv"),
        run("fit", ions, "-o", out, code=2),  # no labels
    ):
        assert "warning: odd number of electrons in 1 of 2 molecules: 'q1'." in result.stderr


@pytest.mark.slow
def test_real_processes(model: Path, held_out_data: Path) -> None:
    def call(*arguments):
        command = [sys.executable, "-m", "dipkit", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    result = call("evaluate", model, held_out_data, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["n"] == 6
    result = call("evaluate", model, "absent.xyz")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "dipkit: absent.xyz: no such file. Check the path.\n"


def test_help_and_version() -> None:
    assert dipkit.__version__ in run("--version").stdout
    text = run("--help").stdout
    assert all(word in text for word in ("fit", "predict", "evaluate", "info", "convert", "demo"))


NAMED_ROWS = ("dipkit, no charges", "dipkit, with Mulliken charges")


@pytest.mark.parametrize("has_matplotlib", [True, False])
def test_demo(
    has_matplotlib: bool, molecules: Molecules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dipkit.cli.demo.load_organics", lambda: molecules[:16])
    if has_matplotlib:
        pytest.importorskip("matplotlib")
    else:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = run("demo", "-o", tmp_path / "new" / "results").stdout
    for row in ("mean of the", "averaged SOAP", "Σ q r", "random start", "no charges", "with"):
        assert row in said
    assert "12 to train, 4 to test" in said
    # The sentence below the table has the figures of the table.
    errors = {name: float(re.search(rf"{name} +([0-9.]+)", said)[1]) for name in NAMED_ROWS}
    change = errors[NAMED_ROWS[1]] / errors[NAMED_ROWS[0]] - 1
    shown = re.search(r"by ([-+0-9]+)% with Mulliken charges", said)
    assert float(shown[1]) == pytest.approx(100 * change, abs=1)
    assert ("dipkit[plot]" in said) is not has_matplotlib
    pictures = {"parity.png", "report.html"} if has_matplotlib else set()
    files = {file.name for file in (tmp_path / "new" / "results").iterdir()}
    assert files == {"model.dipkit", "predictions.csv", "predictions.xyz"} | pictures
    assert str(tmp_path) in said


# Bad input: exit code 2, one or two lines


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


WATER = "O 0.0 0.0 0.12\nH 0.0 0.76 -0.48\nH 0.0 -0.76 -0.48\n"
PLAIN = "3\nProperties=species:S:1:pos:R:3 {}\n" + WATER
CHARGED = (
    "3\nProperties=species:S:1:pos:R:3:mulliken:R:1 dipole_debye=1.85\n"
    "O 0.0 0.0 0.12 {}\nH 0.0 0.76 -0.48 0.3\nH 0.0 -0.76 -0.48 0.3\n"
)
QM9_CUT = "3\ngdb 3 " + " ".join(["1.0"] * 15) + "\nO 0 0 0.1 -0.6\nH 0 0.7"
BAD_DATA = {
    "empty": ("", "empty"),
    "no label": (PLAIN.format("energy=1.0"), "looked for dipole_debye.*energy"),
    "nan position": (PLAIN.format("mu=1.8").replace("0.12", "nan"), "position"),
    "nan label": (PLAIN.format("mu=nan"), "mu.*NaN"),
    "infinite label": (PLAIN.format("mu=inf"), "mu.*infinity"),
    "negative magnitude": (PLAIN.format("mu=-1.8"), "at least 0 debye, got -1.8"),
    "two atoms in one place": (
        PLAIN.format("mu=1.8").replace("0.0 -0.76 -0.48", "0.0 0.76 -0.48"),
        "atoms 1 and 2 .* are 0 angstrom apart",
    ),
    "periodic": (PLAIN.format('mu=1.8 Lattice="9 0 0 0 9 0 0 0 9" pbc="T T T"'), "periodic"),
    "sum of charges": (CHARGED.format("0.9"), "sum to 1.5 e.*total charge 0 e"),
    "cut QM9 file": (QM9_CUT, r"bad\.xyz.*line"),
    "binary": ("\x00\x01\x02", r"bad\.xyz, line 1: expected the number of atoms"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data(tmp_path: Path, kind: str) -> None:
    text, message = BAD_DATA[kind]
    path = written(tmp_path / "bad.xyz", text)
    said = refused("fit", path, "-o", tmp_path / "m.dipkit")
    assert re.search(message, said), said
    assert not (tmp_path / "m.dipkit").exists()


def test_wrong_number_of_charges(tmp_path: Path) -> None:
    arrays = {"natoms": [2], "numbers": [1, 9], "positions": [[0, 0, 0], [0, 0, 1.0]]}
    np.savez(tmp_path / "bad.npz", **arrays, dipole_debye=[1.8], mulliken=[0.1, -0.2, 0.1])
    said = refused("fit", tmp_path / "bad.npz", "-o", tmp_path / "m.dipkit")
    assert "charges" in said
    assert "(3,)" in said


def test_unseen_element(model: Path, tmp_path: Path) -> None:
    ase_write(tmp_path / "new.xyz", [molecule("PH3")], format="extxyz")
    predict = ("predict", model, tmp_path / "new.xyz", "-o", tmp_path / "out.csv")
    assert "P is none of the elements that the model knows (H C N O F)" in refused(*predict)
    said = refused(*predict, "--strict")
    assert "unknown to the descriptors: P; expected H, C, N, O, F" in said
    assert not (tmp_path / "out.csv").exists()


def test_evaluate_without_labels(model: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "plain.xyz", PLAIN.format("energy=1.0"))
    said = refused("evaluate", model, path)
    assert "dipole_debye" in said
    assert "energy" in said


def test_settings_that_cannot_be(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.dipkit"
    assert "alpha" in refused("fit", data, "-o", out, "--alpha", -1)
    assert "n_inducing" in refused("fit", data, "-o", out, "--n-inducing", 0)
    bare = tmp_path / "bare.npz"
    dipkit.write(bare, dipkit.read(data)[:3].replace(charges=None))
    said = refused("fit", bare, "-o", out, "--charge-weight", 0.1)
    assert 'charge_weight="auto" or 0' in said


def test_options_that_cannot_be(data: Path, tmp_path: Path) -> None:
    fit = ("fit", data, "-o", tmp_path / "m.dipkit")
    assert "--device" in refused(*fit, "--device", "tpu")
    assert "--seed" in refused(*fit, "--seed", -1)
    assert "--seed" in refused("demo", "-o", tmp_path / "demo", "--seed", -1)
    assert "--charge-weight" in refused(*fit, "--charge-weight", "heavy")
    assert "--colour" in refused(*fit, "--colour", 3)
    assert "--output" in refused("fit", data)
    assert "DATA" in refused("fit")
    assert "'fitt'" in refused("fitt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(why_no_cuda() is None, reason="there is a GPU")
def test_no_gpu(data: Path, tmp_path: Path) -> None:
    said = refused("fit", data, "-o", tmp_path / "m.dipkit", "--device", "cuda")
    assert "cuda" in said


def test_bad_models(model: Path, data: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.dipkit"
    cut.write_bytes(model.read_bytes()[:-2000])
    assert "cut or damaged" in refused("evaluate", cut, data)
    assert "not a dipkit model" in refused("evaluate", data, data)
    assert "no such file" in refused("predict", "absent.dipkit", data, "-o", tmp_path / "out.csv")
    assert "cut.dipkit: not a dipkit model, or cut" in refused("info", cut)
    assert "no such file" in refused("info", "absent.dipkit")


def test_outputs_are_checked_before_the_work(model: Path, data: Path, tmp_path: Path) -> None:
    """The input does not even exist: it was not looked at."""
    absent = tmp_path / "absent.xyz"
    assert ".csv, .xyz" in refused("predict", model, absent, "-o", tmp_path / "out.pdf")
    assert ".npz" in refused("convert", absent, tmp_path / "out.pdf")
    nowhere = tmp_path / "no" / "folder"
    assert "create the folder" in refused("predict", model, absent, "-o", nowhere / "out.csv")
    assert "create the folder" in refused("fit", absent, "-o", nowhere / "m.dipkit")
    assert "not a regular file" in refused("fit", absent, "-o", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_older_output_survives_a_failure(model: Path, tmp_path: Path) -> None:
    old = written(tmp_path / "out.csv", "old")
    ase_write(tmp_path / "new.xyz", [molecule("PH3")], format="extxyz")
    refused("predict", model, tmp_path / "new.xyz", "-o", old)
    assert old.read_text() == "old"


def test_interrupt_is_quiet(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("dipkit.data.several_files.read_several", interrupt)
    result = run("info", data, code=130)
    assert result.output.strip() == ""


def test_debug_shows_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPKIT_DEBUG", "1")
    result = run("info", "absent.xyz", code=1)
    assert isinstance(result.exception, dipkit.DipkitError)


def test_fit_within_a_memory_budget(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.dipkit"
    small = ("--n-inducing", 20, "--alpha", 1e-2, "--device", "cpu")
    result = run("fit", data, "-o", output, *small, "--memory-budget", "6GB", "--json")
    assert "dipole rows in memory; peak" in result.stderr
    assert json.loads(result.stdout)["memory"]["budget_gb"] == 6.0
    assert "memory_budget: expected bytes" in refused(
        "fit", data, "-o", output, "--memory-budget", "much"
    )
    message = refused("fit", data, "-o", output, *small, "--memory-budget", "1MB")
    assert "the budget is 0.001 GB" in message
