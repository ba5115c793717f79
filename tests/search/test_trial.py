"""One trial: splits, descriptors, baseline, scores, failures."""

import types

import numpy as np
import optuna
import pytest
from helpers.searches import ALPHAS, SMALL, small_search
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from dipkit import SOAPScale, SOAPTransformer
from dipkit.estimator.baseline import GFN2Baseline, GivenBaseline
from dipkit.estimator.defaults import usual_alpha
from dipkit.learning.labels import read_labels
from dipkit.search.descriptor_cache import CACHE_SHARE, DescriptorCache
from dipkit.search.splits import Splits


def test_groups_stay_together(molecules):
    formulas = molecules.formulas()
    for train, test in Splits(3, read_labels(molecules, None, None, None), "formula").folds:
        assert not set(formulas[train]) & set(formulas[test])


def test_descriptors_are_computed_once_per_setting_of_a_scale(molecules, monkeypatch):
    calls = []
    original = SOAPTransformer.transform

    def counted(self, *args, **kwargs):
        if len(self.scales_) == 1:  # the model that the search returns has two
            calls.append([scale.r_cut for scale in self.scales_])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SOAPTransformer, "transform", counted)
    # Only weights and the kernel differ. A scale of small weight has fewer channels: two kinds.
    small_search(n_trials=6).fit(molecules)
    assert calls == [[2.2], [3.5], [3.5]]
    calls.clear()
    space = {"soaptransformer__scale1__r_cut": CategoricalDistribution([3.0, 3.5])}
    sampler = optuna.samplers.GridSampler({name: d.choices for name, d in space.items()}, seed=0)
    small_search(space, sampler=sampler, n_trials=3).fit(molecules)
    assert sorted(calls) == [[2.2], [3.0], [3.5]]


def test_the_scale_that_was_used_least_recently_is_forgotten_first(molecules, monkeypatch):
    some, calls = molecules[:4], []
    original = SOAPTransformer.transform

    def counted(self, *args, **kwargs):
        calls.append(self.scales[0].r_cut)
        return original(self, *args, **kwargs)

    def describe(r_cut):
        scale = SOAPScale(r_cut, 3, 2, 0.3, "gto", 1.0)
        soap = SOAPTransformer((scale,), n_jobs=1, compression=None)  # widths are the same
        return cache.describe(Pipeline([("soap", soap)]))[1].features.scales[0]

    cache = DescriptorCache(some)
    two = 2 * describe(2.0).nbytes + 1
    monkeypatch.setattr("dipkit.search.descriptor_cache.host_memory", lambda: two / CACHE_SHARE)
    monkeypatch.setattr(SOAPTransformer, "transform", counted)
    for r_cut in (2.0, 2.5, 2.0, 3.0, 2.0, 2.5):
        describe(r_cut)
    assert calls == [2.5, 3.0, 2.5]


def test_descriptors_that_are_not_kept_give_the_same(searched, molecules, monkeypatch):
    monkeypatch.setattr("dipkit.search.descriptor_cache.CACHE_SHARE", 0.0)
    again = small_search(n_trials=2, refit=False).fit(molecules)
    first = searched.cv_results_["mean_test_score"][:2]
    np.testing.assert_allclose(again.cv_results_["mean_test_score"], first, rtol=1e-6)


