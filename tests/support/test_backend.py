"""The device door: factorisations agree with NumPy and never fail silently; clear device errors."""

import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from helpers.devices import why_no_cuda
from helpers.strict_device import STRICT, is_on_device, use_strict_device
from sklearn.model_selection import KFold

import dipkit
from dipkit import DipoleKernelRidge, Reweighted
from dipkit.data.molecules import Molecules
from dipkit.exceptions import DeviceError
from dipkit.learning.charge_maps import conserve_charge
from dipkit.learning.kernels import GaussianKernel, PowerKernel
from dipkit.learning.multipoles import dipoles, quadrupoles
from dipkit.learning.objective import JointObjective
from dipkit.search.fold_grid import cross_validate_grid
from dipkit.support.backend import NUMPY, Backend, get_backend

PACKAGE = Path(dipkit.__file__).parent


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


@pytest.fixture(params=["strict", "cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """The door to each device, and to one that has the array API standard alone."""
    if request.param == "cuda" and (reason := why_no_cuda()):
        pytest.skip(reason)
    return STRICT if request.param == "strict" else get_backend(request.param)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2)])
def test_rows_are_taken_and_put_as_by_numpy(backend: Backend, shape: tuple[int, ...]) -> None:
    host, rows = np.random.default_rng(0).random(shape), np.array([3, 0, 4])
    array = backend.asarray(host.copy())
    some = backend.take(array, rows)
    np.testing.assert_array_equal(backend.to_host(some), host[rows])
    backend.put(array, rows[::-1].copy(), 2 * some)
    host[rows[::-1]] = 2 * host[rows]
    np.testing.assert_array_equal(backend.to_host(array), host)


def test_results_are_written_in_place(backend: Backend) -> None:
    xp, array = backend.xp, backend.asarray(np.arange(-3.0, 3.0).reshape(2, 3))
    assert backend.into(array, xp.maximum, array, 0) is array
    np.testing.assert_array_equal(backend.to_host(array), [[0, 0, 0], [0, 1, 2]])
    left, right = (backend.asarray(np.eye(2) * factor) for factor in (2.0, 3.0))
    backend.into(array[:, :-1], xp.matmul, left, right)
    np.testing.assert_array_equal(backend.to_host(array), [[6, 0, 0], [0, 6, 2]])


def test_the_diagonal_changes_in_place(backend: Backend) -> None:
    matrix = backend.asarray(np.arange(9.0).reshape(3, 3))
    backend.diagonal(matrix)[...] += 100.0
    expected = np.arange(9.0).reshape(3, 3) + 100 * np.eye(3)
    np.testing.assert_array_equal(backend.to_host(matrix), expected)


def test_memory_that_is_free(device: str) -> None:
    backend = get_backend(device)
    backend.release()
    assert backend.free_memory() > 0


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


def labelled(toy: Callable[..., Molecules]) -> Molecules:
    molecules = toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4))
    rng = np.random.default_rng(1)
    magnitudes = np.where(np.arange(8) == 1, np.nan, rng.random(8) * 3)
    vectors = np.where(np.arange(8)[:, None] == 1, rng.standard_normal((8, 3)), np.nan)
    charges = rng.standard_normal(molecules.n_atoms) * 0.3
    index, q = molecules.molecule_index, molecules.total_charge
    charges += ((q - np.bincount(index, charges)) / molecules.natoms)[index]
    return molecules.replace(dipole_magnitude=magnitudes, dipole_vector=vectors, charges=charges)


def with_baseline(molecules: Molecules, of_charges: bool = False) -> Molecules:
    """Put charges that sum to the total charge, and a dipole that is theirs or nearly so."""
    raw = 0.2 * np.random.default_rng(2).standard_normal(molecules.n_atoms)
    charges = conserve_charge(raw, molecules)
    dipole = dipoles(charges, molecules) + (0.0 if of_charges else 0.1)
    return molecules.replace(baseline_dipole=dipole, baseline_charges=charges)


def with_quadrupoles(molecules: Molecules) -> Molecules:
    """Label all molecules but one with quadrupoles."""
    raw = 0.2 * np.random.default_rng(3).standard_normal(molecules.n_atoms)
    labels = quadrupoles(conserve_charge(raw, molecules), molecules)
    labels[2] = np.nan
    return molecules.replace(quadrupole=labels)


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
@pytest.mark.parametrize("init", ["charges", "electronegativity", "random"])
def test_nothing_moves_between_devices_behind_the_door(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch, loss: str, init: str
) -> None:
    molecules = labelled(toy)
    model = DipoleKernelRidge(loss=loss, start=init, device="cpu", solver=Reweighted(max_iter=1000))
    expected = model.fit(molecules).predict_dipole(molecules)
    expected_std = model.predict(molecules, return_std=True)[1]
    objective = model.objective_
    use_strict_device(monkeypatch)
    model.fit(molecules)
    assert type(model.dual_coef_) is np.ndarray
    assert {type(scale) for scale in model.inducing_features_} == {np.ndarray}
    assert type(model.std_coef_) is np.ndarray
    std = model.predict(molecules, return_std=True)[1]
    if loss == "absolute":
        # It is so flat at its minimum that the dipoles where iterations end depend on rounding.
        assert model.objective_ == pytest.approx(objective, rel=0.05)
        assert np.isfinite(std).all()
        return
    np.testing.assert_allclose(model.predict_dipole(molecules), expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(std, expected_std, rtol=1e-3)


@pytest.mark.parametrize(
    "parameters",
    [
        {"basis__kernel": GaussianKernel(0.7)},
        {"basis__kernel": PowerKernel(1)},
        {"solver__memory": 0, "alpha": 1e-3},
        {"start__prior": False, "charge_weight": 0.1},
        {"charge_discrepancy": 1e-2, "charge_weight": 0.1},
        {"baseline": "given"},
        {"baseline": "given", "charge_weight": 0.1},
        {"quadrupole_weight": 0.1},
        {"auxiliary": "charges"},
        {"quadrupole_weight": 0.1, "charge_weight": 0.1},
        {"basis__atomic_dipoles": 0.3},
        {"basis__atomic_dipoles": 0.3, "baseline": "given"},
        {"basis__atomic_dipoles": 0.3, "quadrupole_weight": 0.1, "charge_discrepancy": 1e-2},
    ],
    ids=repr,
)
def test_every_term_stays_on_the_device(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any]
) -> None:
    molecules = labelled(toy)
    if "baseline" in parameters:
        molecules = with_baseline(molecules)
    if "quadrupole_weight" in parameters:
        molecules = with_quadrupoles(molecules)
    model = DipoleKernelRidge().set_params(device="cpu", solver__max_iter=1000, **parameters)
    expected = model.fit(molecules).predict_dipole(molecules)
    expected_charges = model.predict_charges(molecules)
    expected_std = model.predict(molecules, return_std=True)[1]
    use_strict_device(monkeypatch)
    model.fit(molecules)
    assert type(model.dual_coef_) is np.ndarray
    np.testing.assert_allclose(model.predict_dipole(molecules), expected, rtol=1e-6, atol=1e-8)
    charges = model.predict_charges(molecules)
    np.testing.assert_allclose(charges, expected_charges, rtol=1e-6, atol=1e-8)
    std = model.predict(molecules, return_std=True)[1]
    np.testing.assert_allclose(std, expected_std, rtol=1e-3)


def test_added_molecules_stay_on_the_device(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch
) -> None:
    molecules = with_quadrupoles(labelled(toy))
    settings = {
        "quadrupole_weight": 0.1,
        "charge_weight": 0.1,
        "device": "cpu",
        "solver__max_iter": 1000,
    }
    expected, model = (
        DipoleKernelRidge().set_params(**settings),
        DipoleKernelRidge().set_params(**settings),
    )
    for part in (molecules[:5], molecules[5:]):
        expected.partial_fit(part)
    use_strict_device(monkeypatch)
    for part in (molecules[:5], molecules[5:]):
        model.partial_fit(part)
    assert is_on_device(model._statistics.rows)
    np.testing.assert_allclose(model.dual_coef_, expected.dual_coef_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"loss": "huber"},
        {"start__prior": False},
        {"charge_discrepancy": 1e-2},
        {"baseline": "given"},
        {"quadrupole_weight": 0.1},
        {"auxiliary": "charges"},
        {"baseline": "given", "quadrupole_weight": 0.1},
        {"basis__atomic_dipoles": 0.3},
        {"basis__atomic_dipoles": 0.3, "baseline": "given", "quadrupole_weight": 0.1},
    ],
    ids=repr,
)
@pytest.mark.parametrize("vectors", ["all", "one", "none"])
def test_the_grid_over_folds_stays_on_the_device(
    toy: Callable[..., Molecules],
    monkeypatch: pytest.MonkeyPatch,
    vectors: str,
    parameters: dict[str, Any],
) -> None:
    molecules = labelled(toy)
    if vectors != "one":  # with a vector for most of them, each fold has matrices of its own
        scale = molecules.dipole_magnitude[:, None] if vectors == "all" else np.nan
        every = scale * np.tile([0.6, 0.0, 0.8], (len(molecules), 1))
        molecules = molecules.replace(dipole_vector=every)
    if "baseline" in parameters:
        molecules = with_baseline(molecules, of_charges="quadrupole_weight" in parameters)
    if "quadrupole_weight" in parameters:
        molecules = with_quadrupoles(molecules)
    grid: dict[str, Any] = {"alphas": [1e-1, 1e-2], "charge_weights": [0.0, 1e-2], "tol": 1e-8}
    grid["folds"] = list(KFold(2).split(np.arange(len(molecules))))
    grid["ridge"] = DipoleKernelRidge().set_params(device="cpu", **parameters)
    expected = cross_validate_grid(molecules, **grid)
    use_strict_device(monkeypatch)
    errors = cross_validate_grid(molecules, **grid)
    assert type(errors) is np.ndarray
    np.testing.assert_allclose(errors, expected, rtol=1e-3)


def test_a_part_of_the_fit_that_leaves_the_device_is_refused(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch
) -> None:
    molecules, lengths = labelled(toy), JointObjective._lengths
    use_strict_device(monkeypatch)

    def on_the_host(self: JointObjective, vectors: Any) -> Any:
        return np.linalg.norm(vectors, axis=-1)

    def never_back(self: JointObjective, vectors: Any) -> Any:
        return self.backend.to_host(lengths(self, vectors))

    for hidden in (on_the_host, never_back):
        monkeypatch.setattr(JointObjective, "_lengths", hidden)
        with pytest.raises(RuntimeError, match=r"Can't convert array on the .*device1"):
            DipoleKernelRidge().fit(molecules)


def test_the_strict_device_refuses_the_host_and_what_is_not_in_the_standard() -> None:
    xp, host, device = STRICT.xp, np.ones(3), STRICT.asarray(np.ones(3))
    beside = xp.asarray(host)  # of the same library, not on the device
    cases: dict[type[Exception], tuple[Callable[[], Any], ...]] = {
        TypeError: (
            lambda: device + host,
            lambda: device * np.float64(2.0),
            lambda: xp.sqrt(host),
            lambda: xp.exp(device, out=device),
            lambda: STRICT.to_host(host),
            lambda: STRICT.to_host(beside),
        ),
        ValueError: (
            lambda: device + beside,
            lambda: xp.zeros(3) + device,
            lambda: device.__setitem__(slice(None), host),
            lambda: device.__setitem__(slice(None), beside),
        ),
        RuntimeError: (
            lambda: host * device,
            lambda: np.sqrt(device),
            lambda: np.asarray(device),
            lambda: np.concatenate([device, host]),
            lambda: host.__setitem__(slice(None), device),
        ),
        IndexError: (lambda: device[np.array([0])],),
        AttributeError: (lambda: xp.einsum("i,i", device, device), lambda: device.sum()),
    }
    for error, mixes in cases.items():
        for mix in mixes:
            with pytest.raises(error):
                mix()


# Functions of the standard that NumPy 2.1 and CuPy 14.0.1 have as well. No array here could tell
# that CuPy lacks vecdot, linalg.vector_norm, matrix_transpose and reshape(copy=False).
IN_ALL = set(
    """abs all any argmax argmin asarray astype concat count_nonzero empty_like exp float32 float64
    full_like int64 isfinite isinf linalg matmul max maximum min multiply ones_like permute_dims pow
    repeat reshape round sqrt stack sum take where zeros_like""".split()  # noqa: SIM905
)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_device_code_uses_what_every_module_has(path: Path) -> None:
    used = set(re.findall(r"\bxp\.(\w+)", path.read_text()))
    unknown = used - IN_ALL if path.name != "backend.py" else set()
    assert not unknown, f"look {sorted(unknown)} up in CuPy's reference and add them to IN_ALL"


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_every_device_learns_the_same(
    toy: Callable[..., Molecules], device: str, loss: str
) -> None:
    molecules = labelled(toy)
    model = DipoleKernelRidge(
        loss=loss, device=device, solver=Reweighted(tol=1e-10, max_iter=5000)
    ).fit(molecules)
    reference = DipoleKernelRidge(
        loss=loss, device="cpu", solver=Reweighted(tol=1e-10, max_iter=5000)
    ).fit(molecules)
    assert model.objective_ == pytest.approx(reference.objective_, rel=1e-6)
    np.testing.assert_allclose(
        model.predict_dipole(molecules), reference.predict_dipole(molecules), atol=1e-3
    )
    assert type(model.dual_coef_) is np.ndarray
