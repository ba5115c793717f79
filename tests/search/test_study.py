"""Studies: identity, storage, several processes."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from helpers.searches import SMALL, small_search
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

from dipkit.estimator.metrics import mae_scorer
from dipkit.exceptions import InputError
from dipkit.search.optuna_objects import open_storage

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("prefix", ["", "journal:"])
def test_corrupt_storage(molecules, tmp_path, prefix):
    (tmp_path / "study").write_bytes(b"\x00not a study\n" * 50)
    with pytest.raises(InputError, match="storage"):
        small_search(storage=f"{prefix}{tmp_path / 'study'}").fit(molecules)


def test_another_search_under_the_same_name(molecules, tmp_path):
    storage = str(tmp_path / "study.db")
    small_search(n_trials=1, storage=storage).fit(molecules)
    other = dict(list(SMALL.items())[:1])
    for changes, name in (
        ({"space": other}, "space"),
        ({"scoring": "rmse"}, "scoring"),
        ({"cv": 4}, "cv"),
    ):
        with pytest.raises(InputError, match=f"another {name}"):
            small_search(**({"storage": storage} | changes)).fit(molecules)
    with pytest.raises(InputError, match="another cv, data"):
        small_search(storage=storage).fit(molecules[:30])
    small_search(storage=storage, space=other, study_name="other", n_trials=1).fit(molecules)


def test_another_estimator_under_the_same_name(molecules, tmp_path):
    settings = {"storage": str(tmp_path / "study.db"), "scoring": mae_scorer, "refit": False}
    small_search(n_trials=1, **settings).fit(molecules)
    # Where it is computed does not matter, and a scorer is the same in every process.
    elsewhere = small_search(n_trials=2, **settings)
    elsewhere.estimator.set_params(soaptransformer__n_jobs=2)
    assert elsewhere.fit(molecules).n_trials_ == 2
    other = small_search(n_trials=3, **settings)
    other.estimator.set_params(dipolekernelridge__loss="huber")
    with pytest.raises(InputError, match="another estimator"):
        other.fit(molecules)
    with pytest.raises(InputError, match="another data"):
        elsewhere.fit(molecules.replace(dipole_vector=np.full((len(molecules), 3), np.nan)))


WORKER = """
import sys, time
sys.path.insert(0, {tests!r})
from helpers.searches import small_search
from dipkit.data.datasets import load_organics

storage, n_trials, seed, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
search = small_search(storage=storage, n_trials=n_trials, refit=False)
search.set_params(random_state=seed, callbacks=[lambda study, trial: time.sleep(pause)])
search.fit(load_organics()[:36])
print(search.n_trials_)
"""


def start_worker(storage: str, n_trials: int, seed: int, pause: float = 0.0) -> subprocess.Popen:
    code = WORKER.format(tests=str(REPOSITORY / "tests"))
    command = [sys.executable, "-c", code, storage, str(n_trials), str(seed), str(pause)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def states(storage: str) -> list[str]:
    study = optuna.load_study(study_name="dipkit", storage=open_storage(storage))
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def storage(request, tmp_path):
    """Each kind of storage in turn, as a user names it; PostgreSQL where it is installed."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql")
    return str(tmp_path / "study.db") if request.param == "sqlite" else f"journal:{tmp_path}/log"


@pytest.fixture
def postgresql():
    """A PostgreSQL server of its own on a free port, stopped and removed afterwards."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [shutil.which("pg_ctl")]
    if found[-1] is None:
        pytest.skip("no PostgreSQL server is installed")
    programs = Path(found[-1]).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The server refuses to run as root: then it runs as the user that comes with its package.
    user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid}

    def run(program, *arguments):
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **as_user
        )
        assert done.returncode == 0, done.stderr.decode()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        run("initdb", "-U", "dipkit", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://dipkit@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def test_killed_run_resumes(molecules, storage):
    worker = start_worker(storage, 100, 0, pause=0.3)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            if states(storage).count("COMPLETE") >= 2:
                break
        except Exception:  # not there yet
            assert worker.poll() is None
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    before = states(storage)
    done = sum(state in ("COMPLETE", "PRUNED") for state in before)
    assert done >= len(before) - 1  # at most the running trial is lost
    resumed = small_search(storage=storage, n_trials=done + 2, refit=False).fit(molecules)
    assert resumed.n_trials_ == done + 2


def test_two_processes_share_a_study(molecules, storage):
    small_search(storage=storage, n_trials=1, refit=False).fit(molecules)
    workers = [start_worker(storage, 7, seed, pause=0.2) for seed in (1, 2)]
    outputs = [worker.communicate(timeout=200)[0] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), outputs
    assert 7 <= len(states(storage)) <= 8  # both may be in their last trial


def test_threads(molecules):
    assert small_search(n_jobs=2, n_trials=4, refit=False).fit(molecules).n_trials_ >= 4
