"""No input is replaced, closed streams are no trouble, and a signal leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.commands import refused, run
from helpers.kills import command, leftovers, run_in_shell, stop_when

import dipkit
from dipkit.data.datasets import load_organics
from dipkit.exceptions import InputError
from dipkit.support.files import atomic_write

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a device of Linux")
SPACE = {
    "dipolekernelridge__basis__n_inducing": [30],
    "dipolekernelridge__basis__kernel__degree": {"low": 1.6, "high": 3.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    dipkit.write(path / "data.xyz", load_organics()[:24])
    model = dipkit.default_model(basis__n_inducing=20).fit(load_organics()[:24])
    dipkit.save_model(model, path / "model.csv")
    (path / "space.json").write_text(json.dumps(SPACE))
    return path


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


# Outputs that are inputs

SLIPS = [
    "fit data.xyz -o data.xyz",
    "fit data.xyz -o ./data.xyz",
    "fit data.xyz -o sub/../data.xyz",
    "fit data.xyz -o link.xyz",
    "fit link.xyz -o data.xyz",
    "fit data.xyz -o hard.xyz",
    "fit data.xyz --unlabelled other.xyz -o other.xyz",
    "predict model.csv data.xyz -o data.xyz",
    "predict model.csv data.xyz -o model.csv",
    "predict model.csv data.xyz -o {here}/model.csv",
    "predict model.csv data.xyz -o data.csv --reference --labels data.csv",
    "predict model.csv data.xyz -o out.xyz --charges-output model.csv",
    "predict model.csv data.xyz -o out.csv --charges-output out.csv",
    "evaluate model.csv data.xyz -o model.csv",
    "evaluate model.csv data.xyz -o data.csv --labels data.csv",
    "evaluate model.csv page.html --report page.html",
    "report model.csv page.html -o page.html",
    "report model.csv data.xyz --curve page.html -o page.html",
    "fit data.xyz -o data.csv --labels data.csv",
    "tune data.xyz -o data.csv --labels data.csv",
    "convert data.xyz data.xyz",
    "convert data.xyz link.xyz",
    "convert raw raw/one.xyz",
    "label data.xyz -o data.xyz --method gfn2",
    "tune data.xyz -o data.xyz",
    "tune data.xyz -o space.json --space space.json",
    "tune data.xyz -o study.db --storage study.db",
    "tune data.xyz -o study.db --storage journal:study.db",
    "tune data.xyz -o page.html --report page.html",
]


def test_labels_beside_the_geometries_are_not_replaced(here: Path) -> None:
    (here / "gdb9.sdf.csv").write_text("mol_id,mu\ngdb_1,0.0\n")
    (here / "dipole_moments.csv").write_text("molecule_name,X,Y,Z\n")
    for data, output in (("gdb9.sdf", "gdb9.sdf.csv"), ("structures.csv", "dipole_moments.csv")):
        for name in ("predict", "evaluate"):
            message = refused(name, "model.csv", data, "-o", output)
            assert "would replace the input" in message


@pytest.mark.parametrize("line", SLIPS)
def test_an_input_is_never_replaced(here: Path, line: str) -> None:
    (here / "sub").mkdir()
    (here / "link.xyz").symlink_to("data.xyz")
    os.link(here / "data.xyz", here / "hard.xyz")
    shutil.copy(here / "data.xyz", here / "other.xyz")
    (here / "raw").mkdir()
    shutil.copy(here / "data.xyz", here / "raw" / "one.xyz")
    before = contents(here)
    message = refused(*line.format(here=here).split())
    assert "would replace the input" in message
    assert contents(here) == before


@pytest.mark.parametrize("length", [246, 247, 251, 255])
def test_long_names(here: Path, length: int) -> None:
    name = "a" * (length - 4) + ".xyz"
    run("convert", "data.xyz", name)
    assert len(dipkit.read(here / name)) == 24


def test_names_that_are_too_long(here: Path) -> None:
    assert "name too long" in refused("convert", "data.xyz", "a" * 252 + ".xyz").lower()
    name = "a" * 246 + ".xyz"
    assert "name too long" in refused("label", "data.xyz", "-o", name, "--method", "gfn2").lower()
    with pytest.raises(InputError, match="name too long"), atomic_write("a" * 300):
        pass


def test_no_jobs(here: Path) -> None:
    for line in ("label data.xyz -o out.xyz --method gfn2", "tune data.xyz -o out --trials 1"):
        assert "n_jobs: expected a whole number other than 0" in refused(*line.split(), "--jobs", 0)
    assert not (here / "out.xyz.journal").exists()


# Streams


@posix
def test_closed_streams(here: Path) -> None:
    done = run_in_shell("predict model.csv data.xyz -o out.xyz 2>&- <&-", here)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(dipkit.read(here / "out.xyz")) == 24
    assert run_in_shell("info absent.xyz 2>&-", here).returncode == 2


@posix
@pytest.mark.parametrize("target", ["&-", pytest.param("/dev/full", marks=linux)])
@pytest.mark.parametrize(
    ("line", "unbuffered"),
    [
        ("info data.xyz", ""),
        ("info data.xyz", "1"),
        ("convert data.xyz -", ""),
        ("--version", "1"),
        ("--help", ""),
        ("fit --help", ""),
    ],
)
def test_output_that_is_lost_is_an_error(
    here: Path, line: str, unbuffered: str, target: str
) -> None:
    lost = run_in_shell(f"{line} >{target}", here, PYTHONUNBUFFERED=unbuffered)
    assert lost.returncode == 2
    what = "is closed. Send it" if target == "&-" else "cannot be written: No space left"
    assert lost.stderr.splitlines()[-1].startswith(f"dipkit: standard output {what}")
    assert "Traceback" not in lost.stderr
    assert line == "convert data.xyz -" or len(lost.stderr.splitlines()) == 1


@posix
def test_a_reader_that_has_gone(here: Path) -> None:
    """The pipe has no reader at all, so that the first write fails."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            command("info", "data.xyz"), cwd=here, stdout=closed, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (141, "")


