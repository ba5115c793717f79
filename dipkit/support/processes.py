"""Processes of this machine: a name that stays unique, whether one still runs, locks on files.

A number of a process is used again, and containers number their processes separately: the name
holds the machine, the container and the start as well. The operating system gives up a lock when
its process ends, however that happens.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

__all__ = ["OfParent", "is_gone", "kill_children", "process_exists", "this_process", "try_lock"]

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


# Seconds between two looks of a worker at the process that started it.
WATCH_SECONDS = 1.0


def this_process() -> str:
    """Name of this process, unique among those of all machines."""
    return f"{_place()} {os.getpid()} {psutil.Process().create_time():.1f}"


def is_gone(name: str) -> bool:
    """Whether a process has certainly ended: it ran on this machine, and is not there any more."""
    place, pid, start = ([*name.rsplit(" ", 2), "", ""])[:3]
    if place != _place() or not pid.isdecimal():
        return False
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return f"{psutil.Process(int(pid)).create_time():.1f}" != start
    return not process_exists(int(pid))


def process_exists(pid: int) -> bool:
    """Whether a process of this number runs here."""
    return psutil.pid_exists(pid)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file for this process alone, without waiting.

    Returns
    -------
    bool or None
        False where another process has the lock, None where the file system knows no locks.
    """
    try:
        if fcntl is None:
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


@functools.cache
def _place() -> str:
    """Machine, and container of Linux, whose processes have numbers of their own."""
    container = ""
    with suppress(OSError):
        container = os.readlink(Path("/proc/self/ns/pid"))
    return f"{socket.gethostname()}{container}"


class OfParent:
    """A function whose worker process ends when the process that made this object is killed.

    Workers of joblib else wait minutes for more work of a process that is gone.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.parent = function, os.getpid()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, and watch the parent from the first call on."""
        if os.getppid() == self.parent != os.getpid():
            _watch(self.parent)
        return self.function(*args, **kwargs)


@functools.cache
def _watch(parent: int) -> None:
    """Start the thread that ends this process after its parent."""

    def watch() -> None:
        while os.getppid() == parent and process_exists(parent):
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def kill_children() -> None:
    """Kill the worker processes of this process, and theirs."""
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
