"""Searches of scikit-learn and optuna-integration; joblib backends."""

import functools
import os
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from helpers.searches import ALPHAS, small_model, small_search
from optuna.distributions import FloatDistribution
from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV

import dipkit
from dipkit.estimator.metrics import mae_scorer

REPOSITORY = Path(__file__).resolve().parents[2]


def process_and_score(folder: Path, estimator, X, y) -> float:
    """Leave a file named after process and thread in a folder, to show where folds ran."""
    (folder / f"{os.getpid()}-{threading.get_ident()}").touch()
    return mae_scorer(estimator, X, y)


@pytest.fixture(params=["loky", "threading", "dask"])
def backend(request, monkeypatch):
    """Each joblib backend as the active one."""
    if request.param != "dask":
        with joblib.parallel_config(backend=request.param, n_jobs=2):
            yield request.param
        return
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))  # for workers to find the scorer
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        yield request.param


def workers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {f"{os.getpid()}-{threading.get_ident()}"}


def test_folds_run_on_the_active_backend(molecules, backend, tmp_path):
    scoring = functools.partial(process_and_score, tmp_path)
    search = small_search(scoring=scoring, n_trials=1, cv=4, refit=False).fit(molecules)
    in_threads = {worker.startswith(f"{os.getpid()}-") for worker in workers(tmp_path)}
    assert in_threads == {backend == "threading"}
    with joblib.parallel_config(backend="sequential"):
        here = small_search(scoring=scoring, n_trials=1, cv=4, refit=False).fit(molecules)
    assert search.best_score_ == pytest.approx(here.best_score_, rel=1e-4)


def test_grid_search_of_scikit_learn_on_the_active_backend(molecules, backend, tmp_path):
    grid = {"dipolekernelridge__alpha": ALPHAS}
    scoring = functools.partial(process_and_score, tmp_path)
    search = GridSearchCV(small_model(), grid, scoring=scoring, cv=2, refit=False)
    search.fit(molecules[:24], molecules[:24].dipole_magnitude)
    assert workers(tmp_path)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_grid_search_of_scikit_learn(molecules):
    grid = {"dipolekernelridge__alpha": ALPHAS, "soaptransformer__scale1__weight": [0.01]}
    search = GridSearchCV(small_model(), grid, scoring=mae_scorer, cv=2)
    search.fit(dipkit.to_atoms(molecules[:24]), molecules[:24].dipole_magnitude)
    assert search.best_params_["dipolekernelridge__alpha"] in ALPHAS


def test_halving_search_of_scikit_learn(molecules):
    space = {"dipolekernelridge__alpha": loguniform(1e-4, 1e-2)}
    resources = {"n_candidates": 2, "factor": 1.5, "min_resources": 24}
    search = HalvingRandomSearchCV(
        small_model(), space, **resources, cv=2, random_state=0, scoring=mae_scorer
    )
    search.fit(molecules, molecules.dipole_magnitude)
    assert 1e-4 <= search.best_params_["dipolekernelridge__alpha"] <= 1e-2


def test_charges_as_routed_metadata(molecules):
    bare = molecules.replace(charges=np.full(molecules.n_atoms, np.nan))
    charges = np.empty(len(bare), dtype=object)
    charges[:] = np.split(molecules.charges, molecules.offsets[1:-1])
    with sklearn.config_context(enable_metadata_routing=True):
        model = small_model()
        model[-1].set_fit_request(charges=True)
        grid = {"dipolekernelridge__charge_weight": [1e-3]}
        search = GridSearchCV(model, grid, scoring=mae_scorer, cv=2)
        search.fit(bare, molecules.dipole_magnitude, charges=charges)
    assert search.best_estimator_[-1].label_summary_["n_charges"] == len(bare)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:.*optuna.terminator:FutureWarning")
def test_search_of_optuna_integration(molecules):
    pytest.importorskip("pandas")  # which it needs
    integration = pytest.importorskip("optuna_integration.sklearn")
    space = {"dipolekernelridge__alpha": FloatDistribution(1e-4, 1e-2, log=True)}
    search = integration.OptunaSearchCV(
        small_model(), space, cv=2, n_trials=2, random_state=0, scoring=mae_scorer
    )
    atoms = dipkit.to_atoms(molecules[:24])
    search.fit(atoms, molecules[:24].dipole_magnitude)
    assert search.predict(atoms[:2]).shape == (2,)