# Folders of dead processes


@posix
def test_the_next_start_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from dipkit.support.files import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "one.txt")], check=False)
    assert len(leftovers(tmp_path)) == 1, "each start removes what the one before left"
    with atomic_write(tmp_path / "another.txt") as temporary:
        temporary.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["another.txt"]


KILLED_AT = """
import os, signal, sys
from dipkit.support import files

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

owner, _, name = sys.argv[2].rpartition(".")
place = files if owner == "files" else getattr(files, owner.removeprefix("files."))
setattr(place, name, kill)
with files.atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("new")
"""


@posix
@pytest.mark.parametrize(
    ("step", "content"),
    [
        ("files.tempfile.mkdtemp", "old"),
        ("files.Path.open", "old"),
        ("files.try_lock", "old"),
        ("files._flush", "old"),
        ("files.os.replace", "old"),
        ("files.shutil.rmtree", "new"),
    ],
)
def test_a_kill_at_each_step_of_writing(tmp_path: Path, step: str, content: str) -> None:
    """The file is the old or the new one, and the next start leaves nothing else."""
    file = tmp_path / "file.txt"
    file.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED_AT, str(file), step], check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == content
    with atomic_write(tmp_path / "another.txt") as temporary:
        temporary.write_text("whole")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["another.txt", "file.txt"]


def test_folders_of_running_processes_stay(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "one.txt") as first:
        first.write_text("first")
        with atomic_write(tmp_path / "two.txt") as second:
            second.write_text("second")
        subprocess.run(
            [
                *(sys.executable, "-c"),
                "from dipkit.support.files import atomic_write\n"
                "import sys\nwith atomic_write(sys.argv[1]) as f: f.write_text('third')",
                str(tmp_path / "three.txt"),
            ],
            check=True,
        )
        assert first.read_text() == "first"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.txt", "three.txt", "two.txt"]


# Signals


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_saving(here: Path, number: int, code: int) -> None:
    """The command is stopped inside `atomic_write`, where a half file is open."""
    process = stop_when(
        here,
        command("fit", "data.xyz", "-o", "new.dipkit"),
        number,
        "dipkit.estimator.persistence.seal",
    )
    assert process.returncode == code
    assert leftovers(here) == []
    assert not (here / "new.dipkit").exists()


@posix
def test_a_command_that_does_not_answer_is_ended(here: Path) -> None:
    """As in a long matrix product: no exception of Python is seen."""
    process = stop_when(
        here,
        command("fit", "data.xyz", "-o", "new.dipkit"),
        signal.SIGTERM,
        "dipkit.estimator.persistence.seal",
        deaf=True,
    )
    assert process.returncode == 143
    assert leftovers(here) == []


