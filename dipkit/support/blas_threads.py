"""Threads of our own over pieces of a block, each with one BLAS thread.

Gathers, powers and conversions between the matrix products run on one thread in NumPy; with
pieces on threads all of it runs on all of them. Their number is what the BLAS library would take,
so that a worker told to use one core does. This is the door for threadpoolctl.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import threadpoolctl

Item = TypeVar("Item")
Result = TypeVar("Result")

# Rows and columns up to which one BLAS thread factors and multiplies faster than several, which
# wake, wait and get into each other's way: 0.7 of the time at 1,400 and 2,200, as long at 3,200.
SMALL_MATRIX = 2500
# Tells the threads of `in_order` from others.
_local = threading.local()
# The limit is one for the whole process: who sets it lifts it, whoever else is inside then.
_lock = threading.Lock()
_limited = False


@functools.cache
def _pools() -> Any:
    """Thread pools of the libraries that are loaded; to find them takes a millisecond."""
    return threadpoolctl.ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread in this process; nothing is changed where another does so already."""
    global _limited
    with _lock:
        mine, _limited = not _limited, True
    if not mine:
        yield
        return
    try:
        with _pools().limit(limits=1):
            yield
    finally:
        _limited = False


def threads_for(size: int) -> AbstractContextManager[None]:
    """Keep BLAS to one thread where no matrix has more rows or columns than a small size."""
    return one_blas_thread() if size <= SMALL_MATRIX else nullcontext()


def one_thread() -> Any:
    """Keep BLAS and OpenMP to one thread each while a ``with`` block lasts."""
    return threadpoolctl.threadpool_limits(1)


def count_threads() -> int:
    """Threads that BLAS may use here; one where others already share the cores."""
    if _limited:
        return 1
    pools = _pools().info()
    return max((pool["num_threads"] for pool in pools if pool["user_api"] == "blas"), default=1)


def _mark() -> None:
    _local.one_of_many = True


def one_of_many() -> bool:
    """Tell whether this is a thread of `in_order`, whose others use the rest of the cores."""
    return getattr(_local, "one_of_many", False)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> Iterator[Result]:
    """Apply a function to items on threads and yield the results in order.

    Few results wait at any time, so that they may be large.

    Parameters
    ----------
    function : callable
    items : iterable
    n_threads : int
        1 computes in the calling thread.
    """
    if n_threads == 1:
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
