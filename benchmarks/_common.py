"""What the benchmarks share: the parts of the data, and a line on machine, versions and commit."""

from __future__ import annotations

import os
import pkgutil
import platform
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from dipkit import Molecules
from dipkit.support.backend import get_backend

# The last fifth of this permutation is the test part: defaults are chosen on the rest only.
SPLIT_SEED = 0
TEST_SHARE = 0.2


def parts(molecules: Molecules) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the development part and of the test part."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(molecules))
    cut = round(len(order) * (1 - TEST_SHARE))
    return order[:cut], order[cut:]


def draw(
    molecules: Molecules, n_train: int, n_test: int, seed: int, tune: bool
) -> tuple[Molecules, Molecules]:
    """Draw training and test molecules.

    With `tune`, the test molecules come from the development part as well (and are never trained
    on), so that settings can be compared without looking at the test part.
    """
    train, test = draw_indices(molecules, n_train, n_test, seed, tune)
    return molecules[train], molecules[test]


def draw_indices(
    molecules: Molecules, n_train: int, n_test: int, seed: int, tune: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the molecules of `draw`."""
    development, test = parts(molecules)
    rng = np.random.default_rng(1000 + seed)
    if tune:
        development, test = np.split(development, [len(development) // 10 * 9])
    train = _cover_elements(molecules, rng.choice(development, n_train, replace=False))
    return train, rng.choice(test, n_test, replace=False)


def _cover_elements(molecules: Molecules, chosen: np.ndarray) -> np.ndarray:
    """Move the first molecule of each element to the front, so that small sets hold them all."""
    index = molecules.molecule_index
    first = []
    for number in molecules.elements:
        having = np.unique(index[molecules.numbers == number])
        position = int(np.isin(chosen, having).argmax())
        first.append(position)
    front = list(dict.fromkeys(first))
    return np.concatenate([chosen[front], np.delete(chosen, front)])


class PeakMemory:
    """Largest memory while a ``with`` block lasts.

    Parameters
    ----------
    measure : callable, default=None
        Gives the memory now, GB. None takes that of this process and its children, in which pages
        that processes share are counted once (proportional set size; Linux only).
    seconds : float, default=0.5
        Time between two looks.
    """

    def __init__(self, measure: Callable[[], float] | None = None, seconds: float = 0.5) -> None:
        self.gb = 0.0
        self._measure, self._seconds = measure or _of_family, seconds
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(self._seconds):
            self.gb = max(self.gb, self._measure())


def _of_family() -> float:
    return sum(map(_proportional_gb, _family(os.getpid())))


def _family(process: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        threads = os.listdir(f"/proc/{process}/task")
    except OSError:  # it has ended
        return []
    files = [Path(f"/proc/{process}/task/{thread}/children") for thread in threads]
    children = [int(child) for file in files for child in _text(file).split()]
    return [process, *(each for child in children for each in _family(child))]


def _proportional_gb(process: int) -> float:
    lines = _text(Path(f"/proc/{process}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e9


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # the process has ended
        return ""


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """Name the commit, and say where the tree differs from it."""

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=folder)
        return done.stdout.strip()

    # A copy without its history, on another machine, is told its commit.
    if told := os.environ.get("DIPKIT_COMMIT"):
        return told
    name = git("rev-parse", "--short", "HEAD") or "unknown"
    return name + (" with changes" if git("status", "--porcelain", "--", "../dipkit") else "")


def setting() -> str:
    """Machine, the GPU that device="auto" takes, versions and commit in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ("dipkit", "numpy", "scipy", "scikit-learn", "dscribe")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    backend = get_backend("auto")
    gpu = "" if backend.on_host else f", {backend.device_name}"
    return (
        f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB{gpu}; "
        f"Python {platform.python_version()}, {versions}; commit {commit()}"
    )


class Stopwatch:
    """Adds up the wall time and the processor time of ``with`` blocks, in seconds.

    Processor time is that of this process with its threads: what a task costs, whatever else the
    machine does.
    """

    def __init__(self) -> None:
        self.processor = self.wall = 0.0

    def __enter__(self) -> Stopwatch:
        self._start = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        self.processor += time.process_time() - self._start[0]
        self.wall += time.perf_counter() - self._start[1]


@contextmanager
def clocked(
    *places: str, wait: Callable[[], object] = lambda: None
) -> Iterator[dict[str, Stopwatch]]:
    """Time functions meanwhile; return a watch for each, by the name of the function alone.

    A place is the module, and the class where there is one, that calls the function by its own
    name: "dipkit.estimator.fit.gather" times what `fit` calls, wherever it is defined. A test
    looks for each place in the package. `wait` is called before and after each: a device computes
    while the host goes on.
    """
    names = {place: place.rpartition(".")[2] for place in places}
    watches = {name: Stopwatch() for name in names.values()}

    def timed(place: str, name: str) -> Any:
        function = pkgutil.resolve_name(place)

        def run(*args: Any, **kwargs: Any) -> Any:
            wait()
            with watches[name]:
                result = function(*args, **kwargs)
                wait()
                return result

        return run

    with ExitStack() as stack:
        for place, name in names.items():
            stack.enter_context(mock.patch(place, timed(place, name)))
        yield watches
