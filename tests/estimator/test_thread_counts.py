"""Fit and prediction have the same bits with 1, 2 and 4 threads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from helpers.kills import run_python

from dipkit import DipoleKernelRidge, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.estimator.predictor import DipolePredictor

THREADS = (1, 2, 4)


def with_threads(number: int, function: Callable):
    with threadpoolctl.threadpool_limits(number):
        return function()


@pytest.fixture(scope="module")
def soap(coarse_soap: SOAPTransformer) -> SOAPTransformer:
    return SOAPTransformer(coarse_soap.scales)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, pieces and columns of a matrix, as a large fit has them."""
    monkeypatch.setattr("dipkit.learning.accumulate.BLOCK_ATOMS", 400)
    monkeypatch.setattr("dipkit.learning.blocking.PIECE_ATOMS", 100)
    monkeypatch.setattr("dipkit.learning.accumulate.GRAM_COLUMNS", 64)


def fitted_arrays(ridge: DipoleKernelRidge) -> dict[str, np.ndarray]:
    return {
        name: value
        for name, value in vars(ridge).items()
        if isinstance(value, np.ndarray) and name.endswith("_")
    } | {f"scale {i}": scale for i, scale in enumerate(ridge.inducing_features_)}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"loss": "huber"},
        {"basis__atomic_dipoles": 0.03},
        {"auxiliary": "charges"},
        {"charge_discrepancy": 1e-2},
    ],
    ids=lambda parameters: next(iter(parameters), "default"),
)
@pytest.mark.usefixtures("small_pieces")
def test_a_fit_has_the_same_bits(soap: SOAPTransformer, parameters: dict) -> None:
    molecules = load_organics()[:120]
    model = DipoleKernelRidge(device="cpu").set_params(basis__n_inducing=300, **parameters)
    first, *others = [
        fitted_arrays(with_threads(n, lambda: model.fit(soap.fit_transform(molecules))))
        for n in THREADS
    ]
    assert {"dual_coef_", "intercept_", "std_coef_", "scale 0"} <= first.keys()
    for other in others:
        assert [name for name in first if not np.array_equal(first[name], other[name])] == []


@pytest.mark.parametrize("n_molecules", [1, 3, 40, 160])
@pytest.mark.parametrize("on_demand", [False, True])
def test_a_prediction_has_the_same_bits(
    soap: SOAPTransformer, n_molecules: int, on_demand: bool
) -> None:
    molecules = load_organics()[:160]
    ridge = DipoleKernelRidge(device="cpu").set_params(basis__n_inducing=400)
    model: DipolePredictor = ridge.fit(soap.fit_transform(molecules))
    describe = SOAPTransformer(soap.scales, on_demand=on_demand).fit(molecules).transform

    def predict() -> tuple[np.ndarray, ...]:
        return model.predict_together(describe(molecules[:n_molecules]), return_std=True)

    first, *others = [with_threads(number, predict) for number in THREADS]
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, two)


SCRIPT = """
import sys
import numpy as np
import threadpoolctl
from dipkit import default_model
from dipkit.data.datasets import load_organics

molecules, found = load_organics()[:30], {}
for threads in (1, 2, 4):
    with threadpoolctl.threadpool_limits(threads):
        model = default_model(basis__n_inducing=60).fit(molecules)
        found[f"coefficients {threads}"] = model[-1].dual_coef_
        found[f"predictions {threads}"] = model.predict(molecules)
blas = [pool for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"]
np.savez(sys.argv[1], core=sorted({pool["architecture"] for pool in blas}), **found)
"""
CORES = ("Haswell", "SkylakeX")


def supported(core: str) -> bool:
    """Return whether the processor can run the kernels that OpenBLAS has for this one."""
    cpu = Path("/proc/cpuinfo")
    flag = {"Haswell": "avx2", "SkylakeX": "avx512f"}[core]
    return cpu.exists() and flag in cpu.read_text().split()


@pytest.fixture(scope="module")
def of_cores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """Fits and predictions with the kernels of OpenBLAS for each processor."""
    found, folder = {}, tmp_path_factory.mktemp("cores")
    for core in filter(supported, CORES):
        run_python(SCRIPT, folder / f"{core}.npz", OPENBLAS_CORETYPE=core)
        with np.load(folder / f"{core}.npz") as arrays:
            found[core] = dict(arrays)
    return {core: arrays for core, arrays in found.items() if arrays["core"].tolist() == [core]}


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_each_processor_has_the_same_bits_with_any_number_of_threads(
    of_cores: dict[str, dict[str, np.ndarray]], core: str
) -> None:
    if core not in of_cores:
        pytest.skip(f"no kernels of OpenBLAS for {core} here")
    arrays = of_cores[core]
    for what in ("coefficients", "predictions"):
        for threads in THREADS[1:]:
            np.testing.assert_array_equal(arrays[f"{what} {threads}"], arrays[f"{what} 1"])


@pytest.mark.slow
def test_two_processors_differ_by_rounding_alone(
    of_cores: dict[str, dict[str, np.ndarray]],
) -> None:
    """Their kernels add in another order, so that the bits are not the same."""
    if len(of_cores) < 2:
        pytest.skip("kernels of OpenBLAS for one processor at most")
    one, other = (of_cores[core]["predictions 1"] for core in CORES)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
