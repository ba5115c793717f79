"""Hyperparameter search: the grid over folds, studies, standard searches, the command."""

import functools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path

import joblib
import matplotlib
import numpy as np
import optuna
import pytest
import sklearn
from helpers.searches import ALPHAS, SMALL, WEIGHTS, small_model, small_search
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, KFold
from typer.testing import CliRunner

import dipkit
from dipkit import (
    DipoleKernelRidge,
    DipoleSearchCV,
    InducingBasis,
    PowerKernel,
    Reweighted,
    SOAPTransformer,
)
from dipkit.cli.app import app
from dipkit.cli.tune import LiveTable, part
from dipkit.data.datasets import load_organics
from dipkit.estimator.metrics import mae_scorer
from dipkit.exceptions import InputError
from dipkit.search.fold_grid import cross_validate_grid
from dipkit.search.search_cv import default_grid, default_space
from dipkit.search.study import open_storage, space_from_json
from dipkit.search.study_report import grid_errors, plot_study

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def molecules():
    return load_organics()[:36]


@pytest.fixture(scope="module")
def searched(molecules) -> DipoleSearchCV:
    return small_search(n_trials=5).fit(molecules)


# Contract


def test_search_finds_and_fits(searched, molecules):
    results = searched.cv_results_
    assert len(results["params"]) == searched.n_trials_ == 5
    assert searched.best_score_ == results["mean_test_score"].max()
    assert results["rank_test_score"][searched.best_index_] == 1
    splits = [results[f"split{k}_test_score"] for k in range(searched.n_splits_)]
    np.testing.assert_allclose(np.mean(splits, axis=0), results["mean_test_score"])
    assert searched.best_params_["dipolekernelridge__alpha"] in ALPHAS
    assert searched.best_estimator_[-1].alpha in ALPHAS
    assert searched.predict(molecules[:4]).shape == (4,)
    assert searched.score(molecules) == pytest.approx(mae_scorer(searched, molecules))


def test_first_trial_is_the_estimator_itself(searched):
    assert searched.study_.trials[0].params["dipolekernelridge__kernel__degree"] == 2.2


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


def test_fits_anew_where_the_grid_cannot_follow(molecules):
    space = {"dipolekernelridge__alpha": FloatDistribution(1e-4, 1e-2, log=True)}
    weights = np.ones(len(molecules))
    weights[::3] = 2.0
    search = small_search(space, scoring="r2", n_trials=2)
    search.fit(molecules, sample_weight=weights)
    assert search.best_score_ <= 1
    assert set(search.best_params_) == set(space)


def test_groups_stay_together(molecules):
    from dipkit.search.trials import make_folds

    formulas = molecules.formulas()
    for train, test in make_folds(3, molecules, "formula"):
        assert not set(formulas[train]) & set(formulas[test])


def test_descriptors_are_computed_once_per_setting_of_a_scale(molecules, monkeypatch):
    calls = []
    original = SOAPTransformer.fit_transform

    def counted(self, *args, **kwargs):
        calls.append([scale.r_cut for scale in self.scales])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SOAPTransformer, "fit_transform", counted)
    small_search(n_trials=3).fit(molecules)  # only weights and the kernel differ
    assert calls == [[2.2], [3.5]]
    calls.clear()
    space = {"soaptransformer__scale1__r_cut": CategoricalDistribution([3.0, 3.5])}
    sampler = optuna.samplers.GridSampler({name: d.choices for name, d in space.items()}, seed=0)
    small_search(space, sampler=sampler, n_trials=3).fit(molecules)
    assert sorted(calls) == [[2.2], [3.0], [3.5]]


def test_descriptors_that_are_not_kept_give_the_same(searched, molecules, monkeypatch):
    monkeypatch.setattr("dipkit.search.trials.CACHE_SHARE", 0.0)
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


# The guard


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


def test_grid_lies_around_the_usual_alpha(molecules):
    search = small_search(grid=True, n_trials=1, refit=False).fit(molecules)
    alphas = search.study_.best_trial.user_attrs["grid"]["alpha"]
    assert alphas == default_grid(alpha=0.02 / 36)["alpha"]
    assert 0.02 / 36 in alphas


