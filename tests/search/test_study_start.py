"""Searches that start together on a storage which is not there yet, and storages that fail."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from optuna.pruners import NopPruner
from sqlalchemy.exc import OperationalError

from dipkit.exceptions import InputError
from dipkit.search import study as study_module
from dipkit.search.optuna_objects import create_study
from dipkit.search.study import open_study

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = {"data": "these molecules"}
ROUNDS = 4

# Two processes open one new storage after the other, each at the same moment.
WORKER = """
import sys, time
from pathlib import Path
from optuna.pruners import NopPruner
from dipkit.search.study import open_study

folder, me, other, storages = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
for number, storage in enumerate(storages):
    (folder / f"{me}{number}").touch()
    while not (folder / f"{other}{number}").exists():
        pass
    study = open_study(storage, None, None, NopPruner(), {"data": "these molecules"})
    study.tell(study.ask(), 1.0)
"""


def opened(storage, identity=HERE):
    return open_study(str(storage), None, None, NopPruner(), identity)


def test_two_processes_create_the_same_study(tmp_path):
    storages = [str(tmp_path / f"study{number}") for number in range(ROUNDS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), *names, *storages],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for names in (("a", "b"), ("b", "a"))
    ]
    errors = []
    for worker in workers:
        errors.append(worker.communicate(timeout=100)[1])
        if worker.returncode:  # the other one would wait for it
            for each in workers:
                each.kill()
    assert errors == ["", ""]
    assert [len(opened(storage).trials) for storage in storages] == [2] * ROUNDS


def test_tables_that_come_late(tmp_path, monkeypatch):
    refusals = [OperationalError("CREATE", {}, sqlite3.OperationalError("table already exists"))]

    def late(*arguments):
        if refusals:
            raise refusals.pop()
        return create_study(*arguments)

    monkeypatch.setattr(study_module, "create_study", late)
    assert opened(tmp_path / "study.db").user_attrs["dipkit_identity"] == HERE


def test_a_study_that_another_search_creates_just_now(tmp_path):
    storage = str(tmp_path / "study.db")
    theirs, is_new = create_study(storage, "dipkit", None, NopPruner())
    assert is_new
    later = threading.Timer(
        0.3, theirs.set_user_attr, ("dipkit_identity", {"data": "other molecules"})
    )
    later.start()
    with pytest.raises(InputError, match="another data"):
        opened(storage)
    later.join()


def test_an_empty_study_of_a_search_that_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "PAUSES", (0.0,))
    create_study(str(tmp_path / "study.db"), "dipkit", None, NopPruner())
    assert opened(tmp_path / "study.db").user_attrs["dipkit_identity"] == HERE


@pytest.mark.parametrize("prefix", ["", "journal:"])
def test_a_copy_is_advised_only_for_a_damaged_storage(tmp_path, prefix, monkeypatch):
    monkeypatch.setattr(study_module, "PAUSES", (0.0,))
    (tmp_path / "study").write_bytes(b"\x00not a study\n" * 50)
    with pytest.raises(InputError, match="restore this one from a copy"):
        opened(f"{prefix}{tmp_path / 'study'}")


def test_a_storage_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr(study_module, "PAUSES", (0.0,))

    def locked(*_):
        raise OperationalError("CREATE", {}, sqlite3.OperationalError("database is locked"))

    monkeypatch.setattr(study_module, "create_study", locked)
    with pytest.raises(InputError, match="database is locked") as caught:
        opened("study.db")
    assert "restore" not in str(caught.value)
