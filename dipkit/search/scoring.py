"""Scores of held-out molecules, by name or by a scorer of scikit-learn, with sample weights.

Symbols: errors e_A = |mu_A| - m_A in debye, sample weights s_A. Higher scores are better: the score
"mae" is minus sum_A s_A |e_A| / sum_A s_A. Errors of a final model are in
`dipkit.estimator.metrics`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring

from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..estimator.metrics import mae_scorer, rmse_scorer
from ..exceptions import InputError
from ..support.validation import real_array
from .ridge_parameters import follows_one_start, last_step

__all__ = ["LOSSES", "Scoring", "can_grid", "make_scorer", "score_errors", "score_model"]

FloatArray = NDArray[np.float64]
Scorer: TypeAlias = Callable[..., float]
Scoring: TypeAlias = str | Scorer

SCORERS: dict[str, Scorer] = {"mae": mae_scorer, "rmse": rmse_scorer}
# Loss of each molecule, whose mean makes the score.
LOSSES: dict[str, Callable[[FloatArray], FloatArray]] = {"mae": np.abs, "rmse": np.square}


def can_grid(estimator: BaseEstimator, scoring: Scoring) -> bool:
    """Whether a grid over folds gives the same scores as fits of this estimator."""
    return follows_one_start(last_step(estimator)) and is_mean(scoring)


def is_mean(scoring: Scoring) -> bool:
    """Whether the score is made of a mean over molecules."""
    return isinstance(scoring, str) and scoring in LOSSES


def make_scorer(scoring: Scoring, estimator: BaseEstimator) -> Scorer:
    """Return the scorer of a name, or the scorer that scikit-learn makes of `scoring`.

    Raises
    ------
    InputError
        If scikit-learn does not know it either.
    """
    if isinstance(scoring, str) and scoring in SCORERS:
        return SCORERS[scoring]
    try:
        scorer: Scorer = check_scoring(estimator, scoring=scoring)
    except ValueError as error:
        raise InputError(f"scoring: {' '.join(str(error).split())[:200]}") from error
    return scorer


def score_errors(scoring: str, errors: FloatArray, weights: FloatArray) -> FloatArray:
    """Scores (...) of errors (..., n_molecules), debye, with sample weights (n_molecules,)."""
    mean: FloatArray = np.average(LOSSES[scoring](errors), axis=-1, weights=weights)
    return -np.sqrt(mean) if scoring == "rmse" else -mean


def score_model(
    scorer: Scorer,
    model: BaseEstimator,
    X: object,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None,
) -> float:
    """Score a fitted model.

    Parameters
    ----------
    scorer : callable
    model : estimator
    X : Molecules, list of ase.Atoms or path
    y : array-like of shape (n_molecules,) or None
    sample_weight : array-like of shape (n_molecules,) or None
        Given to the scorer if weights differ and it takes ``sample_weight``. Molecules of weight 0
        are left out in any case.
    """
    if sample_weight is None:
        return float(scorer(model, X, y))
    molecules = as_molecules(X)
    weights = _checked(sample_weight, len(molecules))
    if y is not None:
        y = real_array("y", y, "debye")
    else:
        weights = np.where(molecules.has_magnitude, weights, 0.0)
    return _score_some(scorer, model, molecules, y, weights)


def _score_some(
    scorer: Scorer,
    model: BaseEstimator,
    molecules: Molecules,
    y: NDArray[np.generic] | None,
    weights: FloatArray,
) -> float:
    """Score the molecules of positive weight."""
    some = np.flatnonzero(weights > 0)
    if not len(some):
        raise InputError("sample_weight: every molecule with a dipole label has weight 0.")
    if len(some) < len(molecules):
        molecules, weights, y = molecules[some], weights[some], None if y is None else y[some]
    keywords = {}
    if np.ptp(weights) > 0 and _takes_weights(scorer):
        keywords["sample_weight"] = weights
    return float(scorer(model, molecules, y, **keywords))


def _checked(sample_weight: ArrayLike, n: int) -> FloatArray:
    weights = real_array("sample_weight", sample_weight, bools=True)
    if weights.shape != (n,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError(
            f"sample_weight: expected {n} finite numbers >= 0, one for each molecule, got "
            f"{weights!r:.80}."
        )
    return weights


def _takes_weights(scorer: Scorer) -> bool:
    parameters = inspect.signature(scorer).parameters
    return "sample_weight" in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )
