"""Running joblib tasks on whatever backend is active, results as they come.

`joblib.parallel_config` says where: processes of this machine, threads, or a Dask cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import joblib
from joblib.parallel import get_active_backend

# Tasks of one round for each worker, where the backend gives no result before the last.
TASKS_A_ROUND = 64


def run(tasks: Sequence[Any], n_jobs: int | None, ordered: bool = False) -> Iterator[Any]:
    """Run tasks and yield their results.

    Parameters
    ----------
    tasks : sequence of joblib.delayed calls
    n_jobs : int or None
        1 runs them here; None follows an active `joblib.parallel_config`.
    ordered : bool, default=False
        Whether results come in the order of the tasks, or as they are done.
    """
    if n_jobs == 1:
        yield from (function(*args, **kwargs) for function, args, kwargs in tasks)
        return
    try:
        how = "generator" if ordered else "generator_unordered"
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as=how)
    except ValueError:  # Dask, for one, returns lists: in rounds, so that they stay short
        parallel = joblib.Parallel(n_jobs=n_jobs)
        size = TASKS_A_ROUND * max(joblib.effective_n_jobs(n_jobs), 1)
        for start in range(0, len(tasks), size):
            yield from parallel(tasks[start : start + size])
        return
    yield from parallel(tasks)


def count_workers(n_jobs: int | None) -> int:
    """Workers that `run` would use: 1 where neither argument nor configuration asks for more."""
    backend, configured = get_active_backend()
    if n_jobs is None and configured is None and backend.default_n_jobs == 1:
        return 1
    return int(joblib.effective_n_jobs(n_jobs))
