"""Tools of scikit-learn around the model: they work, or say why they cannot."""

import logging

import numpy as np
import pytest
import sklearn
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

import dipkit
from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules
from dipkit.estimator.pipeline import keeps_std
from dipkit.exceptions import InputError
from dipkit.search import DipoleSearchCV


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return load_organics()[:20]


def small_model() -> Pipeline:
    return dipkit.default_model(basis__n_inducing=15, alpha=1e-3)


@pytest.fixture(scope="module")
def fitted(molecules: Molecules) -> Pipeline:
    return small_model().fit(molecules)


@pytest.fixture(scope="module", params=["GridSearchCV", "DipoleSearchCV"])
def search(request, molecules: Molecules):
    if request.param == "GridSearchCV":
        grid = {"dipolekernelridge__alpha": [1e-3, 1e-2]}
        found = GridSearchCV(small_model(), grid, cv=2)
        return found.fit(molecules, molecules.dipole_magnitude)
    return DipoleSearchCV(small_model(), n_trials=1, cv=2, guard=None).fit(molecules)


# Tools that take tables alone


def test_column(molecules: Molecules, fitted: Pipeline) -> None:
    column = molecules.column()
    assert column.shape == (20, 1)
    assert np.array_equal(fitted.predict(column), fitted.predict(molecules))
    refitted = small_model().fit(column)
    assert np.array_equal(refitted.predict(column), fitted.predict(molecules)), "labels included"
    atoms = np.empty((20, 1), dtype=object)
    for row, one in zip(atoms, dipkit.to_atoms(molecules), strict=True):
        row[0] = one
    assert fitted.predict(atoms) == pytest.approx(fitted.predict(molecules), abs=1e-5)
    with pytest.raises(InputError, match="expected"):
        fitted.predict(np.hstack([column, column]))


@pytest.mark.parametrize("tool", [BaggingRegressor, AdaBoostRegressor])
def test_ensembles_of_models(molecules: Molecules, tool) -> None:
    column, y = molecules.column(), molecules.dipole_magnitude
    ensemble = tool(small_model(), n_estimators=2, random_state=0).fit(column, y)
    members = [member.predict(molecules) for member in ensemble.estimators_]
    assert len(members) == 2
    assert np.abs(members[0] - members[1]).max() > 0
    predicted = ensemble.predict(column)
    if tool is BaggingRegressor:
        assert predicted == pytest.approx(np.mean(members, axis=0))
    assert np.corrcoef(predicted, y)[0, 1] > 0.5
    with pytest.raises(TypeError, match=r"BaggingRegressor.*molecules\.column\(\)"):
        tool(small_model(), n_estimators=2).fit(molecules, y)


def test_bagging_of_described_molecules(molecules: Molecules) -> None:
    soap, ridge = small_model()
    described = soap.fit_transform(molecules)
    bagging = BaggingRegressor(ridge, n_estimators=2, random_state=0)
    bagging.fit(described.column(), molecules.dipole_magnitude)
    members = [member.predict(described) for member in bagging.estimators_]
    assert bagging.predict(described.column()) == pytest.approx(np.mean(members, axis=0))


def test_permutation_importance(molecules: Molecules, fitted: Pipeline) -> None:
    """A molecule is one feature: its importance is what the model knows at all."""
    y = molecules.dipole_magnitude
    found = permutation_importance(fitted, molecules.column(), y, n_repeats=3, random_state=0)
    assert found.importances_mean.shape == (1,)
    assert found.importances_mean[0] > 0.5


