"""`DipoleSearchCV`: what it finds, what it refuses."""

import numpy as np
import optuna
import pytest
from helpers.searches import ALPHAS, WEIGHTS, small_model, small_search
from optuna.distributions import FloatDistribution
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import KFold

import dipkit
from dipkit.estimator.metrics import mae_scorer
from dipkit.exceptions import InputError
from dipkit.search.fold_grid import cross_validate_grid
from dipkit.search.results import results_html
from dipkit.search.study_report import grid_errors, plot_study


def test_search_finds_and_fits(searched, molecules):
    results = searched.cv_results_
    assert len(results["params"]) == searched.n_trials_ == 5
    assert searched.best_score_ == results["mean_test_score"].max()
    assert results["rank_test_score"][searched.best_index_] == 1
    splits = [results[f"split{k}_test_score"] for k in range(searched.n_splits_)]
    np.testing.assert_allclose(np.mean(splits, axis=0), results["mean_test_score"])
    np.testing.assert_allclose(np.std(splits, axis=0), results["std_test_score"])
    assert searched.best_params_["dipolekernelridge__alpha"] in ALPHAS
    assert searched.best_estimator_[-1].alpha in ALPHAS
    assert searched.predict(molecules[:4]).shape == (4,)
    assert searched.score(molecules) == pytest.approx(mae_scorer(searched, molecules))


def test_first_trial_is_the_estimator_itself(searched):
    assert searched.study_.trials[0].params["dipolekernelridge__basis__kernel__degree"] == 2.2


def test_best_score_is_that_of_the_grid(searched, molecules):
    model = clone(small_model()).set_params(**searched.best_params_)
    folds = list(KFold(3, shuffle=True, random_state=0).split(np.arange(len(molecules))))
    ridge = model[-1]
    errors = cross_validate_grid(
        model[0].fit_transform(molecules), alphas=ALPHAS, charge_weights=WEIGHTS, folds=folds,
        ridge=ridge,
    ).mean(axis=0)  # fmt: skip
    assert errors.min() == pytest.approx(-searched.best_score_, rel=1e-4)


def test_same_seed_same_trials(searched, molecules):
    again = small_search(n_trials=5, refit=False).fit(molecules)
    assert again.best_params_ == searched.best_params_
    assert not hasattr(again, "best_estimator_")


def test_best_model_is_saved(searched, molecules, tmp_path):
    dipkit.save_model(searched.best_estimator_, tmp_path / "model")
    loaded = dipkit.load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(molecules), searched.predict(molecules))


def test_other_ways_to_give_data(molecules, tmp_path):
    atoms = dipkit.to_atoms(molecules)
    labels = molecules.dipole_magnitude
    bare = molecules.replace(
        dipole_magnitude=np.full(len(labels), np.nan),
        dipole_vector=np.full((len(labels), 3), np.nan),
        charges=np.full(molecules.n_atoms, np.nan),
    )
    given = small_search(n_trials=1).fit(bare, labels, charges=molecules.charges)
    vectors = np.full((len(labels), 3), np.nan)
    riding = small_search(n_trials=1).fit(molecules.replace(dipole_vector=vectors))
    assert given.best_score_ == pytest.approx(riding.best_score_, rel=1e-6)
    assert given.best_estimator_[-1].label_summary_["n_charges"] == 36
    listed = small_search(n_trials=1).fit(atoms)
    assert listed.best_score_ == pytest.approx(
        small_search(n_trials=1).fit(molecules).best_score_, rel=1e-3
    )


