"""Descriptors carry their origin: an estimator refuses others, and names the differences."""

import pickle
from typing import Any

import numpy as np
import pytest
from helpers.strict_device import STRICT
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, Molecules, SOAPScale, SOAPTransformer, load_model, save_model
from dipkit.data.datasets import load_organics
from dipkit.descriptors.charge_columns import with_charge_columns
from dipkit.descriptors.features import Features
from dipkit.exceptions import InputError

SCALES = (SOAPScale(2.2, 3, 2, 0.3, "gto", 1.0), SOAPScale(3.5, 2, 2, 0.5, "gto", 0.01))


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return load_organics()[:24]


@pytest.fixture(scope="module")
def soap(molecules: Molecules) -> SOAPTransformer:
    return SOAPTransformer(SCALES, n_jobs=1).fit(molecules)


def ridge(**parameters: Any) -> DipoleKernelRidge:
    return DipoleKernelRidge().set_params(basis__n_inducing=20, **parameters)


@pytest.fixture(scope="module")
def fitted(soap: SOAPTransformer, molecules: Molecules) -> DipoleKernelRidge:
    return ridge().fit(soap.transform(molecules))


def other(soap: SOAPTransformer, molecules: Molecules, **changes: Any) -> Molecules:
    """Descriptors with some parameters changed."""
    return clone(soap).set_params(**changes).fit_transform(molecules)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale0__r_cut": 2.6}, r"r_cut of scale0: expected 2\.2, got 2\.6"),
        ({"scale1__sigma": 0.45}, r"sigma of scale1: expected 0\.5, got 0\.45"),
        ({"scale0__rbf": "polynomial"}, r"rbf of scale0: expected 'gto', got 'polynomial'"),
        ({"scale1__weight": 0.02}, r"weight of scale1: expected 0\.01, got 0\.02"),
        # Not of the same widths: the error names the parameter, not the columns.
        ({"scale0__n_max": 4}, r"n_max of scale0: expected 3, got 4"),
        ({"scales": SCALES[:1]}, r"scale1: expected .*'r_cut': 3\.5.*, got none"),
        (
            {"species": [1, 6, 7, 8, 9, 17]},
            r"species: expected \[.*\], got \[1, .* 17\]",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.filterwarnings("ignore:species. the molecules of fit hold no Cl")
def test_other_descriptors_are_refused(
    fitted: DipoleKernelRidge,
    soap: SOAPTransformer,
    molecules: Molecules,
    changes: dict[str, Any],
    message: str,
) -> None:
    described = other(soap, molecules, **changes)
    with pytest.raises(InputError, match=message) as caught:
        fitted.predict(described)
    assert "Describe X with the SOAPTransformer that described the training" in str(caught.value)


def test_all_differences_are_shown(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules
) -> None:
    described = other(soap, molecules, scale0__r_cut=2.5, scale1__sigma=0.4)
    with pytest.raises(InputError, match=r"r_cut of scale0: .*; sigma of scale1: "):
        fitted.predict_charges(described)


def test_partial_fit_refuses_other_descriptors(soap: SOAPTransformer, molecules: Molecules) -> None:
    model = ridge().partial_fit(soap.transform(molecules[:16]))
    with pytest.raises(InputError, match="r_cut of scale0"):
        model.partial_fit(other(soap, molecules, scale0__r_cut=2.6)[16:])
    model.partial_fit(soap.transform(molecules[16:]))


@pytest.mark.parametrize(
    "changes",
    [{"n_jobs": 2}, {"on_demand": True}, {"on_demand": False}, {"verbose": False}],
    ids=repr,
)
def test_how_they_are_computed_does_not_matter(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules, changes: dict[str, Any]
) -> None:
    expected = fitted.predict(soap.transform(molecules))
    np.testing.assert_array_equal(fitted.predict(other(soap, molecules, **changes)), expected)


def test_a_cache_does_not_matter(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules, tmp_path: Any
) -> None:
    expected = fitted.predict(soap.transform(molecules))
    for _ in range(2):
        found = fitted.predict(other(soap, molecules, memory=tmp_path))
        np.testing.assert_array_equal(found, expected)


def test_types_of_numbers_do_not_matter(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules
) -> None:
    described = other(soap, molecules, scale0__r_cut=np.float64(2.2), scale0__n_max=np.int64(3))
    expected = fitted.predict(soap.transform(molecules))
    np.testing.assert_array_equal(fitted.predict(described), expected)


def test_elements_given_and_elements_seen_do_not_matter(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules
) -> None:
    described = other(soap, molecules, species=soap.species_[::-1].tolist())
    expected = fitted.predict(soap.transform(molecules))
    np.testing.assert_array_equal(fitted.predict(described), expected)


def test_the_device_does_not_matter(soap: SOAPTransformer, molecules: Molecules) -> None:
    on_demand = other(soap, molecules, on_demand=True).features
    assert on_demand is not None
    assert on_demand.compute(STRICT).made_by == on_demand.compute().made_by == soap.made_by_


@pytest.mark.parametrize("on_demand", [True, False])
@pytest.mark.parametrize("charged", [True, False])
def test_all_kinds_of_features_keep_it(
    soap: SOAPTransformer, molecules: Molecules, on_demand: bool, charged: bool
) -> None:
    features = other(soap, molecules, on_demand=on_demand).features
    assert features is not None
    assert features.made_by == soap.made_by_
    if charged:
        features = with_charge_columns(features, np.zeros((molecules.n_atoms, 1)))
        assert features is not None
        assert features.made_by != soap.made_by_
    expected = features.made_by
    assert features.take(slice(2, 5)).made_by == expected
    assert features.take(np.array([7, 1])).made_by == expected
    assert features.compute().made_by == expected
    assert features.concatenate([features, features]).made_by == expected
    assert pickle.loads(pickle.dumps(features)).made_by == expected


def test_parts_of_different_origin_do_not_join(soap: SOAPTransformer, molecules: Molecules) -> None:
    changed = other(soap, molecules, scale0__r_cut=2.6)
    for kind in (True, False):
        parts = [
            other(soap, molecules, on_demand=kind),
            other(soap, molecules, on_demand=kind, scale0__r_cut=2.6),
        ]
        with pytest.raises(InputError, match=r"r_cut of scale0: expected 2\.2, got 2\.6"):
            Molecules.concatenate(parts)
    features = soap.transform(molecules).features
    assert isinstance(features, Features)
    assert isinstance(changed.features, Features)
    assert not features.is_compatible(changed.features)


def test_weights_are_compared_where_nothing_else_is_known() -> None:
    one, other = Features((np.ones((2, 3)),), (1.0,)), Features((np.ones((2, 3)),), (2.0,))
    assert not one.is_compatible(other)
    with pytest.raises(InputError, match="parts differ in their scales"):
        Features.concatenate([one, other])


# Features made by hand


def by_hand(described: Molecules, made_by: str | None = None) -> Molecules:
    features = described.features
    assert features is not None
    return described.replace(features=Features(features.scales, features.weights, made_by))


def test_features_made_by_hand_are_accepted(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules
) -> None:
    described = soap.transform(molecules)
    handmade = by_hand(described)
    np.testing.assert_array_equal(fitted.predict(handmade), fitted.predict(described))
    ridge().fit(handmade).predict(described)
    both = Molecules.concatenate([handmade, described])
    assert both.features is not None
    assert both.features.made_by is None  # unknown for some atoms
    assert handmade.features.is_compatible(described.features)  # type: ignore[union-attr]


def test_a_text_of_ones_own(soap: SOAPTransformer, molecules: Molecules) -> None:
    described = soap.transform(molecules)
    model = ridge().fit(by_hand(described, "FCHL19"))
    model.predict(by_hand(described, "FCHL19"))
    with pytest.raises(InputError, match="expected 'FCHL19', got 'MBDF'"):
        model.predict(by_hand(described, "MBDF"))


# Models


def test_a_saved_model_refuses_as_well(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules, tmp_path: Any
) -> None:
    save_model(fitted, tmp_path / "model.dipkit")
    loaded = load_model(tmp_path / "model.dipkit")
    loaded.predict(soap.transform(molecules))
    with pytest.raises(InputError, match="r_cut of scale0"):
        loaded.predict(other(soap, molecules, scale0__r_cut=2.6))


def test_a_model_that_did_not_note_it_compares_widths(
    fitted: DipoleKernelRidge, soap: SOAPTransformer, molecules: Molecules
) -> None:
    old = pickle.loads(pickle.dumps(fitted))
    del old.features_made_by_
    old.predict(other(soap, molecules, scale0__r_cut=2.6))
    with pytest.raises(InputError, match="columns"):
        old.predict(other(soap, molecules, compression=None))


def pipeline() -> Pipeline:
    return make_pipeline(SOAPTransformer(SCALES, n_jobs=1), ridge())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale0__r_cut": 2.6}, r"scale0__r_cut: expected 2\.2, as in fit, got 2\.6"),
        ({"scale1__weight": 1.0}, r"scale1__weight: expected 0\.01, as in fit, got 1\.0"),
        ({"scales": SCALES[:1]}, r"scales: expected 2 scales, as in fit, got 1"),
        ({"species": [1, 6, 7, 8, 9, 17]}, r"species: expected .*, as in fit, got .* 17\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.filterwarnings("ignore:species. the molecules of fit hold no Cl")
def test_a_pipeline_changed_after_fit_is_refused(
    molecules: Molecules, changes: dict[str, Any], message: str
) -> None:
    model = pipeline().fit(molecules)
    model.set_params(**{f"soaptransformer__{name}": value for name, value in changes.items()})
    with pytest.raises(InputError, match=message + r".*Call fit again"):
        model.predict(molecules)
    model.fit(molecules).predict(molecules)


def test_a_bad_parameter_after_fit_is_refused(soap: SOAPTransformer, molecules: Molecules) -> None:
    with pytest.raises(InputError, match="scales: expected SOAPScale objects or None"):
        clone(soap).fit(molecules).set_params(scales=("gto", "gto")).transform(molecules)


def test_a_transformer_fitted_again_is_refused(molecules: Molecules) -> None:
    model = pipeline().fit(molecules)
    model[0].set_params(scale0__r_cut=2.6).fit(molecules)
    with pytest.raises(InputError, match="r_cut of scale0"):
        model.predict(molecules)


def test_settings_of_the_work_may_change_after_fit(molecules: Molecules) -> None:
    model = pipeline().fit(molecules)
    expected = model.predict(molecules)
    model.set_params(soaptransformer__on_demand=True, soaptransformer__n_jobs=None)
    np.testing.assert_array_equal(model.predict(molecules), expected)


@pytest.mark.parametrize("baseline", [None, "given"])
def test_a_baseline_is_part_of_it(
    soap: SOAPTransformer, molecules: Molecules, baseline: str | None
) -> None:
    described = soap.transform(molecules)
    cheap = described.replace(
        baseline_dipole=np.ones((len(molecules), 3)), baseline_charges=np.zeros(molecules.n_atoms)
    )
    model = ridge(baseline=baseline).fit(cheap)
    model.predict(cheap)
    with pytest.raises(InputError, match="r_cut of scale0"):
        model.predict(cheap.replace(features=other(soap, molecules, scale0__r_cut=2.6).features))
