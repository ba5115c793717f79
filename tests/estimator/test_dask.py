"""A Dask cluster of two worker processes computes the same sums, also where a worker dies."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.exceptions import InputError, WorkerError
from dipkit.learning.kernels import PowerKernel
from dipkit.support.backend import Backend
from dipkit.support.blas_threads import count_threads
from dipkit.support.dask_tasks import run_on_dask
from dipkit.support.parallel import run

dask = pytest.importorskip("dask", reason="Dask is not installed (extra dask)")
distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def on_the_cluster() -> Any:
    """Wait longer than joblib's 10 s: on a busy machine a new worker takes that time to start."""
    return joblib.parallel_config(backend="dask", wait_for_workers_timeout=120)


@pytest.fixture(scope="module")
def on_demand(coarse_soap: SOAPTransformer) -> Molecules:
    """Geometries travel to the workers, and descriptors are computed there."""
    transformer = SOAPTransformer(coarse_soap.scales, on_demand=True)
    return transformer.fit_transform(load_organics()[:60])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dipkit.learning.accumulate.BLOCK_ATOMS", 60)


def ridge(**parameters: Any) -> DipoleKernelRidge:
    return DipoleKernelRidge().set_params(
        basis__n_inducing=60, solver__tol=1e-8, device="cpu", **parameters
    )


@pytest.mark.parametrize("kind", ["held", "on demand", "with atomic dipoles", "along bonds"])
def test_same_weights_as_here(
    client: Any, kind: str, on_demand: Molecules, described: Molecules
) -> None:
    molecules = on_demand if kind == "on demand" else described
    model = ridge(
        basis__atomic_dipoles=0.3 if kind == "with atomic dipoles" else 0.0,
        basis__compensation="bonds" if kind == "along bonds" else "molecule",
    )
    here = clone(model).fit(molecules)
    with on_the_cluster():
        there = clone(model).fit(molecules)
    scale = np.abs(here.dual_coef_).max()
    np.testing.assert_allclose(there.dual_coef_, here.dual_coef_, rtol=1e-8, atol=1e-8 * scale)
    scale = np.abs(here.bond_coef_).max()
    np.testing.assert_allclose(there.bond_coef_, here.bond_coef_, rtol=1e-8, atol=1e-8 * scale)
    if kind == "with atomic dipoles":
        found, expected = (model.atomic_dipole_coef_ for model in (there, here))
        np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())
    tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.task_prefixes))
    assert tasks


def test_workers_use_the_cores_they_are_given(client: Any) -> None:
    assert set(client.run(count_threads).values()) == {1}


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_task_that_kills_every_worker_is_an_error(client: Any) -> None:
    tasks = [joblib.delayed(die)(number) for number in range(2)]
    with on_the_cluster():
        with pytest.raises(WorkerError, match="killed its worker on every try"):
            list(run(tasks, None))
        assert list(run([joblib.delayed(die)(2)], None)) == [2]


def fail(number: int) -> int:
    if number == 3:
        raise InputError("number: it is three.")
    return number


def test_an_error_of_a_task_is_that_error(client: Any) -> None:
    tasks = [joblib.delayed(fail)(number) for number in range(6)]
    with on_the_cluster(), pytest.raises(InputError, match="it is three"):
        list(run(tasks, None))


@pytest.mark.parametrize("ordered", [True, False])
def test_results_are_those_of_one_process(client: Any, ordered: bool) -> None:
    shared = np.arange(1000.0)
    tasks = [joblib.delayed(np.dot)(shared, number) for number in range(20)]
    with on_the_cluster():
        found = list(run(tasks, None, ordered=ordered))
    if not ordered:
        found.sort(key=lambda row: row[1])
    np.testing.assert_array_equal(found, np.outer(np.arange(20), shared))


def test_a_task_without_end_is_given_up(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dipkit.support.dask_tasks.POLL_SECONDS", 0.05)
    tasks = [joblib.delayed(time.sleep)(3.0) for _ in range(2)]
    with (
        dask.config.set({"dipkit.task-timeout": "100 ms"}),
        on_the_cluster(),
        pytest.raises(WorkerError, match=r"dipkit\.task-timeout"),
    ):
        list(run(tasks, None))


def test_a_cluster_without_workers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dipkit.support.dask_tasks.POLL_SECONDS", 0.05)

    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        distributed.Client(cluster, set_as_default=False) as alone,
    ):
        backend = SimpleNamespace(client=alone, wait_for_workers_timeout=0.1)
        with pytest.raises(WorkerError, match="wait_for_workers_timeout"):
            list(run_on_dask([joblib.delayed(abs)(-1)], backend, ordered=False))


def test_a_task_may_have_tasks(client: Any) -> None:
    """As many as there are threads: each one waits for tasks of its own."""
    tasks = [joblib.delayed(nested)(number) for number in range(4)]
    with on_the_cluster():
        assert sorted(run(tasks, None)) == [0, 3, 6, 9]


def nested(number: int) -> int:
    with on_the_cluster():
        return sum(run([joblib.delayed(abs)(-number) for _ in range(3)], None))


def test_a_worker_that_dies_is_replaced(client: Any, on_demand: Molecules, tmp_path: Path) -> None:
    marker, here = str(tmp_path / "died"), os.getpid()

    class DeadlyKernel(PowerKernel):
        """Kills the first worker that uses it; pickled by value, as it is local."""

        def of_dot_products(self, t: Any, backend: Backend) -> Any:
            if os.getpid() != here and not os.path.exists(marker):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().of_dot_products(t, backend)

    expected = ridge().fit(on_demand)
    with on_the_cluster():
        model = ridge(basis__kernel=DeadlyKernel()).fit(on_demand)
    assert os.path.exists(marker)
    scale = np.abs(expected.dual_coef_).max()
    np.testing.assert_allclose(model.dual_coef_, expected.dual_coef_, atol=1e-8 * scale)
