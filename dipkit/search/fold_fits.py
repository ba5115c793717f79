"""Folds that are fitted separately, each as a joblib task, where a grid over folds cannot be used.

Symbols: N molecules; a fold is a pair of index arrays, molecules that train and molecules that are
held out. The parameters of trials, and their scores, are in `trial.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from ..data.molecules import Molecules
from ..estimator.regression import DipoleKernelRidge
from ..support import parallel
from .fold_labels import Fold
from .scoring import Scorer, score_model

__all__ = ["Score", "fit_folds", "fit_last", "signed_errors"]

FloatArray = NDArray[np.float64]
# Function of a model fitted to a fold, its held-out molecules and their weights.
Measure: TypeAlias = Callable[[BaseEstimator, Molecules, FloatArray], FloatArray]


def fit_folds(
    last: BaseEstimator,
    described: Molecules,
    weights: FloatArray,
    folds: list[Fold],
    measure: Measure,
) -> Iterator[FloatArray]:
    """Fit to the training part of each fold and measure on its held-out part.

    Parameters
    ----------
    last : estimator
        The last step of a pipeline; it is cloned.
    described : Molecules
    weights : ndarray of shape (n_molecules,)
        Sample weights.
    folds : list of (train, test)
    measure : callable
        Called with the fitted model, the held-out molecules and their weights.

    Yields
    ------
    ndarray
        Result of `measure` for each fold, in order.
    """
    task = joblib.delayed(_fit_fold)
    tasks = [task(last, described, weights, fold, measure) for fold in folds]
    yield from parallel.run(tasks, n_jobs=None, ordered=True)


def fit_last(last: BaseEstimator, described: Molecules, weights: FloatArray) -> BaseEstimator:
    """Fit a clone of the last step to all of some molecules."""
    # Labels are on the molecules; estimators of other packages need magnitudes.
    y = None if isinstance(last, DipoleKernelRidge) else described.dipole_magnitude
    keywords = {} if (weights == 1).all() else {"sample_weight": weights}
    return clone(last).fit(described, y, **keywords)


class Score:
    """Score a model on held-out molecules; a class, so that it can be sent to other processes.

    Parameters
    ----------
    scorer : callable
    """

    def __init__(self, scorer: Scorer):
        self.scorer = scorer

    def __call__(
        self, fitted: BaseEstimator, held_out: Molecules, weights: FloatArray
    ) -> FloatArray:
        """Return the score as an array of shape ()."""
        magnitudes = held_out.dipole_magnitude
        return np.array(score_model(self.scorer, fitted, held_out, magnitudes, weights))


def signed_errors(fitted: BaseEstimator, held_out: Molecules, _: FloatArray) -> FloatArray:
    """Errors |mu| - m (n_molecules,), debye."""
    errors: FloatArray = fitted.predict(held_out) - held_out.dipole_magnitude
    return errors


def _fit_fold(
    last: BaseEstimator,
    described: Molecules,
    weights: FloatArray,
    fold: Fold,
    measure: Measure,
) -> FloatArray:
    """Fit and measure one fold: a joblib task."""
    train, test = fold
    fitted = fit_last(last, described[train], weights[train])
    return measure(fitted, described[test], weights[test])
