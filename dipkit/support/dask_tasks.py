"""Tasks on a Dask cluster, without waiting for tasks that Dask has given up.

joblib's own backend calls nobody back when a task fails because its workers died: its caller waits
for ever. Here the cluster that joblib names is asked through Dask itself. A task whose worker dies
is run again by Dask, as often as ``distributed.scheduler.allowed-failures`` says; then it is an
error. What several tasks share is sent once, and again if the worker that has it dies.

Options, in Dask's configuration or as joblib's arguments:

- ``dipkit.task-timeout`` (`dask.config.set`): seconds, or text such as "10 minutes", in which at
  least one task has to end. The default is no limit.
- ``wait_for_workers_timeout`` (`joblib.parallel_config`): seconds that the cluster may be without
  any worker, 10 where nothing is said.

Other backends are in `parallel.py`.
"""

from __future__ import annotations

import importlib
import time
import uuid
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from ..exceptions import WorkerError

__all__ = ["client_of", "run_on_dask"]

Shared = TypeVar("Shared")

# Seconds between two looks at the cluster.
POLL_SECONDS = 2.0
# Tasks that wait on the cluster in addition to those in work.
WAITING_TASKS = 2


def client_of(backend: Any) -> Any:
    """Return the client of joblib's Dask backend, None of any other backend."""
    return getattr(backend, "client", None) if "Dask" in type(backend).__name__ else None


def run_on_dask(tasks: Sequence[Any], backend: Any, ordered: bool) -> Iterator[Any]:
    """Run tasks and yield their results.

    Parameters
    ----------
    tasks : sequence of joblib.delayed calls
    backend : joblib backend
        Its `client` is that of the cluster.
    ordered : bool
        Whether results come in the order of the tasks, or as they are done.

    Raises
    ------
    WorkerError
        If a task killed its worker on every try, no task ended in the time that is allowed, or
        there is no worker any more.
    """
    run = _Run(tasks, backend)
    with _outside_of_the_pool():
        try:
            yield from run.results(ordered)
        finally:
            run.cancel()


class _Run:
    def __init__(self, tasks: Sequence[Any], backend: Any) -> None:
        self.client, self.left = backend.client, deque(tasks)
        self.options = dict(getattr(backend, "submit_kwargs", {}))
        self.width = max(sum(self.client.ncores().values()), 1) + WAITING_TASKS
        self.waiting: deque[Any] = deque()
        self.limits = _Limits(self.client, getattr(backend, "wait_for_workers_timeout", 10))
        self.shared = self._share(tasks)

    def results(self, ordered: bool) -> Iterator[Any]:
        while self.left or self.waiting:
            while self.left and len(self.waiting) < self.width:
                self.waiting.append(self._submit(self.left.popleft()))
            some = [self.waiting[0]] if ordered else list(self.waiting)
            for future in self.limits.wait(some):
                self.waiting.remove(future)
                yield _result(future)

    def cancel(self) -> None:
        """Give up what is not done."""
        if self.waiting:
            self.client.cancel(list(self.waiting))

    def _submit(self, task: Any) -> Any:
        function, args, kwargs = task
        args = [self.shared.get(id(arg), arg) for arg in args]
        kwargs = {name: self.shared.get(id(value), value) for name, value in kwargs.items()}
        return self._send(function, *args, **kwargs)

    def _send(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        name = getattr(function, "__name__", type(function).__name__).strip("_")
        with warnings.catch_warnings():
            # A graph with data in it: Dask can send these again when a worker dies.
            warnings.filterwarnings("ignore", message="Sending large graph")
            key = f"{name}-{uuid.uuid4().hex}"
            return self.client.submit(function, *args, key=key, **self.options, **kwargs)

    def _share(self, tasks: Sequence[Any]) -> dict[int, Any]:
        """Send arguments that are the same object in several tasks once, as tasks of their own."""
        values = [v for _, args, kwargs in tasks for v in (*args, *kwargs.values())]
        counts = Counter(id(value) for value in values)
        small = (int, float, str, bool, slice, type(None))
        shared = {
            id(value): value
            for value in values
            if counts[id(value)] > 1 and not isinstance(value, small)
        }
        return {key: self._send(_shared, value) for key, value in shared.items()}


class _Limits:
    """Waits for tasks, and gives up where nothing can come any more."""

    def __init__(self, client: Any, without_workers: float | None) -> None:
        import dask
        from dask.utils import parse_timedelta

        self.client, self.without_workers = client, without_workers
        limit = dask.config.get("dipkit.task-timeout", None)
        self.without_result = None if limit is None else parse_timedelta(limit)

    def wait(self, futures: list[Any]) -> list[Any]:
        """Return those futures that are done, at least one."""
        distributed = _distributed()
        started = last_seen = time.monotonic()
        while True:
            # A timeout leaves no task behind: they go on.
            with suppress(TimeoutError, distributed.TimeoutError):
                done = distributed.wait(futures, POLL_SECONDS, "FIRST_COMPLETED").done
                return [future for future in futures if future in done]
            now = time.monotonic()
            if self.client.ncores():
                last_seen = now
            self._check(now - started, now - last_seen)

    def _check(self, without_result: float, without_workers: float) -> None:
        if self.without_workers and without_workers > self.without_workers:
            raise WorkerError(
                f"the Dask cluster had no worker for {without_workers:.0f} s. Start workers, or "
                "allow more time: joblib.parallel_config(backend='dask', "
                "wait_for_workers_timeout=SECONDS)."
            )
        if self.without_result is not None and without_result > self.without_result:
            raise WorkerError(
                f"no task ended on the Dask cluster in {without_result:.0f} s. Look at its "
                "dashboard, or allow more time: dask.config.set({'dipkit.task-timeout': SECONDS})."
            )


def _result(future: Any) -> Any:
    """Return the result of a task that is done.

    Raises
    ------
    WorkerError
        If its workers died, or it was cancelled.
    """
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    if error is not None and type(error).__name__ != "KilledWorker":
        raise error
    why = f"killed its worker on every try: {error}" if error else f"was {future.status}"
    raise WorkerError(
        f"a task on the Dask cluster {why}. The log of the workers has the reason; most often "
        "memory is short: give the workers more, or take fewer inducing environments "
        "(n_inducing)."
    ) from error


def _shared(value: Shared) -> Shared:
    return value


@contextmanager
def _outside_of_the_pool() -> Iterator[None]:
    """Within a task of Dask, let another task have the thread while this one waits."""
    distributed = _distributed()
    try:
        distributed.get_worker()
    except ValueError:  # not within a task
        yield
        return
    with distributed.worker_client():
        yield


def _distributed() -> Any:
    """Import the package, which is optional and not typed throughout."""
    return importlib.import_module("distributed")
