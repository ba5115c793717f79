"""The device door: factorisations agree with NumPy and never fail silently; clear device errors."""

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.model_selection import KFold

import dipkit._evaluate
import dipkit._fitting
from dipkit import DipoleKernelRidge
from dipkit._backend import NUMPY, Backend, get_backend, host_memory
from dipkit.exceptions import DeviceError
from dipkit.folds import cross_validate_grid
from dipkit.molecules import Molecules


def positive_definite(n: int, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((n, n))
    return a @ a.T + n * np.eye(n)


@pytest.mark.parametrize("shape", [(30,), (30, 4)])
def test_factor_and_solve_agree_with_numpy(device: str, shape: tuple[int, ...]) -> None:
    backend = get_backend(device)
    matrix, right = positive_definite(30), np.random.default_rng(1).standard_normal(shape)
    factor = backend.factor(backend.asarray(matrix.copy()))
    solution = backend.to_host(backend.solve(factor, backend.asarray(right)))
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [2, 200])
def test_indefinite_matrix_raises(device: str, n: int) -> None:
    backend = get_backend(device)
    matrix = positive_definite(n)
    matrix[-1, -1] = -1.0
    with pytest.raises(np.linalg.LinAlgError):
        backend.factor(backend.asarray(matrix))


@pytest.mark.parametrize("entry", [(0, 0), (4, 4), (4, 1)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_matrix_that_is_not_finite_raises(device: str, entry: tuple[int, int], bad: float) -> None:
    backend = get_backend(device)
    matrix = positive_definite(5)
    matrix[entry] = matrix[entry[::-1]] = bad
    with np.errstate(all="ignore"), pytest.raises(np.linalg.LinAlgError):
        backend.factor(backend.asarray(matrix))


def test_csr_equals_scipy(device: str) -> None:
    backend = get_backend(device)
    dense = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    ours = backend.csr(np.array([2.0, 1.0, 3.0]), [1, 0, 2], [0, 1, 3], dense.shape)
    right = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(
        backend.to_host(ours @ backend.asarray(right)), scipy.sparse.csr_matrix(dense) @ right
    )


def test_memory_that_is_free(device: str) -> None:
    backend = get_backend(device)
    backend.release()
    assert backend.free_memory() > 0
    assert host_memory() > 0


def test_unknown_device() -> None:
    with pytest.raises(DeviceError, match=r"device: expected one of .*cuda.*, got 'gpu'"):
        get_backend("gpu")


def test_cpu_is_numpy() -> None:
    assert get_backend("cpu") is NUMPY


def test_cuda_without_a_gpu() -> None:
    if get_backend("auto") is not NUMPY:
        pytest.skip("there is a usable GPU")
    with pytest.raises(DeviceError, match=r"dipkit\[cuda12\].*dipkit\[cuda13\].*device=\"cpu\""):
        get_backend("cuda")


def test_cuda_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    with pytest.raises(DeviceError, match="CuPy could not be imported"):
        get_backend("cuda")
    assert get_backend("auto") is NUMPY


def test_cuda_with_cupy_but_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = types.ModuleType("cupy")
    cupy.is_available = lambda: False  # type: ignore[attr-defined]
    for name in ("cupyx", "cupyx.scipy", "cupyx.scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(DeviceError, match="finds no usable GPU"):
        get_backend("cuda")


# A device without a device: arrays that refuse to meet NumPy's, as those of CuPy do.
# array-api-strict refuses as well, but knows neither einsum nor `out=`, nor methods of arrays such
# as sum: CuPy has them all, and the code that runs there uses them. So the whole fit runs on these.


def host_arrays(items: Any) -> bool:
    if isinstance(items, dict):
        items = list(items.values())
    if isinstance(items, list | tuple):
        return any(map(host_arrays, items))
    return type(items) is np.ndarray and items.ndim > 0


class DeviceArray(np.ndarray):
    """An array that mixes with no array of the host."""

    def get(self) -> np.ndarray:
        return np.array(self.view(np.ndarray))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if host_arrays([inputs, kwargs]):
            raise TypeError(f"{ufunc.__name__} of arrays of device and host")
        bare = [x.view(np.ndarray) if isinstance(x, DeviceArray) else x for x in inputs]
        outs = kwargs.get("out", ())
        kwargs |= {"out": tuple(x.view(np.ndarray) for x in outs)} if outs else {}
        result = getattr(ufunc, method)(*bare, **kwargs)
        return outs[0] if outs else to_device(result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if host_arrays([args, kwargs]):
            raise TypeError(f"{func.__name__} of arrays of device and host")
        return to_device(super().__array_function__(func, types, args, kwargs))

    def __setitem__(self, key: Any, value: Any) -> None:
        if host_arrays(value):
            raise TypeError("an array of the host put into one of the device")
        super().__setitem__(key, value)


def to_device(value: Any) -> Any:
    return value.view(DeviceArray) if isinstance(value, np.ndarray) else value


class DeviceModule:
    """NumPy's functions, whose results are arrays of the device."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, types.ModuleType | type) or not callable(found):
            return found

        def on_device(*args: Any, **kwargs: Any) -> Any:
            if name != "asarray" and host_arrays([args, kwargs]):
                raise TypeError(f"{name} of an array of the host")
            return to_device(found(*args, **kwargs))

        return on_device


class DeviceSparse:
    """A sparse array that takes arrays of the device only."""

    def __init__(self, parts: Any, shape: tuple[int, int]):
        assert not host_arrays(parts)
        self.matrix = scipy.sparse.csr_matrix(
            tuple(np.asarray(part).view(np.ndarray) for part in parts), shape=shape
        )

    def __matmul__(self, right: Any) -> Any:
        assert isinstance(right, DeviceArray)
        return to_device(self.matrix @ right.view(np.ndarray))


@dataclass(frozen=True)
class DeviceBackend(Backend):
    """NumPy behind arrays that refuse to mix."""

    def factor(self, matrix: Any) -> Any:
        assert isinstance(matrix, DeviceArray)
        return to_device(NUMPY.factor(matrix.view(np.ndarray)))

    def solve(self, factor: Any, right: Any) -> Any:
        assert isinstance(right, DeviceArray)
        return to_device(NUMPY.solve(factor.view(np.ndarray), right.view(np.ndarray)))

    def solve_transposed(self, factor: Any, right: Any) -> Any:
        assert isinstance(right, DeviceArray)
        return to_device(NUMPY.solve_transposed(factor.view(np.ndarray), right.view(np.ndarray)))

    def free_memory(self) -> int:
        return NUMPY.free_memory()


def labelled(toy: Callable[..., Molecules]) -> Molecules:
    molecules = toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4))
    rng = np.random.default_rng(1)
    magnitudes = np.where(np.arange(8) == 1, np.nan, rng.random(8) * 3)
    vectors = np.where(np.arange(8)[:, None] == 1, rng.standard_normal((8, 3)), np.nan)
    charges = rng.standard_normal(molecules.n_atoms) * 0.3
    index, q = molecules.molecule_index, molecules.total_charge
    charges += ((q - np.bincount(index, charges)) / molecules.natoms)[index]
    return molecules.replace(dipole_magnitude=magnitudes, dipole_vector=vectors, charges=charges)


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
@pytest.mark.parametrize("init", ["charges", "electronegativity", "random"])
def test_nothing_moves_between_devices_behind_the_door(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch, loss: str, init: str
) -> None:
    molecules = labelled(toy)
    model = DipoleKernelRidge(loss=loss, init=init, device="cpu", max_iter=1000)
    expected = model.fit(molecules).predict_dipole(molecules)
    expected_std = model.predict(molecules, return_std=True)[1]
    sparse = types.SimpleNamespace(csr_matrix=DeviceSparse)
    backend = DeviceBackend("device", DeviceModule(), sparse)
    for module in (dipkit._fitting, dipkit._evaluate):
        monkeypatch.setattr(module, "get_backend", lambda device: backend)
    model.fit(molecules)
    assert type(model.dual_coef_) is np.ndarray
    assert {type(scale) for scale in model.inducing_features_} == {np.ndarray}
    assert type(model.std_coef_) is type(model.std_whitening_[0]) is np.ndarray
    np.testing.assert_allclose(model.predict_dipole(molecules), expected, rtol=1e-6, atol=1e-8)
    std = model.predict(molecules, return_std=True)[1]
    np.testing.assert_allclose(std, expected_std, rtol=1e-3)


@pytest.mark.parametrize("vectors", [True, False])
def test_the_grid_over_folds_stays_on_the_device(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch, vectors: bool
) -> None:
    molecules = labelled(toy)
    if not vectors:
        molecules = molecules.replace(dipole_vector=np.full((len(molecules), 3), np.nan))
    grid: dict[str, Any] = {"alphas": [1e-1, 1e-2], "charge_weights": [0.0, 1e-2], "tol": 1e-8}
    grid["folds"] = list(KFold(2).split(np.arange(len(molecules))))
    expected = cross_validate_grid(molecules, **grid)
    sparse = types.SimpleNamespace(csr_matrix=DeviceSparse)
    backend = DeviceBackend("device", DeviceModule(), sparse)
    monkeypatch.setattr(dipkit.folds, "get_backend", lambda device: backend)
    errors = cross_validate_grid(molecules, **grid)
    assert type(errors) is np.ndarray
    np.testing.assert_allclose(errors, expected, rtol=1e-3)


def test_the_refusing_arrays_refuse() -> None:
    xp, host = DeviceModule(), np.ones(3)
    device = xp.asarray(host)
    for mix in (
        lambda: device + host,
        lambda: host * device,
        lambda: xp.sqrt(host),
        lambda: np.concatenate([device, host]),
        lambda: device.__setitem__(slice(None), host),
    ):
        with pytest.raises(TypeError):
            mix()


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_every_device_learns_the_same(
    toy: Callable[..., Molecules], device: str, loss: str
) -> None:
    molecules = labelled(toy)
    model = DipoleKernelRidge(loss=loss, device=device, tol=1e-10, max_iter=5000).fit(molecules)
    reference = DipoleKernelRidge(loss=loss, device="cpu", tol=1e-10, max_iter=5000).fit(molecules)
    assert model.objective_ == pytest.approx(reference.objective_, rel=1e-6)
    np.testing.assert_allclose(
        model.predict_dipole(molecules), reference.predict_dipole(molecules), atol=1e-3
    )
    assert type(model.dual_coef_) is np.ndarray
