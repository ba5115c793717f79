"""Running joblib tasks on the active backend, with results as they are done and a progress bar.

`joblib.parallel_config` chooses the backend: processes of this machine, threads, or a Dask cluster,
whose tasks are in `dask_tasks.py`. Threads that share one fit are not here (`blas_threads.py`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from .dask_tasks import client_of, run_on_dask
from .notebook import in_notebook, notebook_bar
from .processes import OfParent

# Tasks of one round for each worker, where the backend gives all results at once at the end.
TASKS_A_ROUND = 64


def run(
    tasks: Sequence[Any],
    n_jobs: int | None,
    ordered: bool = False,
    threads: bool = False,
    one_by_one: bool = False,
) -> Iterator[Any]:
    """Run tasks and yield their results.

    Parameters
    ----------
    tasks : sequence of joblib.delayed calls
    n_jobs : int or None
        1 runs them here; None follows an active `joblib.parallel_config`.
    ordered : bool, default=False
        Whether results come in the order of the tasks, or as they are done.
    threads : bool, default=False
        Whether threads are better than processes; a backend that was chosen comes first.
    one_by_one : bool, default=False
        Whether each result comes as soon as it is done; joblib else sends short tasks in batches.
    """
    if n_jobs == 1:
        yield from (function(*args, **kwargs) for function, args, kwargs in tasks)
        return
    backend, _ = get_active_backend()
    if client_of(backend) is not None:
        yield from run_on_dask(tasks, backend, ordered)
        return
    how = "generator" if ordered else "generator_unordered"
    prefer = "threads" if threads else None
    size = 1 if one_by_one else "auto"
    tasks = [(OfParent(function), args, kwargs) for function, args, kwargs in tasks]
    try:
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as=how, prefer=prefer, batch_size=size)
    except ValueError:  # a backend that returns lists: rounds keep these short
        parallel = joblib.Parallel(n_jobs=n_jobs, prefer=prefer, batch_size=size)
        length = TASKS_A_ROUND * max(joblib.effective_n_jobs(n_jobs), 1)
        for start in range(0, len(tasks), length):
            yield from parallel(tasks[start : start + length])
        return
    yield from parallel(tasks)


def count_workers(n_jobs: int | None) -> int:
    """Workers that `run` would use: 1 where neither argument nor configuration asks for more."""
    backend, configured = get_active_backend()
    if n_jobs is None and configured is None and backend.default_n_jobs == 1:
        return 1
    return int(joblib.effective_n_jobs(n_jobs))


def shares_memory() -> bool:
    """Whether tasks that prefer threads run in this process."""
    backend, _ = get_active_backend(prefer="threads")
    return bool(getattr(backend, "supports_sharedmem", False))


def active_jobs() -> int | None:
    """Return the number of jobs of the active joblib configuration, None without one."""
    backend, n_jobs = get_active_backend()
    if n_jobs is not None or backend.default_n_jobs != 1:
        return int(backend.default_n_jobs if n_jobs is None else n_jobs)
    if backend.nesting_level or joblib.cpu_count() == 1:
        return 1
    return None


@contextlib.contextmanager
def progress(what: str, total: int, verbose: bool | str) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal or in a notebook; give the function that moves it by one step.

    Parameters
    ----------
    what : str
        Stands before the bar.
    total : int
        Steps; a single one needs no bar.
    verbose : bool, "auto" or "notebook"
        ``"auto"`` shows it on a terminal and in a notebook, ``"notebook"`` only there.
    """
    in_worker = multiprocessing.current_process().name != "MainProcess"
    if not verbose or in_worker or total <= 1:
        yield lambda: None
        return
    if in_notebook():
        with notebook_bar(what, total) as advance:
            yield advance
        return
    if verbose == "notebook" or (verbose == "auto" and not sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
