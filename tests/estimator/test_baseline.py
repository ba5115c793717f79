"""A model that corrects a baseline: identities of (9) to (11), failures, the whole way round."""

import json
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from helpers.commands import run
from optuna.distributions import FloatDistribution
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

import dipkit
from dipkit import (
    DipoleKernelRidge,
    DipoleSearchCV,
    InducingBasis,
    Molecules,
    default_model,
    load_model,
    predict_all,
    save_model,
)
from dipkit.cli import tune
from dipkit.data.datasets import load_organics
from dipkit.descriptors.charge_columns import SHARE, ChargeFeatures, with_charge_columns
from dipkit.descriptors.features import Features
from dipkit.estimator.baseline import (
    GFN2Baseline,
    GivenBaseline,
    make_baseline,
)
from dipkit.estimator.baseline_factor import fit_baseline_factor
from dipkit.estimator.baseline_molecules import prepare_labels, prepare_molecules
from dipkit.estimator.metrics import compare, mae_scorer
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import molecule_sums
from dipkit.learning.direction_term import accumulate_direction
from dipkit.learning.labels import FitLabels, read_labels
from dipkit.learning.multipoles import dipoles, even_dipoles
from dipkit.learning.objective import DipoleTarget
from dipkit.response.derivatives import dipole_derivatives
from dipkit.search.ridge_parameters import baseline_of
from dipkit.support.backend import NUMPY


def add_baseline(molecules: Molecules, seed: int = 1) -> Molecules:
    """Put charges that sum to the total charge, and a dipole that is not quite theirs."""
    rng = np.random.default_rng(seed)
    charges = 0.2 * rng.standard_normal(molecules.n_atoms)
    excess = molecule_sums(charges, molecules.offsets) - molecules.total_charge
    charges -= (excess / molecules.natoms)[molecules.molecule_index]
    dipole = dipoles(charges, molecules) + 0.3 * rng.standard_normal((len(molecules), 3))
    return molecules.replace(baseline_dipole=dipole, baseline_charges=charges)


@pytest.fixture
def molecules(toy) -> Molecules:
    """Random molecules, some of them ions, with a baseline and magnitudes near it."""
    rough = add_baseline(toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4, 5, 3, 4, 5)))
    magnitudes = np.linalg.norm(0.8 * rough.baseline_dipole, axis=1)
    return rough.replace(dipole_magnitude=magnitudes)


@pytest.fixture
def ridge() -> DipoleKernelRidge:
    return DipoleKernelRidge(
        baseline="given", basis=InducingBasis(n_inducing=12), alpha=1e-4, device="cpu"
    )


# What follows from equation (9)


def test_charges_sum_to_the_total_charge(ridge, molecules) -> None:
    charges = ridge.fit(molecules).predict_charges(molecules)
    sums = molecule_sums(charges, molecules.offsets)
    np.testing.assert_allclose(sums, molecules.total_charge, atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 0.3, "auto"])
def test_dipole_is_that_of_charges_and_atoms_and_what_the_baseline_has_beside_them(
    ridge, molecules, scale
) -> None:
    ridge.set_params(basis__atomic_dipoles=scale).fit(molecules)
    charges, dipole = ridge.predict_together(molecules)[:2]
    of_atoms = molecule_sums(ridge.predict_atomic_dipoles(molecules), molecules.offsets)
    assert (np.abs(of_atoms).max() > 1e-4) == (scale != 0)
    beside = molecules.baseline_dipole - dipoles(molecules.baseline_charges, molecules)
    expected = dipoles(charges, molecules) + of_atoms + ridge.baseline_factor_ * beside
    np.testing.assert_allclose(dipole, expected, atol=1e-10)


def test_a_strong_penalty_leaves_the_scaled_baseline(ridge, molecules) -> None:
    ridge.set_params(alpha=1e9).fit(molecules)
    b = ridge.baseline_factor_
    expected = b * molecules.baseline_dipole + (1 - b) * even_dipoles(molecules)
    np.testing.assert_allclose(ridge.predict_dipole(molecules), expected, atol=1e-4)


