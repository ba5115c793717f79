"""The guard: the best trial against the untuned estimator."""

import numpy as np
import pytest
from helpers.searches import ALPHAS, small_model, small_search
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import KFold

from dipkit.search.folds import cross_validate_grid


def cross_validated(model, molecules, shuffle: int) -> float:
    """Mean loss over all held-out molecules."""
    folds = list(KFold(3, shuffle=True, random_state=shuffle).split(np.arange(len(molecules))))
    errors = cross_validate_grid(
        model[:-1].fit_transform(molecules),
        alphas=[model[-1].alpha],
        charge_weights=[model[-1].charge_weight],
        folds=folds,
        ridge=model[-1],
    ).ravel()
    return float(np.average(errors, weights=[len(test) for _, test in folds]))


def test_guard_lets_a_clear_gain_pass(molecules):
    poor = small_model(alpha=10.0, charge_weight=0.0)
    search = small_search(guard=0.5).set_params(estimator=poor).fit(molecules)
    assert not search.kept_untuned_
    assert search.gain_ > 0.5 * search.gain_error_ > 0
    assert search.best_estimator_[-1].alpha in ALPHAS
    best = clone(poor).set_params(**search.best_params_)
    differences = [
        cross_validated(poor, molecules, shuffle) - cross_validated(best, molecules, shuffle)
        for shuffle in (1, 2)
    ]
    assert search.gain_ == pytest.approx(np.mean(differences))


@pytest.mark.parametrize("grid", [True, False])
def test_guard_keeps_the_estimator_where_little_is_won(molecules, grid):
    search = small_search(guard=1e6, n_trials=2, grid=grid).fit(molecules)
    assert search.kept_untuned_
    untuned = small_model()
    current = untuned.get_params(deep=True)
    assert search.best_params_
    assert all(current[name] == value for name, value in search.best_params_.items())
    expected = untuned.fit(molecules).predict(molecules)
    np.testing.assert_allclose(search.predict(molecules), expected, rtol=1e-6)


def test_no_guard_where_scores_are_no_means(molecules):
    search = small_search(guard=1e6, n_trials=1, scoring="r2").fit(molecules)
    assert not search.kept_untuned_
    assert np.isnan(search.gain_)
