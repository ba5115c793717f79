"""Several files, patterns, stdin and stdout; what commands say; names of models; one writer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import refused, run, warned
from helpers.kills import command, leftovers
from typer.testing import CliRunner

import dipkit
from dipkit.cli.app import app
from dipkit.data.datasets import load_organics
from dipkit.data.several_files import read_several
from dipkit.exceptions import InputError
from dipkit.support.files import locked_output, remove_unfinished, scratch_folder

posix = pytest.mark.skipif(os.name != "posix", reason="locks and pipes of POSIX")
SMALL = ("--n-inducing", 15, "--alpha", 1e-3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.dipkit"
    dipkit.save_model(dipkit.default_model(basis__n_inducing=15).fit(load_organics()[:20]), path)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    molecules = load_organics()[:20]
    for name, part in (
        ("one.xyz", slice(8)),
        ("two.xyz", slice(8, 14)),
        ("three.npz", slice(14, 20)),
    ):
        dipkit.write(tmp_path / "data" / name, molecules[part])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def piped(text: str, *arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)
    assert result.exit_code == code, (result.output, result.exception)
    return result


# Several files


@pytest.mark.parametrize(
    "names",
    [("data/one.xyz", "data/two.xyz", "data/three.npz"), ("data/*.*",), ("d*/one.xyz", "**/t*")],
)
def test_several_files(here: Path, names: tuple[str, ...]) -> None:
    about = json.loads(run("info", *names, "--json").stdout)
    assert (about["n_molecules"], about["n_vectors"]) == (20, 20)


def test_each_command_takes_several_files(here: Path, model: Path) -> None:
    pattern = "data/*.*"
    assert json.loads(run("evaluate", model, pattern, "--json").stdout)["n"] == 20
    run("convert", pattern, "all.xyz")
    names = dipkit.read("all.xyz").names.tolist()
    assert set(names) == set(load_organics()[:20].names.tolist())
    run("predict", model, "data/one.xyz", "data/two.xyz", "-o", "out.csv")
    rows = Path("out.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == load_organics()[:14].names.tolist()
    run("predict", model, "data/one.xyz", "data/two.xyz", "-o", "ref.csv", "--reference")
    assert len(Path("ref.csv").read_text().splitlines()) == 15
    report = run("fit", "data/one.xyz", "data/two.xyz", "-o", "m.dipkit", *SMALL, "--json").stdout
    assert json.loads(report)["molecules"] == 14


def test_a_table_of_labels_belongs_to_all_files(here: Path) -> None:
    molecules = load_organics()[:14]
    rows = [f"{name},{mu}" for name, mu in zip(molecules.names, range(1, 15), strict=True)]
    Path("labels.csv").write_text("name,mu\n" + "\n".join(rows) + "\n")
    found = read_several(["data/one.xyz", "data/two.xyz"], labels_file="labels.csv")
    assert found.dipole_magnitude.tolist() == list(range(1, 15))


def test_units_are_checked_over_all_files(here: Path) -> None:
    """Each file alone has too few molecules to be compared."""
    molecules = load_organics()[:12]
    bare = molecules.replace(dipole_vector=None, baseline_dipole=None, baseline_charges=None)
    small = bare.replace(dipole_magnitude=molecules.dipole_magnitude / 4.80320471)
    for index in range(12):
        dipkit.write(f"part{index:02}.xyz", small[index])
    assert "dipole_unit='e-angstrom'" in warned("info", "part*.xyz").stderr


def test_patterns(here: Path) -> None:
    assert "no file matches this pattern" in refused("info", "absent*.xyz")
    Path("[1].xyz").write_bytes(Path("data/one.xyz").read_bytes())
    assert json.loads(run("info", "[1].xyz", "--json").stdout)["n_molecules"] == 8
    twice = warned("info", "data/one.xyz", "data/o*", "--json")
    assert json.loads(twice.stdout)["n_molecules"] == 8
    assert "given twice" in twice.stderr


def test_no_output_replaces_one_of_several_inputs(here: Path, model: Path) -> None:
    for line in (
        f"predict {model} data/one.xyz data/two.xyz -o data/two.xyz",
        "convert data/one.xyz data/two.xyz data/two.xyz",
        "fit data/*.xyz -o data/one.xyz",
    ):
        assert "would replace the input" in refused(*line.split())


def test_a_model_is_shown_alone(here: Path, model: Path) -> None:
    assert "a model is shown alone" in refused("info", model, "data/one.xyz")


def test_a_bad_file_among_good_ones(here: Path, model: Path) -> None:
    Path("data/bad.xyz").write_text("3\n\nO 0 0 0\nH 0 0 nan\nH 0 1 0\n")
    names = ("data/one.xyz", "data/bad.xyz", "data/two.xyz")
    said = warned("predict", model, *names, "-o", "out.csv").stderr
    assert "record 8" in said
    rows = Path("out.csv").read_text().splitlines()[1:]
    assert [index for index, row in enumerate(rows) if "nan" in row] == [8]
    assert len(rows) == 15
    assert "bad.xyz" in refused("predict", model, *names, "-o", "out.csv", "--strict")
    assert "bad.xyz" in refused("info", *names)
    said = warned("info", *names, "--skip-invalid").stderr
    assert "This file was left out" in said
    assert "no such file" in refused("predict", model, "data/one.xyz", "absent.xyz", "-o", "o.csv")


# stdin and stdout


def test_stdin(here: Path, model: Path) -> None:
    text = Path("data/one.xyz").read_text()
    assert json.loads(piped(text, "info", "-", "--json").stdout)["n_molecules"] == 8
    assert json.loads(piped(text, "evaluate", model, "-", "--json").stdout)["n"] == 8
    both = piped(text, "info", "-", "data/two.xyz", "--json").stdout
    assert json.loads(both)["n_molecules"] == 14
    piped(text, "fit", "-", "-o", "m.dipkit", *SMALL)
    assert dipkit.load_model("m.dipkit").predict(load_organics()[:2]).shape == (2,)
    assert leftovers(here / "scratch") == []


def test_stdout(here: Path, model: Path) -> None:
    text = Path("data/one.xyz").read_text()
    result = piped(text, "predict", model, "-", "-o", "-")
    assert result.stderr.split()[:2] == ["output", "-"]
    Path("out.xyz").write_text(result.stdout)
    run("predict", model, "data/one.xyz", "-o", "same.xyz")
    assert Path("out.xyz").read_text() == Path("same.xyz").read_text()
    assert len(result.stdout) > 1000
    Path("copy.xyz").write_text(run("convert", "data/three.npz", "-").stdout)
    expected = dipkit.read("data/three.npz").dipole_vector
    np.testing.assert_allclose(dipkit.read("copy.xyz").dipole_vector, expected, atol=1e-6)
    assert leftovers(here / "scratch") == []


def test_streams_that_cannot_be(here: Path, model: Path) -> None:
    text = Path("data/one.xyz").read_text()
    for arguments, said in (
        (("info", "-", "-"), "given twice"),
        (("predict", model, "-", "-o", "-", "--json"), "JSON stands alone"),
        (("fit", "-", "-o", "-"), "only molecules go to stdout"),
        (("evaluate", model, "-", "-o", "-"), "only molecules go to stdout"),
        (("convert", "data/absent.xyz", "-"), "no such file"),
    ):
        result = piped(text, *arguments, code=2)
        assert said in result.stderr
        assert result.stdout == ""
    assert "stdin is empty" in piped("", "info", "-", code=2).stderr
    cut = piped(text[:300], "info", "-", code=2).stderr
    assert cut.startswith("dipkit: stdin.xyz, line "), "no name of a temporary folder"
    assert leftovers(here / "scratch") == []


@posix
def test_a_pipe_of_commands(here: Path, model: Path) -> None:
    python = f"{sys.executable} -m dipkit"
    steps = ("convert data/one.xyz -", f"predict {model} - -o -", "info - --json")
    line = " | ".join(f"{python} {step}" for step in steps)
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_molecules"] == 8


# What commands say


def test_convert_says_what_it_wrote(here: Path) -> None:
    report = json.loads(run("convert", "data/one.xyz", "out.npz", "--json").stdout)
    assert report["output"] == "out.npz"
    assert (report["molecules"], report["n_vectors"], report["n_charges"]) == (8, 8, 8)
    result = run("convert", "data/one.xyz", "out.npz")
    assert result.stdout == ""
    assert "molecules     8" in result.stderr


def test_fit_prints_ten_lines(here: Path) -> None:
    said = run("fit", "data/one.xyz", "-o", "m.dipkit", *SMALL).stderr.splitlines()
    assert len(said) == 10
    text = "\n".join(said)
    for word in ("m.dipkit", "8 vectors, 8 charges", "alpha", "MAE", "seconds", "Converged"):
        assert word in text
    for option in ("-v", "--verbose"):
        whole = run("fit", "data/one.xyz", "-o", "m.dipkit", *SMALL, option).stderr
        assert "basis__kernel__degree" in whole
        assert "dipole rows in memory" in whole
    report = run("fit", "data/one.xyz", "-o", "m.dipkit", *SMALL, "--json")
    assert json.loads(report.stdout)["parameters"]["basis__n_inducing"] == 15


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib", ".PKL", ".skops", ".onnx", ".pt"])
def test_names_of_other_formats_are_refused(here: Path, suffix: str) -> None:
    for name in ("fit", "tune"):
        said = refused(name, "data/one.xyz", "-o", f"model{suffix}")
        assert "without pickle" in said
        assert "model.dipkit" in said
    assert not Path(f"model{suffix}").exists()


def test_short_help_and_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("-h").stdout == run("--help").stdout
    for name in (
        "fit",
        "tune",
        "predict",
        "evaluate",
        "report",
        "info",
        "label",
        "convert",
        "doctor",
    ):
        assert "Usage" in run(name, "-h").stdout
    environment = os.environ | {
        "_DIPKIT_COMPLETE": "complete_bash",
        "COMP_WORDS": "dipkit pre",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(command(), env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["predict"]


# Doctor


def test_doctor() -> None:
    report = json.loads(run("doctor", "--json").stdout)
    assert report["self_test"].startswith("passed: ")
    assert {"numpy", "scipy", "scikit-learn", "ase"} <= set(report["packages"])
    assert set(report["devices"]) == {"cpu", "cuda"}
    assert int(report["threads"]["used"]) >= 1
    assert {"plot", "labels", "data", "dask", "cuda12", "cuda13"} == set(report["extras"])


def test_doctor_names_the_command_that_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    version = metadata.version
    old = {"matplotlib": "1.0"}

    def without_tblite(name: str) -> str:
        if name == "tblite":
            raise metadata.PackageNotFoundError
        return old.get(name) or version(name)

    monkeypatch.setattr("dipkit.cli.doctor.metadata.version", without_tblite)
    extras = json.loads(run("doctor", "--no-self-test", "--json").stdout)["extras"]
    assert extras["labels"].endswith('tblite not installed. Install: pip install "dipkit[labels]"')
    assert "1.0, but >=" in extras["plot"]
    assert 'pip install "dipkit[plot]"' in extras["plot"]


def test_doctor_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_, **__):
        raise ImportError("a library is missing")

    monkeypatch.setattr("dipkit.cli.doctor.default_model", broken)
    said = run("doctor", code=1).stdout
    assert "failed: ImportError: a library is missing" in said


# One writer for one output


@posix
def test_two_processes_on_one_output(here: Path, model: Path) -> None:
    lines = [
        "fit data/one.xyz -o out.dipkit",
        "tune data/one.xyz -o out.dipkit",
        f"predict {model} data/one.xyz -o out.csv",
        f"predict {model} data/one.xyz -o other.csv --charges-output out.csv",
        f"evaluate {model} data/one.xyz -o out.csv",
        f"evaluate {model} data/one.xyz --report out.html",
        f"report {model} data/one.xyz -o out.html",
        "convert data/one.xyz out.xyz",
        "label data/one.xyz -o out.xyz --method gfn2",
    ]
    for line in lines:
        output = next(word for word in line.split() if word.startswith("out."))
        with locked_output(output):
            assert "another process writes this output now" in refused(*line.split())
    assert sorted(path.name for path in here.iterdir()) == ["data", "scratch"]
    run("convert", "data/one.xyz", "out.xyz")


@posix
def test_a_lock_of_a_killed_process_is_taken_over(here: Path) -> None:
    code = """
import os, signal, sys
from dipkit.support.files import locked_output
with locked_output(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, "out.xyz"], check=False)
    assert len(leftovers(here)) == 1
    run("convert", "data/one.xyz", "out.xyz")
    assert leftovers(here) == []


@posix
def test_locks_and_scratch_folders_go_where_a_process_is_ended(here: Path) -> None:
    with locked_output("out.xyz"), scratch_folder() as folder:
        assert folder.is_dir()
        assert len(leftovers(here)) == 1
        remove_unfinished()
        assert leftovers(here) == []
        assert not folder.exists()


def test_a_lock_that_cannot_be_is_none(here: Path) -> None:
    with locked_output("absent/out.xyz"):
        pass
    with pytest.raises(InputError, match="create the folder"):
        dipkit.write("absent/out.xyz", load_organics()[:1])