def test_a_baseline_is_calculated_once(molecules, monkeypatch):
    calls = []

    def calculate(given, *_):
        calls.append(len(given))
        return types.SimpleNamespace(dipole=0.9 * given.dipole_vector, charges=given.charges)

    monkeypatch.setattr("dipkit.estimator.baseline.gfn2", calculate)
    search = small_search(grid=True, refit=False)
    search.estimator.set_params(dipolekernelridge__baseline="gfn2")
    search.fit(molecules)
    assert calls == [36]
    # 40 over the square of the number of labels is the usual alpha there.
    assert 40 / 36**2 in search.study_.best_trial.user_attrs["grid"]["alpha"]
    search.set_params(refit=True).fit(molecules[:30])
    assert calls == [36, 30, 30]
    assert search.best_estimator_[-1].baseline == "gfn2"


# Bad input


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


@pytest.mark.parametrize("prefix", ["", "journal:"])
def test_corrupt_storage(molecules, tmp_path, prefix):
    (tmp_path / "study").write_bytes(b"\x00not a study\n" * 50)
    with pytest.raises(InputError, match="storage"):
        small_search(storage=f"{prefix}{tmp_path / 'study'}").fit(molecules)


def test_another_search_under_the_same_name(molecules, tmp_path):
    storage = str(tmp_path / "study.db")
    small_search(n_trials=1, storage=storage).fit(molecules)
    other = dict(list(SMALL.items())[:1])
    for changes, name in (
        ({"space": other}, "space"),
        ({"scoring": "rmse"}, "scoring"),
        ({"cv": 4}, "cv"),
    ):
        with pytest.raises(InputError, match=f"another {name}"):
            small_search(**({"storage": storage} | changes)).fit(molecules)
    with pytest.raises(InputError, match="another cv, data"):
        small_search(storage=storage).fit(molecules[:30])
    small_search(storage=storage, space=other, study_name="other", n_trials=1).fit(molecules)


def test_another_estimator_under_the_same_name(molecules, tmp_path):
    settings = {"storage": str(tmp_path / "study.db"), "scoring": mae_scorer, "refit": False}
    small_search(n_trials=1, **settings).fit(molecules)
    # Where it is computed does not matter, and a scorer is the same in every process.
    elsewhere = small_search(n_trials=2, **settings)
    elsewhere.estimator.set_params(soaptransformer__n_jobs=2)
    assert elsewhere.fit(molecules).n_trials_ == 2
    other = small_search(n_trials=3, **settings)
    other.estimator.set_params(dipolekernelridge__loss="huber")
    with pytest.raises(InputError, match="another estimator"):
        other.fit(molecules)
    with pytest.raises(InputError, match="another data"):
        elsewhere.fit(molecules.replace(dipole_vector=np.full((len(molecules), 3), np.nan)))


def test_parameters_may_be_sequences(molecules):
    def space(trial):
        long = trial.suggest_categorical("long", [False, True])
        return {"dipolekernelridge__annealing": (1000.0, 10.0) if long else (10.0,)}

    search = small_search(space, n_trials=2, refit=False).fit(molecules)
    column = search.cv_results_["param_dipolekernelridge__annealing"]
    assert set(column.data) <= {(1000.0, 10.0), (10.0,)}