def test_the_solver_starts_at_the_scaled_baseline(ridge, molecules) -> None:
    ridge.set_params(baseline__direction_weight=0.0, charge_weight=0.0).fit(molecules)
    b = ridge.baseline_factor_
    dipole = b * molecules.baseline_dipole + (1 - b) * even_dipoles(molecules)
    errors = np.linalg.norm(dipole, axis=1) - molecules.dipole_magnitude
    assert ridge.history_[0] == pytest.approx(np.mean(errors**2), rel=1e-9)
    assert ridge.history_[-1] < 0.9 * ridge.history_[0]


def test_translation_moves_nothing(ridge, molecules) -> None:
    ridge.fit(molecules)
    moved = molecules.replace(positions=molecules.positions + np.array([5.0, -3, 2])).replace(
        features=molecules.features,
        baseline_dipole=molecules.baseline_dipole,
        baseline_charges=molecules.baseline_charges,
    )
    for here, there in zip(
        ridge.predict_together(molecules)[:2], ridge.predict_together(moved)[:2], strict=True
    ):
        np.testing.assert_allclose(there, here, atol=1e-10)


def test_scale_of_exact_labels_is_found(molecules) -> None:
    neutral = molecules[molecules.total_charge == 0]
    exact = neutral.replace(dipole_magnitude=0.7 * np.linalg.norm(neutral.baseline_dipole, axis=1))
    assert fit_baseline_factor(read_labels(exact, None, None, None)) == pytest.approx(0.7)
    vectors = exact.replace(dipole_magnitude=None, dipole_vector=-0.4 * exact.baseline_dipole)
    assert fit_baseline_factor(read_labels(vectors, None, None, None)) == pytest.approx(-0.4)


@pytest.mark.parametrize("kind", ["magnitudes", "vectors", "both"])
def test_factor_of_exact_labels_is_found_with_ions(molecules, kind: str) -> None:
    """Ions keep the dipole of their evenly spread charge: only the difference from it is scaled."""
    assert (molecules.total_charge != 0).any()
    even = even_dipoles(molecules)
    vectors = even + 0.7 * (molecules.baseline_dipole - even)
    as_vector = np.full(12, kind == "vectors") | (np.arange(12) % 2 == 0) & (kind == "both")
    target = DipoleTarget(
        np.where(as_vector, np.nan, np.linalg.norm(vectors, axis=1)),
        np.where(as_vector[:, None], vectors, np.nan),
        np.linspace(0.5, 2, 12),
    )
    labels = FitLabels(target, np.full(molecules.n_atoms, np.nan), molecules)
    assert fit_baseline_factor(labels) == pytest.approx(0.7, rel=1e-8)


def test_no_baseline_ignores_what_molecules_carry(ridge, molecules) -> None:
    bare = molecules.replace(baseline_dipole=None, baseline_charges=None)
    expected = ridge.set_params(baseline=None).fit(bare).predict_dipole(bare)
    found = ridge.set_params(baseline="none").fit(molecules).predict_dipole(molecules)
    np.testing.assert_array_equal(found, expected)
    assert ridge.baseline_factor_ == 1.0


def test_input_is_unchanged(ridge, molecules) -> None:
    before = molecules.baseline_dipole.copy()
    parameters = ridge.get_params()
    ridge.fit(molecules).predict(molecules)
    np.testing.assert_array_equal(molecules.baseline_dipole, before)
    assert ridge.get_params() == parameters
    assert molecules.features.widths == (6, 4)


def test_charges_of_the_baseline_may_be_missing(ridge, molecules) -> None:
    some = molecules.replace(baseline_charges=None)
    charges, dipole = ridge.fit(some).predict_together(some)[:2]
    sums = molecule_sums(charges, molecules.offsets)
    np.testing.assert_allclose(sums, molecules.total_charge, atol=1e-12)
    assert np.isfinite(dipole).all()


def test_charges_that_only_fit_had_are_asked_for(ridge, molecules) -> None:
    some = molecules.replace(baseline_charges=None)
    with pytest.raises(InputError, match="the molecules of fit had baseline_charges"):
        ridge.fit(molecules).predict(some)
    expected = ridge.fit(some).predict_dipole(some)
    np.testing.assert_array_equal(ridge.predict_dipole(molecules), expected)


def test_reference_charges_become_what_is_left_of_them(ridge, molecules) -> None:
    norm = np.linalg.norm(molecules.baseline_dipole, axis=1)  # so that the factor is 1
    known = molecules.replace(charges=molecules.baseline_charges, dipole_magnitude=norm)
    ridge.set_params(charge_weight=1e6, alpha=1e-9).fit(known)
    left = ridge.predict_charges(known) - known.baseline_charges
    assert np.abs(left).max() < 1e-2


