"""The CUDA kernels compute what their array forms do; compiled for the host, without a GPU."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from helpers.cuda_on_host import EmulatedCard, why_no_compiler

import dipkit.descriptors.radial_tables
from dipkit import SOAPTransformer, as_molecules
from dipkit.data.molecules import Molecules
from dipkit.descriptors.radial_tables import device_power_spectrum, power_spectrum, radial_table
from dipkit.descriptors.scales import SOAPScale
from dipkit.descriptors.spectra_device import DeviceTables, spectra
from dipkit.learning import segment_map
from dipkit.learning.segment_map import SegmentMap
from dipkit.support.backend import NUMPY

SPECIES = (1, 6, 7, 8)
SCALES = (SOAPScale(2.5, 3, 2, 0.3, "polynomial"), SOAPScale(4.0, 2, 5, 0.5, "gto"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled kernels."""
    found = tmp_path_factory.mktemp("kernels")
    if reason := why_no_compiler(found):
        pytest.skip(f"kernels cannot be compiled here: {reason}")
    return found


@pytest.fixture
def card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> EmulatedCard:
    no_tables: OrderedDict[Any, Any] = OrderedDict()
    monkeypatch.setattr(dipkit.descriptors.radial_tables, "_device_table_cache", no_tables)
    return EmulatedCard(folder)


@pytest.fixture(scope="module")
def some() -> Molecules:
    """Molecules of 1 to 11 atoms; more than a tile holds in small shared memory."""
    names = ("H2O", "CH3NO2", "HCN", "C2H6", "CH3CH2OH")
    return as_molecules([*(molecule(name) for name in names), Atoms("N")])


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.rbf)
@pytest.mark.parametrize("learned", [False, True])
def test_spectra(card: EmulatedCard, some: Molecules, scale: SOAPScale, learned: bool) -> None:
    soap = SOAPTransformer((scale,), compression="auto" if learned else None).fit(some)
    (key,) = soap.scale_keys()
    assert (key.channels is not None) == learned
    geometry = some.numbers, some.positions, some.offsets
    found = device_power_spectrum(*geometry, SPECIES, key, card)
    np.testing.assert_allclose(found, power_spectrum(*geometry, SPECIES, key), atol=3e-7)


def test_little_shared_memory_gives_smaller_tiles_and_less_the_array_form(
    folder: Path, some: Molecules
) -> None:
    table, index = radial_table(SCALES[0].key()), np.searchsorted(SPECIES, some.numbers)
    enough, found = DeviceTables.of(table, 4, EmulatedCard(folder)), []
    assert enough.kernel is not None
    for shared_bytes in (enough.kernel.shared_bytes, enough.kernel.shared_bytes - 2500, 1000):
        card = EmulatedCard(folder, shared_bytes)
        tables = DeviceTables.of(table, 4, card)
        assert (tables.kernel is None) == (shared_bytes == 1000)
        if tables.kernel is not None:
            assert tables.kernel.shared_bytes <= shared_bytes
        found.append(spectra(index, some.positions, some.offsets, tables, card))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], atol=3e-7)


def test_no_atom_no_launch(card: EmulatedCard) -> None:
    tables = DeviceTables.of(radial_table(SCALES[0].key()), 4, card)
    none = np.zeros(0, np.int64)
    assert spectra(none, np.zeros((0, 3)), np.zeros(1, np.int64), tables, card).shape[0] == 0


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("pointer", [[0, 3, 3, 7], [0, 0], [0, 7]])
def test_segment_sums(card: EmulatedCard, k: int, pointer: list[int]) -> None:
    segment_map._compiled.cache_clear()
    rng, n = np.random.default_rng(0), pointer[-1]
    one = SegmentMap(rng.standard_normal((n, k)), np.array(pointer, np.int32))
    values = rng.standard_normal((n, 40))[:, 3:20]
    around = np.full((k * (len(pointer) - 1), 30), 7.0)
    one.write(values, around[:, 5:22], card)
    np.testing.assert_allclose(around[:, 5:22], one.sparse(NUMPY) @ values, atol=1e-12)
    assert (around[:, :5] == 7).all()
    assert (around[:, 22:] == 7).all()
