"""Scores: sample weights count, molecules of weight 0 do not."""

import numpy as np
import pytest
from helpers.searches import small_model, small_search
from sklearn.metrics import make_scorer, mean_absolute_error, r2_score

from dipkit.estimator.metrics import mae_scorer, rmse_scorer
from dipkit.exceptions import InputError
from dipkit.search.scoring import score_errors, score_model


@pytest.fixture(scope="module")
def weights():
    return np.where(np.arange(36) % 5 == 0, 0.0, 1.0 + np.arange(36) % 4)


@pytest.fixture(scope="module")
def model(molecules):
    return small_model(alpha=1e-2).fit(molecules[:18])


def spoilt(molecules, weights):
    """Labels of the molecules of weight 0 are wrong by 50 debye."""
    wrong = 50.0 * (weights == 0)
    vectors = np.full((len(molecules), 3), np.nan)
    return molecules.replace(
        dipole_magnitude=molecules.dipole_magnitude + wrong, dipole_vector=vectors
    )


def expected(model, molecules, weights, power=1):
    errors = np.abs(model.predict(molecules) - molecules.dipole_magnitude) ** power
    return -((weights @ errors / weights.sum()) ** (1 / power))


@pytest.mark.parametrize(("scoring", "power"), [("mae", 1), ("rmse", 2)])
def test_score_of_errors(scoring, power):
    errors = np.array([[1.0, -2.0, 4.0], [0.0, 3.0, np.nan]])
    found = score_errors(scoring, errors, np.array([1.0, 3.0, 0.5]))
    assert found[0] == pytest.approx(-(((1 + 3 * 2**power + 0.5 * 4**power) / 4.5) ** (1 / power)))
    assert np.isnan(found[1])


@pytest.mark.parametrize(("scorer", "power"), [(mae_scorer, 1), (rmse_scorer, 2)])
def test_scorers_weigh_molecules(model, molecules, weights, scorer, power):
    value = expected(model, molecules, weights, power)
    assert scorer(model, molecules, None, weights) == pytest.approx(value, rel=1e-9)
    y = molecules.dipole_magnitude
    assert scorer(model, molecules, y, sample_weight=weights) == pytest.approx(value, rel=1e-9)
    assert abs(scorer(model, molecules) - value) > 1e-3 * abs(value)
    with pytest.raises(InputError, match="above 0"):
        scorer(model, molecules, y, np.zeros(36))


def test_scorers_leave_out_unlabelled_molecules_and_their_weights(model, molecules, weights):
    some = molecules.dipole_magnitude.copy()
    some[::3] = np.nan
    part = molecules.replace(
        dipole_magnitude=some, dipole_vector=np.full((len(molecules), 3), np.nan)
    )
    kept = np.flatnonzero(~np.isnan(some))
    value = expected(model, molecules[kept], weights[kept])
    assert mae_scorer(model, part, None, weights) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("with_y", [False, True])
def test_search_scores_with_weights(molecules, weights, with_y):
    search = small_search(n_trials=1).fit(molecules)
    y = molecules.dipole_magnitude if with_y else None
    value = expected(search, molecules, weights)
    assert search.score(molecules, y, sample_weight=weights) == pytest.approx(value, rel=1e-6)
    assert search.score(molecules, y) == pytest.approx(expected(search, molecules, np.ones(36)))
    wrong = spoilt(molecules, weights)
    y = wrong.dipole_magnitude if with_y else None
    assert search.score(wrong, y, sample_weight=weights) == pytest.approx(value, rel=1e-6)
    with pytest.raises(InputError, match="weight 0"):
        search.score(molecules, y, sample_weight=np.zeros(36))
    with pytest.raises(InputError, match="36 finite numbers"):
        search.score(molecules, y, sample_weight=np.ones(3))


@pytest.mark.parametrize("grid", [{"alpha": [1e-2]}, False])
@pytest.mark.parametrize("scoring", ["mae", "rmse"])
def test_molecules_of_weight_0_are_not_scored(molecules, weights, grid, scoring):
    settings = {"n_trials": 1, "grid": grid, "guard": 0.0, "refit": False, "scoring": scoring}
    found, other = (
        small_search(**settings).fit(given, sample_weight=weights)
        for given in (
            molecules.replace(dipole_vector=np.full((36, 3), np.nan)),
            spoilt(molecules, weights),
        )
    )
    assert found.best_score_ == pytest.approx(other.best_score_, rel=1e-6)
    assert found.gain_ == pytest.approx(other.gain_, rel=1e-5, abs=1e-9)
    assert found.best_score_ > -10


@pytest.mark.parametrize("grid", [{"alpha": [1e-2], "charge_weight": [1e-3]}, False])
def test_held_out_errors_are_weighed(molecules, weights, grid):
    """The score is the mean over folds of the weighted means that the errors give."""
    search = small_search(n_trials=1, grid=grid, refit=False)
    search.estimator.set_params(dipolekernelridge__alpha=1e-2)
    search.fit(molecules, sample_weight=weights)
    task = search._task(molecules, None, None, None, weights)
    scored, errors = task.held_out_errors(search.best_params_, task.folds)
    means = [
        np.average(np.abs(e), weights=weights[test]) for test, e in zip(scored, errors, strict=True)
    ]
    assert search.best_score_ == pytest.approx(-np.mean(means), rel=1e-6)
    plain = -np.mean([np.abs(e).mean() for e in errors])
    assert abs(search.best_score_ - plain) > 1e-3 * abs(plain)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_one_wrong_weight_is_refused(model, molecules, weights, wrong):
    weights = weights.copy()
    weights[7] = wrong
    with pytest.raises(InputError, match="36 finite numbers >= 0"):
        score_model(mae_scorer, model, molecules, None, weights)


def test_scorers_of_scikit_learn_get_weights(model, molecules, weights):
    y = molecules.dipole_magnitude
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    found = score_model(scorer, model, molecules, y, weights)
    assert found == pytest.approx(expected(model, molecules, weights))


def test_scorers_without_weights_score_all_alike(model, molecules, weights):
    def scorer(estimator, X, y):
        return r2_score(y, estimator.predict(X))

    some = weights > 0
    y = molecules.dipole_magnitude
    found = score_model(scorer, model, molecules, y, weights)
    assert found == pytest.approx(r2_score(y[some], model.predict(molecules[some])))