# Equations (10) and (11)


def test_charge_columns_keep_unit_length_and_follow_the_charge(toy) -> None:
    molecules = toy()
    charges = np.linspace(-0.5, 0.5, molecules.n_atoms)
    joined = with_charge_columns(molecules.features, charges[:, None])
    for plain, scale in zip(molecules.features.scales, joined.scales, strict=True):
        np.testing.assert_allclose(np.linalg.norm(scale, axis=1), 1, atol=1e-6)
        cosine = np.cos(4.0 * (charges[:, None] - charges))
        expected = (1 - SHARE) * plain @ plain.T + SHARE * cosine
        np.testing.assert_allclose(scale @ scale.T, expected, atol=1e-4)


def test_charge_features_take_and_join(toy) -> None:
    molecules = toy()
    joined = with_charge_columns(molecules.features, np.arange(molecules.n_atoms)[:, None] / 50)
    assert isinstance(joined, ChargeFeatures)
    assert joined.widths == tuple(width + 2 for width in molecules.features.widths)
    parts = [joined.take(slice(0, 5)), joined.take(np.arange(5, len(joined)))]
    for whole, part in zip(joined.scales, ChargeFeatures.concatenate(parts).scales, strict=True):
        np.testing.assert_array_equal(whole, part)
    assert type(joined.compute()) is Features


def test_pull_is_the_length_perpendicular_to_the_baseline() -> None:
    rng = np.random.default_rng(0)
    rows, constant = rng.standard_normal((12, 5)), rng.standard_normal((4, 3))
    vectors = np.full((4, 3), np.nan)
    vectors[3] = 1.0  # known as a vector: nothing is open there
    target = DipoleTarget(np.array([1.0, 2, np.nan, 3]), vectors, np.array([1.0, 2, 5, 3]))
    term, weight = accumulate_direction(rows, constant, target, NUMPY), 0.1
    w = rng.standard_normal(5)
    mu = (rows @ w).reshape(4, 3)
    u = constant / np.linalg.norm(constant, axis=1, keepdims=True)
    across = mu - u * (mu * u).sum(axis=1, keepdims=True)
    expected = 0.1 * sum(s / 6 * across[a] @ across[a] for a, s in ((0, 1.0), (1, 2.0)))
    assert weight / term.weight * (w @ term.gram @ w) == pytest.approx(expected)


# Molecules without a baseline


@pytest.fixture
def gap(molecules) -> Molecules:
    """Two of the molecules have no baseline."""
    dipole = molecules.baseline_dipole.copy()
    charges = molecules.baseline_charges.copy()
    dipole[[1, 4]] = np.nan
    charges[np.isin(molecules.molecule_index, [1, 4])] = np.nan
    return molecules.replace(baseline_dipole=dipole, baseline_charges=charges)


def test_missing_rows_do_not_count_and_predict_nan(ridge, molecules, gap) -> None:
    with pytest.warns(UserWarning, match=r"no baseline for 2 of 12 .* left out"):
        ridge.fit(gap)
    with pytest.warns(UserWarning, match=r"for 2 of 12 molecules: 1 \(1\), 4 \(4\). .*NaN"):
        charges, dipole = ridge.predict_together(gap)[:2]
    failed = np.isin(np.arange(12), [1, 4])
    np.testing.assert_array_equal(np.isnan(dipole).all(axis=1), failed)
    np.testing.assert_array_equal(np.isnan(charges), failed[molecules.molecule_index])
    np.testing.assert_allclose(dipole[~failed], ridge.predict_dipole(molecules)[~failed])


def test_an_ion_without_a_baseline_is_left_out(ridge, molecules) -> None:
    ions = np.flatnonzero(molecules.total_charge)[:2]
    dipole, charges = molecules.baseline_dipole.copy(), molecules.baseline_charges.copy()
    dipole[ions] = np.nan
    charges[np.isin(molecules.molecule_index, ions)] = np.nan
    gap = molecules.replace(baseline_dipole=dipole, baseline_charges=charges)
    with pytest.warns(UserWarning, match=r"no baseline for 2 of 12 .* left out"):
        found = ridge.fit(gap)
    assert found.label_summary_["n_magnitudes"] == 10
    assert np.isfinite(found.predict_dipole(molecules)).all()


