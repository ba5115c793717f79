"""A study belongs to one search: everything that changes a score is in its identity."""

import functools

import numpy as np
import pytest
from helpers.searches import SMALL, small_search
from optuna.distributions import FloatDistribution
from sklearn.metrics import make_scorer, max_error, mean_absolute_error

from dipkit.exceptions import InputError
from dipkit.search.identity import identity_of


def identity(molecules, changes=None, parameters=None, **data):
    search = small_search(**(changes or {}))
    search.estimator.set_params(**(parameters or {}))
    names = ("y", "groups", "charges", "sample_weight")
    return identity_of(search._task(molecules, *(data.get(name) for name in names)))


def differing(one, other):
    return [name for name in one if one[name] != other[name]]


def quadrupole(molecules):
    return np.broadcast_to(np.diag([1.0, 1.0, -2.0]), (len(molecules), 3, 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.replace(positions=m.positions + 0.001 * (np.arange(m.n_atoms) == 5)[:, None]),
        lambda m: m.replace(quadrupole=quadrupole(m)),
        lambda m: m.replace(dipole_vector=np.full((len(m), 3), np.nan)),
        lambda m: m.replace(charges=None),
        lambda m: m.replace(baseline_dipole=0.9 * m.dipole_vector),
        lambda m: m.replace(baseline_charges=m.charges),
        lambda m: m.replace(descriptor_charges=m.charges),
        lambda m: m[::-1],
    ],
    ids=[
        "positions",
        "quadrupole",
        "vectors",
        "charges",
        "baseline",
        "baseline_charges",
        "descriptor_charges",
        "order",
    ],
)
def test_other_molecules_are_other_data(molecules, change):
    grid = {"grid": {"charge_weight": [0.0]}}
    plain = molecules.replace(baseline_dipole=None, baseline_charges=None)
    before, after = (identity(m, grid) for m in (plain, change(plain)))
    assert "data" in differing(before, after)


def test_other_total_charges_are_other_data(molecules):
    grid = {"grid": {"charge_weight": [0.0]}}
    bare = molecules.replace(charges=None, baseline_dipole=None, baseline_charges=None)
    ions = bare.replace(total_charge=np.eye(36)[3])
    assert differing(identity(bare, grid), identity(ions, grid)) == ["data"]


@pytest.mark.parametrize("name", ["y", "charges", "sample_weight"])
def test_other_arguments_are_other_data(molecules, name):
    values = {
        "y": molecules.dipole_magnitude * 1.001,
        "charges": 0.9 * molecules.charges,
        "sample_weight": np.arange(1.0, 37.0),
    }
    assert differing(identity(molecules), identity(molecules, **{name: values[name]})) in (
        ["data"],
        ["grid", "data"],
    )


def test_other_magnitudes_are_other_data(molecules):
    one, other = (factor * molecules.dipole_magnitude for factor in (1.0, 1.001))
    assert differing(identity(molecules, y=one), identity(molecules, y=other)) == ["data"]


def test_two_sets_of_quadrupoles_are_other_data(molecules):
    one = molecules.replace(quadrupole=quadrupole(molecules))
    other = molecules.replace(quadrupole=2 * quadrupole(molecules))
    assert differing(identity(one), identity(other)) == ["data"]


def test_other_descriptors_are_other_data(molecules, described):
    head = described[:36]
    assert differing(identity(head.replace(features=None)), identity(head)) == ["data"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dipolekernelridge__loss", "huber"),
        ("dipolekernelridge__alpha", 1e-3),
        ("dipolekernelridge__charge_discrepancy", 1e-3),
        ("dipolekernelridge__random_state", 1),
        ("dipolekernelridge__random_state", np.random.RandomState(0)),
        ("soaptransformer__scale0__sigma", 0.31),
        ("dipolekernelridge", None),
    ],
)
def test_other_parameters_are_another_estimator(molecules, name, value):
    changes = {"grid": False, "space": {"soaptransformer__scale0__r_cut": SMALL_RANGE}}
    if value is None:
        from sklearn.dummy import DummyRegressor

        value = DummyRegressor()
    parameters = {name: value}
    found = differing(identity(molecules, changes), identity(molecules, changes, parameters))
    assert found == ["estimator"]
    assert not differing(*(identity(molecules, changes, parameters) for _ in range(2)))


SMALL_RANGE = FloatDistribution(2.0, 2.4)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"space": SMALL | {"soaptransformer__scale0__r_cut": SMALL_RANGE}}, "space"),
        ({"space": {name: FloatDistribution(1.0, 2.0) for name in SMALL}}, "space"),
        ({"grid": {"alpha": [1.0]}}, "grid"),
        ({"scoring": "rmse"}, "scoring"),
        ({"cv": 4}, "cv"),
        ({"cv": [(np.arange(12, 36), np.arange(12))]}, "cv"),
    ],
)
def test_other_settings_are_another_search(molecules, changes, name):
    assert name in differing(identity(molecules), identity(molecules, changes))


def test_groups_make_other_folds(molecules):
    assert differing(identity(molecules), identity(molecules, groups="formula")) == ["cv"]


def scorer(factor, estimator, X, y):
    return factor


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make_scorer(mean_absolute_error), make_scorer(max_error)),
        (functools.partial(scorer, 1.0), functools.partial(scorer, 2.0)),
        (scorer, functools.partial(scorer, 2.0)),
    ],
)
def test_other_scorers(molecules, one, other):
    found = [identity(molecules, {"scoring": scoring}) for scoring in (one, one, other)]
    assert not differing(found[0], found[1])
    assert differing(found[0], found[2]) == ["scoring"]


def test_where_and_how_fast_scores_are_computed_does_not_count(molecules):
    elsewhere = {
        "soaptransformer__n_jobs": 2,
        "dipolekernelridge__device": "cpu",
        "soaptransformer__on_demand": True,
    }
    assert not differing(identity(molecules), identity(molecules, parameters=elsewhere))
    named = molecules.replace(names=np.array([f"n{i}" for i in range(36)]))
    again = molecules[np.arange(36)]
    for same in (named, again):
        assert not differing(identity(molecules), identity(same))


def test_other_weights_cannot_resume_a_study(molecules, tmp_path):
    storage, weights = str(tmp_path / "study.db"), np.arange(1.0, 37.0)
    settings = {"storage": storage, "refit": False}
    small_search(n_trials=1, **settings).fit(molecules, sample_weight=weights)
    again = small_search(n_trials=2, **settings).fit(molecules, sample_weight=weights)
    assert again.n_trials_ == 2
    with pytest.raises(InputError, match="another data"):
        small_search(n_trials=3, **settings).fit(molecules)