def test_interrupt_before_any_score_is_an_interrupt(molecules, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("dipkit.search.trials.FoldGrid", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small_search().fit(molecules)


def test_molecules_without_a_baseline_are_not_scored(molecules):
    baseline = molecules.dipole_vector * 0.8
    baseline[5] = np.nan
    search = small_search(n_trials=1)
    search.estimator.set_params(dipolekernelridge__baseline="given")
    with pytest.warns(UserWarning, match="baseline"):
        search.fit(molecules.replace(baseline_dipole=baseline))
    assert np.isfinite(search.best_score_)


@pytest.mark.parametrize("degree", [1.0, 2.2])
def test_directions_below_the_cut_bar_nothing_else(described, degree):
    """All atoms are inducing and many directions fall below the cut, as in a fit of a fold."""
    folds = list(KFold(3).split(np.arange(len(described))))
    ridge = DipoleKernelRidge(
        alpha=1e-3, charge_weight=0.0, basis=InducingBasis(kernel=PowerKernel(degree))
    )
    grid = cross_validate_grid(described, alphas=[1e-3], folds=folds, ridge=ridge)
    separate = [
        -mae_scorer(clone(ridge).fit(described[train]), described[test]) for train, test in folds
    ]
    np.testing.assert_allclose(grid[:, 0, 0].mean(), np.mean(separate), rtol=0.1)


def test_alpha_too_small_to_factor_gives_nan(described):
    folds = list(KFold(3).split(np.arange(len(described))))
    ridge = DipoleKernelRidge(solver=Reweighted(annealing=(10.0,)))
    errors = cross_validate_grid(described, alphas=[1e-30], folds=folds, ridge=ridge)
    assert np.isnan(errors).all()


def test_failed_trials_do_not_stop_the_study(molecules):
    space = {"dipolekernelridge__kernel__degree": CategoricalDistribution([0.5, 2.0])}
    sampler = optuna.samplers.GridSampler({name: d.choices for name, d in space.items()}, seed=0)
    search = small_search(space, sampler=sampler, n_trials=2).fit(molecules)
    states = {trial.state: trial for trial in search.study_.trials}
    assert "degree" in states[TrialState.FAIL].user_attrs["reason"]
    assert search.best_params_["dipolekernelridge__kernel__degree"] == 2.0


def test_all_trials_failed(molecules):
    space = {"dipolekernelridge__kernel__degree": FloatDistribution(0.1, 0.9)}
    with pytest.raises(InputError, match=r"all 3 trials failed.*degree"):
        small_search(space).fit(molecules)


# Several processes

WORKER = """
import sys, time
sys.path.insert(0, {tests!r})
from helpers.searches import small_search
from dipkit.data.datasets import load_organics

storage, n_trials, seed, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
search = small_search(storage=storage, n_trials=n_trials, refit=False)
search.set_params(random_state=seed, callbacks=[lambda study, trial: time.sleep(pause)])
search.fit(load_organics()[:36])
print(search.n_trials_)
"""


def start_worker(storage: str, n_trials: int, seed: int, pause: float = 0.0) -> subprocess.Popen:
    code = WORKER.format(tests=str(REPOSITORY / "tests"))
    command = [sys.executable, "-c", code, storage, str(n_trials), str(seed), str(pause)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def states(storage: str) -> list[str]:
    study = optuna.load_study(study_name="dipkit", storage=open_storage(storage))
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def storage(request, tmp_path):
    """Each kind of storage in turn, as a user names it; PostgreSQL where it is installed."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql")
    return str(tmp_path / "study.db") if request.param == "sqlite" else f"journal:{tmp_path}/log"


@pytest.fixture
def postgresql():
    """A PostgreSQL server of its own on a free port, stopped and removed afterwards."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [shutil.which("pg_ctl")]
    if found[-1] is None:
        pytest.skip("no PostgreSQL server is installed")
    programs = Path(found[-1]).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The server refuses to run as root: then it runs as the user that comes with its package.
    user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid}

    def run(program, *arguments):
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **as_user
        )
        assert done.returncode == 0, done.stderr.decode()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        run("initdb", "-U", "dipkit", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://dipkit@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def test_killed_run_resumes(molecules, storage):
    worker = start_worker(storage, 100, 0, pause=0.3)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            if states(storage).count("COMPLETE") >= 2:
                break
        except Exception:  # not there yet
            assert worker.poll() is None
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    before = states(storage)
    done = sum(state in ("COMPLETE", "PRUNED") for state in before)
    assert done >= len(before) - 1  # at most the running trial is lost
    resumed = small_search(storage=storage, n_trials=done + 2, refit=False).fit(molecules)
    assert resumed.n_trials_ == done + 2


def test_two_processes_share_a_study(molecules, storage):
    small_search(storage=storage, n_trials=1, refit=False).fit(molecules)
    workers = [start_worker(storage, 7, seed, pause=0.2) for seed in (1, 2)]
    outputs = [worker.communicate(timeout=200)[0] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), outputs
    assert 7 <= len(states(storage)) <= 8  # both may be in their last trial


def test_threads(molecules):
    assert small_search(n_jobs=2, n_trials=4, refit=False).fit(molecules).n_trials_ >= 4


# Standard tools


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


def test_default_space_names_parameters_that_exist():
    known = dipkit.default_model().get_params(deep=True)
    assert set(default_space(penalties=True, n_molecules=400)) <= set(known)
    inducing = default_space(n_molecules=400)["dipolekernelridge__basis__n_inducing"]
    assert (inducing.low, inducing.high) == (1000, 4000)


# The command

SPACE = {
    "dipolekernelridge__basis__n_inducing": [30],
    "dipolekernelridge__kernel__degree": {"low": 1.6, "high": 3.0},
    "dipolekernelridge__alpha": {"low": 1e-4, "high": 1e-2, "log": True},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, molecules):
    path = tmp_path_factory.mktemp("tune")
    dipkit.write(path / "data.npz", molecules)
    (path / "space.json").write_text(json.dumps(SPACE))
    return path


def tune(folder: Path, *options, code: int = 0):
    arguments = ["tune", folder / "data.npz", "-o", folder / "model", *options, "--cv", 3]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_command(folder):
    shared = ("--space", folder / "space.json", "--storage", folder / "study.db", "--json")
    report = json.loads(tune(folder, "--trials", 2, *shared).stdout)
    assert report["trials"] == 2
    assert report["held_out"]["n"] == 7
    difference = report["held_out"]["mae_debye"] - report["inner_mae_debye"]
    assert report["optimism_debye"] == pytest.approx(difference)
    model = dipkit.load_model(folder / "model")
    assert model[-1].label_summary_["n_molecules"] == 36
    assert json.loads(tune(folder, "--trials", 2, *shared).stdout)["trials"] == 2
    assert json.loads(tune(folder, "--trials", 3, *shared).stdout)["trials"] == 3


def test_command_says_what_was_won(folder):
    shared = ("--trials", 2, "--space", folder / "space.json", "--json")
    report = json.loads(tune(folder, *shared).stdout)
    gain, error = report["gain_debye"]
    assert report["kept_untuned"] is not (gain > 2 * error)
    assert "kept_untuned" not in json.loads(tune(folder, *shared, "--no-guard").stdout)


def test_command_with_a_baseline(folder, molecules):
    path = folder / "given.npz"
    dipkit.write(path, molecules.replace(baseline_dipole=0.9 * molecules.dipole_vector))
    arguments = ["tune", path, "-o", folder / "corrected", "--baseline", "given", "--trials", 1]
    arguments += ["--space", folder / "space.json", "--cv", 3]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    assert dipkit.load_model(folder / "corrected")[-1].baseline == "given"


def test_command_writes_a_page_with_pictures(folder):
    page = folder / "study.html"
    tune(folder, "--trials", 3, "--space", folder / "space.json", "--report", page)
    text = page.read_text()
    assert text.count("data:image/png") == 3
    assert "molecules kept out" in text


def test_study_in_pictures(searched):
    figures = plot_study(searched.study_)
    assert next(iter(figures)) == "History of the search"
    assert len(figures) == 3
    best = searched.study_.best_trial
    for name, values in (("alpha", ALPHAS), ("charge_weight", WEIGHTS)):
        found, errors = grid_errors(best, name)
        assert found == values
        assert min(errors) == pytest.approx(-best.value)
    with pytest.raises(InputError, match="charge_weight"):
        grid_errors(best, "degree")
    # Optuna sets a style: it does not stay.
    assert matplotlib.rcParams["axes.facecolor"] == "white"


def test_command_refuses_a_bad_space(folder):
    (folder / "bad.json").write_text('{"dipolekernelridge__alpha": 3}')
    assert "space" in tune(folder, "--space", folder / "bad.json", code=2).stderr
    with pytest.raises(InputError, match="JSON"):
        space_from_json("{")


def test_live_table_shows_the_study(searched):
    rows = dict(LiveTable(n_trials=9).table(searched.study_).rows)
    assert rows["trials"] == "5 of 9"
    assert rows["best MAE, debye"].startswith(f"{-searched.best_score_:.4f}")
    assert any(name.endswith("alpha") for name in rows)


def test_held_out_molecules_show_no_new_element(molecules):
    inside, outside = part(molecules)
    assert len(inside) + len(outside) == 36
    assert not np.intersect1d(inside, outside).size
    assert np.isin(molecules[outside].elements, molecules[inside].elements).all()


def test_interrupt_keeps_the_best(molecules):
    def interrupt(study, trial):
        if trial.number == 1:
            raise KeyboardInterrupt

    search = small_search(n_trials=20, callbacks=[interrupt]).fit(molecules)
    assert search.n_trials_ == 2
    assert search.predict(molecules[:2]).shape == (2,)
