"""Many tasks over processes: run them as the joblib backend can, with a bar on a terminal.

A task is what ``joblib.delayed`` makes of a call. What the tasks compute is not here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from typing import Any

import joblib
from joblib.parallel import get_active_backend

__all__ = ["active_jobs", "progress", "run_tasks"]

# Tasks at once, for each process, where a backend returns lists only.
TASKS_A_ROUND = 64


def active_jobs() -> int | None:
    """Return the processes that the active joblib backend asks for, None where nobody asked."""
    backend, n_jobs = get_active_backend()
    if n_jobs is not None or backend.default_n_jobs != 1:
        return int(backend.default_n_jobs if n_jobs is None else n_jobs)
    if backend.nesting_level or joblib.cpu_count() == 1:
        return 1
    return None


def run_tasks(tasks: list[Any], n_jobs: int) -> Iterator[Any]:
    """Run tasks and yield their results, as soon as the backend can, in any order."""
    if n_jobs == 1:
        yield from (function(*args, **kwargs) for function, args, kwargs in tasks)
        return
    try:
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    except ValueError:  # Dask, for one, returns lists: in rounds, so that they stay short
        parallel = joblib.Parallel(n_jobs=n_jobs)
        size = TASKS_A_ROUND * max(joblib.effective_n_jobs(n_jobs), 1)
        for start in range(0, len(tasks), size):
            yield from parallel(tasks[start : start + size])
        return
    yield from parallel(tasks)


@contextlib.contextmanager
def progress(what: str, total: int, verbose: bool | str) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal; hand out the function that moves it by one step.

    Parameters
    ----------
    what : str
        Stands before the bar.
    total : int
        Steps; a single one needs no bar.
    verbose : bool or "auto"
        ``"auto"`` shows it on a terminal only.
    """
    in_worker = multiprocessing.current_process().name != "MainProcess"
    wanted = sys.stderr.isatty() if verbose == "auto" else verbose
    if not wanted or in_worker or total <= 1:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
