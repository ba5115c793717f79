"""SOAP descriptors: invariances, agreement with dscribe, parallel, cached and on-demand paths."""

import logging
import os
import pickle
import threading
import time

import joblib
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

import dipkit.descriptors.describer
import dipkit.descriptors.radial_tables
import dipkit.descriptors.scales
import dipkit.descriptors.soap
from dipkit import as_molecules
from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.descriptors.on_demand import OnDemandFeatures
from dipkit.descriptors.scales import SOAPScale, baseline_scales, default_scales
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.exceptions import InputError
from dipkit.support.ragged_index import cut
from dipkit.support.shared_array import SharedArray

NAMES = ("H2O", "NH3", "CH4", "CH3OH", "HCN", "C2H4", "H2CO", "CH3NO2", "CO2", "C2H6")
SCALES = (SOAPScale(2.5, 3, 2, 0.3, "polynomial", 1.0), SOAPScale(4.0, 2, 1, 0.5, "gto", 0.1))


@pytest.fixture
def frames() -> list[Atoms]:
    frames = [molecule(name) for name in NAMES]
    for index, frame in enumerate(frames):
        frame.info["dipole_debye"] = float(index)
    return frames


@pytest.fixture
def transformer(frames: list[Atoms]) -> SOAPTransformer:
    return SOAPTransformer(SCALES).fit(frames)


def assert_equal(one: Features, other: Features) -> None:
    assert one.weights == other.weights
    for x, y in zip(one.scales, other.scales, strict=True):
        np.testing.assert_array_equal(x, y)


def assert_close(one: Features, other: Features, order: object = slice(None)) -> None:
    for x, y in zip(one.scales, other.scales, strict=True):
        np.testing.assert_allclose(x[order], y, atol=1e-5)


class MeanLabel(RegressorMixin, BaseEstimator):
    """Predicts the mean label; reads features and, in fit, labels that the molecules carry."""

    def fit(self, X, y=None):
        self.mean_ = float(np.mean(X.dipole_magnitude if y is None else y))
        return self

    def predict(self, X):
        assert isinstance(X, Molecules)
        return np.full(len(X), self.mean_) + 0 * X.features.scales[0].sum()


# What a descriptor is


def test_rotation_translation_invariance(transformer, frames):
    moved = [frame.copy() for frame in frames]
    for index, frame in enumerate(moved):
        frame.rotate(20 + 31 * index, (1, index, 2))
        frame.translate((3.0, -1.0, index))
    assert_close(transformer.transform(frames).features, transformer.transform(moved).features)


def test_atom_permutation(transformer, frames):
    ethane = frames[-1]
    order = np.random.default_rng(0).permutation(len(ethane))
    one, other = transformer.transform([ethane]), transformer.transform([ethane[order]])
    assert_close(one.features, other.features, order)


def test_unit_length_and_type(transformer, frames):
    features = transformer.transform(frames).features
    assert features.weights == (1.0, 0.1)
    assert features.widths == transformer.widths_
    for scale in features.scales:
        assert scale.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(scale, axis=1), 1, atol=1e-6)


def test_equals_dscribe(frames):
    from dscribe.descriptors import SOAP

    transformer = SOAPTransformer(default_scales(), compression=None).fit(frames[:3])
    features = transformer.transform(frames[:3]).features
    for scale, values in zip(transformer.scales_, features.scales, strict=True):
        params = {key: value for key, value in scale.get_params().items() if key != "weight"}
        soap = SOAP(species=["H", "C", "N", "O"], **params)
        expected = np.concatenate(soap.create(frames[:3]))
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(values, expected, atol=1e-6)


@pytest.mark.parametrize("rbf", ["polynomial", "gto"])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
@pytest.mark.parametrize(("n_max", "l_max"), [(1, 0), (2, 7), (9, 3)])
def test_tables_equal_dscribe(frames, rbf, sigma, n_max, l_max):
    from dscribe.descriptors import SOAP

    scale = SOAPScale(2.7, n_max, l_max, sigma, rbf)
    species = ["H", "C", "N", "O", "F"]
    parts = SOAPTransformer((scale,), species, compression=None).fit_transform(frames)
    soap = SOAP(species=species, r_cut=2.7, n_max=n_max, l_max=l_max,
                sigma=sigma, rbf=rbf)  # fmt: skip
    expected = np.concatenate(soap.create(frames))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    # Elements that do not occur, and those out of reach, have columns of zeros.
    np.testing.assert_allclose(parts.features.scales[0], expected, atol=1e-6)