INTERRUPTED_IMPORT = """
import os, time
from dipkit.cli.app import app, main

@app.command()
def interrupted() -> None:
    try:
        os.kill(os.getpid(), {number})
        time.sleep(5)
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__ on an instance") from error

main()
"""


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_becomes_another_error(number: int, code: int) -> None:
    """As Python 3.11 does where the signal comes while a class is made."""
    program = INTERRUPTED_IMPORT.format(number=int(number))
    words = [sys.executable, "-c", program, "interrupted"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")


LOST_EXCEPTION = """
import os, time
from dipkit.cli.app import app, main
from dipkit.cli.signals import be_patient

class Interrupted:
    def __del__(self) -> None:
        os.kill(os.getpid(), {number})
        time.sleep(0.05)
        raise KeyError("a slip")

@app.command()
def interrupted() -> None:
    {patience}
    Interrupted()
    time.sleep(20)
    print("went on")

main()
"""


@posix
@pytest.mark.parametrize("patience", ["be_patient()", "pass"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_a_destructor_is_not_lost(number: int, code: int, patience: str) -> None:
    """Python drops the exceptions of destructors, and of callbacks of weak references."""
    program = LOST_EXCEPTION.format(number=int(number), patience=patience)
    words = [sys.executable, "-c", program, "interrupted"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@posix
def test_other_errors_of_destructors_are_shown() -> None:
    program = LOST_EXCEPTION.format(number=0, patience="pass").replace("sleep(20)", "sleep(0)")
    words = [sys.executable, "-c", program, "interrupted"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert "KeyError: 'a slip'" in done.stderr


@posix
def test_an_error_without_a_signal_keeps_its_traceback() -> None:
    program = INTERRUPTED_IMPORT.format(number=0)  # which sends nothing
    program = program.replace("time.sleep(5)", "raise KeyError('a slip')")
    words = [sys.executable, "-c", program, "interrupted"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "a slip" in done.stderr


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_tune_writes_the_best_model_so_far(here: Path, number: int, code: int) -> None:
    options = "--space space.json --cv 3 --trials 500 --storage study.db"
    line = f"tune data.xyz -o best.dipkit {options}".split()
    process = subprocess.Popen(command(*line), cwd=here, stderr=subprocess.PIPE, text=True)
    wait_for_trials(here, 2, process)
    process.send_signal(number)
    _, message = process.communicate(timeout=120)
    assert process.returncode == code, message
    # Nothing more is computed: neither the comparison nor the error on molecules kept out.
    assert "not compared with the untuned parameters" in message
    assert "held_out" not in message
    assert dipkit.load_model(here / "best.dipkit").predict(load_organics()[:2]).shape == (2,)
    assert leftovers(here) == []


@posix
@pytest.mark.slow
def test_killed_trials_do_not_run_for_ever(here: Path) -> None:
    from dipkit.search.study import fail_abandoned

    options = "--space space.json --cv 3 --no-guard --no-holdout --storage study.db"
    line = f"tune data.xyz -o best.dipkit {options}".split()
    process = subprocess.Popen(command(*line, "--trials", "500"), cwd=here)
    n_done = wait_for_trials(here, 1, process, running=True)
    process.kill()
    process.wait()
    report = run(*line, "--trials", n_done + 3, "--json").stdout
    assert json.loads(report)["trials"] >= n_done
    study = study_of(here)
    assert "RUNNING" not in [trial.state.name for trial in study.get_trials()]
    assert fail_abandoned(study) == 0


def study_of(folder: Path):
    import optuna

    from dipkit.search.optuna_objects import open_storage

    return optuna.load_study(study_name="dipkit", storage=open_storage(str(folder / "study.db")))


def wait_for_trials(
    folder: Path, least: int, process: subprocess.Popen, running: bool = False
) -> int:
    """Wait until this number of trials is done, and one is in work if `running`."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be stopped"
        try:
            states = [trial.state.name for trial in study_of(folder).get_trials()]
        except Exception:  # the storage is being made
            states = []
        n_done = states.count("COMPLETE")
        if n_done >= least and (not running or "RUNNING" in states):
            return n_done
        time.sleep(0.05)
    pytest.fail("no trial in two minutes")
