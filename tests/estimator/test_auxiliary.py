"""Auxiliary dipoles: their effect on a fit, their sources, and that nothing else reads them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.parts import all_at_once, exact_ridge, in_parts
from scipy.spatial.transform import Rotation

from dipkit import (
    AuxiliaryDipoles,
    DipoleKernelRidge,
    InducingBasis,
    Molecules,
    SOAPTransformer,
    load_model,
    save_model,
)
from dipkit.data.datasets import load_organics
from dipkit.estimator.auxiliary import (
    make_auxiliary,
    read_auxiliary,
    resolve_errors,
)
from dipkit.estimator.auxiliary_checks import warn_unrelated
from dipkit.exceptions import InputError
from dipkit.learning.labels import read_labels
from dipkit.learning.multipoles import dipoles
from dipkit.search.fold_grid import FoldGrid


@pytest.fixture(scope="module")
def molecules(coarse_soap: SOAPTransformer) -> Molecules:
    """Magnitudes and vectors of a cheap calculation, without charges."""
    found = coarse_soap.fit_transform(load_organics()[:90])
    return found.replace(charges=None)


def magnitudes_alone(molecules: Molecules) -> Molecules:
    return molecules.replace(dipole_vector=None)


def ridge(**parameters: Any) -> DipoleKernelRidge:
    basis = InducingBasis(n_inducing=150)
    return DipoleKernelRidge(basis=basis, device="cpu").set_params(**parameters)


def angles(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    large = np.linalg.norm(true, axis=1) > 0.5
    found, true = found[large], true[large]
    size = np.linalg.norm(found, axis=1) * np.linalg.norm(true, axis=1)
    return np.degrees(np.arccos(np.clip((found * true).sum(axis=1) / size, -1, 1)))


def test_they_teach_directions(molecules: Molecules) -> None:
    train, test = molecules[:50], molecules[50:]
    found = {}
    for auxiliary in ("none", "given"):
        model = ridge(auxiliary=auxiliary).fit(magnitudes_alone(train))
        mu = model.predict_dipole(test)
        error = np.abs(np.linalg.norm(mu, axis=1) - test.dipole_magnitude).mean()
        found[auxiliary] = error, np.median(angles(mu, test.dipole_vector))
    assert found["given"][0] < 0.9 * found["none"][0]
    assert found["given"][1] < 0.95 * found["none"][1]


def test_molecules_without_a_label_teach_too(molecules: Molecules) -> None:
    few, more, test = molecules[:20], molecules[20:60], molecules[60:]
    blank = more.replace(dipole_vector=None, dipole_magnitude=None)
    both = Molecules.concatenate([magnitudes_alone(few), blank])
    errors = [
        np.abs(ridge(auxiliary="given").fit(part).predict(test) - test.dipole_magnitude).mean()
        for part in (magnitudes_alone(few), both)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_charges_make_them(described: Molecules) -> None:
    """The source "charges" is "given" with the dipoles of the charges, and the errors of these."""
    bare = described.replace(dipole_vector=None)
    given = bare.replace(baseline_dipole=dipoles(bare.charges, bare), baseline_charges=None)
    one = ridge(auxiliary="charges").fit(bare)
    two = ridge(auxiliary=AuxiliaryDipoles("given", 0.1, 0.55)).fit(given)
    np.testing.assert_allclose(one.predict(bare), two.predict(bare), atol=1e-9)
    auto = ridge(auxiliary="auto").fit(bare)
    np.testing.assert_array_equal(auto.dual_coef_, one.dual_coef_)


def test_auto_is_none_where_nothing_is_there(described: Molecules) -> None:
    bare = described.replace(charges=None, baseline_dipole=None, baseline_charges=None)
    one, two = (ridge(auxiliary=name).fit(bare) for name in ("auto", "none"))
    np.testing.assert_array_equal(one.dual_coef_, two.dual_coef_)


def test_auto_is_none_with_a_baseline(described: Molecules) -> None:
    one, two = (ridge(auxiliary=name, baseline="given").fit(described) for name in ("auto", "none"))
    np.testing.assert_array_equal(one.dual_coef_, two.dual_coef_)
    with pytest.raises(InputError, match="both give directions"):
        ridge(auxiliary="charges", baseline="given").fit(described)


def test_charges_teach_by_default(described: Molecules) -> None:
    bare = described.replace(dipole_vector=None)
    one, two, three = (
        ridge(**each).fit(bare) for each in ({}, {"auxiliary": "charges"}, {"auxiliary": None})
    )
    np.testing.assert_array_equal(one.dual_coef_, two.dual_coef_)
    assert np.abs(one.dual_coef_ - three.dual_coef_).max() > 1e-3


def test_molecules_with_a_vector_label_have_none(described: Molecules) -> None:
    made = make_auxiliary("charges")
    vectors = described.dipole_vector.copy()
    vectors[::2] = np.nan
    some = described.replace(dipole_vector=vectors)
    found = read_auxiliary(made, None, read_labels(some, None, None, None))
    assert found is not None
    np.testing.assert_array_equal(np.isnan(found.dipoles[:, 0]), some.has_vector)
    np.testing.assert_allclose(found.dipoles[::2], dipoles(some.charges, some)[::2])
    # With vectors alone the default is none.
    assert (
        read_auxiliary(make_auxiliary("auto"), None, read_labels(described, None, None, None))
        is None
    )


def test_gfn2_is_calculated_for_the_training_molecules(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    bare = described[:12].replace(dipole_vector=None)
    labels = read_labels(bare, None, None, None)
    made = make_auxiliary("gfn2")
    found = read_auxiliary(made, None, labels, 1)
    assert found is not None
    assert made is not None
    # The bundled molecules carry what GFN2-xTB gave for them.
    np.testing.assert_allclose(found.dipoles, 0.89 * bare.baseline_dipole, atol=5e-3)
    assert resolve_errors(made, found.source) == (0.01, 0.17)
    model = ridge(auxiliary="gfn2").fit(bare)
    monkeypatch.setattr("dipkit.estimator.auxiliary.gfn2", None)
    assert np.isfinite(model.predict(described)).all()


def test_they_are_not_read_in_prediction(described: Molecules) -> None:
    model = ridge(auxiliary="charges").fit(described)
    bare = described.replace(
        charges=None, baseline_dipole=None, baseline_charges=None, dipole_vector=None
    )
    np.testing.assert_array_equal(model.predict(bare), model.predict(described))


def test_rotated_molecules_are_predicted_alike(coarse_soap: SOAPTransformer) -> None:
    molecules = load_organics()[:30].replace(dipole_vector=None)
    turn = Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
    turned = molecules.replace(positions=molecules.positions @ turn.T).replace(
        baseline_dipole=molecules.baseline_dipole @ turn.T
    )
    soap = coarse_soap.fit(molecules)
    one, two = (ridge(auxiliary="given").fit(soap.transform(part)) for part in (molecules, turned))
    np.testing.assert_allclose(
        one.predict_dipole(soap.transform(molecules)) @ turn.T,
        two.predict_dipole(soap.transform(turned)),
        atol=2e-2,
    )


@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0], [0.1, 0.2, 0.3]], ids=str)
def test_weights(described: Molecules, weights: list[float]) -> None:
    """Whole weights are copies; of others only the ratios count."""
    bare = described.replace(dipole_vector=None)
    sample_weight = np.resize(weights, len(bare))
    model = ridge(auxiliary="charges", alpha=1e-4, solver__tol=1e-12)
    found = model.fit(bare, sample_weight=sample_weight).predict(bare)
    if weights[0] == 1.0:
        copies = np.repeat(np.arange(len(bare)), sample_weight.astype(int))
        with pytest.MonkeyPatch.context() as patch:
            import dipkit.estimator.fit as fit

            choose = fit.choose_environments
            patch.setattr(fit, "choose_environments", lambda _, *rest: choose(bare, *rest))
            expected = model.fit(bare[copies]).predict(bare)
    else:
        expected = model.fit(bare, sample_weight=10 * sample_weight * 1.7).predict(bare)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_parts_equal_the_whole(described: Molecules) -> None:
    bare = described.replace(dipole_vector=None)
    first, second = bare[:25], bare[25:]
    parts = in_parts(exact_ridge(auxiliary="charges"), first, second)
    whole = all_at_once(exact_ridge(auxiliary="charges"), first, bare)
    np.testing.assert_allclose(parts.predict(bare), whole.predict(bare), atol=1e-5)
    with pytest.raises(InputError, match='before used "charges", got "given"'):
        parts.set_params(auxiliary="given").partial_fit(second)


def test_saved_models_keep_the_parameters_without_the_cache(
    described: Molecules, tmp_path: Path
) -> None:
    auxiliary = AuxiliaryDipoles("charges", noise=0.4, memory=str(tmp_path / "cache"))
    model = ridge(auxiliary=auxiliary).fit(described)
    save_model(model, tmp_path / "model.dipkit")
    loaded = load_model(tmp_path / "model.dipkit")
    assert loaded.auxiliary.memory is None
    assert (loaded.auxiliary.source, loaded.auxiliary.noise) == ("charges", 0.4)
    assert model.auxiliary.memory is not None
    for other in (loaded, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(described), model.predict(described))


@pytest.mark.parametrize(
    ("auxiliary", "message"),
    [
        ("mulliken", "auxiliary: expected one of"),
        (AuxiliaryDipoles("mulliken"), "expected source to be one of"),
        (AuxiliaryDipoles(noise=0.0), "auxiliary noise: expected a number > 0"),
        (AuxiliaryDipoles(discrepancy=-1.0), "auxiliary discrepancy: expected a number > 0"),
    ],
    ids=str,
)
def test_refused_values(described: Molecules, auxiliary: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ridge(auxiliary=auxiliary).fit(described)


@pytest.mark.parametrize("source", ["charges", "given"])
def test_sources_that_are_not_there(described: Molecules, source: str) -> None:
    bare = described.replace(charges=None, baseline_dipole=None, baseline_charges=None)
    with pytest.raises(InputError, match=f'auxiliary: "{source}"'):
        ridge(auxiliary=source).fit(bare)


FOLDS = [(np.arange(0, 26), np.arange(26, 40)), (np.arange(14, 40), np.arange(0, 14))]


def test_folds_equal_fits_to_their_training_parts(described: Molecules) -> None:
    """The minimum under a strong penalty, where one basis or another makes no difference."""
    bare = described.replace(dipole_vector=None)
    model = ridge(basis__n_inducing=400, auxiliary="charges", alpha=1e-2, charge_weight=0.0)
    labels = read_labels(bare, None, None, None)
    grid = FoldGrid(labels, model, FOLDS, [1e-2], [0.0])
    errors = grid.held_out_errors(tol=1e-12, max_iter=500)
    for (train, test), found in zip(FOLDS, errors, strict=True):
        alone = model.fit(bare[train])
        expected = alone.predict(bare[test]) - bare[test].dipole_magnitude
        np.testing.assert_allclose(found.ravel(), expected, atol=0.02)


def test_auxiliary_dipoles_of_held_out_molecules_do_not_count(described: Molecules) -> None:
    bare = described.replace(dipole_vector=None)
    model = ridge(auxiliary="given")
    labels = read_labels(bare, None, None, None)
    exact = {"tol": 1e-12, "max_iter": 500}
    before = FoldGrid(labels, model, FOLDS, [1e-3], [0.0]).held_out_errors(**exact)
    vectors = bare.baseline_dipole.copy()
    vectors[FOLDS[0][1]] *= -3.0
    other = bare.replace(baseline_dipole=vectors)
    labels = read_labels(other, None, None, None)
    after = FoldGrid(labels, model, FOLDS, [1e-3], [0.0]).held_out_errors(**exact)
    # All folds share a preconditioner, so that the iterations differ, and the minimum does not.
    np.testing.assert_allclose(before[0], after[0], atol=1e-4)
    assert np.abs(before[1] - after[1]).max() > 1e-3


# Dipoles that have nothing to do with the labels


def test_charges_in_another_order_are_said(described: Molecules) -> None:
    assert described.charges is not None
    starts, ends = described.offsets[:-1], described.offsets[1:]
    reversed_ = [described.charges[a:b][::-1] for a, b in zip(starts, ends, strict=True)]
    bare = described.replace(dipole_vector=None)
    ridge().fit(bare)
    wrong = bare.replace(charges=np.concatenate(reversed_), features=described.features)
    with pytest.warns(UserWarning, match=r"auxiliary: the dipoles of the reference charges have"):
        ridge().fit(wrong)


def test_dipoles_of_other_molecules_are_said(molecules: Molecules) -> None:
    labels = np.asarray(molecules.dipole_magnitude)
    with pytest.warns(UserWarning, match=r"auxiliary: the given dipoles have .* is -?0\.\d\d over"):
        warn_unrelated("given", labels[::-1], labels)
    warn_unrelated("given", 0.8 * labels + 0.1, labels)
    # A few molecules, and labels that are all equal, say nothing.
    warn_unrelated("given", labels[::-1][:19], labels[:19])
    warn_unrelated("given", labels[::-1], np.ones_like(labels))