def test_lone_atom_has_a_descriptor():
    features = SOAPTransformer(SCALES).fit_transform([Atoms("H")]).features
    np.testing.assert_allclose([np.linalg.norm(scale) for scale in features.scales], 1, rtol=1e-6)


def test_subset_of_transform_is_transform_of_subset(transformer, frames):
    chosen = [7, 0, 3, 0]
    whole = transformer.transform(frames)
    assert_equal(
        whole[chosen].features, transformer.transform([frames[index] for index in chosen]).features
    )


# How it is spread over pieces and processes


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dipkit.descriptors.describer, "PIECE_ATOMS", 9)
    monkeypatch.setattr(
        dipkit.descriptors.describer, "count_threads", lambda: 1
    )  # unless a test asks for more


@pytest.mark.parametrize("n_atoms", [1, 10, 17])
def test_pieces_of_any_size(transformer, frames, monkeypatch, n_atoms):
    whole = transformer.transform(frames).features
    monkeypatch.setattr(dipkit.descriptors.describer, "PIECE_ATOMS", n_atoms)
    assert_equal(transformer.transform(frames).features, whole)


@pytest.mark.usefixtures("small_pieces")
def test_threads_change_no_bit(transformer, frames, monkeypatch):
    one = transformer.transform(frames)
    compute, threads = dipkit.descriptors.radial_tables.spectra, set()

    def noted(*args):
        threads.add(threading.get_ident())
        time.sleep(0.01)  # else one thread may be done before the other has begun
        return compute(*args)

    monkeypatch.setattr(dipkit.descriptors.radial_tables, "spectra", noted)
    two = clone(transformer).set_params(n_jobs=2).fit_transform(frames)
    assert len(threads) == 2
    assert_equal(one.features, two.features)


@pytest.mark.usefixtures("small_pieces")
def test_processes_change_no_bit(transformer, frames):
    one = transformer.transform(frames)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        two = clone(transformer).fit_transform(frames)
    assert_equal(one.features, two.features)
    # The array shared with the workers is as good as any other.
    (total,) = joblib.Parallel(n_jobs=2)([joblib.delayed(np.sum)(two.features.scales[0])])
    assert total == two.features.scales[0].sum()


@pytest.mark.usefixtures("small_pieces")
def test_follows_parallel_config(transformer, frames, monkeypatch):
    expected = transformer.transform(frames).features
    asked = []
    run = dipkit.support.parallel.run
    monkeypatch.setattr(
        dipkit.support.parallel,
        "run",
        lambda tasks, n_jobs, **how: asked.append(n_jobs) or run(tasks, n_jobs, **how),
    )
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert_equal(transformer.transform(frames).features, expected)
    with joblib.parallel_config(n_jobs=1):
        transformer.transform(frames)
    transformer.transform(frames)
    assert asked == [2, 1, 1]


@pytest.mark.usefixtures("small_pieces")
def test_rows_are_sent_back_where_nothing_is_shared(transformer, frames, monkeypatch):
    expected = transformer.transform(frames).features
    reach, tries = dipkit.descriptors.describer.SharedArray.rows, []

    def refuse_in_worker(self, rows):
        tries.append(rows)
        # Each piece is tried by the worker, one scale after the other, then written here.
        from_worker = (len(tries) - 1) % (2 * len(SCALES)) < len(SCALES)
        return None if from_worker else reach(self, rows)

    monkeypatch.setattr(dipkit.descriptors.describer.SharedArray, "rows", refuse_in_worker)
    assert_equal(transformer.transform(frames).features, expected)


