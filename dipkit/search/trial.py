"""Computation of one trial of a search: descriptors, folds, scores.

Symbols: N molecules, k folds, a grid of n_alphas x n_weights; higher scores are better. How trials
are run, kept and resumed is in `study.py`; how molecules are split is in `splits.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from ..data.molecules import Molecules
from ..estimator.auxiliary import AuxiliaryDipoles, gfn2_dipoles
from ..estimator.baseline import Baseline, GFN2Baseline
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import DipkitError, InputError
from ..learning.labels import FitLabels
from .descriptor_cache import DescriptorCache
from .fold_fits import Score, fit_folds, fit_last, signed_errors
from .fold_grid import FoldGrid
from .fold_labels import Fold
from .grid import Grid
from .optuna_objects import report
from .ridge_parameters import (
    ALPHA,
    CHARGE_DISCREPANCY,
    CHARGE_WEIGHT,
    auxiliary_of,
    baseline_of,
    has_discrepancy,
    last_step,
    last_step_prefix,
    untuned_penalties,
    with_given_auxiliary,
    with_given_baseline,
)
from .scoring import Scorer, Scoring, make_scorer, score_errors
from .space import Params, Space, check_names, draw, drawn
from .splits import Splits, scorable
from .study import REASON, TrialFailure

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

__all__ = ["FAILURES", "SearchTask"]

FloatArray = NDArray[np.float64]

# Errors caused by a trial's parameters: they are recorded with their reason, and the study goes on.
FAILURES = (DipkitError, ArithmeticError, np.linalg.LinAlgError, ValueError, MemoryError)


class SearchTask:
    """The function that a study maximises, from a trial to its score.

    Parameters
    ----------
    estimator : estimator
        Never changed.
    space : dict or callable
    labels : FitLabels
        Its molecules carry the dipole labels.
    splits : Splits
    scoring : str or callable

    Attributes
    ----------
    grid : dict or None
        Values of alpha and charge weight; None fits every fold separately.
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        space: Space,
        labels: FitLabels,
        splits: Splits,
        scoring: Scoring,
    ):
        self.estimator, self.space, self.labels = estimator, space, labels
        self.splits, self.folds, self.scoring = splits, splits.folds, scoring
        self.grid: Grid | None = None
        self.scorer: Scorer = make_scorer(scoring, estimator)
        self.names = set(estimator.get_params(deep=True))
        self.prefix = last_step_prefix(estimator)
        self.descriptors = DescriptorCache(labels.molecules)
        self._calculated: Molecules | None = None
        self._lock = threading.Lock()

    def __call__(self, trial: Trial) -> float:
        """Score a trial; scores of the folds go to the pruner and into its attributes."""
        params = draw(self.space, trial)
        check_names(params, self.names)
        start, splits = time.perf_counter(), []
        try:
            for fold, scores in enumerate(self._fold_scores(params)):
                splits.append(scores)
                means = np.mean(splits, axis=0)
                if np.isnan(means).all():
                    raise FloatingPointError(f"no finite score in fold {fold}")
                report(trial, float(np.nanmax(means)), fold)
        except FAILURES as error:
            reason = f"{type(error).__name__}: {error}"
            trial.set_user_attr(REASON, reason)
            raise TrialFailure(reason) from error
        best = np.unravel_index(np.nanargmax(means), means.shape)
        trial.set_user_attr("splits", [float(scores[best]) for scores in splits])
        trial.set_user_attr("seconds", time.perf_counter() - start)
        if self.grid is not None:
            self._record_grid(trial, params, means, best)
        return float(means[best])

    def params_of(self, trial: FrozenTrial) -> Params:
        """Parameters of a finished trial, those of its best grid point included."""
        return drawn(self.space, trial) | dict(trial.user_attrs.get("grid_params", {}))

    def held_out_errors(
        self, params: Params, folds: list[Fold]
    ) -> tuple[list[NDArray[np.intp]], list[FloatArray]]:
        """Errors |mu| - m of the molecules held out of each fold, with these parameters alone.

        Parameters
        ----------
        params : mapping
            In place of those of the untuned estimator.
        folds : list of (train, test)

        Returns
        -------
        scored : list of ndarray of int
            Molecules of each fold that have a label, and a baseline where the model needs one.
        errors : list of ndarray, debye
            NaN where a molecule cannot be predicted.
        """
        _, described, last = self.prepare(params)
        if self.grid is None:
            weights = self.labels.target.weights
            some = scorable(last, described, folds)
            errors = list(fit_folds(last, described, weights, some, signed_errors))
            return [test for _, test in some], errors
        labels = FitLabels(self.labels.target, self.labels.charges, described)
        alpha, charge_weight = untuned_penalties(last, labels)
        problem = FoldGrid(labels, last, folds, [alpha], [charge_weight])
        return problem.scored(), [errors.ravel() for errors in problem.held_out_errors()]

    def untuned_penalties(self) -> tuple[float, float]:
        """Alpha and charge weight of the untuned estimator."""
        molecules, last = self._with_calculated(self.labels.molecules, last_step(self.estimator))
        labels = FitLabels(self.labels.target, self.labels.charges, molecules)
        return untuned_penalties(last, labels)

    def fit_all(self, params: Params) -> BaseEstimator:
        """Fit the estimator with these parameters to all molecules."""
        head, described, last = self._described(params)
        fitted = fit_last(last, described, self.labels.target.weights)
        if head is None:
            return fitted
        return Pipeline([*head.steps, (self.estimator.steps[-1][0], fitted)])

    def prepare(self, params: Params) -> tuple[Pipeline | None, Molecules, BaseEstimator]:
        """Set parameters and run all steps before the last one.

        Returns
        -------
        head : Pipeline or None
            The steps before the last one, fitted.
        described : Molecules
            All molecules, with descriptors, and with a baseline where one is calculated: this is
            done once for all trials.
        last : estimator
            The last step, to be fitted to them.
        """
        head, described, last = self._described(params)
        return head, *self._with_calculated(described, last)

    def _described(self, params: Params) -> tuple[Pipeline | None, Molecules, BaseEstimator]:
        model = clone(self.estimator).set_params(**params)
        if not isinstance(model, Pipeline):
            return None, self.labels.molecules, model
        head, described = self.descriptors.describe(model[:-1])
        return head, described, model[-1]

    def _with_calculated(
        self, molecules: Molecules, last: BaseEstimator
    ) -> tuple[Molecules, BaseEstimator]:
        """Calculate a baseline or auxiliary dipoles by GFN2-xTB, once for all trials."""
        baseline, auxiliary = baseline_of(last), auxiliary_of(last)
        by_gfn2 = auxiliary is not None and auxiliary.source == "gfn2"
        if not isinstance(baseline, GFN2Baseline) and not by_gfn2:
            return molecules, last
        assert isinstance(last, DipoleKernelRidge)
        with self._lock:
            if self._calculated is None:
                self._calculated = self._calculate(baseline, auxiliary, last.n_jobs)
        names = ("baseline_dipole", "baseline_charges", "descriptor_charges")
        given = molecules.replace(**{name: getattr(self._calculated, name) for name in names})
        return given, with_given_auxiliary(last) if by_gfn2 else with_given_baseline(last)

    def _calculate(
        self,
        baseline: Baseline | None,
        auxiliary: AuxiliaryDipoles | None,
        n_jobs: int | None,
    ) -> Molecules:
        """Return the molecules with the results of GFN2-xTB."""
        molecules = self.labels.molecules
        if isinstance(baseline, GFN2Baseline):
            return baseline.attach(molecules, n_jobs)
        assert auxiliary is not None
        return molecules.replace(baseline_dipole=gfn2_dipoles(molecules, n_jobs, auxiliary.memory))

    def _fold_scores(self, params: Params) -> Iterator[FloatArray]:
        """Yield the scores of each fold, of shape (n_alphas, n_weights) or ()."""
        _, described, last = self.prepare(params)
        weights = self.labels.target.weights
        if self.grid is None:
            folds = scorable(last, described, self.folds)
            yield from fit_folds(last, described, weights, folds, Score(self.scorer))
            return
        assert isinstance(self.scoring, str)
        labels = FitLabels(self.labels.target, self.labels.charges, described)
        problem = FoldGrid(labels, last, self.folds, *self._grid_values(params))
        scored = problem.scored()
        for fold, errors in enumerate(problem.held_out_errors()):
            if not errors.shape[-1]:
                raise InputError(f"cv: no molecule held out of fold {fold} can be scored.")
            yield score_errors(self.scoring, errors, weights[scored[fold]])

    def _grid_values(self, params: Params) -> tuple[Sequence[float], Sequence[float]]:
        """Values of alpha and lambda; what the space draws is not on the grid."""
        assert self.grid is not None
        alphas, weights = (
            [params[self.prefix + name]] if self.prefix + name in params else self.grid[name]
            for name in (ALPHA, CHARGE_WEIGHT)
        )
        return alphas, weights

    def _record_grid(
        self,
        trial: Trial,
        params: Params,
        means: FloatArray,
        best: Sequence[np.intp],
    ) -> None:
        alphas, weights = self._grid_values(params)
        point = {ALPHA: float(alphas[int(best[0])]), CHARGE_WEIGHT: float(weights[int(best[1])])}
        values: Params = dict(point)
        last = last_step(clone(self.estimator).set_params(**params))
        if not point[CHARGE_WEIGHT] and has_discrepancy(last):
            # A discrepancy of charges without weight has no effect, and a model refuses it.
            values[CHARGE_DISCREPANCY] = None
        trial.set_user_attr("grid_params", {self.prefix + k: v for k, v in values.items()})
        curve = {ALPHA: list(alphas), CHARGE_WEIGHT: list(weights), "score": means.tolist()}
        trial.set_user_attr("grid", curve)