def test_folds_are_fitted_where_the_grid_cannot_be_used(molecules):
    space = {"dipolekernelridge__alpha": FloatDistribution(1e-4, 1e-2, log=True)}
    weights = np.ones(len(molecules))
    weights[::3] = 2.0
    search = small_search(space, scoring="r2", n_trials=2)
    search.fit(molecules, sample_weight=weights)
    assert search.best_score_ <= 1
    assert set(search.best_params_) == set(space)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guard": -1.0}, "guard"),
        ({"guard": "yes"}, "guard"),
        ({"space": {}}, "default_space"),
        ({"space": {"alpha": FloatDistribution(0.1, 1)}}, "dipolekernelridge__alpha"),
        ({"space": {"dipolekernelridge__alpha": 3}}, "distribution"),
        ({"space": lambda trial: {"dipolekernelridg__alpha": 1.0}}, "Did you mean"),
        ({"cv": 50}, "36 molecules"),
        ({"cv": 2.5}, "splitter"),
        ({"n_trials": 0}, "n_trials"),
        ({"scoring": "mea"}, "scoring"),
        ({"grid": {"degree": [1]}}, "grid"),
        ({"storage": "/no/such/folder/study.db"}, "storage"),
        ({"storage": "nosql://somewhere"}, "storage"),
    ],
)
def test_refuses(molecules, changes, message):
    with pytest.raises(InputError, match=message):
        small_search(**changes).fit(molecules)


def test_refuses_a_charge_weight_without_charges(molecules):
    bare = molecules.replace(charges=None)
    with pytest.raises(InputError, match="grid: charge_weight"):
        small_search().fit(bare)


def test_parameters_may_be_sequences(molecules):
    def space(trial):
        long = trial.suggest_categorical("long", [False, True])
        return {"dipolekernelridge__solver__annealing": (1000.0, 10.0) if long else (10.0,)}

    search = small_search(space, n_trials=2, refit=False).fit(molecules)
    column = search.cv_results_["param_dipolekernelridge__solver__annealing"]
    assert set(column.data) <= {(1000.0, 10.0), (10.0,)}