def test_ensembles_that_take_molecules(molecules: Molecules) -> None:
    y = molecules.dipole_magnitude
    members = [
        ("one", small_model()),
        ("two", small_model().set_params(dipolekernelridge__alpha=0.1)),
    ]
    voting = VotingRegressor(members).fit(molecules, y)
    each = [member.predict(molecules) for member in voting.estimators_]
    assert voting.predict(molecules) == pytest.approx(np.mean(each, axis=0))
    stacking = StackingRegressor(members, cv=2).fit(molecules, y)
    assert np.isfinite(stacking.predict(molecules)).all()
    logs = TransformedTargetRegressor(small_model(), func=np.log1p, inverse_func=np.expm1)
    assert np.corrcoef(logs.fit(molecules, y).predict(molecules), y)[0, 1] > 0.9


# Names and containers of the output


def test_names_of_the_columns(molecules: Molecules, fitted: Pipeline) -> None:
    names = fitted[:-1].get_feature_names_out()
    scales = fitted[0].transform(molecules).features.scales
    assert len(names) == sum(scale.shape[1] for scale in scales)
    assert len(set(names)) == len(names)
    assert (names[0], names[scales[0].shape[1]]) == ("scale0_0", "scale1_0")
    with pytest.raises(NotFittedError):
        dipkit.SOAPTransformer().get_feature_names_out()


def test_containers_of_the_output(molecules: Molecules, fitted: Pipeline) -> None:
    model = small_model().set_output(transform="default")
    assert isinstance(model[0].fit_transform(molecules), Molecules)
    for container in ("pandas", "polars"):
        with pytest.raises(InputError, match=f"transform: expected .* got '{container}'"):
            small_model().set_output(transform=container)
    with sklearn.config_context(transform_output="pandas"):  # for all transformers of a program
        assert isinstance(small_model()[0].fit_transform(molecules), Molecules)
        assert np.array_equal(
            small_model().fit(molecules).predict(molecules), fitted.predict(molecules)
        )


# Search objects


def test_search_objects_predict(molecules: Molecules, search) -> None:
    found = dipkit.predict_all(search, molecules, return_std=True)
    assert np.array_equal(found.magnitude, search.predict(molecules))
    assert found.charges.shape == (molecules.n_atoms,)
    assert keeps_std(search)


def test_search_objects_are_saved(
    molecules: Molecules, search, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "best.dipkit"
    with caplog.at_level(logging.WARNING):
        dipkit.save_model(search, path)
    assert "best_estimator_" in caplog.text
    loaded = dipkit.load_model(path)
    assert isinstance(loaded, Pipeline)
    assert np.array_equal(loaded.predict(molecules), search.predict(molecules))


def test_search_inside_a_pipeline(molecules: Molecules, tmp_path) -> None:
    soap, ridge = small_model()
    model = make_pipeline(soap, GridSearchCV(ridge, {"alpha": [1e-3]}, cv=2))
    model.fit(molecules, molecules.dipole_magnitude)
    assert np.array_equal(dipkit.predict_all(model, molecules).magnitude, model.predict(molecules))
    dipkit.save_model(model, tmp_path / "m")
    assert np.array_equal(
        dipkit.load_model(tmp_path / "m").predict(molecules), model.predict(molecules)
    )


def test_search_objects_without_a_model(molecules: Molecules, tmp_path) -> None:
    grid = {"dipolekernelridge__alpha": [1e-3]}
    without = GridSearchCV(small_model(), grid, cv=2, refit=False)
    without.fit(molecules, molecules.dipole_magnitude)
    for search, reason in (
        (without, "because of refit=False"),
        (GridSearchCV(small_model(), grid), "it is not fitted"),
        (DipoleSearchCV(), "it is not fitted"),
    ):
        with pytest.raises(InputError, match=f"no best_estimator_.*{reason}"):
            dipkit.predict_all(search, molecules)
        with pytest.raises(InputError, match=reason):
            dipkit.save_model(search, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_models_without_charges(molecules: Molecules) -> None:
    model = VotingRegressor([("one", small_model())]).fit(molecules, molecules.dipole_magnitude)
    with pytest.raises(InputError, match=r"got VotingRegressor, which has no charges"):
        dipkit.predict_all(model, molecules)
