"""Read bad files in a child process, whose memory is bounded, and say what went wrong.

What is right: sane `Molecules`, or an error of dipkit, within the time and the memory.
"""

import contextlib
import gc
import io
import multiprocessing
import random
import resource
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dipkit.data.io import read
from dipkit.data.molecules import Molecules
from dipkit.exceptions import DipkitError
from helpers.fuzz_mutations import mutate
from helpers.fuzz_samples import Sample

SECONDS = 5.0
"""Processor time for one file, all of which are small."""
MEMORY = 500_000_000
"""Bytes that one file may take beside what the process has."""


Files = Callable[[int], tuple[Sample, bytes]]


class Crash(NamedTuple):
    """A file that was not read as it should be."""

    content: bytes
    sample: Sample
    why: str


class _TooSlow(BaseException):
    """Raised by the clock; no reader catches it."""


def fuzz(found: Sequence[Sample], number: int, seed: int) -> list[Crash]:
    """Read this number of bad files in child processes."""
    return _in_children(partial(_mutated, found, seed), number)


def check_file(sample: Sample, content: bytes) -> str:
    """Read one bad file in a child process; return what went wrong, or nothing."""
    crashes = _in_children(lambda _: (sample, content), 1)
    return crashes[0].why if crashes else ""


def _mutated(found: Sequence[Sample], seed: int, place: int) -> tuple[Sample, bytes]:
    rng = random.Random(seed + place)
    sample = rng.choice(found)
    return sample, mutate(sample.content, sample.name, rng)


def _in_children(make: Files, number: int) -> list[Crash]:
    """Read all files; where one ends the process, another process reads those behind it."""
    reasons: dict[int, str] = {}
    start = 0
    while start < number:
        start = _in_child(make, range(start, number), reasons)
    crashes = []
    for place, why in sorted(reasons.items()):
        sample, content = make(place)
        crashes.append(Crash(content, sample, why))
    return crashes


def _in_child(make: Files, places: range, reasons: dict[int, str]) -> int:
    """Read the files of these places; return the place to go on from."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_work, args=(make, places, theirs))
    with warnings.catch_warnings():
        # The threads of a runner of tests hold no locks that are needed here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    theirs.close()
    place = places.start
    with contextlib.suppress(EOFError):
        while True:
            done, why = ours.recv()
            reasons |= {done: why} if why else {}
            place = done + 1
    child.join()
    if place < places.stop:
        reasons[place] = f"the process died: {child.exitcode}"
    return place + 1


def _work(make: Files, places: range, results: Connection) -> None:
    _bound_memory()
    signal.signal(signal.SIGVTALRM, _too_slow)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for place in places:
            results.send((place, _failure(*make(place), Path(folder))))


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _too_slow(*_: object) -> None:
    raise _TooSlow


def _failure(sample: Sample, content: bytes, folder: Path) -> str:
    """Return what went wrong with one file."""
    path, options = sample.write(folder, content)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            why = _nonsense(read(path, **options))
    except DipkitError as error:
        why = _wrong_error(error)
    except _TooSlow:
        why = f"slow: over {SECONDS:g} s"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__} ({place.filename}, line {place.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    gc.collect(0)
    return why


def _wrong_error(error: DipkitError) -> str:
    if len(str(error)) > 2000:
        return f"a message of {len(str(error)):,} characters"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return f"memory: {error!s:.200}"
        cause = cause.__cause__ or cause.__context__
    return ""


def _nonsense(molecules: Molecules) -> str:
    """Return which values no molecule can have."""
    if not len(molecules):
        return "no molecules"
    for what, values, most in (
        ("positions", molecules.positions, 1e4),
        ("dipoles", molecules.dipole_magnitude, 1e4),
        ("vectors", molecules.dipole_vector, 1e4),
        ("charges", molecules.charges, 20),
        ("total charges", molecules.total_charge, 1000),
    ):
        if np.nanmax(np.abs(values), initial=0.0) > most:
            return f"absurd: {what}"
    return ""
