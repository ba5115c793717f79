"""Threads over pieces, and joblib tasks: results in order, BLAS limited and set free again."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import joblib
import pytest
import threadpoolctl

import dipkit.support.blas_threads as blas_threads_module
from dipkit.support import parallel
from dipkit.support.blas_threads import (
    SMALL_MATRIX,
    count_threads,
    in_order,
    one_blas_thread,
    one_thread,
    threads_for,
)

Limit = Callable[[], AbstractContextManager[None]]


def blas_threads() -> set[int]:
    return {
        pool["num_threads"]
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    }


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_come_in_order(n_threads: int) -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.01 * (item < 2))
        return item * item

    assert list(in_order(slow_at_first, range(20), n_threads)) == [i * i for i in range(20)]


def test_errors_of_a_thread_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: 1 / item, [1, 0, 2], 2))
    assert count_threads() == max(blas_threads())


class Inside(threading.Thread):
    """Another thread that is inside a limit until it is let out, perhaps by an exception."""

    def __init__(self, limit: Callable[[], AbstractContextManager[None]], fails: bool) -> None:
        super().__init__(daemon=True)
        self.limit, self.fails = limit, fails
        self.entered, self.leave = threading.Event(), threading.Event()

    def run(self) -> None:
        with suppress(ZeroDivisionError), self.limit():
            self.entered.set()
            self.leave.wait(30)
            if self.fails:
                raise ZeroDivisionError


LIMITS = (one_blas_thread, one_thread)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("second", LIMITS)
@pytest.mark.parametrize("first", LIMITS)
def test_the_limit_holds_until_the_last_thread_has_left(
    first: Limit, second: Limit, fails: bool
) -> None:
    with threadpoolctl.threadpool_limits(2):
        before = blas_threads()
        assert max(before) == 2
        one, other = Inside(first, fails), Inside(second, fails)
        for thread in (one, other):
            thread.start()
            assert thread.entered.wait(30)
        for thread in (one, other):  # the first to come leaves first
            assert blas_threads() == {1}
            assert count_threads() == 1
            thread.leave.set()
            thread.join(30)
        assert blas_threads() == before
        assert count_threads() == 2


@pytest.mark.parametrize("limit", LIMITS)
def test_limits_are_nested(limit: Limit) -> None:
    with threadpoolctl.threadpool_limits(2):
        with limit():
            with pytest.raises(ZeroDivisionError), limit(), one_blas_thread():
                raise ZeroDivisionError
            assert blas_threads() == {1}
        assert max(blas_threads()) == 2


def test_a_limit_that_could_not_be_set_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise OSError("no library")

    with monkeypatch.context() as patch:
        patch.setattr(blas_threads_module, "_pools", refuse)
        with pytest.raises(OSError, match="no library"), one_blas_thread():
            pass
    with threadpoolctl.threadpool_limits(2):
        assert count_threads() == 2
        with one_blas_thread():
            assert blas_threads() == {1}


def test_small_matrices_take_one_thread() -> None:
    with threadpoolctl.threadpool_limits(2):
        before = blas_threads()
        with threads_for(SMALL_MATRIX):
            assert blas_threads() == {1}
        with threads_for(SMALL_MATRIX + 1):
            assert blas_threads() == before


def test_as_many_threads_as_blas_would_take() -> None:
    for n in (1, 2):
        with threadpoolctl.threadpool_limits(n):
            assert count_threads() == max(blas_threads()) <= n


class ListsOnly(joblib.parallel.ThreadingBackend):
    """Refuses generators, as Dask's backend does."""

    supports_return_generator = False


@pytest.mark.parametrize("backend", ["threading", "lists only"])
def test_tasks_run_on_any_backend(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "TASKS_A_ROUND", 3)
    joblib.register_parallel_backend("lists only", ListsOnly)
    tasks = [joblib.delayed(pow)(i, 2) for i in range(20)]
    with joblib.parallel_config(backend, n_jobs=2):
        assert parallel.count_workers(None) == 2
        assert list(parallel.run(tasks, None, ordered=True)) == [i * i for i in range(20)]
        assert sorted(parallel.run(tasks, None)) == [i * i for i in range(20)]


def test_one_worker_where_nobody_asks_for_more() -> None:
    assert parallel.count_workers(None) == parallel.count_workers(1) == 1
    assert parallel.count_workers(2) == 2
    with joblib.parallel_config(n_jobs=3):
        assert parallel.count_workers(None) == 3
