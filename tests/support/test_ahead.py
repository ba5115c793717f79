"""Items of another process: the same items, warnings and errors, and no process is left."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers import items

from dipkit.exceptions import InputError, WorkerError
from dipkit.support.ahead import ItemsAhead, count_cores

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def has_ended(file: Path) -> bool:
    """Whether the process that wrote its number into the file ends soon."""
    deadline = time.monotonic() + 30
    while psutil.pid_exists(int(file.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not psutil.pid_exists(int(file.read_text()))


def test_items_and_warnings_come_in_order() -> None:
    with pytest.warns(FutureWarning) as caught:
        assert list(ItemsAhead("counting", items.with_warnings, 3)) == [0, 1, 4]
    assert [str(one.message) for one in caught] == ["item 0", "item 1", "item 2"]


def test_an_error_is_raised_behind_the_items_before_it() -> None:
    found: list[int] = []
    with pytest.raises(InputError) as raised:
        found.extend(ItemsAhead("counting", items.that_fail, 3))
    assert found == [0, 1, 2]
    assert raised.type is InputError
    assert str(raised.value) == "item 3 is bad."
    assert "in that_fail" in raised.value.__notes__[0], "the traceback of the process"


@posix
def test_a_process_that_is_killed_is_an_error() -> None:
    found: list[int] = []
    with pytest.raises(WorkerError, match=r"counting: .*exit code -9.*memory"):
        found.extend(ItemsAhead("counting", items.that_are_killed, 2))
    assert found == [0, 1]


def test_the_process_ends_with_its_use(tmp_path: Path) -> None:
    file = tmp_path / "number"
    ahead = ItemsAhead("waiting", items.that_take_for_ever, file)
    assert next(iter(ahead)) == 1
    ahead.close()
    assert has_ended(file)
    ahead.close()  # once more does no harm


def test_the_process_ends_where_the_loop_is_left(tmp_path: Path) -> None:
    for item in ItemsAhead("counting", items.that_never_end, tmp_path / "number"):
        assert item == 1
        break
    assert has_ended(tmp_path / "number")


@posix
def test_the_process_ends_after_the_one_that_uses_it_is_killed(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from helpers import items
from dipkit.support.ahead import ItemsAhead
if __name__ == "__main__":
    for item in ItemsAhead("counting", items.that_never_end, Path(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGKILL)
"""
    file, tests = tmp_path / "number", Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, file, tests], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert has_ended(file)
    assert done.stderr == ""


@posix
def test_ctrl_c_is_for_the_process_that_uses_the_items() -> None:
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    others = set(multiprocessing.active_children())  # of other tests
    try:
        ahead = ItemsAhead("counting", items.with_warnings, 2)
        (process,) = set(multiprocessing.active_children()) - others
        os.kill(process.pid, signal.SIGINT)
        with pytest.warns(FutureWarning):
            assert list(ahead) == [0, 1]
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize(
    ("said", "most"), [("1", 1), ("1,2", 1), ("0", 1), ("", 10**6), ("x", 10**6)]
)
def test_cores_that_may_be_used(said: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert 1 <= count_cores() <= most
