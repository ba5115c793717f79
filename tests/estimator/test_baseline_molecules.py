"""How labels and molecules carry a baseline, and the factor b, piece by piece."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dipkit.estimator.baseline
from dipkit import Molecules
from dipkit.data.datasets import load_organics
from dipkit.estimator.baseline import GFN2Baseline, GivenBaseline, make_baseline
from dipkit.estimator.baseline_factor import fit_baseline_factor
from dipkit.estimator.baseline_molecules import (
    attach_labels,
    prepare_labels,
    prepare_molecules,
    require_same_baseline,
    scale_labels,
)
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import even_charges, project
from dipkit.learning.labels import FitLabels, read_labels
from dipkit.learning.multipoles import dipoles, even_dipoles
from dipkit.learning.objective import DipoleTarget
from dipkit.quantum.calculation import Calculated
from dipkit.quantum.finite_differences import CalculationDerivatives
from dipkit.quantum.xtb import GFN2


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
    expected = tuple(width + 2 for width in molecules.features.widths)
    prepared, _ = prepare_labels(read_labels(molecules, None, None, None), GivenBaseline())
    assert prepared.molecules.features.widths == expected
    new, _ = prepare_molecules(molecules, GivenBaseline(), 0.9, True, False)
    assert new.features.widths == expected
    new, _ = prepare_molecules(molecules, GivenBaseline(), 0.9, False, False)
    assert new.features.widths == molecules.features.widths


def test_descriptors_gain_the_charges_of_a_second_calculation(molecules: Molecules) -> None:
    second = molecules.replace(
        descriptor_charges=even_charges(molecules), features=molecules.features
    )
    expected = tuple(width + 4 for width in molecules.features.widths)
    prepared, _ = prepare_labels(read_labels(second, None, None, None), GivenBaseline())
    assert prepared.molecules.features.widths == expected
    new, _ = prepare_molecules(second, GivenBaseline(), 0.9, True, True)
    assert new.features.widths == expected
    # The factor multiplies charges of the baseline, not those of the second calculation.
    np.testing.assert_array_equal(new.descriptor_charges, second.descriptor_charges)
    # A model whose training molecules had none does not read them.
    new, _ = prepare_molecules(second, GivenBaseline(), 0.9, True, False)
    assert new.descriptor_charges is None
    with pytest.raises(InputError, match="had descriptor_charges, these have none"):
        prepare_molecules(molecules, GivenBaseline(), 0.9, True, True)
    with pytest.raises(InputError, match="had no descriptor_charges, these have some"):
        require_same_baseline(molecules, second)


def test_charges_of_a_second_calculation_need_those_of_the_first(molecules: Molecules) -> None:
    alone = molecules.replace(baseline_charges=None, descriptor_charges=molecules.baseline_charges)
    with pytest.raises(InputError, match=r"descriptor_charges: they enter .* beside baseline_ch"):
        GivenBaseline().attach(alone)


def test_molecules_that_all_fail_have_no_second_calculation() -> None:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    ion = load_organics()[:2].replace(total_charge=[0.5, 0.5], charges=None)
    with pytest.warns(UserWarning, match="GFN2-xTB gave no result for 2 of 2 molecules") as caught:
        attached = GFN2Baseline().attach(ion)
    assert len(caught) == 1
    assert np.isnan(attached.baseline_dipole).all()
    assert np.isnan(attached.descriptor_charges).all()


def test_a_molecule_without_charges_of_the_second_calculation_is_not_known(
    molecules: Molecules,
) -> None:
    charges = molecules.baseline_charges.copy()
    charges[: molecules.natoms[0]] = np.nan
    some = molecules.replace(descriptor_charges=charges, features=molecules.features)
    with pytest.warns(UserWarning, match="no baseline"):
        prepared, known = prepare_molecules(some, GivenBaseline(), 0.9, True, True)
    assert known.tolist() == [False] + [True] * (len(molecules) - 1)
    assert np.isnan(prepared.baseline_dipole[0]).all()


# The calculation


def test_gfn2_runs_with_its_memory_and_processes(
    molecules: Molecules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    even = even_charges(molecules)
    uneven = project(np.arange(float(molecules.n_atoms)) / 1000, molecules)

    def method(factor: float) -> Callable[[Molecules, Any, Any], Calculated]:
        def calculated(bare: Molecules, n_jobs: Any, memory: Any) -> Calculated:
            asked.append((bare.features, n_jobs, memory))
            charges = even + factor * uneven
            found = dipoles(charges, molecules)
            return Calculated(found, charges, {}, np.full((12, 3, 3), np.nan))

        return calculated

    def differentiated(
        method: Any, one: Molecules, n_jobs: Any, memory: Any
    ) -> CalculationDerivatives:
        asked.append((n_jobs, memory))
        n, value = one.n_atoms, 1.0 if isinstance(method, GFN2) else 3.0
        shapes = (n,), (n, 3, 3), (n, n, 3)
        return CalculationDerivatives(*(np.full(shape, value) for shape in shapes))

    monkeypatch.setattr(dipkit.estimator.baseline, "gfn2", method(1.0))
    monkeypatch.setattr(dipkit.estimator.baseline, "ipea1", method(3.0))
    monkeypatch.setattr(dipkit.estimator.baseline, "differentiate", differentiated)
    baseline, n = GFN2Baseline(memory=tmp_path), molecules.natoms[0]
    attached = baseline.attach(molecules, 3)
    np.testing.assert_allclose(attached.baseline_charges, even + 1.4 * uneven)
    expected = dipoles(even + 1.4 * uneven, molecules)
    np.testing.assert_allclose(attached.baseline_dipole, expected, atol=1e-12)
    np.testing.assert_allclose(attached.descriptor_charges, even + 3 * uneven)
    assert attached.features is molecules.features
    found = baseline.derivatives(molecules[:1], 2)
    np.testing.assert_allclose(found.of_dipole, np.full((n, 3, 3), 1.4))
    np.testing.assert_allclose(found.of_charges, np.full((n, n, 3), 1.4))
    np.testing.assert_allclose(found.sets, np.tile([1.4, 3.0], (n, 1)))
    np.testing.assert_allclose(found.of_sets[2, :, 1, 0], [1.4, 3.0])
    assert asked == [(None, 3, tmp_path)] * 2 + [(2, tmp_path)] * 2
    assert baseline._not_saved == ("memory",)
    alone = GFN2Baseline(second_method=None)
    attached = alone.attach(molecules, 3)
    np.testing.assert_array_equal(attached.baseline_charges, even + uneven)
    assert attached.descriptor_charges is None
    assert alone.derivatives(molecules[:1], 2).sets.shape == (n, 1)


def test_second_method_is_checked() -> None:
    with pytest.raises(InputError, match="second_method: expected one of"):
        make_baseline(GFN2Baseline(second_method="pm3"))
