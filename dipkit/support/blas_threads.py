"""Threads: BLAS is limited to one thread while threads of Python work on pieces of a block.

Begin with `in_order`. Gathers, powers and conversions between the matrix products run on one thread
in NumPy; with pieces on threads all of them run on all threads. The number of threads is that which
BLAS would use, so that a worker that may use one core uses one. No other module imports
threadpoolctl. Processes and clusters are not here (`parallel.py`).
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import threadpoolctl

Item = TypeVar("Item")
Result = TypeVar("Result")

# Rows and columns up to which one BLAS thread factors and multiplies faster than several, which
# wait for each other: 0.7 of the time at 1,400 and 2,200, the same time at 3,200.
SMALL_MATRIX = 2500
# Marks the threads of `in_order`.
_local = threading.local()


@functools.cache
def _pools() -> threadpoolctl.ThreadpoolController:
    """Thread pools of the loaded libraries; finding them takes a millisecond."""
    return threadpoolctl.ThreadpoolController()


def threads_of_libraries() -> dict[str, str]:
    """Return the threads of each loaded library for linear algebra, by name and version."""
    return {
        f"{pool['internal_api']} {pool.get('version') or ''}".strip(): f"{pool['num_threads']}"
        for pool in threadpoolctl.threadpool_info()
    }


class _OneBLASThread:
    """One limit for the whole process: the first to enter sets it, the last to leave lifts it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limiter: threadpoolctl.threadpool_limits | None = None

    @property
    def is_set(self) -> bool:
        """Whether the limit is set."""
        return self._inside > 0

    def __enter__(self) -> None:
        with self._lock:
            if self._limiter is None:
                with _any_thread_may_set():
                    self._limiter = _pools().limit(limits=1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._limiter is not None:
                with _any_thread_may_set():
                    self._limiter.restore_original_limits()
                self._limiter = None


@contextmanager
def _any_thread_may_set() -> Iterator[None]:
    """Let this thread change the limit, and any other later.

    From threadpoolctl 3.8 on, a thread that set a limit of OpenBLAS is the only one that can change
    it. Here the last thread that leaves may be another one than the first that entered.
    """
    forget = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if forget is None:
        yield
        return
    forget(force=True)
    yield
    forget(force=True)


_one_blas_thread = _OneBLASThread()


def one_blas_thread() -> AbstractContextManager[None]:
    """Keep BLAS to one thread in this process until the last of these contexts has ended."""
    return _one_blas_thread


def threads_for(size: int) -> AbstractContextManager[None]:
    """Keep BLAS to one thread where no matrix has more rows or columns than a small size."""
    return one_blas_thread() if size <= SMALL_MATRIX else nullcontext()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS, and OpenMP for the calling thread, to one thread each."""
    _pools.cache_clear()  # the libraries of another program may have been loaded since
    with one_blas_thread(), threadpoolctl.threadpool_limits(1, user_api="openmp"):
        yield


def count_threads() -> int:
    """Threads that BLAS may use here; one where others already share the cores."""
    if _one_blas_thread.is_set:
        return 1
    pools = _pools().info()
    return max((pool["num_threads"] for pool in pools if pool["user_api"] == "blas"), default=1)


def _mark() -> None:
    _local.one_of_many = True


def one_of_many() -> bool:
    """Return whether this is a thread of `in_order`; its other threads use the other cores."""
    return getattr(_local, "one_of_many", False)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> Iterator[Result]:
    """Apply a function to items on threads and yield the results in order.

    At most ``n_threads + 1`` results wait at any time, so that they may be large.

    Parameters
    ----------
    function : callable
    items : iterable
    n_threads : int
        1 computes in the calling thread, with one BLAS thread as well.
    """
    if n_threads == 1:
        with one_blas_thread():  # as on several threads: the bits are the same
            yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with one_blas_thread(), ThreadPoolExecutor(n_threads, initializer=_mark) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
