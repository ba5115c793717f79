"""How labels and molecules carry a baseline, and the factor b, piece by piece."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dipkit.estimator.baseline
from dipkit import Molecules
from dipkit.descriptors.charge_columns import CHARGE_COLUMNS
from dipkit.estimator.baseline import GFN2Baseline, GivenBaseline
from dipkit.estimator.baseline_factor import fit_baseline_factor
from dipkit.estimator.baseline_molecules import (
    attach_labels,
    prepare_labels,
    prepare_molecules,
    scale_labels,
)
from dipkit.learning.charge_maps import even_charges
from dipkit.learning.labels import FitLabels, read_labels
from dipkit.learning.multipoles import dipoles, even_dipoles
from dipkit.learning.objective import DipoleTarget
from dipkit.quantum.calculation import Calculated


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    """Every third is an ion; all have a baseline, magnitudes, charges and quadrupoles."""
    bare = toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4, 5, 3, 4, 5))
    rng = np.random.default_rng(3)
    dipole = even_dipoles(bare) + rng.standard_normal((12, 3))
    labelled = bare.replace(
        dipole_magnitude=1.0 + rng.random(12),
        charges=even_charges(bare),
        baseline_dipole=dipole,
        baseline_charges=even_charges(bare),
        quadrupole=np.zeros((12, 3, 3)),
    )
    return labelled.replace(features=bare.features)


@pytest.fixture
def gap(molecules: Molecules) -> Molecules:
    """An ion and a neutral molecule, 2 and 4, have no baseline."""
    dipole = molecules.baseline_dipole.copy()
    dipole[[2, 4]] = np.nan
    return molecules.replace(baseline_dipole=dipole)


def exact_labels(molecules: Molecules, factor: float) -> FitLabels:
    even = even_dipoles(molecules)
    vectors = even + factor * (molecules.baseline_dipole - even)
    return read_labels(molecules, np.linalg.norm(vectors, axis=1), None, None)


# The factor


@pytest.mark.parametrize("factor", [-0.6, 0.1, 0.9, 1.6])
def test_ions_alone_determine_the_factor_and_its_sign(molecules: Molecules, factor: float) -> None:
    ions = molecules[molecules.total_charge != 0]
    assert fit_baseline_factor(exact_labels(ions, factor)) == pytest.approx(factor, rel=1e-6)


def test_factor_of_a_part_is_that_of_its_molecules(molecules: Molecules, gap: Molecules) -> None:
    """Weight 0, no label, no baseline: each keeps a molecule out, as leaving it out does."""
    labels = read_labels(molecules, None, None, None)
    some = np.isin(np.arange(12), [2, 4])
    target = labels.target
    expected = fit_baseline_factor(read_labels(molecules[~some], None, None, None))
    assert fit_baseline_factor(labels) != pytest.approx(expected, rel=1e-3)
    weights = np.where(some, 0.0, target.weights)
    light = FitLabels(
        DipoleTarget(target.magnitudes, target.vectors, weights), labels.charges, molecules
    )
    bare = FitLabels(
        DipoleTarget(np.where(some, np.nan, target.magnitudes), target.vectors, target.weights),
        labels.charges,
        molecules,
    )
    for part in (light, bare, FitLabels(target, labels.charges, gap)):
        assert fit_baseline_factor(part) == pytest.approx(expected, rel=1e-10)


def test_factor_is_the_minimum_of_the_loss(molecules: Molecules) -> None:
    labels = read_labels(molecules, None, None, np.linspace(0.5, 2, 12))
    even = even_dipoles(molecules)

    def loss(b: float) -> float:
        norm = np.linalg.norm(even + b * (molecules.baseline_dipole - even), axis=1)
        return float(labels.target.weights @ (norm - labels.target.magnitudes) ** 2)

    found = fit_baseline_factor(labels)
    grid = np.linspace(-3, 3, 2001)
    assert loss(found) <= min(loss(b) for b in grid) + 1e-12
    assert loss(found) < min(loss(found - 1e-4), loss(found + 1e-4))


def test_without_anything_to_scale_the_factor_is_one(molecules: Molecules) -> None:
    none = molecules.replace(baseline_dipole=even_dipoles(molecules))
    assert fit_baseline_factor(read_labels(none, None, None, None)) == 1.0


# Labels


@pytest.mark.filterwarnings("ignore:there is no baseline")
def test_molecules_without_a_baseline_lose_every_label(gap: Molecules) -> None:
    attached = attach_labels(read_labels(gap, None, None, None), GivenBaseline())
    lost = np.isin(np.arange(12), [2, 4])
    np.testing.assert_array_equal(np.isnan(attached.target.magnitudes), lost)
    np.testing.assert_array_equal(attached.target.weights == 0, lost)
    np.testing.assert_array_equal(np.isnan(attached.charges), lost[gap.molecule_index])
    only = gap.quadrupole.copy()
    only[~lost] = np.nan
    labels = read_labels(gap.replace(quadrupole=only, features=gap.features), None, None, None)
    assert labels.has_quadrupoles
    assert not attach_labels(labels, GivenBaseline()).has_quadrupoles


def test_steps_of_preparing_labels_are_the_whole(molecules: Molecules) -> None:
    labels = read_labels(molecules, None, None, None)
    whole, factor = prepare_labels(labels, GivenBaseline())
    steps = scale_labels(attach_labels(labels, GivenBaseline()), factor)
    for name in ("baseline_dipole", "baseline_charges"):
        np.testing.assert_array_equal(
            getattr(steps.molecules, name), getattr(whole.molecules, name)
        )
    np.testing.assert_array_equal(steps.charges, whole.charges)


def test_descriptors_gain_the_charge_of_the_baseline(molecules: Molecules) -> None:
    expected = tuple(width + CHARGE_COLUMNS for width in molecules.features.widths)
    prepared, _ = prepare_labels(read_labels(molecules, None, None, None), GivenBaseline())
    assert prepared.molecules.features.widths == expected
    new, _ = prepare_molecules(molecules, GivenBaseline(), 0.9, with_charges=True)
    assert new.features.widths == expected
    new, _ = prepare_molecules(molecules, GivenBaseline(), 0.9, with_charges=False)
    assert new.features.widths == molecules.features.widths


# The calculation


def test_gfn2_runs_with_its_memory_and_processes(
    molecules: Molecules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    charges = even_charges(molecules)

    def calculated(bare: Molecules, n_jobs: Any, memory: Any) -> Calculated:
        asked.append((bare.features, n_jobs, memory))
        found = dipoles(charges, molecules)
        return Calculated(found, charges, {}, np.full((12, 3, 3), np.nan))

    def differentiated(method: Any, one: Molecules, n_jobs: Any, memory: Any) -> str:
        asked.append((method, n_jobs, memory))
        return "derivatives"

    monkeypatch.setattr(dipkit.estimator.baseline, "gfn2", calculated)
    monkeypatch.setattr(dipkit.estimator.baseline, "differentiate", differentiated)
    baseline = GFN2Baseline(memory=tmp_path)
    attached = baseline.attach(molecules, 3)
    np.testing.assert_array_equal(attached.baseline_charges, charges)
    assert attached.features is molecules.features
    assert baseline.derivatives(molecules[:1], 2) == "derivatives"
    assert asked[0] == (None, 3, tmp_path)
    assert asked[1][1:] == (2, tmp_path)
    assert baseline._not_saved == ("memory",)
