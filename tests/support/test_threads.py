"""Threads over pieces, and joblib tasks: results in order, BLAS limited and set free again."""

import threading
import time

import joblib
import pytest
import threadpoolctl

from dipkit.support import parallel
from dipkit.support.blas_threads import (
    SMALL_MATRIX,
    count_threads,
    in_order,
    one_blas_thread,
    threads_for,
)


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


def test_blas_is_free_again_when_all_have_left() -> None:
    with threadpoolctl.threadpool_limits(2):
        before = blas_threads()
        inside, leave = threading.Event(), threading.Event()

        def other() -> None:
            with one_blas_thread():
                inside.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with one_blas_thread(), one_blas_thread():
            thread.start()
            inside.wait(10)
            assert blas_threads() == {1}
            assert count_threads() == 1
        leave.set()
        thread.join()
        assert blas_threads() == before
        assert count_threads() == max(before)


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
