"""The contract of every kernel: unit diagonal, symmetric, positive, equal to a plain loop."""

import math

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
)

from dipkit.data.molecules import Molecules
from dipkit.exceptions import InputError
from dipkit.learning.kernels import EnvironmentKernel, GaussianKernel, PowerKernel

KERNELS = [
    PowerKernel(),
    PowerKernel(degree=1),
    PowerKernel(degree=2),
    PowerKernel(degree=3),
    PowerKernel(degree=1.5),
    GaussianKernel(),
    GaussianKernel(gamma=12.5),
]
WEIGHTS = (1.0, 0.25)


def scalar(kernel: EnvironmentKernel, t: float) -> float:
    if isinstance(kernel, PowerKernel):
        return max(t, 0.0) ** kernel.degree
    assert isinstance(kernel, GaussianKernel)
    return math.exp(-2 * kernel.gamma * (1 - t))


def unit_vectors(n: int, width: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    x = np.random.default_rng(seed).random((n, width)) + 0.1
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(dtype)


def scales(n: int, seed: int = 0, dtype: type = np.float64) -> list[np.ndarray]:
    return [unit_vectors(n, 6, seed, dtype), unit_vectors(n, 4, seed + 1, dtype)]


@pytest.fixture(params=KERNELS, ids=str)
def kernel(request: pytest.FixtureRequest) -> EnvironmentKernel:
    return request.param


def test_equals_a_plain_loop(kernel: EnvironmentKernel) -> None:
    x, z = scales(7), scales(5, seed=9)
    x[0][0] *= -1  # a negative dot product
    expected = [
        [
            sum(
                w * scalar(kernel, float(a[i] @ b[j]))
                for a, b, w in zip(x, z, WEIGHTS, strict=True)
            )
            / sum(WEIGHTS)
            for j in range(5)
        ]
        for i in range(7)
    ]
    np.testing.assert_allclose(kernel(x, z, WEIGHTS), expected, rtol=1e-12)


def test_is_one_on_the_diagonal_symmetric_and_bounded(kernel: EnvironmentKernel) -> None:
    x = scales(20)
    values = kernel(x, x, WEIGHTS)
    np.testing.assert_allclose(np.diag(values), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(values, values.T)
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-12


def test_weights_are_normalised(kernel: EnvironmentKernel) -> None:
    x, z = scales(6), scales(4, seed=3)
    np.testing.assert_allclose(kernel(x, z, (4.0, 1.0)), kernel(x, z, WEIGHTS), rtol=1e-14)
    assert np.abs(kernel(x, z, (1.0, 4.0)) - kernel(x, z, WEIGHTS)).max() > 1e-3


def test_keeps_the_floating_type(kernel: EnvironmentKernel) -> None:
    x, z = scales(6, dtype=np.float32), scales(4, seed=3, dtype=np.float32)
    single = kernel(x, z, WEIGHTS)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, kernel(scales(6), scales(4, seed=3), WEIGHTS), rtol=1e-5)


def test_leaves_descriptors_alone(kernel: EnvironmentKernel) -> None:
    x, z = scales(6), scales(4, seed=3)
    kernel(x, z, WEIGHTS)
    for before, after in zip(scales(6) + scales(4, seed=3), x + z, strict=True):
        np.testing.assert_array_equal(before, after)


def test_one_weight_for_each_scale(kernel: EnvironmentKernel) -> None:
    with pytest.raises(ValueError, match="zip"):
        kernel(scales(3), scales(3), (1.0,))


def test_has_no_negative_directions_on_descriptors(
    kernel: EnvironmentKernel, described: Molecules
) -> None:
    # A power that is no integer is not positive definite on every set of vectors, but must be on
    # descriptors of atoms, up to what the eigenvalue cut takes away.
    assert described.features is not None
    for number in (1, 6):
        x = [
            scale[described.numbers == number].astype(float) for scale in described.features.scales
        ]
        values = np.linalg.eigvalsh(kernel(x, x, described.features.weights))
        assert values[0] > -1e-9 * values[-1]


@pytest.mark.parametrize("kernel", [PowerKernel(2), PowerKernel(3), GaussianKernel(2.0)], ids=str)
def test_is_positive_definite(kernel: EnvironmentKernel) -> None:
    x = scales(40)
    values = np.linalg.eigvalsh(kernel(x, x, WEIGHTS))
    assert values[0] > -1e-13 * values[-1]


@pytest.mark.parametrize("bad", [0, -1.0, math.nan, math.inf, None, "2"])
@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [(PowerKernel, "degree", "a number >= 1"), (GaussianKernel, "gamma", "a positive number")],
)
def test_bad_parameters_are_refused(kind: type, name: str, expected: str, bad: object) -> None:
    with pytest.raises(InputError, match=f"{name}: expected {expected}, got {bad!r}"):
        kind(**{name: bad}).check()


def test_roots_are_refused() -> None:
    # The matrix of roots of dot products has negative eigenvalues on real descriptors.
    with pytest.raises(InputError, match=r"degree: expected a number >= 1, got 0\.5"):
        PowerKernel(degree=0.5).check()


def test_good_parameters_are_accepted(kernel: EnvironmentKernel) -> None:
    before = kernel.get_params()
    kernel.check()  # a refusal would raise
    assert kernel.get_params() == before


def test_is_an_estimator(kernel: EnvironmentKernel) -> None:
    copy = clone(kernel)
    assert copy is not kernel
    assert copy.get_params() == kernel.get_params()
    (name,) = kernel.get_params()
    assert copy.set_params(**{name: 4.5}).get_params() == {name: 4.5}
    check_no_attributes_set_in_init(type(kernel).__name__, kernel)
    check_parameters_default_constructible(type(kernel).__name__, kernel)


def test_the_wider_precision_counts(kernel: EnvironmentKernel) -> None:
    x, z = ([part.astype(np.float32) for part in scales(n)] for n in (30, 20))
    exact = kernel([part.astype(float) for part in x], [part.astype(float) for part in z], WEIGHTS)
    for precise in range(len(z)):
        mixed = [part.astype(float) if s == precise else part for s, part in enumerate(z)]
        found = kernel(x, mixed, WEIGHTS)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, exact, rtol=1e-5)
    assert kernel(x, z, WEIGHTS).dtype == np.float32
