"""Large files are read by another process: outputs and messages are those of one process."""

import errno
import gc
import gzip
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from helpers.commands import refused, run, warned
from helpers.kills import command, leftovers, stop_when

import dipkit
from dipkit.cli import read_ahead
from dipkit.cli.collection import loading
from dipkit.data import read_files
from dipkit.data.datasets import load_organics
from dipkit.estimator import pipeline
from dipkit.support.ahead import ItemsAhead

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ahead")
    molecules = load_organics()[:24]
    dipkit.write(path / "data.xyz", molecules)
    text = (path / "data.xyz").read_text()
    (path / "bad.xyz").write_text(f"2\nname=twice\nH 0 0 0\nH 0 0 0\n{text}3\nname=cut\nO 0 0 0\n")
    (path / "bohr.xyz").write_text(
        text.replace("charge=", "units=angstrom length_unit=bohr charge=")
    )
    model = dipkit.default_model(basis__n_inducing=20).fit(molecules)
    dipkit.save_model(model, path / "model.dipkit")
    return path


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Read every file in another process, in one that has two cores; what each of them does."""
    begun: list[str] = []

    class Counted(ItemsAhead):
        def __init__(self, what: str, *args: object) -> None:
            begun.append(what)
            super().__init__(what, *args)

    monkeypatch.setattr(read_ahead, "_LARGE", 1)
    monkeypatch.setattr(read_ahead, "count_cores", lambda: 2)
    monkeypatch.setattr(read_ahead, "ItemsAhead", Counted)
    return begun


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_the_same_predictions(
    folder: Path, tmp_path: Path, options: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    line = ("predict", folder / "model.dipkit", folder / "data.xyz", *options, "-o")
    run(*line, tmp_path / "one.xyz")
    processes = request.getfixturevalue("processes")
    run(*line, tmp_path / "two.xyz")
    assert processes == [f"reading {folder / 'data.xyz'}"]
    assert (tmp_path / "one.xyz").read_bytes() == (tmp_path / "two.xyz").read_bytes()


def test_the_same_messages(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = [folder / "bad.xyz", folder / "data.xyz"]
    said = []
    for _ in range(2):
        done = warned("predict", folder / "model.dipkit", *data, "-o", tmp_path / "t.csv")
        strict = ("predict", folder / "model.dipkit", *data, "-o", tmp_path / "s.csv", "--strict")
        said.append((done.stderr, refused(*strict), (tmp_path / "t.csv").read_text()))
        processes = request.getfixturevalue("processes")  # the second time
    assert said[0] == said[1]
    assert "bad.xyz, line 1" in said[0][1]
    assert len(processes) == 3, "the strict command ended with the first file"


def test_small_files_one_core_and_labels_need_no_process(
    folder: Path, tmp_path: Path, processes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("predict", folder / "model.dipkit", folder / "data.xyz", "-o", tmp_path / "out.csv")
    run(*line, "--reference")
    monkeypatch.setattr(read_ahead, "_LARGE", 3_000_000)
    run(*line)
    monkeypatch.setattr(read_ahead, "_LARGE", 1)
    monkeypatch.setattr(read_ahead, "count_cores", lambda: 1)
    run(*line)
    assert not processes


def test_the_model_is_prepared_while_the_first_molecules_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    prepared: list[bool] = []
    monkeypatch.setattr(pipeline, "warm_up", lambda _, with_std: prepared.append(with_std))
    line = ("predict", folder / "model.dipkit", folder / "data.xyz", "-o", tmp_path / "out.csv")
    run(*line)
    assert prepared == []
    request.getfixturevalue("processes")
    run(*line)
    run(*line, "--no-std")
    assert prepared == [True, False]


def test_where_no_process_can_be_started(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    def refuse(*_: object) -> None:
        processes.append("refused")
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(read_ahead, "ItemsAhead", refuse)
    run("predict", folder / "model.dipkit", folder / "data.xyz", "-o", tmp_path / "out.csv")
    assert set(processes) == {"refused"}
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 25


@posix
def test_a_reader_that_is_killed_is_one_line(
    folder: Path, tmp_path: Path, processes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = read_ahead._begin

    def begin_and_kill(*args: object) -> object:
        ahead = begin(*args)
        ahead._process.kill()
        return ahead

    monkeypatch.setattr(read_ahead, "_begin", begin_and_kill)
    line = ("predict", folder / "model.dipkit", folder / "data.xyz", "-o", tmp_path / "out.csv")
    message = refused(*line)
    assert "data.xyz: its process ended too early (exit code -9)" in message
    assert not list(tmp_path.iterdir())


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_process(folder: Path, tmp_path: Path, number: int, code: int) -> None:
    """The command stops while it loads the model; the file is long enough to be read still."""
    text = (folder / "data.xyz").read_text()
    (tmp_path / "large.xyz").write_text(text * (read_ahead._LARGE // len(text) + 1))
    arguments = command("predict", folder / "model.dipkit", "large.xyz", "-o", "out.csv")
    done = stop_when(
        tmp_path, arguments, number, "dipkit.estimator.persistence.load_model", OMP_NUM_THREADS="2"
    )
    assert done.returncode == code, done.stderr
    assert done.stderr == ""
    assert leftovers(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.xyz"]
    deadline = time.monotonic() + 30
    while running_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running_in(tmp_path) == []


def running_in(folder: Path) -> list[int]:
    """Processes that were started in this folder and still run."""
    return [one.pid for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(folder)]


def test_more_may_be_unpacked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.xyz.gz").write_bytes(gzip.compress((folder / "data.xyz").read_bytes()))
    line = ("predict", folder / "model.dipkit", tmp_path / "data.xyz.gz", "-o", tmp_path / "o.csv")
    assert "--max-unpacked" in refused(*line, "--max-unpacked", "1kB")
    run(*line, "--max-unpacked", "1MB")


def test_parts_are_as_long_as_before() -> None:
    """Rounding depends on them."""
    assert read_files.PART_MOLECULES == 5000


def test_objects_are_searched_for_again_after_loading() -> None:
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