@pytest.mark.parametrize("missing", ["dipole", "charges"])
def test_half_a_baseline_predicts_nan_everywhere(ridge, molecules, missing: str) -> None:
    """A molecule with a baseline dipole but no charges, or the reverse, has no result at all."""
    dipole, charges = molecules.baseline_dipole.copy(), molecules.baseline_charges.copy()
    if missing == "dipole":
        dipole[4] = np.nan
    else:
        charges[molecules.molecule_index == 4] = np.nan
    gap = molecules.replace(baseline_dipole=dipole, baseline_charges=charges)
    ridge.fit(molecules)
    of_atoms, lost = molecules.molecule_index == 4, np.arange(12) == 4

    def once(predict: Any, *arguments: Any) -> Any:
        with pytest.warns(UserWarning, match="no baseline for 1 of 12") as caught:
            found = predict(gap, *arguments)
        assert len(caught) == 1
        return found

    magnitudes, std = once(ridge.predict, True)
    both = once(ridge.predict_together, True)
    of_molecules = (magnitudes, std, once(ridge.predict_dipole)[:, 0], both[1][:, 2], both[2])
    for found in of_molecules:
        np.testing.assert_array_equal(np.isnan(found), lost)
    for found in (once(ridge.predict_charges), both[0], once(ridge.predict_atomic_dipoles)[:, 0]):
        np.testing.assert_array_equal(np.isnan(found), of_atoms)


def test_quadrupoles_of_the_others_are_predicted(ridge, molecules, gap) -> None:
    """Of a baseline that is made of its charges, so that quadrupoles are known."""
    of_charges = molecules.replace(
        baseline_dipole=dipoles(molecules.baseline_charges, molecules), features=molecules.features
    )
    expected = ridge.fit(of_charges).predict_quadrupole(of_charges)
    partial = of_charges.replace(
        baseline_dipole=np.where(np.isnan(gap.baseline_dipole), np.nan, of_charges.baseline_dipole),
        baseline_charges=gap.baseline_charges,
    )
    with pytest.warns(UserWarning, match="no baseline for 2 of 12"):
        found = ridge.predict_quadrupole(partial)
    failed = np.isin(np.arange(12), [1, 4])
    np.testing.assert_array_equal(np.isnan(found).all(axis=(1, 2)), failed)
    np.testing.assert_allclose(found[~failed], expected[~failed])


def test_no_baseline_at_all_is_an_error(ridge, molecules) -> None:
    bare = molecules.replace(baseline_dipole=None, baseline_charges=None)
    with pytest.raises(InputError, match='"given" takes baseline_dipole from the molecules'):
        ridge.fit(bare)
    ridge.fit(molecules)
    with pytest.raises(InputError, match='"given" takes baseline_dipole from the molecules'):
        ridge.predict(bare)


def test_labels_without_any_baseline_are_an_error(ridge, gap) -> None:
    magnitudes = np.where(np.isin(np.arange(12), [1, 4]), 1.0, np.nan)
    labelled = gap.replace(dipole_magnitude=magnitudes)
    with pytest.raises(InputError, match="no baseline for any of the molecules with"):
        ridge.fit(labelled)


def test_shortcuts_stand_for_objects() -> None:
    assert make_baseline(None) is None
    assert make_baseline("none") is None
    assert isinstance(make_baseline("given"), GivenBaseline)
    own = GFN2Baseline(direction_weight=0.1, memory="folder")
    assert make_baseline(own) is own
    flat = DipoleKernelRidge(baseline=GFN2Baseline(direction_weight=0.2, memory="cache"))
    assert baseline_of(flat).get_params() == {
        "direction_weight": 0.2,
        "memory": "cache",
        "second_method": "ipea1",
    }
    assert clone(own).get_params() == own.get_params()
    with pytest.raises(InputError, match="direction_weight: expected a number >= 0"):
        GivenBaseline(direction_weight=-1).check()


def test_unknown_names_are_refused(ridge, molecules) -> None:
    with pytest.raises(InputError, match="baseline: expected one of"):
        ridge.set_params(baseline="xtb").fit(molecules)
    with pytest.raises(InputError, match="direction_weight: expected"):
        ridge.set_params(baseline="given", baseline__direction_weight=-1).fit(molecules)


