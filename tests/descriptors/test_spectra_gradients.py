"""Power spectra in double precision, and derivatives taken backwards, against differences."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from dscribe.descriptors import SOAP
from helpers.derivative_checks import slope_along, turned

from dipkit.descriptors.harmonics import harmonics_with_gradients, real_harmonics
from dipkit.descriptors.radial_tables import double_spectrum, power_spectrum, radial_table
from dipkit.descriptors.scales import ScaleKey
from dipkit.descriptors.spectra_gradients import MoleculeSpectrum, molecule_spectrum

SPECIES = (1, 6, 7, 8)
KEYS = [
    ScaleKey(2.2, 4, 3, 0.25, "polynomial"),
    ScaleKey(3.0, 3, 4, 0.4, "gto"),
    ScaleKey(2.5, 1, 0, 0.3, "gto"),
    # dscribe's spectra in polynomials change with a rotation from about l_max = 12 on.
    ScaleKey(2.5, 2, 8, 0.2, "polynomial"),
    ScaleKey(2.0, 1, 15, 0.3, "gto"),
]
LINEAR = Atoms("OCO", [[0, 0, -1.2], [0, 0, 0], [0, 0, 1.16]])


def of_atoms(atoms: Atoms, key: ScaleKey) -> MoleculeSpectrum:
    return double_spectrum(atoms.numbers, atoms.positions, SPECIES, key)


def in_full(spectrum: MoleculeSpectrum, width: int) -> Any:
    """The unit vectors with the columns of all elements."""
    found, start = np.zeros((len(spectrum.unit), width)), 0
    for run in spectrum.runs:
        stop = start + run.stop - run.start
        found[:, run] = spectrum.unit[:, start:stop]
        start = stop
    assert start == spectrum.unit.shape[1]
    return found


def test_harmonics_are_those_of_predictions() -> None:
    direction = np.random.default_rng(0).standard_normal((3, 9))
    direction /= np.linalg.norm(direction, axis=0)
    values, _ = harmonics_with_gradients(direction, 6)
    np.testing.assert_allclose(values, np.concatenate(list(real_harmonics(direction, 6))))


@pytest.mark.parametrize("pole", [False, True])
def test_gradients_of_harmonics(pole: bool) -> None:
    vector = np.random.default_rng(0).standard_normal((3, 7))
    if pole:
        vector[:2, :2], vector[2, :2] = 0.0, (1.3, -1.3)
    length = np.linalg.norm(vector, axis=0)

    def values(moved: Any) -> Any:
        return harmonics_with_gradients(moved / np.linalg.norm(moved, axis=0), 20)[0]

    _, gradients = harmonics_with_gradients(vector / length, 20)
    for axis in range(3):
        step = np.eye(3)[:, axis, None]
        expected = slope_along(lambda h, move=step: values(vector + h * move), 1e-4)
        np.testing.assert_allclose(gradients[:, axis] / length, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("rbf", ["polynomial", "gto"])
def test_slopes_of_radial_integrals(rbf: str) -> None:
    table = radial_table(ScaleKey(2.2, 8, 5, 0.17, rbf))
    distance = np.linspace(0.05, table.reach - 0.05, 50)
    values, slopes = table.with_slopes(distance)
    size = np.abs(values).max()
    np.testing.assert_allclose(values, table.integrals(distance), rtol=0, atol=1e-8 * size)
    # The expansions of second order have steps between them: the difference sees these.
    expected = slope_along(lambda h: table.integrals(distance + h), 0.002)
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-5 * np.abs(slopes).max())


@pytest.mark.parametrize("atoms", [turned("CH3OH"), LINEAR, Atoms("O")], ids=str)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_values(key: ScaleKey, atoms: Atoms) -> None:
    expected = SOAP(species=SPECIES, periodic=False, **key.parameters()).create(atoms)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = in_full(of_atoms(atoms, key), expected.shape[1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    offsets = np.array([0, len(atoms)])
    single = power_spectrum(atoms.numbers, atoms.positions, offsets, SPECIES, key)
    np.testing.assert_allclose(found, single, rtol=0, atol=1e-6)


@pytest.mark.parametrize("atoms", [turned("CH3OH"), LINEAR, molecule("CH4")], ids=str)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_derivatives(key: ScaleKey, atoms: Atoms) -> None:
    rng, spectrum = np.random.default_rng(0), of_atoms(atoms, key)
    slopes = rng.standard_normal((2, *spectrum.unit.shape))
    found = spectrum.pull_back(slopes)
    for direction in rng.standard_normal((2, len(atoms), 3)):

        def value(h: Any, move: Any = direction) -> Any:
            moved = Atoms(atoms.numbers, atoms.positions + h * move)
            return np.einsum("fid,id->fi", slopes, of_atoms(moved, key).unit)

        moving = np.einsum("fijb,jb->fi", found, direction)
        size = np.abs(found).max()
        np.testing.assert_allclose(moving, slope_along(value, 2e-4), rtol=0, atol=1e-6 * size)


def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = turned("CH3OH")
    whole = of_atoms(atoms, KEYS[0])
    slopes = np.random.default_rng(0).standard_normal((1, *whole.unit.shape))
    monkeypatch.setattr("dipkit.descriptors.spectra_gradients.BATCH_PAIRS", 4)
    parts = of_atoms(atoms, KEYS[0])
    np.testing.assert_allclose(parts.unit, whole.unit, atol=1e-14)
    np.testing.assert_allclose(parts.pull_back(slopes), whole.pull_back(slopes), atol=1e-12)


def test_atoms_out_of_reach_do_not_count() -> None:
    key = KEYS[0]
    far = Atoms("OH", [[0, 0, 0], [0, 0, 50.0]])
    spectrum = of_atoms(far, key)
    np.testing.assert_array_equal(spectrum.pull_back(np.ones((1, *spectrum.unit.shape))), 0.0)


def test_where_there_is_no_spectrum() -> None:
    """As in predictions, such an atom has NaN and not a division by zero."""

    def nothing(distance: Any, order: int = 0) -> Any:
        return np.zeros((len(distance), 16))

    table = replace(radial_table(KEYS[0]), spline=nothing)
    found = molecule_spectrum(np.array([0, 1]), 2, np.eye(2, 3), table)
    assert np.isnan(found.unit).all()
