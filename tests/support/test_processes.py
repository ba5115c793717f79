"""Processes: names that stay unique, locks, workers that end with the process that started them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dipkit.support.processes import is_gone, this_process, try_lock

WORKERS = """
import os, sys, time
import joblib
from dipkit.support.parallel import run

def work(number):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(0.2 if number < 4 else 600)

list(run([joblib.delayed(work)(number) for number in range(8)], 2))
"""


def test_a_process_that_ended_is_gone() -> None:
    code = "from dipkit.support.processes import this_process; print(this_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name = done.stdout.strip()
    assert name != this_process()
    assert is_gone(name)
    assert not is_gone(this_process())


def test_processes_of_other_machines_may_run() -> None:
    place, pid, start = this_process().rsplit(" ", 2)
    assert not is_gone(f"elsewhere {pid} {start}")
    assert is_gone(f"{place} {pid} 1.0"), "the number was given to another process"
    for unknown in ("", "x", f"{place} x {start}"):
        assert not is_gone(unknown)


def test_a_lock_is_of_one_process(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as first, (tmp_path / "file").open("rb+") as second:
        assert try_lock(first.fileno()) is True
        assert try_lock(second.fileno()) is False


@pytest.mark.skipif(os.name != "posix", reason="kills of POSIX")
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WORKERS, str(tmp_path)])
    deadline = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no worker has started"
        time.sleep(0.05)
    workers = [psutil.Process(int(file.name)) for file in tmp_path.iterdir()]
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    for worker in alive:
        worker.kill()
    assert alive == []