def test_folds_report_to_the_pruner(molecules):
    class PruneAll(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number > 0 and len(trial.intermediate_values) == 2

    for grid in ({"alpha": ALPHAS}, False):
        space = SMALL | {"dipolekernelridge__alpha": FloatDistribution(1e-4, 1e-2, log=True)}
        search = small_search(space, grid=grid, pruner=PruneAll(), n_trials=2, refit=False)
        first, second = search.fit(molecules).study_.trials
        assert list(first.intermediate_values) == [0, 1, 2]
        assert first.intermediate_values[2] == pytest.approx(first.value)
        assert second.state == TrialState.PRUNED


def test_a_baseline_is_calculated_once(molecules, monkeypatch):
    calls = []

    def calculate(given, *_):
        calls.append(len(given))
        return types.SimpleNamespace(dipole=0.9 * given.dipole_vector, charges=given.charges)

    monkeypatch.setattr("dipkit.estimator.baseline.gfn2", calculate)
    monkeypatch.setattr("dipkit.estimator.baseline.ipea1", calculate)
    search = small_search(grid=True, refit=False)
    search.estimator.set_params(dipolekernelridge__baseline="gfn2")
    search.fit(molecules)
    assert calls == [36] * 2  # by each of the two methods
    usual = usual_alpha(36, with_baseline=True)
    assert usual in search.study_.best_trial.user_attrs["grid"]["alpha"]
    search.set_params(refit=True).fit(molecules[:30])
    assert calls == [36] * 2 + [30] * 4
    assert search.best_estimator_[-1].baseline == "gfn2"


def test_auxiliary_dipoles_are_calculated_once_for_all_trials(molecules, monkeypatch):
    calls = []

    def calculate(given, *_):
        calls.append(len(given))
        return types.SimpleNamespace(dipole=1.1 * given.dipole_vector, charges=given.charges)

    bare = molecules.replace(dipole_vector=None, charges=None)
    vectors = dict(zip(molecules.names.tolist(), molecules.dipole_vector, strict=True))

    def gfn2(given, *_):
        return calculate(given.replace(dipole_vector=[vectors[name] for name in given.names]))

    monkeypatch.setattr("dipkit.estimator.auxiliary.gfn2", gfn2)
    search = small_search(grid=True, n_trials=2)
    search.estimator.set_params(dipolekernelridge__auxiliary="gfn2")
    search.fit(bare)
    scores = [trial.value for trial in search.study_.trials]
    n_best = sum(score > max(scores[:i], default=-np.inf) for i, score in enumerate(scores))
    assert calls == [36] * (1 + n_best)  # once for the trials, once to fit each best to all
    assert search.best_estimator_[-1].auxiliary == "gfn2"
    _, described, last = search._task(bare, None, None, None, None).prepare({})
    assert last.auxiliary.source == "given"
    assert (last.auxiliary.discrepancy, last.auxiliary.noise) == (0.01, 0.17)
    np.testing.assert_allclose(described.baseline_dipole, 0.89 * 1.1 * molecules.dipole_vector)


def test_molecules_without_a_baseline_are_not_scored(molecules):
    baseline = molecules.dipole_vector * 0.8
    baseline[5] = np.nan
    search = small_search(n_trials=1)
    search.estimator.set_params(dipolekernelridge__baseline="given")
    with pytest.warns(UserWarning, match="baseline"):
        search.fit(molecules.replace(baseline_dipole=baseline))
    assert np.isfinite(search.best_score_)


def test_failed_trials_do_not_stop_the_study(molecules):
    space = {"dipolekernelridge__basis__kernel__degree": CategoricalDistribution([0.5, 2.0])}
    sampler = optuna.samplers.GridSampler({name: d.choices for name, d in space.items()}, seed=0)
    search = small_search(space, sampler=sampler, n_trials=2).fit(molecules)
    states = {trial.state: trial for trial in search.study_.trials}
    assert "degree" in states[TrialState.FAIL].user_attrs["reason"]
    assert search.best_params_["dipolekernelridge__basis__kernel__degree"] == 2.0


def test_a_calculated_baseline_keeps_its_direction_weight(molecules, monkeypatch):
    bare = molecules.replace(dipole_vector=np.full((36, 3), np.nan))
    directions = types.SimpleNamespace(
        dipole=0.9 * molecules.dipole_vector, charges=molecules.charges
    )
    for name in ("gfn2", "ipea1"):
        monkeypatch.setattr(f"dipkit.estimator.baseline.{name}", lambda *_: directions)
    search = small_search()
    search.estimator.set_params(dipolekernelridge__baseline=GFN2Baseline(0.5))
    _, _, last = search._task(bare, None, None, None, None).prepare({})
    assert isinstance(last.baseline, GivenBaseline)
    assert last.baseline.direction_weight == 0.5


def test_a_best_trial_without_charge_weight_has_no_discrepancy(molecules):
    space = {"dipolekernelridge__charge_discrepancy": FloatDistribution(1e-4, 1e-2, log=True)}
    search = small_search(space, grid={"alpha": [1e-2], "charge_weight": [0.0]}, n_trials=1)
    search.fit(molecules)
    assert search.best_params_["dipolekernelridge__charge_discrepancy"] is None
    assert search.best_estimator_[-1].charge_weight_ == 0.0


def test_other_steps_may_come_before_the_descriptors(searched, molecules):
    first = ("as they are", FunctionTransformer())
    search = small_search(n_trials=5)
    search.estimator = Pipeline([first, *search.estimator.steps])
    search.fit(molecules)
    assert [name for name, _ in search.best_estimator_.steps] == [
        "as they are", "soaptransformer", "dipolekernelridge"
    ]  # fmt: skip
    assert search.best_params_ == searched.best_params_
    np.testing.assert_allclose(
        search.predict(molecules), searched.predict(molecules), rtol=1e-5, atol=1e-5
    )