@pytest.mark.filterwarnings("ignore:there is no baseline")
def test_scores_leave_out_what_cannot_be_predicted(ridge, gap) -> None:
    ridge.fit(gap)
    good = gap[[0, 2, 3, 5, 6, 7, 8, 9, 10, 11]]
    report = compare(ridge, gap)
    assert (report["n"], report["n_failed"]) == (10, 2)
    assert report["mae_debye"] == pytest.approx(compare(ridge, good)["mae_debye"])
    assert mae_scorer(ridge, gap) == pytest.approx(-report["mae_debye"])
    assert ridge.score(gap) == pytest.approx(ridge.score(good))


# The rest of the library


def test_cross_validation_of_a_pipeline(described) -> None:
    bare = add_baseline(described.replace(features=None, charges=None))
    model = default_model(baseline="given", basis__n_inducing=60)
    model.set_params(soaptransformer__n_jobs=1)
    found = cross_val_predict(model, bare, bare.dipole_magnitude, cv=2)
    assert np.isfinite(found).all()


def test_search_over_a_baseline(described, coarse_soap) -> None:
    bare = add_baseline(described.replace(features=None, charges=None, dipole_vector=None))
    estimator = make_pipeline(
        coarse_soap, DipoleKernelRidge(baseline="given", basis=InducingBasis(n_inducing=40))
    )
    search = DipoleSearchCV(estimator, n_trials=1, cv=2, random_state=0).fit(bare)
    assert np.isfinite(search.best_score_)
    assert search.best_estimator_[-1].baseline == "given"
    assert np.isfinite(search.predict(bare)).all()


def without_baseline(molecules: Molecules, *missing: int) -> Molecules:
    """The same molecules, some of them without a baseline dipole."""
    dipole = molecules.baseline_dipole.copy()
    dipole[list(missing)] = np.nan
    return molecules.replace(baseline_dipole=dipole)


@pytest.mark.filterwarnings("ignore:there is no baseline")
@pytest.mark.parametrize(("grid", "scoring"), [(True, "mae"), (False, "rmse"), (False, "r2")])
def test_search_leaves_out_what_it_cannot_score(described, grid, scoring) -> None:
    bare = add_baseline(described.replace(charges=None, dipole_vector=None))
    gap = without_baseline(bare.replace(features=described.features), 3, 17)
    ridge = DipoleKernelRidge(
        baseline="given", basis=InducingBasis(n_inducing=40), alpha=1e-3, charge_weight=0.0
    )
    space = {"basis__kernel__degree": FloatDistribution(1.5, 2.5)}
    search = DipoleSearchCV(
        ridge, space, grid=grid, scoring=scoring, n_trials=1, cv=2, guard=None, random_state=0
    )
    search.fit(gap)
    assert np.isfinite(search.best_score_)
    assert search.study_.trials[0].state.name == "COMPLETE"


@pytest.mark.filterwarnings("ignore:there is no baseline for 1 of 40")
def test_tune_reports_held_out_molecules_without_a_baseline(described, coarse_soap) -> None:
    bare = add_baseline(described.replace(features=None, charges=None, dipole_vector=None))
    first = tune.part(bare)[1][0]
    settings = {
        "estimator": make_pipeline(
            coarse_soap, DipoleKernelRidge(baseline="given", basis=InducingBasis(n_inducing=40))
        ),
        "n_trials": 1,
        "cv": 2,
        "guard": None,
        "random_state": 0,
    }
    with pytest.warns(UserWarning, match="no baseline for 1 of 8 molecules"):
        _, model, summary = tune.tune_model(
            without_baseline(bare, first), settings, True, lambda _: nullcontext()
        )
    assert (summary["held_out"]["n"], summary["held_out"]["n_failed"]) == (7, 1)
    assert np.isfinite(summary["optimism_debye"])
    assert np.isfinite(model.predict(bare)).all()


