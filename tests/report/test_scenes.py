"""Molecules in 3D: the worst ones first, at most so many atoms, data that cannot end a script."""

import json

import numpy as np
import pytest

from dipkit.data.datasets import load_organics
from dipkit.estimator.pipeline import Prediction
from dipkit.report import scenes

MOLECULES = load_organics()[:60]


def prediction(molecules=MOLECULES) -> Prediction:
    return Prediction(molecules, molecules.charges, molecules.dipole_vector)


def test_the_worst_come_first() -> None:
    errors = np.random.default_rng(0).normal(size=60)
    chosen = scenes.choose_scenes(MOLECULES, errors)
    order = np.argsort(-np.abs(errors))
    np.testing.assert_array_equal(chosen[: scenes.N_WORST], order[: scenes.N_WORST])
    assert len(chosen) == scenes.N_WORST + scenes.N_ORDINARY
    assert len(set(chosen.tolist())) == len(chosen)


def test_few_molecules_are_all_shown() -> None:
    for n in (1, 2, 13):
        chosen = scenes.choose_scenes(MOLECULES[:n], np.zeros(n))
        assert sorted(chosen.tolist()) == list(range(n))


def test_large_molecules_are_few(monkeypatch) -> None:
    monkeypatch.setattr(scenes, "MOST_ATOMS", 40)
    chosen = scenes.choose_scenes(MOLECULES, np.arange(60.0))
    assert 1 <= len(chosen) < 10
    assert MOLECULES.natoms[chosen].sum() <= 40
    monkeypatch.setattr(scenes, "MOST_ATOMS", 1)
    assert scenes.choose_scenes(MOLECULES, np.arange(60.0)).tolist() == [59]


def test_data() -> None:
    names = np.array(["</script><b>", 'quote"'])
    molecules = MOLECULES[:2].replace(names=names)
    charges = molecules.charges.copy()
    charges[: molecules.natoms[0]] = np.nan
    dipole = molecules.dipole_vector.copy()
    dipole[0] = np.nan
    chosen = np.array([1, 0])
    facts = [[["name", str(names[index])]] for index in chosen]
    text = scenes.scene_data(Prediction(molecules, charges, dipole), chosen, facts, 0.5)
    assert "<" not in text
    first, failed = json.loads(text)["molecules"]
    assert first["facts"] == [["name", 'quote"']]
    np.testing.assert_allclose(first["charges"], molecules[1].charges, atol=1e-4)
    # Turned as a whole: the largest extent along x, the smallest towards the reader.
    positions, dipole = np.array(first["positions"]), np.array(first["reference"])
    extents = np.ptp(positions, axis=0)
    assert extents[0] >= extents[1] - 0.5
    assert extents[1] >= extents[2] - 0.5
    expected = np.vstack([molecules[1].positions, molecules.dipole_vector[1]])
    together = np.vstack([positions, dipole])
    np.testing.assert_allclose(together @ together.T, expected @ expected.T, atol=0.05)
    volume = np.linalg.det([positions[1] - positions[0], positions[-1] - positions[0], dipole])
    original = molecules[1].positions
    sides = [original[1] - original[0], original[-1] - original[0], molecules.dipole_vector[1]]
    assert volume == pytest.approx(np.linalg.det(sides), abs=0.02)
    assert failed["label"].startswith("</script><b>")
    assert failed["dipole"] is None
    assert failed["charges"] == [None] * molecules.natoms[0]


def test_limit_is_that_of_the_charges_shown() -> None:
    chosen = np.array([0, 3])
    shown = np.concatenate([np.abs(MOLECULES[index].charges) for index in chosen])
    limit = scenes.charge_limit(prediction(), chosen)
    assert np.median(shown) < limit <= shown.max() + 0.005


def test_the_licence_travels_with_the_viewer() -> None:
    _, viewer, _ = scenes.viewer_scripts("{}")
    assert "Copyright (c) 2014, University of Pittsburgh" in viewer
    assert "BSD-3-Clause" in viewer
