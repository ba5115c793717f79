"""Items that a process of its own computes while this one is busy with other work.

`ItemsAhead` starts the process at once and gives its items in order. A pipe holds the process back:
one item waits, so that memory stays small. Warnings and errors of the process are raised here.
Tasks whose order does not matter are in `parallel.py`.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Generic, NamedTuple, TypeVar

from ..exceptions import WorkerError

__all__ = ["ItemsAhead", "count_cores"]

Item = TypeVar("Item")


class _Message(NamedTuple):
    """What the process sends: warnings, then an item, an error, or neither at the end."""

    warned: list[tuple[str, type[Warning]]]
    items: tuple[Any, ...] = ()
    error: BaseException | None = None


class ItemsAhead(Generic[Item]):
    """The items of an iterable, computed ahead by another process.

    Iterate once, and close it: `close` ends the process, whatever it does.

    Parameters
    ----------
    what : str
        What the process does, for the error where it is killed.
    make : callable
        A function of a module: the process imports it by its name.
    *args, **kwargs
        Its arguments, which are pickled.
    """

    def __init__(
        self, what: str, make: Callable[..., Iterable[Item]], *args: Any, **kwargs: Any
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._what = what
        self._receiver, sender = context.Pipe(duplex=False)
        # Pickled here, so that the process gets to its own first lines before it imports anything.
        work = pickle.dumps((make, args, kwargs))
        self._process = context.Process(target=_send, args=(sender, work), daemon=True)
        with _without_interrupts():
            self._process.start()
        sender.close()

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; end the process with the last one.

        Raises
        ------
        WorkerError
            If the process was killed; errors of the iterable itself are raised as they are.
        """
        try:
            while True:
                message = self._receive()
                for text, category in message.warned:
                    warnings.warn(text, category, stacklevel=2)
                if message.error is not None:
                    raise message.error
                if not message.items:
                    return
                yield from message.items
        finally:
            self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._receiver.close()

    def _receive(self) -> _Message:
        try:
            message: _Message = self._receiver.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise WorkerError(
                f"{self._what}: its process ended too early (exit code {self._process.exitcode}). "
                "Perhaps it was killed for want of memory: close other programs and try again."
            ) from error
        return message


def count_cores() -> int:
    """Cores that this process may use: ``OMP_NUM_THREADS``, where that is less than there are."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(here, max(int(said), 1)) if said.isdecimal() and len(said) < 9 else here


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that start here never see Ctrl-C, which is for the process that uses them.

    A signal that comes in between is delivered afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(sender: Connection, work: bytes) -> None:
    """Compute items and send each of them; this is all that the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # modules stay: cycles need not be looked for while they are loaded
    with contextlib.suppress(BrokenPipeError):  # the other process was killed
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                make, args, kwargs = pickle.loads(work)
                gc.freeze()
                gc.enable()
                for item in make(*args, **kwargs):
                    sender.send(_Message(_taken(caught), (item,)))
                last = _Message(_taken(caught))
            except BrokenPipeError:
                raise
            except BaseException as error:
                # Shown with the traceback of the other process, where one is shown.
                error.add_note(traceback.format_exc())
                last = _Message(_taken(caught), error=error)
        sender.send(last)


def _taken(caught: list[warnings.WarningMessage]) -> list[tuple[str, type[Warning]]]:
    """Take the warnings that have come since the last call."""
    taken = [(str(one.message), one.category) for one in caught]
    caught.clear()
    return taken