def test_interrupt_before_any_score_is_an_interrupt(molecules, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("dipkit.search.trial.FoldGrid", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small_search().fit(molecules)


def stop_after(number):
    """Callback that interrupts the search after this trial."""

    def interrupt(study, trial):
        if trial.number == number:
            raise KeyboardInterrupt

    return interrupt


def test_interrupt_keeps_the_best_without_further_work(molecules, monkeypatch):
    def compared(*_):
        raise AssertionError("no time for a comparison")

    monkeypatch.setattr("dipkit.search.search_cv.compare", compared)
    search = small_search(n_trials=20, callbacks=[stop_after(1)], guard=2.0)
    fits = count_fits(monkeypatch)
    with pytest.warns(UserWarning, match="after 2 finished.*not compared with the untuned"):
        search.fit(molecules)
    assert search.n_trials_ == 2
    improved = search.cv_results_["mean_test_score"][1] > search.cv_results_["mean_test_score"][0]
    assert len(fits) == 1 + improved
    assert np.isnan(search.gain_)
    assert search.best_index_ == int(improved)
    # The same model as a search of these two trials gives, had it the time.
    whole = small_search(n_trials=2).fit(molecules)
    assert search.best_params_ == whole.best_params_
    np.testing.assert_array_equal(search.predict(molecules), whole.predict(molecules))


def count_fits(monkeypatch):
    """List that gets the parameters of each fit to all molecules."""
    from dipkit.search.trial import SearchTask

    fits, fit_all = [], SearchTask.fit_all

    def counted(self, params):
        fits.append(params)
        return fit_all(self, params)

    monkeypatch.setattr(SearchTask, "fit_all", counted)
    return fits


def test_best_model_is_fitted_once(molecules, monkeypatch):
    fits = count_fits(monkeypatch)
    search = small_search(n_trials=5).fit(molecules)
    best = np.maximum.accumulate(search.cv_results_["mean_test_score"])
    assert len(fits) == len(np.unique(best))
    assert fits[-1] == search.best_params_


def test_interrupt_of_the_comparison_keeps_the_best(molecules, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dipkit.search.search_cv.compare", interrupt)
    with pytest.warns(UserWarning, match="after 2 finished"):
        search = small_search(n_trials=2, guard=2.0).fit(molecules)
    assert search.predict(molecules[:2]).shape == (2,)


def test_interrupt_without_refit_keeps_the_parameters(molecules):
    search = small_search(n_trials=20, callbacks=[stop_after(1)], refit=False)
    with pytest.warns(UserWarning, match="after 2 finished"):
        search.fit(molecules)
    assert search.best_params_
    assert not hasattr(search, "best_estimator_")


def test_interrupt_of_a_continued_search_keeps_the_best_of_before(molecules, tmp_path, monkeypatch):
    storage = tmp_path / "study.db"
    first = small_search(n_trials=2, storage=storage).fit(molecules)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("dipkit.search.trial.FoldGrid", interrupt)
    with pytest.warns(UserWarning, match="after 2 finished"):
        second = small_search(n_trials=20, storage=storage).fit(molecules)
    np.testing.assert_array_equal(second.predict(molecules), first.predict(molecules))


def test_interrupt_while_a_result_is_stored_keeps_the_best(molecules, monkeypatch):
    store = optuna.storages.InMemoryStorage.set_trial_state_values
    calls = []

    def interrupt(self, trial_id, state, values=None):
        if state.is_finished():
            calls.append(trial_id)
            if len(calls) == 2:
                raise KeyboardInterrupt
        return store(self, trial_id, state, values)

    monkeypatch.setattr(optuna.storages.InMemoryStorage, "set_trial_state_values", interrupt)
    with pytest.warns(UserWarning, match="after 1 finished"):
        search = small_search(n_trials=20).fit(molecules)
    assert search.n_trials_ == 1
    assert search.predict(molecules[:2]).shape == (2,)


def test_all_trials_failed(molecules):
    space = {"dipolekernelridge__basis__kernel__degree": FloatDistribution(0.1, 0.9)}
    with pytest.raises(InputError, match=r"all 3 trials failed.*degree"):
        small_search(space).fit(molecules)


def test_study_in_pictures(searched):
    figures = plot_study(searched.study_)
    # Importances of five trials would be chance.
    assert list(figures) == ["History of the search", "Error over charge weight and ridge penalty"]
    history = figures["History of the search"].axes[0]
    assert history.lines[1].get_ydata()[-1] == pytest.approx(-searched.study_.best_value)
    best = searched.study_.best_trial
    for name, values in (("alpha", ALPHAS), ("charge_weight", WEIGHTS)):
        found, errors = grid_errors(best, name)
        assert found == values
        assert min(errors) == pytest.approx(-best.value)
    with pytest.raises(InputError, match="charge_weight"):
        grid_errors(best, "degree")


def test_importances_of_enough_trials():
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))

    def score(trial):
        large, small = (trial.suggest_float(name, 0, 1) for name in ("large", "small"))
        return 10 * large + 0.1 * small

    study.optimize(score, n_trials=20)
    axes = plot_study(study)["Importance of the parameters"].axes[0]
    lengths = {
        label.get_text(): bar.get_width()
        for label, bar in zip(axes.get_yticklabels(), axes.patches, strict=True)
    }
    assert sum(lengths.values()) == pytest.approx(1)
    assert lengths["large"] > 0.9


def test_a_notebook_shows_the_best_trials(searched):
    assert "trials; ±" not in small_search()._repr_mimebundle_()["text/html"]
    html = searched._repr_mimebundle_()["text/html"]
    assert "best 5 of 5 trials; ±" in html
    assert "MAE (D)" in html
    assert f">{-searched.best_score_:.4f} ±" in html


def test_the_table_of_trials_shows_errors_and_short_numbers():
    results = {
        "mean_test_score": [-0.25, -0.125],
        "std_test_score": [0.01, 0.02],
        "rank_test_score": [2, 1],
        "params": [{"n": 40, "x": 1 / 3}, {"n": 80, "x": 2e-5 / 3}],
    }
    errors, scores = (results_html(results, scoring) for scoring in ("mae", "r2"))
    assert errors.index(">0.1250 ± 0.0200<") < errors.index(">0.2500 ± 0.0100<")
    assert scores.index(">-0.1250 ± 0.0200<") < scores.index(">-0.2500 ± 0.0100<")
    for html in (errors, scores):
        assert html.index(">n=80, x=6.667e-06<") < html.index(">n=40, x=0.3333<")
