"""The guard: compares the best trial with the untuned estimator.

Both are measured on the same held-out molecules, in folds other than those that chose the trial.
Symbols: loss l_A of a held-out molecule, |e_A| or e_A^2, a mean over the folds that hold it out;
sample weights s_A; gain g_A = l_A(untuned) - l_A(tuned).

    gain = sum_A s_A g_A / S,    S = sum_A s_A
    error^2 = n / (n - 1) sum_A s_A^2 (g_A - gain)^2 / S^2

which is the usual standard error of a mean where weights are equal.

The decision is made in `search_cv.py`, other folds come from `splits.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fold_labels import Fold
from .scoring import LOSSES, is_mean
from .space import Params
from .trial import FAILURES, SearchTask

__all__ = ["Gain", "compare"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """Mean loss of the untuned estimator minus that of the best trial.

    Parameters
    ----------
    mean, error : float
        The gain and its standard error; debye, or debye^2 for "rmse". NaN without a comparison.
    compared : bool
        Whether the two were compared.
    """

    mean: float
    error: float
    compared: bool

    def exceeds(self, guard: float) -> bool:
        """Whether the gain is more than this number of standard errors."""
        return self.mean > guard * self.error


NOTHING = Gain(np.nan, np.nan, compared=False)


def compare(task: SearchTask, params: Params, fold_sets: Sequence[list[Fold]]) -> Gain:
    """Measure the gain of parameters over those of the untuned estimator.

    Parameters
    ----------
    task : SearchTask
    params : mapping
        Of the best trial.
    fold_sets : sequence of lists of folds
        Each molecule's loss is averaged over them.

    Returns
    -------
    Gain
        Molecules that the untuned estimator cannot predict do not count. Nothing is compared where
        the scoring is not a mean over molecules, or where the untuned estimator fails. The gain is
        NaN, which exceeds no limit, where the parameters fail in these folds.
    """
    if not is_mean(task.scoring) or not fold_sets:
        return NOTHING
    folds = [fold for fold_set in fold_sets for fold in fold_set]
    try:
        untuned = _losses(task, {}, folds)
    except FAILURES:
        return NOTHING
    predicted = ~np.isnan(untuned)
    if predicted.sum() < 2:
        return NOTHING
    try:
        gains = (untuned - _losses(task, params, folds))[predicted]
    except FAILURES:
        return Gain(np.nan, np.nan, compared=True)
    return _weighted(gains, task.labels.target.weights[predicted])


def _weighted(gains: FloatArray, weights: FloatArray) -> Gain:
    share = weights / weights.sum()
    mean = float(share @ gains)
    n = len(gains)
    error = float(np.sqrt(n / (n - 1) * (share**2 @ (gains - mean) ** 2)))
    return Gain(mean, error, compared=True)


def _losses(task: SearchTask, params: Params, folds: list[Fold]) -> FloatArray:
    """Mean loss of each molecule (n_molecules,) over the folds that hold it out, else NaN."""
    assert isinstance(task.scoring, str)
    scored, errors = task.held_out_errors(params, folds)
    total, count = np.zeros((2, len(task.labels.molecules)))
    for molecules, of_fold in zip(scored, errors, strict=True):
        total[molecules] += LOSSES[task.scoring](of_fold)
        count[molecules] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
