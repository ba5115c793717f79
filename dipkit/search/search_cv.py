"""Hyperparameter search with Optuna over the whole model, at the price of a few fits.

`DipoleSearchCV` draws what changes descriptors or kernel; for each draw `folds.py` scores a whole
grid of (alpha, lambda). Studies and their storages are in `study.py`. Symbols: N molecules,
k folds; scores are negative errors in debye, higher is better.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..data.io import as_molecules
from ..estimator.pipeline import default_model
from ..exceptions import InputError
from ..learning.labels import FitLabels, read_labels
from ..support.validation import check_number
from . import study
from .study import Space, name_of, space_from_json
from .trials import Task, can_grid, cv_results, make_folds

__all__ = ["DipoleSearchCV", "default_grid", "default_space", "space_from_json"]

FloatArray = NDArray[np.float64]

# Shuffles of the molecules in which the best trial is compared with the untuned estimator.
GUARD_REPEATS = 2


def default_space(
    penalties: bool = False, charges: bool = True, n_molecules: int | None = None
) -> dict[str, Any]:
    """Return the usual search space of `default_model`, to be edited at will.

    Parameters
    ----------
    penalties : bool, default=False
        Whether alpha and the charge weight are drawn as well. `DipoleSearchCV` need not draw
        them: it scores a grid of both at each trial.
    charges : bool, default=True
        Whether there are reference charges to weigh.
    n_molecules : int, default=None
        Molecules in all. Where given, the number of inducing environments is drawn as well, from
        50 to 200 times its root; without, it stays at the model's choice, 100 times the root.

    Returns
    -------
    dict
        Optuna distributions by parameter name. Cutoffs and widths have steps, so that trials
        share descriptors.

    Examples
    --------
    >>> from dipkit.search.search_cv import default_space
    >>> space = default_space()
    >>> del space["soaptransformer__scale0__sigma"]
    """
    real = study.float_range
    space = {
        "dipolekernelridge__kernel__degree": real(1.6, 4.0, step=0.2),
        "soaptransformer__scale0__r_cut": real(2.0, 2.8, step=0.2),
        "soaptransformer__scale0__sigma": real(0.13, 0.25, step=0.04),
        "soaptransformer__scale1__r_cut": real(3.0, 5.0, step=0.5),
        "soaptransformer__scale1__weight": real(2e-4, 5e-2, log=True),
    }
    if n_molecules is not None:
        low, high = (max(round(factor * n_molecules**0.5), 1) for factor in (50, 200))
        space["dipolekernelridge__n_inducing"] = study.int_range(low, high)
    if penalties:
        space["dipolekernelridge__alpha"] = real(1e-6, 1e-2, log=True)
        if charges:
            space["dipolekernelridge__charge_weight"] = real(1e-5, 1e-1, log=True)
    return space


def default_grid(charges: bool = True, alpha: float = 1e-4) -> dict[str, list[float]]:
    """Return the usual grid, to be edited at will.

    Parameters
    ----------
    charges : bool, default=True
        Whether there are reference charges to weigh.
    alpha : float, default=1e-4
        Middle of the alphas. `DipoleSearchCV` takes what the estimator would use untuned.

    Returns
    -------
    dict
        7 values of alpha, 30 to 0.03 times the middle; 4 of lambda where there are charges.
    """
    alphas = [factor * alpha for factor in (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)]
    return {"alpha": alphas, "charge_weight": [0.0, 1e-3, 1e-2, 1e-1] if charges else [0.0]}


class DipoleSearchCV(BaseEstimator):
    """Search for hyperparameters by cross-validation, with Optuna.

    Parameters
    ----------
    estimator : estimator, default=None
        Pipeline that ends in a `DipoleKernelRidge`, or any other; None is `default_model()`.
    space : dict or callable, default=None
        Optuna distributions by parameter name, or a function from a trial to parameters; None is
        `default_space()`.
    grid : dict, bool, default=True
        ``{"alpha": [...], "charge_weight": [...]}`` to score at each trial, at little cost; True
        is `default_grid()`. A parameter that `space` names is not on the grid. False fits every
        fold anew, as does what the grid cannot follow: another estimator, another scoring, or
        ``init="random"``.
    n_trials : int, default=60
        Finished trials in the study at the end, earlier ones and those of other processes
        counted in.
    timeout : float, default=None
        Seconds after which no trial begins.
    cv : int or splitter, default=5
        A number of folds shuffles once and for all, so that workers of a study agree.
    scoring : {"mae", "rmse"}, str or callable, default="mae"
        Error of the magnitudes; or what scikit-learn takes, higher is better.
    sampler, pruner : optuna objects, default=None
        None is the TPE sampler, and the median pruner after ten trials; with a grid no pruner,
        since all folds of a trial are done at once there.
    storage : str, path or optuna storage, default=None
        ``"study.db"`` (SQLite), ``"journal:FILE"`` or any URL of Optuna; None keeps the study in
        memory.
    study_name : str, default=None
        ``"dipkit"`` in a storage.
    n_jobs : int, default=1
        Trials at once, in threads. For processes, start several on one storage.
    random_state : int, RandomState or None, default=None
        Of the sampler. Processes that share a study should differ in it, or leave it None.
    refit : bool, default=True
        Whether to fit `best_estimator_` to all molecules.
    callbacks : sequence of callable, default=()
        Called with study and trial after each trial.
    guard : float or None, default=2.0
        The best trial must beat the estimator as it is by more than so many standard errors of
        the mean difference between their losses of the same held-out molecules, in folds shuffled
        anew. Else the parameters stay as they are: with few molecules a search finds what suits
        its folds. None always takes the best trial, as does a scoring that is no mean over
        molecules. A splitter given as `cv` is not shuffled anew.

    Attributes
    ----------
    best_params_ : dict
        Of the best trial, or of the estimator as it is where `kept_untuned_`.
    best_score_ : float
        Of the best trial. Optimistic: it was chosen as the best. Measure the model on molecules
        held out of `fit`.
    kept_untuned_ : bool
        Whether the best trial did not win by enough.
    gain_, gain_error_ : float
        Mean loss of held-out molecules by the estimator as it is, less that by the best trial, and
        its standard error; debye, or its square with ``"rmse"``. NaN without a comparison.
    best_estimator_ : estimator
        With `refit`; `save_model` writes it.
    best_index_ : int
        Row of `cv_results_`.
    cv_results_ : dict
        Completed trials: ``params``, ``split{i}_test_score``, ``mean_test_score``,
        ``std_test_score``, ``rank_test_score``, ``seconds``.
    study_ : optuna.Study
    n_trials_ : int
        Finished trials.
    n_splits_ : int

    Examples
    --------
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.search.search_cv import DipoleSearchCV, default_space
    >>> search = DipoleSearchCV(space=default_space(), n_trials=60, storage="study.db")
    >>> search.fit(load_organics()).best_params_  # doctest: +SKIP
    """

    def __init__(
        self,
        estimator: Any = None,
        space: Space | None = None,
        *,
        grid: Mapping[str, Sequence[float]] | bool = True,
        n_trials: int = 60,
        timeout: float | None = None,
        cv: Any = 5,
        scoring: Any = "mae",
        sampler: Any = None,
        pruner: Any = None,
        storage: Any = None,
        study_name: str | None = None,
        n_jobs: int = 1,
        random_state: Any = None,
        refit: bool = True,
        callbacks: Sequence[Callable[[Any, Any], None]] = (),
        guard: float | None = 2.0,
    ):
        self.estimator = estimator
        self.space = space
        self.grid = grid
        self.n_trials = n_trials
        self.timeout = timeout
        self.cv = cv
        self.scoring = scoring
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.study_name = study_name
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.refit = refit
        self.callbacks = callbacks
        self.guard = guard

    def fit(
        self,
        X: Any,
        y: Any = None,
        groups: Any = None,
        *,
        charges: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Search, and fit the best model to all molecules.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms or path
        y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
            None takes the labels of the molecules.
        groups : array-like of shape (n_molecules,) or "formula", default=None
            Molecules of one group stay on one side of a fold; ``"formula"`` groups those of one
            sum formula.
        charges, sample_weight : array-like, default=None
            As in `DipoleKernelRidge.fit`.

        Returns
        -------
        self
        """
        task = self._task(X, y, groups, charges, sample_weight)
        self._open(task)
        try:
            study.run_trials(
                self.study_, task, self.n_trials, self.timeout, self.n_jobs, self.callbacks
            )
        except KeyboardInterrupt:
            # What is done is kept: the best model so far is better than none.
            if not study.has_scores(self.study_):
                raise
        self._store(task, groups)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Predict with the best model: magnitudes (n_molecules,), debye."""
        check_is_fitted(self, "best_estimator_")
        predicted: FloatArray = self.best_estimator_.predict(X)
        return predicted

    def score(self, X: Any, y: Any = None) -> float:
        """Score the best model on molecules, by `scoring`."""
        check_is_fitted(self, "best_estimator_")
        return float(self.scorer_(self.best_estimator_, X, y))

    # Steps of fit

    def _task(self, X: Any, y: Any, groups: Any, charges: Any, sample_weight: Any) -> Task:
        estimator = default_model() if self.estimator is None else clone(self.estimator)
        for name in ("n_trials", "n_jobs"):
            if not isinstance(getattr(self, name), numbers.Integral):
                raise InputError(f"{name}: expected an integer, got {getattr(self, name)!r}.")
        if self.n_trials < 1:
            raise InputError(f"n_trials: expected at least 1, got {self.n_trials}.")
        labels = _riding(read_labels(as_molecules(X), y, charges, sample_weight))
        if self.guard is not None:
            check_number("guard", self.guard, above=None)
        use_grid = self.grid is not False and can_grid(estimator, self.scoring)
        space = self.space
        if space is None:
            space = default_space(penalties=not use_grid, charges=labels.has_charges)
        study.check_space(space, estimator.get_params(deep=True))
        folds = make_folds(self.cv, labels.molecules, groups)
        task = Task(estimator, space, None, labels, folds, self.scoring)
        if use_grid:
            task.grid = self._grid(labels.has_charges, task.penalties()[0])
        return task

    def _grid(self, charges: bool, alpha: float) -> dict[str, list[float]]:
        grid = default_grid(charges, alpha)
        if isinstance(self.grid, Mapping):
            given = {name: [float(v) for v in values] for name, values in self.grid.items()}
            if not set(given) <= set(grid) or not all(given.values()):
                raise InputError(
                    'grid: expected values of "alpha", "charge_weight" or both, got '
                    f"{self.grid!r}. Other parameters belong into space."
                )
            if max(given.get("charge_weight", [0.0])) > 0 and not charges:
                raise InputError(
                    "grid: charge_weight above 0 needs charge labels, and the molecules have none. "
                    'Leave "charge_weight" out, or pass charges=.'
                )
            grid |= given
        return grid

    def _open(self, task: Task) -> None:
        about = study.identity(
            task.space,
            grid=task.grid,
            scoring=self.scoring if isinstance(self.scoring, str) else name_of(self.scoring),
            estimator=joblib.hash(_parameters(task.estimator)),
            cv=joblib.hash(task.folds),
            data=joblib.hash(task.data()),
        )
        pruner = self.pruner
        if pruner is None:
            pruner = study.default_pruner(folds_apart=task.grid is None)
        self.study_ = study.open_study(self.storage, self.study_name, self.sampler, pruner, about)
        if self.sampler is None:
            seed = None
            if self.random_state is not None:
                seed = int(check_random_state(self.random_state).randint(2**31))
            self.study_.sampler = study.default_sampler(seed, len(self.study_.trials))
        study.enqueue(self.study_, task.space, task.estimator.get_params(deep=True))

    def _store(self, task: Task, groups: Any) -> None:
        trials = study.completed(self.study_)
        best = max(trials, key=lambda trial: trial.value)
        self.scorer_ = task.scorer
        self.n_splits_ = len(task.folds)
        self.n_trials_ = len(study.finished(self.study_))
        self.cv_results_ = cv_results(trials, task)
        self.best_index_ = trials.index(best)
        self.best_score_ = float(best.value)
        self.best_params_ = task.params_of(best)
        self._compare(task, groups)
        if self.refit:
            self.best_estimator_ = task.fit_all(self.best_params_)

    def _compare(self, task: Task, groups: Any) -> None:
        """Compare the best trial with the estimator as it is, and go back to it if in doubt."""
        self.gain_ = self.gain_error_ = np.nan
        self.kept_untuned_ = False
        if self.guard is None:
            return
        # Other folds than those that chose: what suits these alone is no gain there.
        repeats = [
            make_folds(self.cv, task.labels.molecules, groups, repeat)
            for repeat in range(1, 1 + GUARD_REPEATS)
        ]
        gains = task.gains(self.best_params_, repeats)
        if gains is None:
            return
        self.gain_ = float(gains.mean())
        self.gain_error_ = float(gains.std(ddof=1) / len(gains) ** 0.5)
        self.kept_untuned_ = not self.gain_ > self.guard * self.gain_error_
        if self.kept_untuned_:
            current = task.estimator.get_params(deep=True)
            self.best_params_ = {name: current[name] for name in self.best_params_}

    def __sklearn_tags__(self) -> Any:
        """Say that X is no array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = False
        return tags


def _parameters(estimator: Any) -> dict[str, str]:
    """Parameters that scores depend on, as text: not where or how fast they are computed."""
    aside = ("device", "n_jobs", "memory", "memory_budget", "verbose", "on_demand", "steps")
    found = estimator.get_params(deep=True).items()
    return {
        name: type(value).__name__ if hasattr(value, "get_params") else repr(value)
        for name, value in found
        if name.rpartition("__")[2] not in aside
    }


def _riding(labels: FitLabels) -> FitLabels:
    """Put the dipole labels on the molecules, so that slices carry them."""
    target = labels.target
    riding = labels.molecules.replace(
        dipole_magnitude=target.magnitudes, dipole_vector=target.vectors
    )
    return FitLabels(target, labels.charges, riding)
