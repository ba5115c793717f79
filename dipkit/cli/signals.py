"""Signals that end a command, and the streams that it was started with.

SIGTERM is answered as Ctrl-C is: by an exception, so that temporary files are removed and `tune`
keeps its best model. Matrix products and worker processes can delay an exception: a thread ends the
process where nothing else did in time. Exit codes are those of a shell: 128 plus the number of the
signal. Errors of commands are in `group.py`.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from ..support.files import remove_unfinished
from ..support.processes import kill_children
from .standard_output import name_errors

__all__ = [
    "Terminated",
    "answer_signals",
    "be_patient",
    "drop_output",
    "end_output",
    "exit_code",
    "is_of_a_signal",
    "open_streams",
]

# Seconds in which a command may clean up before its process is ended.
GRACE = 1.5
# Seconds after which a lost signal comes again: the destructor that lost it has ended by then.
AGAIN = 0.02

_ANSWERED = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, where SIGINT would be KeyboardInterrupt."""


class _State:
    received = 0
    patient = False
    repeated = 0
    """Signals of this process to itself, which do not count."""


def exit_code() -> int:
    """Exit code of a command that a signal ended, 0 where there was none."""
    return 128 + _State.received if _State.received else 0


def is_of_a_signal(error: BaseException) -> bool:
    """Whether a signal is behind this error: some code makes another one of KeyboardInterrupt.

    Python 3.11 does so with signals that arrive while a class is made, as in imports.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return bool(_State.received) and cause is not None


def be_patient() -> None:
    """Let the command finish its work after a first signal; a second one ends it."""
    _State.patient = True


def answer_signals() -> None:
    """Raise in the main thread on SIGINT and SIGTERM, and watch that the process ends."""
    _State.received, _State.patient, _State.repeated = 0, False, 0
    sys.unraisablehook = _raise_later
    watched, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    for number in _ANSWERED:
        # A shell starts background jobs with SIGINT ignored: that stays so.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise)
    threading.Thread(target=_watch, args=(watched, woken), daemon=True).start()


def _raise(number: int, _: FrameType | None) -> NoReturn:
    _State.received = number
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _raise_later(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal once more whose exception Python has dropped.

    Exceptions of destructors and of callbacks of weak references go nowhere but here.
    """
    if _State.received and isinstance(lost.exc_value, KeyboardInterrupt):
        timer = threading.Timer(AGAIN, _repeat, (_State.received,))
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(lost)


def _repeat(number: int) -> None:
    _State.repeated += 1
    if hasattr(signal, "pthread_kill"):
        # Other than interrupt_main, it wakes a main thread that sleeps or waits.
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def _watch(watched: socket.socket, _: socket.socket) -> None:
    """End the process some time after a signal; the sockets live as long as this thread."""
    numbers = {int(number) for number in _ANSWERED}
    n_received = 0
    while received := watched.recv(1):
        if received[0] not in numbers:
            continue
        if _State.repeated:
            _State.repeated -= 1
            continue
        n_received += 1
        if not (_State.patient and n_received == 1):
            timer = threading.Timer(GRACE, _leave, (received[0],))
            timer.daemon = True  # a command that ends in time does not wait for it
            timer.start()


def _leave(number: int) -> None:
    """End without waiting for threads and workers."""
    remove_unfinished()
    kill_children()
    os._exit(128 + number)


def open_streams() -> None:
    """Open the standard streams that the command was started without.

    Files would else get their numbers, and messages of libraries would be written into them. What
    is written to a closed stdout is an error, as it is lost; what is written to a closed stderr is
    not.
    """
    flags = {0: os.O_RDONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, flags[number])
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
            mode = "r" if number == 0 else "w"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 (stays open)
            setattr(sys, name, stream)
    name_errors()


def end_output() -> None:
    """Write what is left for stdout, or drop what cannot be written: an error has said so."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        drop_output()


def drop_output() -> None:
    """Drop what is still to be written to stdout, whose reader has gone."""
    with suppress(OSError, ValueError):
        number = sys.stdout.fileno()
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