@pytest.mark.filterwarnings("ignore:there is no baseline")
def test_command_from_file_to_file(tmp_path) -> None:
    molecules = add_baseline(load_organics()[:25])
    missing = molecules.baseline_dipole.copy()
    missing[3] = np.nan
    dipkit.write(tmp_path / "train.npz", molecules)
    model, output = tmp_path / "model.dipkit", tmp_path / "out.xyz"
    arguments = ("fit", tmp_path / "train.npz", "-o", model, "--baseline", "given", "--json")
    report = json.loads(run(*arguments, "--n-inducing", 50).stdout)
    assert report["parameters"]["baseline"] == "given"
    assert report["baseline_factor"] > 0
    about = json.loads(run("info", model, "--json").stdout)
    assert about["fit"]["baseline_factor"] == report["baseline_factor"]
    new = molecules.replace(baseline_dipole=missing)
    dipkit.write(tmp_path / "new.xyz", new[:5])
    run("predict", model, tmp_path / "new.xyz", "-o", output)
    predicted = ["predicted_dipole_debye" in frame.info for frame in ase.io.read(output, ":")]
    assert predicted == [True, True, True, False, True]
    scores = json.loads(run("evaluate", model, tmp_path / "new.xyz", "--json").stdout)
    assert (scores["n"], scores["n_failed"]) == (4, 1)


def test_a_saved_model_predicts_the_same_bits(ridge, molecules, tmp_path: Path) -> None:
    ridge.fit(molecules)
    save_model(ridge, tmp_path / "model.dipkit")
    loaded = load_model(tmp_path / "model.dipkit")
    assert loaded.baseline == "given"
    for here, there in zip(
        ridge.predict_together(molecules)[:2], loaded.predict_together(molecules)[:2], strict=True
    ):
        np.testing.assert_array_equal(here, there)


def test_gfn2_from_geometries_to_dipoles(monkeypatch) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    molecules = load_organics()
    train, test = molecules[:60], molecules[60:100]
    scalars = train.replace(dipole_vector=None, charges=None)
    model = default_model(baseline="gfn2", basis__n_inducing=400).fit(scalars)
    ridge = model[-1]
    assert 0.7 < ridge.baseline_factor_ < 1.1
    bare = test.replace(dipole_magnitude=None, dipole_vector=None, charges=None)
    prediction = predict_all(model, bare)
    error = np.abs(prediction.magnitude - test.dipole_magnitude)
    prepared, _ = prepare_molecules(bare, GFN2Baseline(), ridge.baseline_factor_, True, True)
    scaled = prepared.baseline_dipole
    assert error.mean() < np.abs(np.linalg.norm(scaled, axis=1) - test.dipole_magnitude).mean()
    # Directions were never taught, and are right all the same.
    cosine = (prediction.dipole * test.dipole_vector).sum(axis=1)
    assert (cosine[test.dipole_magnitude > 0.5] > 0).all()
    sums = molecule_sums(prediction.charges, bare.offsets)
    np.testing.assert_allclose(sums, 0, atol=1e-8)


def test_a_model_of_gfn2_alone_stays_what_it_is() -> None:
    """Files of versions without a second method have no attribute for its charges."""
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    molecules = load_organics()[:40].replace(dipole_vector=None, charges=None)
    alone = GFN2Baseline(second_method=None)
    model = default_model(baseline=alone, basis__n_inducing=100).fit(molecules[:30])
    expected, new = model.predict(molecules[30:]), molecules[30:33]
    derivatives = dipole_derivatives(model, new)
    del model[-1].descriptor_charges_
    model[-1].baseline = "gfn2"
    np.testing.assert_array_equal(model.predict(molecules[30:]), expected)
    np.testing.assert_array_equal(dipole_derivatives(model, new), derivatives)
    del alone.second_method  # as in an object from such a file
    assert clone(alone).get_params()["second_method"] is None
    both = default_model(baseline="gfn2", basis__n_inducing=100).fit(molecules[:30])
    assert np.abs(both.predict(molecules[30:]) - expected).max() > 1e-3


def test_gfn2_goes_on_without_molecules_that_fail(monkeypatch) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    molecules = load_organics()[:30].replace(dipole_vector=None, charges=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = default_model(baseline="gfn2", basis__n_inducing=100).fit(molecules)
    broken = molecules[:3].replace(
        total_charge=[0, 0.5, 0], baseline_dipole=None, baseline_charges=None
    )
    with pytest.warns(UserWarning, match="GFN2-xTB gave no result for 1 of 3 molecules"):
        magnitudes = model.predict(broken)
    assert np.isnan(magnitudes).tolist() == [False, True, False]


def test_labels_are_kept_in_order(molecules) -> None:
    labels = read_labels(molecules, None, None, None)
    prepared, factor = prepare_labels(labels, GivenBaseline())
    assert isinstance(prepared, FitLabels)
    assert len(prepared.molecules) == len(molecules)
    assert factor == fit_baseline_factor(labels)
