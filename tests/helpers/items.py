"""Iterables that another process computes: it imports them from here."""

import os
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from dipkit.exceptions import InputError


def with_warnings(n: int) -> Iterator[int]:
    for number in range(n):
        warnings.warn(f"item {number}", FutureWarning, stacklevel=2)
        yield number**2


def that_fail(after: int) -> Iterator[int]:
    yield from range(after)
    raise InputError("item 3 is bad.")


def that_are_killed(after: int) -> Iterator[int]:
    yield from range(after)
    time.sleep(0.2)  # what was sent arrives
    os.kill(os.getpid(), signal.SIGKILL)


def that_take_for_ever(file: Path) -> Iterator[int]:
    file.write_text(str(os.getpid()))
    yield 1
    time.sleep(600)


def that_never_end(file: Path) -> Iterator[int]:
    file.write_text(str(os.getpid()))
    while True:
        yield 1
