"""A device without a device: arrays of `array_api_strict`, none of them on the host.

Its module holds what the array API standard defines and nothing else, and its arrays refuse NumPy's
and `np.asarray`, as those of CuPy do. What differs between devices, `Backend` does by NumPy here.
"""

import types
from typing import Any

import array_api_strict
import numpy as np
import scipy.sparse

import dipkit.estimator.fit
import dipkit.estimator.prediction
import dipkit.search.fold_problem
from dipkit.support.backend import NUMPY, Backend

DEVICE = array_api_strict.Device("device1")
HOST = array_api_strict.Device("CPU_DEVICE")


def is_on_device(array: Any) -> bool:
    """Whether an array is one of the device, and not of the host."""
    return getattr(array, "device", None) == DEVICE


class StrictSparse:
    """A sparse array whose parts, and what it multiplies, are on the device."""

    def __init__(self, parts: Any, shape: tuple[int, int]):
        self.matrix = scipy.sparse.csr_matrix(tuple(map(STRICT.to_host, parts)), shape=shape)

    def __matmul__(self, right: Any) -> Any:
        return STRICT.asarray(self.matrix @ STRICT.to_host(right))


class StrictBackend(Backend):
    """The door of that device; it refuses arrays of the host where CuPy would."""

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        return self.xp.asarray(array, dtype=dtype, device=DEVICE)

    def to_host(self, array: Any) -> np.ndarray:
        if not is_on_device(array):
            raise TypeError(f"expected an array of the device, got {type(array).__name__}")
        return np.array(array.to_device(HOST))

    def zeros(self, shape: Any) -> Any:
        return self.xp.zeros(shape, device=DEVICE)

    def empty(self, shape: Any, dtype: Any = None) -> Any:
        # NaN shows what was never filled
        return self.xp.full(shape, np.nan, dtype=dtype or self.xp.float64, device=DEVICE)

    def factor(self, matrix: Any) -> Any:
        return self.asarray(NUMPY.factor(self.to_host(matrix)))

    def eigh(self, matrix: Any) -> tuple[Any, Any]:
        values, vectors = NUMPY.eigh(self.to_host(matrix))
        return self.asarray(values), self.asarray(vectors)

    def solve(self, factor: Any, right: Any) -> Any:
        return self.asarray(NUMPY.solve(self.to_host(factor), self.to_host(right)))

    def solve_transposed(self, factor: Any, right: Any) -> Any:
        return self.asarray(NUMPY.solve_transposed(self.to_host(factor), self.to_host(right)))

    def free_memory(self) -> int:
        return NUMPY.free_memory()


STRICT = StrictBackend("strict", array_api_strict, types.SimpleNamespace(csr_matrix=StrictSparse))


def use_strict_device(monkeypatch: Any) -> None:
    """Let all fits, predictions and grids run on the device, whichever they ask for."""
    for module in (dipkit.estimator.fit, dipkit.estimator.prediction, dipkit.search.fold_problem):
        monkeypatch.setattr(module, "get_backend", lambda device: STRICT)