@pytest.mark.usefixtures("small_pieces")
def test_backends_that_return_lists(transformer, frames, monkeypatch):
    expected = transformer.transform(frames).features
    parallel = joblib.Parallel

    def lists_only(n_jobs, prefer, return_as="list", batch_size="auto"):
        if return_as != "list":
            raise ValueError("Backend does not support return_as")
        return parallel(n_jobs=n_jobs)

    monkeypatch.setattr(joblib, "Parallel", lists_only)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert_equal(transformer.transform(frames).features, expected)


def test_shared_array_is_reached_by_its_address():
    shared = SharedArray((3, 2))
    elsewhere = pickle.loads(pickle.dumps(shared))
    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    rows = elsewhere.rows(slice(1, 3))
    assert (rows is not None) == hasattr(os, "memfd_create")
    if rows is not None:
        rows[:] = values
    array = shared.close()
    assert elsewhere.rows(slice(1, 3)) is None  # the address is gone, the array is not
    if rows is not None:
        np.testing.assert_array_equal(array, [[0, 0], [0, 1], [2, 3]])


def test_takes_the_threads_of_blas(transformer, monkeypatch):
    describer = transformer._describer(verbose=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    monkeypatch.setattr(dipkit.descriptors.describer, "count_threads", lambda: 4)
    assert [describer._count_jobs(n_pieces) for n_pieces in (1, 2, 10)] == [1, 2, 4]
    with joblib.parallel_config(n_jobs=3):
        assert describer._count_jobs(10) == 3


@pytest.mark.usefixtures("small_pieces")
def test_a_thread_of_an_estimator_starts_no_threads_and_shows_no_bar(frames, capfd, monkeypatch):
    transformer = SOAPTransformer(SCALES, n_jobs=2, verbose=True).fit(frames)
    monkeypatch.setattr(dipkit.descriptors.describer, "one_of_many", lambda: True)
    assert transformer._describer(verbose=True)._count_jobs(10) == 1
    transformer.transform(frames)
    assert capfd.readouterr() == ("", "")


def test_cut_respects_the_limit():
    offsets = np.array([0, 3, 5, 30, 31, 40])
    runs = cut(offsets, 10)
    assert runs == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert cut(np.array([0]), 10) == []


def test_cache_is_found_again_with_other_labels(frames, tmp_path, monkeypatch):
    transformer = SOAPTransformer(SCALES, memory=tmp_path / "cache")
    calls = []
    compute = dipkit.descriptors.radial_tables.spectra
    monkeypatch.setattr(
        dipkit.descriptors.radial_tables, "spectra", lambda *args: calls.append(1) or compute(*args)
    )
    one = transformer.fit_transform(frames).features
    assert len(calls) == len(SCALES)
    for frame in frames:
        frame.info["dipole_debye"] = 1.5
    assert_equal(clone(transformer).fit_transform(frames).features, one)
    assert len(calls) == len(SCALES)
    transformer.set_params(scale0__weight=2.0, scale1__sigma=0.45).fit_transform(frames)
    assert len(calls) == len(SCALES) + 1


def test_progress_bar_is_quiet_in_a_pipe(frames, capfd, monkeypatch):
    monkeypatch.setattr(dipkit.descriptors.describer, "PIECE_ATOMS", 9)
    SOAPTransformer(SCALES).fit_transform(frames)
    assert capfd.readouterr() == ("", "")
    SOAPTransformer(SCALES, verbose=True).fit_transform(frames)
    out, err = capfd.readouterr()
    assert "descriptors" in err
    assert out == ""


# On demand


@pytest.fixture
def lazy(frames: list[Atoms]) -> Molecules:
    return SOAPTransformer(SCALES, on_demand=True).fit_transform(frames)


def test_on_demand_equals_eager(transformer, frames, lazy):
    eager = transformer.transform(frames)
    assert isinstance(lazy.features, OnDemandFeatures)
    assert lazy.features.is_compatible(eager.features)
    assert len(lazy.features) == len(eager.features)
    for key in (slice(None), slice(2, 5), [4, 1, 1], [3], slice(None, None, 3)):
        assert_equal(lazy[key].features, eager[key].features)
        assert len(lazy[key].features) == lazy[key].n_atoms
    assert_equal(lazy[2:8][[3, 0]].features, eager[2:8][[3, 0]].features)


@pytest.mark.parametrize("block", [5, 1000])
def test_on_demand_picks_single_atoms(transformer, frames, lazy, monkeypatch, block):
    monkeypatch.setattr(dipkit.descriptors.on_demand, "BLOCK_ATOMS", block)
    eager = transformer.transform(frames).features
    atoms = np.array([30, 2, 2, 17, 5])
    assert_equal(lazy.features.take(atoms), eager.take(atoms))
    assert_equal(lazy.features.take(atoms).take(slice(1, 4)), eager.take(atoms[1:4]))
    assert_equal(lazy.features.take(slice(1, 9)), eager.take(slice(1, 9)))
    is_hydrogen = lazy.numbers == 1
    assert_equal(lazy.features.take(is_hydrogen), eager.take(is_hydrogen))


def test_on_demand_computes_only_what_is_read(lazy, monkeypatch):
    described = []
    compute = dipkit.descriptors.radial_tables.spectra
    monkeypatch.setattr(
        dipkit.descriptors.radial_tables,
        "spectra",
        lambda numbers, *rest: described.append(len(numbers)) or compute(numbers, *rest),
    )
    block = lazy[3:5]
    assert described == []
    _ = block.features.scales
    assert described == [block.n_atoms] * len(SCALES)


def test_on_demand_joins(transformer, frames, lazy):
    joined = Molecules.concatenate([lazy[5:], lazy[[0]]])
    expected = transformer.transform([*frames[5:], frames[0]])
    assert_equal(joined.features, expected.features)
    picked = OnDemandFeatures.concatenate([lazy.features.take(np.array([4])), lazy.features])
    assert_equal(picked.take(slice(0, 1)), lazy.features.take(slice(4, 5)))
    with pytest.raises(InputError, match="Describe all of them together"):
        Molecules.concatenate([lazy, transformer.transform(frames)])


def test_memory_decides(transformer, frames, monkeypatch):
    needed = transformer.forecast_bytes(frames)
    assert needed == 4 * sum(map(len, frames)) * sum(transformer.widths_)
    monkeypatch.setattr(dipkit.descriptors.soap, "host_memory", lambda: 4 * needed - 1)
    assert isinstance(transformer.transform(frames).features, OnDemandFeatures)
    monkeypatch.setattr(dipkit.descriptors.soap, "host_memory", lambda: 4 * needed)
    assert type(transformer.transform(frames).features) is Features
    monkeypatch.setattr(dipkit.descriptors.features, "host_memory", lambda: needed - 1)
    on_demand = clone(transformer).set_params(on_demand=True).fit_transform(frames).features
    assert sum(len(on_demand.take(slice(i, i + 9)).compute()) for i in (0, 9)) == 18
    with pytest.raises(InputError, match="GB are free"):
        on_demand.take(np.arange(len(on_demand))[::-1]).compute()
    transformer.set_params(on_demand=False)
    with pytest.raises(InputError, match="GB are free"):
        transformer.transform(frames)


# An estimator among others


def test_input_and_parameters_unchanged(frames):
    molecules, scales = as_molecules(frames), default_scales()[1:]
    before = repr(scales)
    transformer = SOAPTransformer(scales)
    result = transformer.fit_transform(molecules)
    assert molecules.features is None
    assert result.dipole_magnitude is molecules.dipole_magnitude
    assert transformer.scales is scales
    assert repr(scales) == before
    assert not hasattr(SOAPTransformer().fit(molecules).scales, "__len__")


def test_nested_parameters():
    transformer = SOAPTransformer()
    params = transformer.get_params()
    assert params["scales"] is None
    assert params["scale0__r_cut"] == 2.0
    assert set(transformer.get_params(deep=False)) == {
        *("scales", "species", "n_jobs", "memory", "on_demand", "verbose", "compression")
    }
    transformer.set_params(scale0__r_cut=2.5, n_jobs=2)
    assert [scale.r_cut for scale in transformer.scales] == [2.5, 3.5, 5.0]
    twin = clone(transformer).set_params(scale1__weight=0.5)
    assert twin.get_params()["scale1__weight"] == 0.5
    assert transformer.get_params()["scale1__weight"] == 0.0025
    assert SOAPTransformer().set_params(**twin.get_params()).get_params(deep=False)["n_jobs"] == 2


def test_shared_scales_are_not_changed():
    one, other = SOAPTransformer(SCALES), SOAPTransformer(SCALES)
    one.set_params(scale0__r_cut=3.0, scale1=SOAPScale(5.0))
    assert other.get_params()["scale0__r_cut"] == SCALES[0].r_cut == 2.5
    assert one.get_params()["scale1__r_cut"] == 5.0
    one.set_params(scales=SCALES[:1], scale0__sigma=0.4)
    assert len(one.scales) == 1
    assert SCALES[0].sigma == 0.3
    with pytest.raises(InputError, match="scale1__sigma"):
        other.set_params(scales=SCALES[:1], scale1__sigma=0.4)
    # A new scale first, then its parameters, in whichever order they are given.
    other.set_params(scale0__sigma=0.7, scale0=SOAPScale(5.0))
    assert other.scales[0].key() == SOAPScale(5.0, sigma=0.7).key()


def test_fitted_scales_are_copies(frames):
    scales = tuple(clone(scale) for scale in SCALES)
    transformer = SOAPTransformer(scales).fit(frames)
    scales[0].r_cut = 3.0
    assert transformer.scales_[0].r_cut == 2.5
    with pytest.raises(InputError, match=r"scale0__r_cut: expected 2\.5, as in fit, got 3\.0"):
        transformer.transform(frames)


def test_usual_scales():
    usual, with_baseline = default_scales(), baseline_scales()
    assert [scale.r_cut for scale in usual] == [2.0, 3.5, 5.0]
    assert [scale.r_cut for scale in default_scales(10_001)] == [2.2, 3.5, 5.0]
    assert [scale.weight for scale in usual] == [1.0, 0.0025, 0.001]
    assert [scale.r_cut for scale in with_baseline] == [2.0, 3.5, 4.4]
    assert [scale.weight for scale in with_baseline] == [1.0, 0.02, 0.002]


def test_many_molecules_have_a_longer_first_scale(
    frames: list[Atoms], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SOAPTransformer().fit(frames)
    monkeypatch.setattr(dipkit.descriptors.scales, "MANY_MOLECULES", len(frames) - 1)
    many = SOAPTransformer().fit(frames)
    assert [t.scales_[0].r_cut for t in (few, many)] == [2.0, 2.2]
    # The size of what is described later does not matter.
    assert len(many.transform(frames[:2])) == 2
    given = SOAPTransformer(default_scales()).fit(frames)
    assert given.scales_[0].r_cut == 2.0


@pytest.mark.parametrize("name", ["scale2__r_cut", "scale0__cutoff", "cutoff", "scalex"])
def test_unknown_parameter(name):
    with pytest.raises(ValueError, match=name):
        SOAPTransformer(SCALES).set_params(**{name: 1})


def test_pipeline_and_cross_validation(frames):
    y = [frame.info["dipole_debye"] for frame in frames]
    model = make_pipeline(SOAPTransformer(SCALES, species=["H", "C", "N", "O"]), MeanLabel())
    assert model.fit(frames).predict(frames[:2]) == pytest.approx([4.5, 4.5])
    scores = cross_validate(model, frames, y, cv=2, error_score="raise")
    assert np.isfinite(scores["test_score"]).all()
    cross_validate(model, as_molecules(frames), y, cv=2, error_score="raise")
    grid = {"soaptransformer__scale0__r_cut": [2.2, 2.6]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(frames, y)
    assert "soaptransformer__scale0__r_cut" in search.best_params_
    model.set_output(transform="default")


def test_labels_stay_and_never_stop_a_prediction(transformer, frames, caplog):
    assert transformer.transform(frames).dipole_magnitude[3] == 3.0
    frames[3].info["dipole_debye"] = -1.0
    with caplog.at_level(logging.WARNING):
        assert np.isnan(transformer.transform(frames).dipole_magnitude).all()
    assert "labels could not be used" in caplog.text
    transformer.fit(frames)
    with pytest.raises(InputError, match="at least 0 debye"):
        transformer.fit_transform(frames)


# Errors


def test_unseen_element(transformer):
    frames = [molecule("H2O"), molecule("CH3Cl"), molecule("SiH4")]
    with pytest.raises(InputError, match=r"2 of 3 molecules.* molecule 1 .* Si, Cl; .* H, C, N, O"):
        transformer.transform(frames)
    with pytest.raises(InputError, match="Cl"):
        SOAPTransformer(SCALES, species=["C", "H"]).fit([molecule("CH3Cl")])


def test_given_species(frames):
    by_symbol = SOAPTransformer(SCALES, ["O", "H", "C", "N", "F"], compression=None).fit(frames)
    by_number = SOAPTransformer(SCALES, (1, 6, 7, 8, 9), compression=None).fit(frames[:1])
    assert by_symbol.species_.tolist() == by_number.species_.tolist() == [1, 6, 7, 8, 9]
    assert_equal(by_symbol.transform(frames).features, by_number.transform(frames).features)
    for wrong in (["Xx"], [0], [], [1.5], ["H", None]):
        with pytest.raises(InputError, match="species"):
            SOAPTransformer(SCALES, species=wrong).fit(frames)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale1__r_cut": 1.0}, "scale1__r_cut: expected a number above 1 angstrom, got 1.0"),
        ({"scale0__sigma": 0}, "scale0__sigma"),
        ({"scale0__rbf": "gauss"}, "scale0__rbf"),
        ({"scale0__l_max": 21}, "scale0__l_max"),
        ({"scale0__n_max": 2.5}, "scale0__n_max"),
        ({"scale0__n_max": True}, "scale0__n_max: expected a whole number, at least 1, got True"),
        ({"scale0__r_cut": np.inf}, "scale0__r_cut: expected a number above 0 angstrom, got inf"),
        ({"scale0__weight": None}, "scale0__weight"),
        ({"scale0__n_max": 40}, "scale0: expected parameters that dscribe accepts"),
        ({"scales": ()}, "scales"),
        ({"scales": ("gto",)}, "scales"),
        ({"on_demand": "yes"}, "on_demand"),
        ({"n_jobs": 0}, "n_jobs"),
    ],
)
def test_bad_parameters(frames, change, message):
    params = SOAPTransformer(SCALES).get_params(deep=False)
    transformer = SOAPTransformer(**params)
    if "scales" in change:
        transformer.scales = change["scales"]
    else:
        transformer.set_params(**change)
    with pytest.raises(InputError, match=message):
        transformer.fit(frames)


def test_a_short_cutoff(frames):
    scale = SOAPScale(0.8, 2, 1, 0.3, "polynomial")
    transformer = SOAPTransformer((scale,), compression=None)
    assert transformer.fit_transform(frames).features.widths == (72,)
    with pytest.raises(InputError, match="scale0__r_cut: expected a number above 1 angstrom"):
        SOAPTransformer((clone(scale).set_params(rbf="gto"),)).fit(frames)


def test_periodic_cell_is_refused(transformer):
    frame = molecule("H2O", vacuum=3.0)
    frame.pbc = True
    with pytest.raises(InputError, match="periodic"):
        transformer.transform([frame])


def test_missing_descriptor_is_an_error(transformer, frames, monkeypatch):
    compute = dipkit.descriptors.radial_tables.spectra

    def without_one(*arguments):
        rows = compute(*arguments)
        rows[4] = np.nan
        return rows

    monkeypatch.setattr(dipkit.descriptors.radial_tables, "spectra", without_one)
    with pytest.raises(InputError, match=r"scale0: atom 1 of molecule 1 .* 0 other atoms"):
        transformer.transform(frames)


def test_no_molecules() -> None:
    with pytest.raises(InputError, match="X: expected at least one molecule, got none"):
        SOAPTransformer().fit_transform(as_molecules(molecule("H2O"))[:0])
