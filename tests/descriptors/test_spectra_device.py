"""Power spectra in the form for GPUs: equal to the host's and dscribe's; who computes them there.

NumPy and the strict device of `strict_device.py` run the code; a GPU where there is one.
"""

import pickle
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from helpers.devices import why_no_cuda
from helpers.strict_device import STRICT, is_on_device, use_strict_device
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

import dipkit.cli.train
import dipkit.descriptors.radial_tables
import dipkit.descriptors.spectra_device
from dipkit import DipoleKernelRidge, Molecules, as_molecules
from dipkit.data.datasets import load_organics
from dipkit.descriptors.charge_columns import with_charge_columns
from dipkit.descriptors.on_demand import OnDemandFeatures
from dipkit.descriptors.radial_tables import device_power_spectrum, power_spectrum, radial_table
from dipkit.descriptors.scales import SOAPScale, default_scales
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.descriptors.spectra_device import DeviceTables, batch_bytes, spectra
from dipkit.estimator.memory_plan import plan_fit
from dipkit.exceptions import InputError
from dipkit.learning.blocking import DEVICE_PIECE_ATOMS
from dipkit.learning.charge_maps import conserve_charge
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import PowerKernel
from dipkit.learning.multipoles import dipoles, quadrupoles
from dipkit.search.fold_grid import cross_validate_grid
from dipkit.support.backend import NUMPY, Backend, get_backend

NAMES = ("H2O", "NH3", "CH4", "CH3OH", "HCN", "C2H4", "H2CO", "CH3NO2", "CO2", "C2H6")
SCALES = (SOAPScale(2.5, 3, 2, 0.3, "polynomial", 1.0), SOAPScale(4.0, 2, 1, 0.5, "gto", 0.1))
KEY = SCALES[0].key()


GPUS = [pytest.param(name, marks=pytest.mark.gpu) for name in ("cuda", "cuda in array form")]


@pytest.fixture(params=["cpu", "strict", *GPUS])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Each device that the code runs on; a GPU runs the kernel, and its reference."""
    if request.param.startswith("cuda") and (reason := why_no_cuda()):
        pytest.skip(reason)
    if request.param == "cuda in array form":
        monkeypatch.setattr(Backend, "shared_memory", lambda self: 0)
        no_tables: OrderedDict[Any, Any] = OrderedDict()
        monkeypatch.setattr(dipkit.descriptors.radial_tables, "_device_table_cache", no_tables)
    return STRICT if request.param == "strict" else get_backend(request.param.split()[0])


@pytest.fixture(scope="module")
def small() -> Molecules:
    return as_molecules([molecule(name) for name in NAMES])


def chain(n_carbons: int) -> Atoms:
    """An alkane of 3 n + 2 atoms, stretched out."""
    x = 1.3 * np.arange(n_carbons)
    zigzag = 0.4 * (-1.0) ** np.arange(n_carbons)
    carbons = np.stack([x, zigzag, 0 * x], axis=1)
    sides = [carbons + np.array([0.0, 0.6, z]) for z in (0.9, -0.9)]
    ends = [carbons[0] - [1.0, 0.3, 0], carbons[-1] + [1.0, -0.3, 0]]
    return Atoms(f"C{n_carbons}H{2 * n_carbons + 2}", np.concatenate([carbons, *sides, ends]))


def both(
    molecules: Molecules, species: tuple[int, ...], key: tuple[Any, ...], backend: Backend
) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of the host and of the device."""
    geometry = molecules.numbers, molecules.positions, molecules.offsets
    there = device_power_spectrum(*geometry, species, key, backend)
    return power_spectrum(*geometry, species, key), backend.to_host(there)


@pytest.mark.parametrize("rbf", ["polynomial", "gto"])
@pytest.mark.parametrize("species", [(1, 6, 7, 8), (1, 6, 7, 8, 9)])
@pytest.mark.parametrize(("n_max", "l_max", "sigma"), [(1, 0, 0.3), (2, 7, 0.5), (5, 3, 0.17)])
def test_equal_to_the_host(
    small: Molecules, backend: Backend, rbf: str, species: tuple[int, ...],
    n_max: int, l_max: int, sigma: float,
) -> None:  # fmt: skip
    key = SOAPScale(2.7, n_max, l_max, sigma, rbf).key()
    expected, found = both(small, species, key, backend)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("rbf", ["polynomial", "gto"])
