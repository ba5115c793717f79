"""FCHL19 of qmllib with its local kernel, a peer of figure 5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.model_selection import ShuffleSplit

from dipkit import Molecules

from .material import Material

# Kernel widths and ridge penalties of FCHL19 that a validation part chooses from.
WIDTHS, PENALTIES = (1.0, 2.0, 4.0, 8.0, 16.0), (1e-7, 1e-5, 1e-3, 1e-1)
N_SEARCH = 200


def fit(
    material: Material, train: Molecules, _: np.ndarray, draw: int
) -> Callable[[Molecules, np.ndarray], np.ndarray]:
    """Kernel ridge with qmllib's local kernel; width and penalty by validation within training."""
    # The width is chosen on the first molecules, whose kernels for all widths take little time.
    from qmllib.kernels.gradient_kernels import get_local_kernels, get_local_symmetric_kernels

    elements = material.pool.elements.tolist()
    most = int(material.pool.natoms.max())
    x, q = _representations(train, elements, most)
    y = np.asarray(train.dipole_magnitude)
    mean = float(y.mean())
    search = min(len(train), N_SEARCH)
    ((inner, outer),) = ShuffleSplit(1, test_size=0.2, random_state=draw).split(np.arange(search))
    within = get_local_kernels(x[inner], x[inner], _take(q, inner), _take(q, inner), WIDTHS)
    across = get_local_kernels(x[outer], x[inner], _take(q, outer), _take(q, inner), WIDTHS)
    off = y - mean
    chosen = [
        min(_validated(k, k_out, off[inner], off[outer], penalty) for penalty in PENALTIES)
        for k, k_out in zip(within, across, strict=True)
    ]
    width = [WIDTHS[int(np.argmin(chosen))]]
    kernel = get_local_symmetric_kernels(x, q, width)[0]
    # The penalty once more among all molecules: with more of them the kernel is closer to singular.
    ((inner, outer),) = ShuffleSplit(1, test_size=0.2, random_state=draw).split(x)
    parts = kernel[np.ix_(inner, inner)], kernel[np.ix_(outer, inner)]
    penalty = min(PENALTIES, key=lambda each: _validated(*parts, off[inner], off[outer], each))
    coefficients = _solve(kernel, off, penalty)

    def predict(test: Molecules, _: np.ndarray) -> np.ndarray:
        z, p = _representations(test, elements, most)
        return _toward(get_local_kernels(z, x, p, q, width)[0], coefficients) + mean

    return predict


def _validated(
    kernel: np.ndarray, across: np.ndarray, known: np.ndarray, held_out: np.ndarray, penalty: float
) -> float:
    """Mean absolute error of molecules held out, for one penalty."""
    return float(np.abs(_toward(across, _solve(kernel, known, penalty)) - held_out).mean())


def _representations(
    molecules: Molecules, elements: list[int], most: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    from qmllib.representations import generate_fchl19

    x = [
        generate_fchl19(one.numbers, one.positions, elements=elements, pad=most)
        for one in molecules
    ]
    return np.array(x), [np.asarray(one.numbers) for one in molecules]


def _take(items: list[Any], index: np.ndarray) -> list[Any]:
    return [items[i] for i in index]


def _toward(kernel: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Multiply a kernel (test, training) by coefficients, whichever way round it came."""
    return kernel @ coefficients if kernel.shape[1] == len(coefficients) else coefficients @ kernel


def _solve(kernel: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    scale = penalty * np.diag(kernel).mean()
    found: np.ndarray = np.linalg.solve(kernel + scale * np.eye(len(y)), y)
    return found
