"""Compressed descriptors: what they are made of, that they keep what matters, and where they go."""

import pickle
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from helpers.derivative_checks import dscribe_columns, slope_along
from helpers.strict_device import STRICT
from sklearn.base import clone

from dipkit import DipoleKernelRidge, Molecules, as_molecules
from dipkit.data.datasets import load_organics
from dipkit.descriptors import channel_learning
from dipkit.descriptors.channel_learning import (
    Resolution,
    learn_channels,
    resolution,
    sample_molecules,
)
from dipkit.descriptors.radial_channels import RadialChannels
from dipkit.descriptors.radial_tables import (
    device_power_spectrum,
    double_spectrum,
    power_spectrum,
    radial_table,
)
from dipkit.descriptors.scales import SOAPScale, baseline_scales, default_scales
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.descriptors.spectrum_columns import columns_of, compression_map
from dipkit.exceptions import InputError

SPECIES = (1, 6, 7, 8)
SCALES = (SOAPScale(2.4, 6, 3, 0.25, "polynomial", 1.0), SOAPScale(3.8, 4, 2, 0.5, "gto", 0.001))


@pytest.fixture(scope="module")
def organics() -> Molecules:
    return load_organics()[:30].replace(charges=None)


@pytest.fixture(scope="module")
def small(organics: Molecules) -> Molecules:
    names = ("H2O", "NH3", "CH4", "CH3OH", "HCN", "C2H4", "H2CO", "CH3NO2", "CO2", "C2H6")
    return as_molecules([molecule(name) for name in names])