def test_one_element(backend: Backend, rbf: str) -> None:
    key = SOAPScale(2.2, 4, 3, 0.3, rbf).key()
    expected, found = both(as_molecules([molecule("H2"), Atoms("H")]), (1,), key, backend)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("scale", default_scales())
def test_equal_to_dscribe(scale: SOAPScale, backend: Backend) -> None:
    from dscribe.descriptors import SOAP

    frames = [molecule(name) for name in ("H2O", "CH3NO2")]
    parameters = {key: value for key, value in scale.get_params().items() if key != "weight"}
    expected = np.concatenate(SOAP(species=["H", "C", "N", "O"], **parameters).create(frames))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = both(as_molecules(frames), (1, 6, 7, 8), scale.key(), backend)[1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_lone_atom_is_described_by_itself(backend: Backend) -> None:
    expected, found = both(as_molecules([Atoms("H"), molecule("H2O")]), (1, 8), KEY, backend)
    assert np.linalg.norm(found[0]) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 1e-18, 1e-15, 1e-12, 1e3, 1e12, 1e21, np.inf])
def test_where_there_is_no_spectrum_and_where_it_is_small(
    small: Molecules, backend: Backend, factor: float
) -> None:
    whole = radial_table(KEY)
    with np.errstate(invalid="ignore"):
        parts = tuple(factor * part for part in whole.expansions)
    table = replace(whole, expansions=parts)
    index = np.searchsorted((1, 6, 7, 8), small.numbers)
    with np.errstate(all="ignore"):
        expected = dipkit.descriptors.spectra_host.spectra(
            index, 4, small.positions, small.offsets, table
        )
        tables = DeviceTables.of(table, 4, backend)
        found = spectra(index, small.positions, small.offsets, tables, backend)
    # Squares of 1e21, and the inverse of the length for 1e-18, are infinite in single precision.
    has_spectrum = 1e-18 < factor < 1e21
    assert np.isfinite(expected).all() if has_spectrum else np.isnan(expected).all()
    np.testing.assert_allclose(backend.to_host(found), expected, atol=1e-6)


def test_sizes_of_all_kinds(backend: Backend) -> None:
    molecules = as_molecules([molecule("H2O"), chain(22), Atoms("C"), molecule("C6H6"), chain(12)])
    expected, found = both(molecules, (1, 6, 8), KEY, backend)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_atom_hardly_depends_on_its_batch(small: Molecules, backend: Backend) -> None:
    # With more slots a product may be summed in another order: the last bit of single precision.
    molecules = as_molecules([molecule("H2O"), chain(9)])
    together = both(molecules, (1, 6, 8), KEY, backend)[1]
    alone = [both(molecules[i], (1, 6, 8), KEY, backend)[1] for i in range(2)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=2e-7)


def test_batches_do_not_show(
    small: Molecules, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = both(small, (1, 6, 7, 8), KEY, backend)[1]
    monkeypatch.setattr(dipkit.descriptors.spectra_device, "SHARED_SLOTS", 4)
    monkeypatch.setattr(dipkit.descriptors.spectra_device, "BATCH_BYTES", 1)  # one atom at a time
    np.testing.assert_allclose(both(small, (1, 6, 7, 8), KEY, backend)[1], whole, atol=2e-7)


def test_a_large_molecule_gives_its_slots_to_no_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.array([3, 200, 5, 30, 32, 90, 3])
    size = np.repeat(sizes, sizes)
    tables = DeviceTables.of(radial_table(KEY), 3, NUMPY)
    each = batch_bytes(200, 3, tables.radial)
    monkeypatch.setattr(dipkit.descriptors.spectra_device, "BATCH_BYTES", 60 * each)
    batches = list(dipkit.descriptors.spectra_device._batches(size, tables))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([atoms for atoms, _ in batches])), np.arange(len(size))
    )
    for atoms, n_slots in batches:
        assert size[atoms].max() <= n_slots <= max(2 * size[atoms].min(), 32)
        assert len(atoms) * batch_bytes(n_slots, 3, tables.radial) <= 60 * each
    assert {n_slots for _, n_slots in batches} == {32, 90, 200}


