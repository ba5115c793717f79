"""`DipoleSearchCV`: hyperparameter search with Optuna over the whole model.

Each trial draws parameters of descriptors or kernel, and scores a whole grid of (alpha, lambda) in
the time of a few fits (`fold_grid.py`). Symbols: N molecules, k folds; scores are negative errors
in debye, higher is better. Not here: the parameters to draw (`space.py`), the computation of a
trial (`trial.py`), studies and their storage (`study.py`), the comparison with the untuned
estimator (`guard.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..data.io import as_molecules
from ..estimator.pipeline import default_model
from ..learning.labels import FitLabels, read_labels
from ..support.parallel import progress
from ..support.validation import check_jobs, check_number, check_whole
from . import study
from .best_so_far import BestSoFar, warn_interrupted
from .grid import Grid, default_grid, grid_with
from .guard import compare
from .identity import identity_of
from .optuna_objects import Storage, default_pruner, default_sampler
from .results import cv_results, results_html
from .ridge_parameters import has_discrepancy, last_step
from .scoring import Scoring, can_grid, is_mean, score_model
from .space import Space, check_space, default_space
from .splits import CV, Splits
from .trial import SearchTask

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

__all__ = ["DipoleSearchCV"]

FloatArray = NDArray[np.float64]

# Sets of folds in which the best trial is compared with the untuned estimator.
GUARD_SETS = 2


class DipoleSearchCV(BaseEstimator):
    """Search for hyperparameters by cross-validation, with Optuna.

    Parameters
    ----------
    estimator : estimator, default=None
        The *untuned estimator*: a pipeline that ends in a `DipoleKernelRidge`, or any other; None
        is `default_model()`.
    space : dict or callable, default=None
        Optuna distributions by parameter name, or a function from a trial to parameters; None is
        `default_space()`.
    grid : dict, bool, default=True
        ``{"alpha": [...], "charge_weight": [...]}`` to score in each trial, in little time; True
        is `default_grid()` around the alpha and charge weight of the untuned estimator. A
        parameter that `space` names is not on the grid. False fits every fold separately. So does
        a search for which the grid cannot be used: another estimator or scoring, or random starts.
    n_trials : int, default=60
        Finished trials in the study at the end, including earlier ones and those of other
        processes.
    timeout : float, default=None
        Seconds after which no trial begins.
    cv : int, splitter or iterable of (train, test), default=5
        A number of folds always shuffles in the same way, so that workers of a study have the same
        folds. A splitter gets the molecules that can be scored. Indices that you give count
        all molecules.
    scoring : {"mae", "rmse"}, str or callable, default="mae"
        Error of the magnitudes, with sample weights; or a scoring of scikit-learn, where higher is
        better (a callable without ``sample_weight`` gives all held-out molecules the same weight).
    sampler, pruner : optuna objects, default=None
        None is the TPE sampler, and the median pruner after ten trials; no pruner with a grid,
        since all folds of a trial are then computed together.
    storage : str, path or optuna storage, default=None
        ``"study.db"`` (SQLite), ``"journal:FILE"`` or any URL of Optuna; None keeps the study in
        memory.
    study_name : str, default=None
        ``"dipkit"`` in a storage.
    n_jobs : int, default=1
        Trials at the same time, in threads. For processes, start several on one storage.
    random_state : int, RandomState or None, default=None
        Of the sampler. Processes that share a study should have different ones, or None.
    refit : bool, default=True
        Whether to fit `best_estimator_` to all molecules.
    callbacks : sequence of callable, default=()
        Called with study and trial after each trial.
    guard : float or None, default=2.0
        The best trial is taken only if its gain over the untuned estimator is more than this
        number of standard errors; otherwise the untuned parameters are kept. The gain is the
        mean difference of their losses on the same held-out molecules, in two other sets of folds
        than the set that chose the trial. Without this comparison a search with few molecules
        takes parameters that suit only its folds. None always takes the best trial, and so does a
        scoring that is not a mean over molecules.

    Attributes
    ----------
    best_params_ : dict
        Of the best trial, or of the untuned estimator where `kept_untuned_`.
    best_score_ : float
        Of the best trial. The score is optimistic, because the trial was chosen as the best.
        Measure the model on molecules held out of `fit`.
    kept_untuned_ : bool
        Whether the gain of the best trial was too small, or the best trial failed in the other
        folds.
    gain_, gain_error_ : float
        Mean loss of the untuned estimator on held-out molecules, minus that of the best trial, and
        its standard error; debye, or its square with ``"rmse"``. NaN without a comparison.
    best_estimator_ : estimator
        Only with `refit`; `save_model` writes it.
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
    >>> from dipkit.search import DipoleSearchCV, default_space
    >>> search = DipoleSearchCV(space=default_space(), n_trials=60, storage="study.db")
    >>> search.fit(load_organics()).best_params_  # doctest: +SKIP
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        space: Space | None = None,
        *,
        grid: Mapping[str, Sequence[float]] | bool = True,
        n_trials: int = 60,
        timeout: float | None = None,
        cv: CV = 5,
        scoring: Scoring = "mae",
        sampler: BaseSampler | None = None,
        pruner: BasePruner | None = None,
        storage: Storage = None,
        study_name: str | None = None,
        n_jobs: int = 1,
        random_state: int | np.random.RandomState | None = None,
        refit: bool = True,
        callbacks: Sequence[study.Callback] = (),
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
        X: object,
        y: ArrayLike | None = None,
        groups: object = None,
        *,
        charges: ArrayLike | Sequence[ArrayLike] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Search, and fit the best model to all molecules.

        After Ctrl-C the best trial so far and its model are kept, with a warning.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms or path
        y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
            None takes the labels of the molecules.
        groups : array-like of shape (n_molecules,) or "formula", default=None
            Molecules of one group stay on one side of a fold; ``"formula"`` groups those of one
            sum formula.
        charges, sample_weight : array-like, default=None
            As in `DipoleKernelRidge.fit`. Molecules of weight 0 are never scored.

        Returns
        -------
        self
        """
        task = self._task(X, y, groups, charges, sample_weight)
        self._open(task)
        kept = BestSoFar(task, fits=self.refit)
        try:
            self._run(task, kept)
            self._store(task, study.best(self.study_))
            self._guard(task)
            if self.refit:
                same = kept.trial is not None and kept.params == self.best_params_
                self.best_estimator_ = kept.model if same else task.fit_all(self.best_params_)
        except KeyboardInterrupt:
            # The best so far is better than nothing, and there may be no time for more.
            if kept.trial is None:
                raise
            self._store(task, kept.trial)
            if self.refit:
                self.best_estimator_ = kept.model
            compares = self.guard is not None and is_mean(self.scoring)
            warn_interrupted(self.n_trials_, compares)
        return self

    def predict(self, X: object) -> FloatArray:
        """Predict with the best model: magnitudes (n_molecules,), debye."""
        check_is_fitted(self, "best_estimator_")
        predicted: FloatArray = self.best_estimator_.predict(X)
        return predicted

    def score(
        self, X: object, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Score the best model on molecules, by `scoring`.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms or path
        y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
            None takes the labels of the molecules, and leaves out those without.
        sample_weight : array-like of shape (n_molecules,), default=None
            Molecules of weight 0 are left out.
        """
        check_is_fitted(self, "best_estimator_")
        return score_model(self.scorer_, self.best_estimator_, X, y, sample_weight)

    # Steps of fit

    def _task(
        self,
        X: object,
        y: ArrayLike | None,
        groups: object,
        charges: ArrayLike | Sequence[ArrayLike] | None,
        sample_weight: ArrayLike | None,
    ) -> SearchTask:
        """Check parameters and data, and collect what trials need."""
        estimator = default_model() if self.estimator is None else clone(self.estimator)
        check_whole("n_trials", self.n_trials, least=1)
        check_jobs("n_jobs", self.n_jobs)
        if self.guard is not None:
            check_number("guard", self.guard, above=None)
        labels = _on_molecules(read_labels(as_molecules(X), y, charges, sample_weight))
        use_grid = self.grid is not False and can_grid(estimator, self.scoring)
        space = self.space
        if space is None:
            space = default_space(penalties=not use_grid, charges=labels.has_charges)
        check_space(space, estimator.get_params(deep=True))
        splits = Splits(self.cv, labels, groups)
        task = SearchTask(estimator, space, labels, splits, self.scoring)
        if use_grid:
            task.grid = self._grid(task)
        return task

    def _grid(self, task: SearchTask) -> Grid:
        charges, ridge = task.labels.has_charges, last_step(task.estimator)
        grid = default_grid(charges, *task.untuned_penalties(), has_discrepancy(ridge))
        if isinstance(self.grid, Mapping):
            grid = grid_with(self.grid, grid, charges)
        return grid

    def _open(self, task: SearchTask) -> None:
        """Open the study, and prepare its first trial if it is new."""
        pruner = self.pruner
        if pruner is None:
            pruner = default_pruner(folds_apart=task.grid is None)
        self.study_ = study.open_study(
            self.storage, self.study_name, self.sampler, pruner, identity_of(task)
        )
        if self.sampler is None:
            seed = None
            if self.random_state is not None:
                seed = int(check_random_state(self.random_state).randint(2**31))
            self.study_.sampler = default_sampler(seed, len(self.study_.trials))
        study.enqueue(self.study_, task.space, task.estimator.get_params(deep=True))

    def _run(self, task: SearchTask, kept: BestSoFar) -> None:
        """Run the trials, with a bar in a notebook."""
        if study.has_scores(self.study_):
            kept(self.study_, study.best(self.study_))  # of earlier runs
        with progress("trials of the search", self.n_trials, "notebook") as advance:
            callbacks: list[study.Callback] = [kept, *self.callbacks, lambda *_: advance()]
            study.run_trials(self.study_, task, self.n_trials, self.timeout, self.n_jobs, callbacks)

    def _store(self, task: SearchTask, best: FrozenTrial) -> None:
        """Store the results of the study, and one of its trials as the best, not compared yet."""
        trials = study.completed(self.study_)
        self.scorer_ = task.scorer
        self.n_splits_ = len(task.folds)
        self.n_trials_ = len(study.finished(self.study_))
        self.cv_results_ = cv_results(trials, task.params_of)
        self.best_index_ = [trial.number for trial in trials].index(best.number)
        self.best_score_ = study.score_of(best)
        self.best_params_ = task.params_of(best)
        self.gain_ = self.gain_error_ = np.nan
        self.kept_untuned_ = False

    def _guard(self, task: SearchTask) -> None:
        """Compare the best trial with the untuned estimator, which is kept if in doubt."""
        if self.guard is None or not is_mean(self.scoring):
            return
        gain = compare(task, self.best_params_, task.splits.others(GUARD_SETS))
        self.gain_, self.gain_error_ = gain.mean, gain.error
        self.kept_untuned_ = gain.compared and not gain.exceeds(self.guard)
        if self.kept_untuned_:
            untuned = task.estimator.get_params(deep=True)
            self.best_params_ = {name: untuned[name] for name in self.best_params_}

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        """Show the estimator and, after a fit, the best trials in a notebook."""
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle and hasattr(self, "cv_results_"):
            bundle["text/html"] += results_html(self.cv_results_, self.scoring)
        return bundle

    def __sklearn_tags__(self) -> Tags:
        """Declare that X is not an array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = False
        return tags


def _on_molecules(labels: FitLabels) -> FitLabels:
    """Put the dipole labels on the molecules, so that slices carry them."""
    target = labels.target
    molecules = labels.molecules.replace(
        dipole_magnitude=target.magnitudes, dipole_vector=target.vectors
    )
    return FitLabels(target, labels.charges, molecules)