def geometry(molecules: Molecules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return molecules.numbers, molecules.positions, molecules.offsets


def learned(molecules: Molecules, scale: SOAPScale, least: float) -> RadialChannels:
    return learn_channels(
        molecules, np.array(SPECIES), radial_table(scale.key()), Resolution(least, None)
    )


def in_products(spectrum: np.ndarray, n_species: int, counts: tuple[int, ...]) -> np.ndarray:
    """Give columns of radial functions the factors of learned channels, and unit length."""
    weighted = spectrum * columns_of(n_species, counts, learned=True).factor
    return weighted / np.linalg.norm(weighted, axis=1, keepdims=True)


# What they are


@pytest.mark.parametrize("scale", SCALES, ids=["polynomial", "gto"])
def test_all_channels_have_the_kernel_of_all_radial_functions(
    small: Molecules, scale: SOAPScale
) -> None:
    channels = learned(small, scale, -1.0)
    assert channels.counts == (scale.n_max,) * (scale.l_max + 1)
    rotated = power_spectrum(*geometry(small), SPECIES, scale.key()._replace(channels=channels))
    full = power_spectrum(*geometry(small), SPECIES, scale.key())
    full = in_products(full.astype(float), 4, channels.counts)
    np.testing.assert_allclose(rotated @ rotated.T, full @ full.T, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES, ids=["polynomial", "gto"])
@pytest.mark.parametrize("least", [1e-1, 1e-4])
def test_equal_to_a_combination_of_the_columns_of_dscribe(
    small: Molecules, scale: SOAPScale, least: float
) -> None:
    channels = learned(small, scale, least)
    key = scale.key()._replace(channels=channels)
    assert 1 <= sum(channels.counts) < scale.n_max * (scale.l_max + 1)
    full = [dscribe_columns(one, SPECIES, scale.key()) for one in small]
    expected = np.concatenate(full) @ compression_map(channels).T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = power_spectrum(*geometry(small), SPECIES, key)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("scale", SCALES, ids=["polynomial", "gto"])
def test_the_form_for_devices_is_equal(small: Molecules, scale: SOAPScale) -> None:
    key = scale.key()._replace(channels=learned(small, scale, 1e-2))
    assert len(set(key.channels.counts)) > 1  # some channels are there for some l only
    expected = power_spectrum(*geometry(small), SPECIES, key)
    found = STRICT.to_host(device_power_spectrum(*geometry(small), SPECIES, key, STRICT))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_columns_do_not_depend_on_orientation_or_order(organics: Molecules) -> None:
    transformer = SOAPTransformer(SCALES).fit(organics)
    frame = molecule("CH3OH")
    turned = frame.copy()
    turned.rotate(50, (1, 2, 3))
    turned.translate((1, 2, 3))
    one, other = (transformer.transform(x).features.scales for x in (frame, turned[::-1]))
    for x, y in zip(one, other, strict=True):
        np.testing.assert_allclose(x, y[::-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("least", [1e-1, 1e-4])
@pytest.mark.parametrize("scale", SCALES, ids=["polynomial", "gto"])
def test_derivatives_are_those_of_the_columns(
    small: Molecules, scale: SOAPScale, least: float
) -> None:
    key = scale.key()._replace(channels=learned(small, scale, least))
    rng, one = np.random.default_rng(0), small[3]
    spectrum = double_spectrum(one.numbers, one.positions, SPECIES, key)
    single = power_spectrum(*geometry(one), SPECIES, key)
    packed = np.concatenate([single[:, run] for run in spectrum.runs], axis=1)
    np.testing.assert_allclose(spectrum.unit, packed, rtol=0, atol=1e-6)
    slopes = rng.standard_normal((2, *spectrum.unit.shape))
    found = spectrum.pull_back(slopes)
    for direction in rng.standard_normal((2, one.n_atoms, 3)):

        def value(h: Any, move: Any = direction) -> Any:
            moved = double_spectrum(one.numbers, one.positions + h * move, SPECIES, key)
            return np.einsum("fid,id->fi", slopes, moved.unit)

        moving = np.einsum("fijb,jb->fi", found, direction)
        size = np.abs(found).max()
        np.testing.assert_allclose(moving, slope_along(value), rtol=0, atol=1e-6 * size)


# What is learned


def test_channels_keep_the_most_of_the_coefficients(small: Molecules) -> None:
    scale = SCALES[0]
    few, all_of_them = (learned(small, scale, least) for least in (1e-2, -1.0))
    some = few.counts
    for l, n in enumerate(some):  # noqa: E741
        np.testing.assert_allclose(few.matrices[:, l, :n], all_of_them.matrices[:, l, :n])
        square = few.matrices[:, l, :n] @ few.matrices[:, l, :n].swapaxes(1, 2)
        np.testing.assert_allclose(square, np.broadcast_to(np.eye(n), square.shape), atol=1e-12)
    assert sum(some) < sum(all_of_them.counts)


def test_compressed_descriptors_keep_the_dot_products(organics: Molecules) -> None:
    transformer = SOAPTransformer(default_scales()).fit(organics[:20])
    compressed = transformer.transform(organics).features.scales[0]
    full = SOAPTransformer(default_scales(), compression=None).fit(organics[:20])
    whole = full.transform(organics).features.scales[0]
    n_species, counts = len(full.species_), (8,) * 6
    whole = in_products(whole.astype(float), n_species, counts)
    assert compressed.shape[1] < 0.4 * whole.shape[1]
    np.testing.assert_allclose(compressed @ compressed.T, whole @ whole.T, rtol=0, atol=6e-3)


def test_an_element_without_environments_gets_channels_of_the_others(small: Molecules) -> None:
    scale, species = SCALES[0], np.array([1, 6, 7, 8, 9])
    channels = learn_channels(small, species, radial_table(scale.key()), Resolution(1e-3, None))
    for l, n in enumerate(channels.counts):  # noqa: E741
        assert (np.linalg.norm(channels.matrices[4, l, :n], axis=1) > 0.99).all()


def test_a_single_atom_is_enough() -> None:
    transformer = SOAPTransformer(SCALES).fit(Atoms("H"))
    (values, _) = transformer.transform(Atoms("H")).features.scales
    assert np.linalg.norm(values) == pytest.approx(1, abs=1e-6)


def test_the_sample_holds_each_element(
    organics: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_learning, "MOLECULES_PER_ELEMENT", 2)
    sample = sample_molecules(organics, np.array(organics.elements))
    assert list(sample.elements) == list(organics.elements)
    assert len(sample) <= 2 * len(organics.elements)
    again = sample_molecules(organics, np.array(organics.elements))
    np.testing.assert_array_equal(sample.positions, again.positions)


@pytest.mark.parametrize("scales", [default_scales(), baseline_scales()])
def test_the_weight_sets_the_resolution(scales: tuple[SOAPScale, ...]) -> None:
    weights = [scale.weight for scale in scales]
    full, middle, long = (resolution(weights, index, 100) for index in range(3))
    assert full.least < middle.least
    assert full.most is None
    assert middle == long
    assert resolution(weights, 1, 10_001).most is None


def test_a_light_scale_has_few_channels(organics: Molecules) -> None:
    def counts(most: tuple[int, int] | None) -> tuple[int, ...]:
        table = radial_table(SOAPScale(3.5, 6, 4, 0.3, "gto").key())
        species = np.array(organics.elements)
        return learn_channels(organics, species, table, Resolution(1e-6, most)).counts

    assert min(counts(None)) > 3
    assert counts((3, 2)) == (3, 2, 2, 2, 2)
    for matrices in SOAPTransformer().fit(organics).channels_[1:]:
        assert matrices.shape[2] == 3


def test_elements_that_fit_does_not_see_are_said(organics: Molecules, small: Molecules) -> None:
    with pytest.warns(UserWarning, match=r"species: the molecules of fit hold no S, Cl"):
        SOAPTransformer(SCALES, species=("H", "C", "N", "O", "F", "S", "Cl")).fit(organics)
    SOAPTransformer(SCALES, ("H", "C", "N", "O", "S"), compression=None).fit(small)


# Where they go


def test_the_origin_names_the_channels(organics: Molecules) -> None:
    one, same, other = (
        SOAPTransformer(SCALES, species=organics.elements.tolist()).fit(part)
        for part in (organics, organics, organics[10:])
    )
    assert one.made_by_ == same.made_by_ != other.made_by_
    ridge = DipoleKernelRidge().set_params(basis__n_inducing=20).fit(one.transform(organics))
    ridge.predict(same.transform(organics[:2]))
    with pytest.raises(InputError, match="channels of scale0"):
        ridge.predict(other.transform(organics[:2]))


def test_without_compression_the_origin_is_that_of_older_versions(organics: Molecules) -> None:
    transformer = SOAPTransformer(SCALES, compression=None).fit(organics)
    assert "channels" not in transformer.made_by_
    state = vars(transformer).copy()
    del state["compression"], state["channels_"]
    older = SOAPTransformer.__new__(SOAPTransformer)
    older.__setstate__(state)
    assert older.compression is None
    assert older.made_by_ == transformer.made_by_
    for x, y in zip(
        older.transform(organics).features.scales,
        transformer.transform(organics).features.scales, strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(x, y)


def test_pickles_and_hashes(organics: Molecules) -> None:
    transformer = SOAPTransformer(SCALES).fit(organics)
    again = pickle.loads(pickle.dumps(transformer))
    assert again.scale_keys() == transformer.scale_keys()
    assert hash(again.scale_keys()) == hash(transformer.scale_keys())
    assert joblib.hash(again.scale_keys()) == joblib.hash(transformer.scale_keys())
    fresh = clone(transformer)
    assert not hasattr(fresh, "channels_")
    assert fresh.compression == "auto"


def test_one_scale_alone_has_the_same_channels(organics: Molecules) -> None:
    transformer = SOAPTransformer(SCALES).fit(organics)
    together = transformer.transform(organics[:3]).features.scales
    for index, expected in enumerate(together):
        alone = transformer.of_scale(index).transform(organics[:3]).features.scales
        np.testing.assert_array_equal(alone[0], expected)


def test_a_change_after_fit_is_refused(organics: Molecules) -> None:
    transformer = SOAPTransformer(SCALES).fit(organics).set_params(compression=None)
    with pytest.raises(InputError, match="compression: expected 'auto', as in fit, got None"):
        transformer.transform(organics)
    with pytest.raises(InputError, match='expected "auto" or None'):
        SOAPTransformer(SCALES, compression="much").fit(organics)


def test_the_table_of_channels_is_per_element(small: Molecules) -> None:
    table = radial_table(SCALES[0].key())
    channels = learned(small, SCALES[0], 1e-2)
    combined = table.combined(channels)
    distance, species = np.array([0.9, 1.1, 1.5]), np.array([0, 1, 3])
    expected = np.einsum("pnl,plqn->pql", table.integrals(distance), channels.matrices[species])
    np.testing.assert_allclose(combined.integrals(distance, species), expected, atol=1e-12)
    other = replace(combined, channels=None)
    assert other.counts == (combined.n_max,) * (combined.l_max + 1)