@pytest.mark.parametrize("lone", [False, True], ids=["molecules", "single atoms"])
def test_temporary_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, lone: bool) -> None:
    # Molecules: most of the memory is that of the slots. Single atoms: that of the products.
    molecules = as_molecules([Atoms(x) for x in "HCNOF" * 160]) if lone else load_organics()[:60]
    species = tuple(molecules.elements.tolist())
    index, table = np.searchsorted(species, molecules.numbers), radial_table(KEY)
    tables = DeviceTables.of(table, len(species), NUMPY)
    monkeypatch.setattr(dipkit.descriptors.spectra_device, "BATCH_BYTES", 2**20)
    tracemalloc.start()
    out = spectra(index, molecules.positions, molecules.offsets, tables, NUMPY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    of_geometry = 100 * molecules.n_atoms
    assert out.nbytes + 2**18 < peak < out.nbytes + 2**20 + of_geometry


def test_the_result_stays_on_the_device(small: Molecules) -> None:
    geometry = small.numbers, small.positions, small.offsets
    assert is_on_device(device_power_spectrum(*geometry, (1, 6, 7, 8), KEY, STRICT))


@pytest.mark.parametrize("leak", ["host array in", "device array out"])
def test_a_part_that_leaves_the_device_is_refused(
    small: Molecules, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    neighbours = dipkit.descriptors.spectra_device._neighbours

    def leaking(*arguments: Any) -> tuple[Any, Any, Any]:
        chosen, distance, direction = neighbours(*arguments)
        if leak == "host array in":
            return STRICT.to_host(chosen), distance, direction
        return chosen, distance, np.asarray(direction)

    monkeypatch.setattr(dipkit.descriptors.spectra_device, "_neighbours", leaking)
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        both(small, (1, 6, 7, 8), KEY, STRICT)


# Tables that stay


def test_tables_are_brought_once(small: Molecules, monkeypatch: pytest.MonkeyPatch) -> None:
    brought: list[int] = []
    make = DeviceTables.of
    monkeypatch.setattr(DeviceTables, "of", lambda *args: brought.append(1) or make(*args))
    monkeypatch.setattr(dipkit.descriptors.radial_tables, "_device_table_cache", OrderedDict())
    monkeypatch.setattr(dipkit.descriptors.radial_tables, "MAX_CACHED_TABLES", 2)
    for backend, key, n_before in (
        (STRICT, KEY, 1),
        (STRICT, KEY, 1),
        (NUMPY, KEY, 2),  # another device, other tables
        (STRICT, KEY, 2),
        (STRICT, SCALES[1].key(), 3),  # takes the place of NumPy's, which were used longer ago
        (STRICT, KEY, 3),
        (NUMPY, KEY, 4),
    ):
        both(small, (1, 6, 7, 8), key, backend)
        assert len(brought) == n_before
    assert len(dipkit.descriptors.radial_tables._device_table_cache) == 2


def test_no_table_travels_with_descriptors(small: Molecules) -> None:
    features = SOAPTransformer(SCALES, on_demand=True).fit_transform(small).features
    before = len(pickle.dumps(features))
    scales = features.on(STRICT)
    assert len(pickle.dumps(features)) == before < 20_000
    again = pickle.loads(pickle.dumps(features)).on(STRICT)
    for one, other in zip(scales, again, strict=True):
        np.testing.assert_array_equal(STRICT.to_host(one), STRICT.to_host(other))


# Features on a device


@pytest.fixture
def no_host_spectra(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Make every call of the host's spectra an error, from when it is called on."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("descriptors were computed on the host")

    return lambda: monkeypatch.setattr(dipkit.descriptors.radial_tables, "spectra", refuse)


def assert_same(found: Any, expected: Any, atol: float = 1e-6) -> None:
    for one, other in zip(found, expected, strict=True):
        assert is_on_device(one)
        assert one.dtype == STRICT.xp.float32
        np.testing.assert_allclose(STRICT.to_host(one), other, atol=atol)


@pytest.mark.parametrize("on_demand", [True, False])
@pytest.mark.parametrize("charged", [False, True])
def test_features_come_to_the_device(
    small: Molecules, no_host_spectra: Callable[[], Any], on_demand: bool, charged: bool
) -> None:
    features = SOAPTransformer(SCALES, on_demand=on_demand).fit_transform(small).features
    charges = np.linspace(-0.5, 0.5, small.n_atoms)[:, None] if charged else None
    features = with_charge_columns(features, charges)
    some = features.take(np.array([20, 3, 4, 3]))
    expected, of_some = features.compute().scales, some.compute().scales
    if on_demand:
        no_host_spectra()
    assert_same(features.on(STRICT), expected)
    assert_same(some.on(STRICT), of_some)
    for one, other in zip(some.compute(STRICT).scales, of_some, strict=True):
        assert type(one) is np.ndarray
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_is_on_the_host_is_not_copied(small: Molecules) -> None:
    features = SOAPTransformer(SCALES, on_demand=False).fit_transform(small).features
    for one, other in zip(features.on(NUMPY), features.scales, strict=True):
        assert np.shares_memory(one, other)


def test_what_a_cache_keeps_is_of_the_host(
    small: Molecules, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SOAPTransformer(SCALES, on_demand=False).fit_transform(small).features
    cached = SOAPTransformer(SCALES, on_demand=True, memory=tmp_path).fit_transform(small).features
    monkeypatch.setattr(dipkit.descriptors.spectra_device, "spectra", None)  # never called
    assert_same(cached.on(STRICT), plain.scales, atol=0)


def test_an_atom_without_a_descriptor_is_named(
    small: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = dipkit.descriptors.spectra_device.spectra

    def without_one(*arguments: Any) -> Any:
        rows = compute(*arguments)
        rows[4, :] = np.nan
        return rows

    monkeypatch.setattr(dipkit.descriptors.spectra_device, "spectra", without_one)
    features = SOAPTransformer(SCALES, on_demand=True).fit_transform(small).features
    with pytest.raises(InputError, match=r"scale0: atom 1 of molecule 1 .* 0 other atoms"):
        features.on(STRICT)


# Estimators


@pytest.fixture(scope="module")
def on_demand() -> Molecules:
    """Some labelled molecules whose descriptors are computed when they are read."""
    molecules = load_organics()[:24]
    # Rounding shows in the standard deviations of a model of few channels.
    soap = SOAPTransformer(SCALES, on_demand=True, compression=None)
    described: Molecules = soap.fit_transform(molecules)
    assert isinstance(described.features, OnDemandFeatures)
    return described


def ridge(**parameters: Any) -> DipoleKernelRidge:
    # A stronger cut and penalty than usual: else rounding of descriptors is all that shows.
    usual = {
        "alpha": 1e-2,
        "basis__eigenvalue_cut": 1e-3,
        "solver__max_iter": 1000,
        "solver__tol": 1e-10,
    }
    return DipoleKernelRidge().set_params(device="cpu", **{**usual, **parameters})


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"basis__n_inducing": 40},
        {"charge_weight": 0.1, "loss": "huber"},
        {"baseline": "given"},
        {"quadrupole_weight": 0.1, "basis__atomic_dipoles": 0.3},
    ],
    ids=repr,
)
def test_fits_and_predictions_describe_on_the_device(
    on_demand: Molecules,
    monkeypatch: pytest.MonkeyPatch,
    no_host_spectra: Callable[[], Any],
    parameters: dict[str, Any],
) -> None:
    molecules = _labelled(on_demand, parameters)
    model = ridge(**parameters).fit(molecules)
    expected = model.predict_dipole(molecules), model.predict_charges(molecules)
    expected_std = model.predict(molecules, return_std=True)[1]
    use_strict_device(monkeypatch)
    no_host_spectra()
    model.fit(molecules)
    found = model.predict_dipole(molecules), model.predict_charges(molecules)
    # A fit magnifies the rounding of descriptors, of environments to half precision above all.
    # Charges show it first: labels pin them less.
    for one, other, tol in zip(found, expected, (1e-4, 2e-4), strict=True):
        np.testing.assert_allclose(one, other, rtol=tol, atol=tol * np.abs(other).max())
    std = model.predict(molecules, return_std=True)[1]
    np.testing.assert_allclose(std, expected_std, rtol=1e-3)


def _labelled(molecules: Molecules, parameters: dict[str, Any]) -> Molecules:
    """Put in what a term needs: a baseline, or quadrupoles."""
    rng = np.random.default_rng(0)
    charges = conserve_charge(0.2 * rng.standard_normal(molecules.n_atoms), molecules)
    if "baseline" in parameters:
        of_charges = dipoles(charges, molecules)
        return molecules.replace(baseline_dipole=of_charges, baseline_charges=charges)
    if "quadrupole_weight" in parameters:
        return molecules.replace(quadrupole=quadrupoles(charges, molecules))
    return molecules


def test_added_molecules_are_described_on_the_device(
    on_demand: Molecules, monkeypatch: pytest.MonkeyPatch, no_host_spectra: Callable[[], Any]
) -> None:
    parts = on_demand[:14], on_demand[14:]
    expected, model = ridge(), ridge()
    for part in parts:
        expected.partial_fit(part)
    wanted = expected.predict_dipole(on_demand)
    use_strict_device(monkeypatch)
    no_host_spectra()
    for part in parts:
        model.partial_fit(part)
    found = model.predict_dipole(on_demand)
    # Environments in half precision may differ by their last digit.
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_a_grid_describes_on_the_device(
    on_demand: Molecules, monkeypatch: pytest.MonkeyPatch, no_host_spectra: Callable[[], Any]
) -> None:
    grid: dict[str, Any] = {"alphas": [1e-1, 1e-2], "charge_weights": [0.0, 1e-2], "tol": 1e-8}
    grid["folds"] = list(KFold(2).split(np.arange(len(on_demand))))
    expected = cross_validate_grid(on_demand, ridge=ridge(), **grid)
    use_strict_device(monkeypatch)
    no_host_spectra()
    errors = cross_validate_grid(on_demand, ridge=ridge(), **grid)
    np.testing.assert_allclose(errors, expected, rtol=1e-5)


def test_candidates_are_described_on_the_device(
    on_demand: Molecules, no_host_spectra: Callable[[], Any]
) -> None:
    expected = choose_environments(on_demand, 40, PowerKernel(), np.random.default_rng(0))
    no_host_spectra()
    found = choose_environments(on_demand, 40, PowerKernel(), np.random.default_rng(0), STRICT)
    assert found.keys() == expected.keys()
    for number, scales in found.items():
        for one, other in zip(scales, expected[number], strict=True):
            assert type(one) is np.ndarray
            # The last digit of half precision.
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_the_host_describes_as_before(
    on_demand: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dipkit.descriptors.spectra_device, "spectra", None)  # never called
    model = ridge(basis__n_inducing=40).fit(on_demand)
    held = SOAPTransformer(SCALES, on_demand=False, compression=None).fit_transform(on_demand)
    np.testing.assert_array_equal(model.predict(on_demand), model.predict(held))


def test_the_command_line_fits_on_demand_on_a_device(
    monkeypatch: pytest.MonkeyPatch, no_host_spectra: Callable[[], Any]
) -> None:
    small_soap = make_pipeline(SOAPTransformer(SCALES), ridge(basis__n_inducing=10))
    monkeypatch.setattr(dipkit.cli.train, "default_model", lambda: small_soap)
    monkeypatch.setattr(dipkit.cli.train, "get_backend", lambda _: STRICT)
    use_strict_device(monkeypatch)
    no_host_spectra()
    fitted, summary = dipkit.cli.train.fit_model(load_organics()[:12], {}, lambda _: nullcontext())
    assert summary["molecules"] == 12
    assert fitted[0].on_demand == "auto"  # predictions choose again


# Memory of the card


def test_the_forecast_counts_what_is_on_the_card(on_demand: Molecules) -> None:
    held = on_demand.replace(features=on_demand.features.compute())
    streamed = {
        (name, where.name): plan_fit(molecules, 40, where).blocks
        for name, molecules in (("on demand", on_demand), ("held", held))
        for where in (NUMPY, STRICT)
    }
    width = 4 * sum(on_demand.features.widths)
    more = streamed["on demand", "strict"] - streamed["held", "strict"]
    assert more == dipkit.descriptors.spectra_device.BATCH_BYTES + DEVICE_PIECE_ATOMS * width
    per_atom = streamed["held", "strict"] / DEVICE_PIECE_ATOMS
    assert per_atom > width  # whole pieces are there, all scales of them
