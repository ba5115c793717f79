"""A Dask cluster of two worker processes computes the same sums, also where a worker dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.learning.kernels import PowerKernel
from dipkit.support.backend import Backend
from dipkit.support.blas_threads import count_threads

distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


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
    with joblib.parallel_config(backend="dask"):
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
    with joblib.parallel_config(backend="dask"):
        model = ridge(basis__kernel=DeadlyKernel()).fit(on_demand)
    assert os.path.exists(marker)
    scale = np.abs(expected.dual_coef_).max()
    np.testing.assert_allclose(model.dual_coef_, expected.dual_coef_, atol=1e-8 * scale)
