"""Fit and prediction have the same bits with 1, 2 and 4 threads."""

from collections.abc import Callable
from functools import partial

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
import numpy as np, sys
from dipkit import default_model
from dipkit.data.datasets import load_organics
molecules = load_organics()[:30]
model = default_model(basis__n_inducing=60).fit(molecules)
np.save(sys.argv[1], model.predict(molecules))
"""


@pytest.mark.slow
def test_other_kernels_of_openblas_differ_by_rounding_alone(tmp_path) -> None:
    """Kernels of another processor add in another order."""
    found = []
    for core in ("Haswell", "Sandybridge", "Prescott"):
        file = tmp_path / f"{core}.npy"
        run_python(SCRIPT, file, OPENBLAS_CORETYPE=core)
        found.append(np.load(file))
    compare = partial(np.testing.assert_allclose, found[0], rtol=0, atol=1e-4)
    for other in found[1:]:
        compare(other)
