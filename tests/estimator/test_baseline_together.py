"""A baseline together with every other feature: each works with it, or gives advice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed
from sklearn.pipeline import Pipeline, make_pipeline

import dipkit.estimator.fit
import dipkit.estimator.memory_plan
import dipkit.estimator.pipeline
import dipkit.estimator.regression
import dipkit.learning.direction_term
from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer, predict_all, write
from dipkit.estimator.baseline import Baseline, GFN2Baseline, GivenBaseline
from dipkit.estimator.baseline_molecules import prepare_labels
from dipkit.estimator.memory_plan import plan_fit
from dipkit.estimator.pipeline import predict_parts
from dipkit.exceptions import InputError
from dipkit.learning.direction_term import accumulate_direction
from dipkit.learning.labels import FitLabels, read_labels
from dipkit.learning.multipoles import atomic_quadrupoles, dipoles, quadrupoles
from dipkit.learning.objective import DipoleTarget
from dipkit.response.ase_calculator import DipkitCalculator
from dipkit.response.derivatives import charge_derivatives, dipole_derivatives
from dipkit.support.backend import NUMPY


def with_baseline(molecules: Molecules, beside: float = 0.3) -> Molecules:
    """Reference charges, somewhat off, and a dipole that is not quite theirs."""
    rng = np.random.default_rng(1)
    charges = 0.8 * molecules.charges
    dipole = dipoles(charges, molecules) + beside * rng.standard_normal((len(molecules), 3))
    bare = molecules.replace(baseline_dipole=dipole, baseline_charges=charges, charges=None)
    return bare.replace(dipole_vector=None, features=molecules.features)


def ridge(**parameters: Any) -> DipoleKernelRidge:
    settings = {
        "basis__n_inducing": 60,
        "solver__tol": 1e-9,
        "solver__max_iter": 2000,
        "device": "cpu",
    }
    return DipoleKernelRidge().set_params(**settings | {"baseline": "given"} | parameters)


@pytest.fixture(scope="module")
def molecules(described: Molecules) -> Molecules:
    return with_baseline(described)


@pytest.fixture(scope="module")
def pipeline(molecules: Molecules, coarse_soap: SOAPTransformer) -> Pipeline:
    return make_pipeline(coarse_soap, ridge().fit(molecules))


def test_standard_deviations(molecules: Molecules) -> None:
    model = ridge().fit(molecules[:30])
    magnitudes, std = model.predict(molecules, return_std=True)
    np.testing.assert_array_equal(magnitudes, model.predict(molecules))
    assert (std >= model.std_floor_).all()
    scores = (magnitudes - molecules.dipole_magnitude)[30:] / std[30:]
    assert 0.1 < np.sqrt(np.mean(scores**2)) < 5


def test_standard_deviations_are_nan_where_the_baseline_is(molecules: Molecules) -> None:
    dipole = molecules.baseline_dipole.copy()
    dipole[3] = np.nan
    gap = molecules.replace(baseline_dipole=dipole, features=molecules.features)
    with pytest.warns(UserWarning, match="no baseline for 1 of 40"):
        magnitudes, std = ridge().fit(molecules).predict(gap, return_std=True)
    np.testing.assert_array_equal(np.isnan(std), np.isnan(magnitudes))
    assert np.flatnonzero(np.isnan(std)).tolist() == [3]


def test_parts_give_the_model_of_all_together(molecules: Molecules) -> None:
    """With the environments and the factor of the first part."""
    first, second = molecules[:25], molecules[25:]
    parts = ridge().partial_fit(first)
    b = parts.baseline_factor_
    parts.partial_fit(second)
    assert parts.baseline_factor_ == b
    choose = dipkit.estimator.fit.choose_environments

    def prepare(
        labels: FitLabels, baseline: Baseline, factor: None, n_jobs: Any
    ) -> tuple[FitLabels, float]:
        return prepare_labels(labels, baseline, b, n_jobs)

    def of_first(_: Molecules, *arguments: Any) -> Any:
        known = prepare_labels(read_labels(first, None, None, None), GivenBaseline(), b)[0]
        return choose(known.molecules, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dipkit.estimator.fit, "choose_environments", of_first)
        patch.setattr(dipkit.estimator.regression, "prepare_labels", prepare)
        whole = ridge().fit(molecules)
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-3)
    np.testing.assert_allclose(
        parts.predict_dipole(molecules), whole.predict_dipole(molecules), atol=1e-3
    )
    assert np.isfinite(parts.predict(molecules, return_std=True)[1]).all()


def test_parts_have_the_same_kind_of_baseline(molecules: Molecules) -> None:
    model = ridge().partial_fit(molecules[:25])
    other = molecules[25:].replace(baseline_charges=None, features=molecules[25:].features)
    with pytest.raises(InputError, match="earlier calls had baseline_charges, these have none"):
        model.partial_fit(other)
    with pytest.raises(InputError, match="earlier calls had baseline_dipole, these have none"):
        model.set_params(baseline=None).partial_fit(molecules[25:])


def test_rows_in_a_file_give_the_same_model(
    molecules: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ridge()
    held = model.fit(molecules).predict_together(molecules, return_std=True)
    plan = plan_fit(molecules, 60)
    monkeypatch.setattr(dipkit.estimator.memory_plan, "process_memory", lambda: plan.present)
    monkeypatch.setattr(dipkit.estimator.fit, "plan_fit", lambda *_: plan)
    object.__setattr__(plan, "rows_on_disk", True)
    spilled = model.fit(molecules).predict_together(molecules, return_std=True)
    assert model.memory_plan_["rows_in"] == "file"
    for found, expected in zip(spilled, held, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_pull_does_not_depend_on_how_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    target = DipoleTarget(np.ones(20), np.full((20, 3), np.nan), rng.random(20))
    arguments = rng.standard_normal((60, 5)), rng.standard_normal((20, 3)), target, NUMPY
    whole = accumulate_direction(*arguments)
    monkeypatch.setattr(dipkit.learning.direction_term, "MOLECULES_AT_ONCE", 3)
    np.testing.assert_allclose(accumulate_direction(*arguments).gram, whole.gram)
    assert whole.weight == pytest.approx(target.weights.sum())


def test_files_are_predicted_part_by_part(
    pipeline: Pipeline, molecules: Molecules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "all.xyz", molecules.replace(features=None))
    monkeypatch.setattr(dipkit.estimator.pipeline, "PART_MOLECULES", 15)
    parts = list(predict_parts(pipeline, tmp_path / "all.xyz", return_std=True))
    whole = predict_all(pipeline, tmp_path / "all.xyz", return_std=True)
    assert len(parts) == 3
    for name in ("charges", "dipole", "std"):
        found = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(found, getattr(whole, name), atol=1e-5)


def test_descriptors_may_come_on_demand(pipeline: Pipeline, molecules: Molecules) -> None:
    soap, model = pipeline
    bare = molecules.replace(features=None)
    streamed = soap.set_params(on_demand=True).transform(bare)
    soap.set_params(on_demand="auto")
    assert not streamed.features.in_memory
    again = ridge().fit(streamed)
    np.testing.assert_allclose(again.predict(streamed), model.predict(molecules), atol=1e-4)


def test_quadrupoles_only_where_charges_make_the_dipoles(
    pipeline: Pipeline, molecules: Molecules, described: Molecules
) -> None:
    bare = molecules.replace(features=None)
    with pytest.raises(
        InputError, match="quadrupole: expected dipoles that the predicted charges make"
    ):
        pipeline[-1].predict_quadrupole(molecules)
    with pytest.raises(InputError, match=r"Use a model without a baseline"):
        _ = predict_all(pipeline, bare).quadrupole
    of_charges = with_baseline(described, beside=0.0)
    model = ridge().fit(of_charges)
    of_atoms = model.predict_atomic_dipoles(of_charges)
    assert np.abs(of_atoms).max() > 1e-3
    expected = quadrupoles(model.predict_charges(of_charges), of_charges)
    expected += atomic_quadrupoles(of_atoms, of_charges)
    np.testing.assert_allclose(model.predict_quadrupole(of_charges), expected)


@pytest.mark.parametrize("derive", [dipole_derivatives, charge_derivatives])
def test_derivatives_of_given_dipoles_are_refused(
    pipeline: Pipeline, molecules: Molecules, derive: Any
) -> None:
    message = r'model: its baseline is "given": these dipoles do not follow'
    with pytest.raises(InputError, match=message):
        derive(pipeline, molecules[:1].replace(features=None))


def test_a_calculator_needs_a_baseline_that_follows_the_atoms(
    pipeline: Pipeline,
) -> None:
    with pytest.raises(InputError, match='its baseline is "given"'):
        DipkitCalculator(pipeline)


def baseline_of_charges(self: Baseline, molecules: Molecules, n_jobs: int | None) -> Molecules:
    """In place of a calculation: it follows the atoms, and fails for water."""
    charges = np.where(molecules.numbers == 1, 0.1, 0.0)
    charges -= (
        np.bincount(molecules.molecule_index, charges)[molecules.molecule_index]
        / (molecules.natoms[molecules.molecule_index])
    )
    dipole = dipoles(charges, molecules)
    dipole[molecules.natoms == 3] = np.nan
    return molecules.replace(
        baseline_dipole=dipole, baseline_charges=charges, features=molecules.features
    )


def test_a_calculator_computes_the_baseline_again(
    described: Molecules, coarse_soap: SOAPTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GFN2Baseline, "attach", baseline_of_charges)
    large = described[described.natoms > 3]
    model = make_pipeline(coarse_soap, ridge(baseline="gfn2").fit(large))
    atoms: Atoms = molecule("CH3OH")
    atoms.calc = DipkitCalculator(model)
    here = atoms.get_dipole_moment()
    atoms.rotate(90, "z")
    np.testing.assert_allclose(atoms.get_dipole_moment(), [-here[1], here[0], here[2]], atol=1e-5)
    atoms = molecule("H2O")
    atoms.calc = DipkitCalculator(model)
    with pytest.raises(CalculationFailed, match=r"baseline: the calculation .* gave no result"):
        atoms.get_dipole_moment()
