"""The guard: the best trial against the untuned estimator."""

import types

import numpy as np
import pytest
from helpers.searches import ALPHAS, small_model, small_search
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import KFold, ShuffleSplit

from dipkit.search.fold_grid import cross_validate_grid
from dipkit.search.guard import compare
from dipkit.search.trial import SearchTask


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


def test_guard_accepts_a_clear_gain(molecules):
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


def gain_over(search, untuned, molecules):
    """Gain of the best trial over an estimator, in the two shuffles of the guard."""
    best = clone(untuned).set_params(**search.best_params_)
    return np.mean(
        [
            cross_validated(untuned, molecules, shuffle) - cross_validated(best, molecules, shuffle)
            for shuffle in (1, 2)
        ]
    )


def test_guard_compares_with_the_charge_weight_of_a_discrepancy(molecules):
    """With a discrepancy the automatic charge weight is 100."""
    settings = {"alpha": 1e-2, "charge_discrepancy": 1e-3}
    search = small_search(guard=0.0, refit=False).set_params(estimator=small_model(**settings))
    search.fit(molecules)
    if search.kept_untuned_:
        search.best_params_ = search.cv_results_["params"][search.best_index_]
    expected = gain_over(search, small_model(charge_weight=100.0, **settings), molecules)
    assert search.gain_ == pytest.approx(expected, rel=1e-6)
    wrong = gain_over(search, small_model(charge_weight=1e-3, **settings), molecules)
    assert abs(wrong - expected) > 0.01 * abs(expected)


@pytest.mark.parametrize(
    "cv", [3, KFold(3), KFold(3, shuffle=True, random_state=1), ShuffleSplit(2, random_state=3)]
)
@pytest.mark.parametrize("grid", [{"alpha": [1e-2, 1e-4]}, False])
def test_guard_compares_in_other_folds(molecules, cv, grid, monkeypatch):
    used = []
    original = SearchTask.held_out_errors

    def recorded(self, params, folds):
        used.append((self.folds, folds))
        return original(self, params, folds)

    monkeypatch.setattr(SearchTask, "held_out_errors", recorded)
    small_search(guard=2.0, n_trials=1, cv=cv, grid=grid, refit=False).fit(molecules)
    assert len(used) == 2  # untuned and tuned
    for chosen, folds in used:
        assert len(folds) == 2 * len(chosen)
        chosen = {frozenset(test) for _, test in chosen}
        assert not chosen & {frozenset(test) for _, test in folds}


def test_guard_warns_where_it_has_to_shuffle_itself(molecules):
    folds = list(KFold(3).split(np.arange(36)))
    search = small_search(guard=2.0, n_trials=1, cv=folds, refit=False)
    with pytest.warns(UserWarning, match="3 folds of shuffled molecules") as caught:
        search.fit(molecules)
    assert caught[0].filename == __file__  # the place of the user's call
    assert np.isfinite(search.gain_)
    for nothing_to_compare in ({"guard": None}, {"guard": 2.0, "scoring": "r2"}):
        small_search(n_trials=1, cv=folds, refit=False, **nothing_to_compare).fit(molecules)


def fail_where(monkeypatch, condition):
    """Let models fail in the folds of the guard."""
    original = SearchTask.held_out_errors

    def held_out_errors(self, params, folds):
        if condition(params):
            raise np.linalg.LinAlgError("cannot be factored")
        return original(self, params, folds)

    monkeypatch.setattr(SearchTask, "held_out_errors", held_out_errors)


def test_a_best_trial_that_fails_in_other_folds_is_not_taken(molecules, monkeypatch):
    fail_where(monkeypatch, bool)
    search = small_search(guard=2.0, n_trials=1).fit(molecules)
    assert search.kept_untuned_
    assert np.isnan(search.gain_)
    assert search.best_estimator_[-1].alpha == "auto"


def test_a_best_trial_is_taken_where_the_untuned_estimator_fails(molecules, monkeypatch):
    fail_where(monkeypatch, lambda params: not params)
    search = small_search(guard=1e6, n_trials=1).fit(molecules)
    assert not search.kept_untuned_
    assert search.best_estimator_[-1].alpha in ALPHAS


def make_task(weights, losses):
    """A task whose held-out errors are given: by parameters, in two folds and again in two."""
    return types.SimpleNamespace(
        scoring="mae",
        labels=types.SimpleNamespace(
            molecules=np.empty(len(weights)), target=types.SimpleNamespace(weights=weights)
        ),
        held_out_errors=lambda params, folds: (
            [test for _, test in folds],
            [losses[bool(params)][test] for _, test in folds],
        ),
    )


FOLDS = [(None, np.array([0, 1])), (None, np.array([2, 3, 4]))]


def test_gain_is_a_mean_with_its_standard_error():
    rng = np.random.default_rng(0)
    untuned, tuned = rng.random((2, 6))
    losses = {False: -untuned, True: tuned}  # signs do not matter
    gain = compare(make_task(np.ones(6), losses), {"a": 1}, [FOLDS, FOLDS])
    differences = (untuned - tuned)[:5]  # the last one is never held out
    assert gain.mean == pytest.approx(differences.mean())
    assert gain.error == pytest.approx(differences.std(ddof=1) / 5**0.5)


def test_gain_with_weights():
    rng = np.random.default_rng(0)
    untuned, tuned = rng.random((2, 5))
    weights = np.array([1.0, 2.0, 1.0, 5.0, 3.0])
    losses = {False: untuned, True: tuned}
    gain, scaled = (
        compare(make_task(scale * weights, losses), {"a": 1}, [FOLDS]) for scale in (1.0, 1e-3)
    )
    share, differences = weights / 12, untuned - tuned
    assert gain.mean == pytest.approx(share @ differences)
    variance = (share**2 * (differences - gain.mean) ** 2).sum() * 5 / 4
    assert gain.error == pytest.approx(variance**0.5)
    assert (scaled.mean, scaled.error) == (pytest.approx(gain.mean), pytest.approx(gain.error))


def test_losses_are_averaged_over_all_folds_that_hold_a_molecule_out():
    errors = iter([np.array([1.0, 5.0]), np.array([3.0]), np.zeros(2), np.zeros(1)])
    task = make_task(np.ones(2), {})
    task.held_out_errors = lambda params, folds: (
        [test for _, test in folds],
        [next(errors) for _ in folds],
    )
    folds = [[(None, np.array([0, 1]))], [(None, np.array([0]))]]
    assert compare(task, {"a": 1}, folds).mean == pytest.approx((2.0 + 5.0) / 2)


def test_one_molecule_is_no_comparison():
    task = make_task(np.ones(1), {False: np.ones(1), True: np.zeros(1)})
    gain = compare(task, {"a": 1}, [[(None, np.array([0]))]])
    assert not gain.compared
