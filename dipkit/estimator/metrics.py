"""Errors of predicted dipoles and charges, and scorers for scikit-learn's searches.

Symbols: N molecules, n atoms in all; magnitudes m (N,) and vectors mu (N, 3) in debye, charges q
(n,) in e. Lower is better everywhere but in r2 and in the scorers, whose sign is turned round.
A figure that does not exist (r2 of one molecule) is None, so that every report is valid JSON.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.io import as_molecules
from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..exceptions import InputError
from .pipeline import Prediction, predict_all

__all__ = [
    "SCORERS",
    "charge_errors",
    "error_report",
    "evaluate",
    "mae_scorer",
    "predicted_report",
    "rmse_scorer",
]

Report = dict[str, float | int | None]
FloatArray = NDArray[np.float64]

# A reference vector shorter than this, debye, has no direction worth comparing.
MIN_DIRECTED_DIPOLE = 0.1
MAGNITUDE_FIGURES = ("mae_debye", "rmse_debye", "median_debye", "p95_debye", "r2")


def error_report(true: ArrayLike, predicted: ArrayLike) -> Report:
    """Compare magnitudes, or vectors, with their reference.

    Parameters
    ----------
    true, predicted : array-like of shape (n_molecules,) or (n_molecules, 3), debye
        Of vectors, the first five figures compare the magnitudes.

    Returns
    -------
    dict
        ``n``, ``mae_debye``, ``rmse_debye``, ``median_debye``, ``p95_debye`` (median and 95th
        percentile of the absolute errors), ``r2``. Of vectors also ``n_vectors``,
        ``vector_mae_debye`` (mean length of the difference), ``vector_angle_deg`` (median
        angle) and ``vector_reversed`` (share of angles above 90 degrees); the last two over the
        reference vectors of at least 0.1 debye.

    Examples
    --------
    >>> from dipkit.estimator.metrics import error_report
    >>> report = error_report([1.0, 2.0, 3.0], [1.0, 2.5, 2.0])
    >>> report["mae_debye"], report["median_debye"], round(report["r2"], 3)
    (0.5, 0.5, 0.375)
    """
    true, predicted = _checked("true", true), _checked("predicted", predicted)
    if true.shape != predicted.shape or true.shape[1:] not in ((), (3,)) or not len(true):
        raise InputError(
            "true, predicted: expected equal shapes (n_molecules,) or (n_molecules, 3), got "
            f"{true.shape} and {predicted.shape}."
        )
    if true.ndim == 1:
        return _magnitude_errors(true, predicted)
    magnitudes = (np.linalg.norm(vectors, axis=1) for vectors in (true, predicted))
    return _magnitude_errors(*magnitudes) | _vector_errors(true, predicted)


def predicted_report(true: ArrayLike, predicted: ArrayLike) -> Report:
    """Compare magnitudes where there is a prediction, and count the others.

    Parameters
    ----------
    true : array-like of shape (n_molecules,), debye
    predicted : array-like of shape (n_molecules,), debye
        NaN where the model could not predict.

    Returns
    -------
    dict
        Figures of `error_report`, all None where nothing was predicted; ``n_failed`` where some
        molecules were not.
    """
    true, predicted = _checked("true", true), np.asarray(predicted, dtype=np.float64)
    done = ~np.isnan(predicted)
    if done.any():
        report = error_report(true[done], predicted[done])
    else:
        report = {"n": 0} | dict.fromkeys(MAGNITUDE_FIGURES)
    if not done.all():
        report["n_failed"] = int((~done).sum())
    return report


def charge_errors(true: ArrayLike, predicted: ArrayLike) -> Report:
    """Compare charges with reference charges.

    Parameters
    ----------
    true, predicted : array-like of shape (n_atoms,), e

    Returns
    -------
    dict
        ``n_charges``, ``charge_mae_e``, ``charge_rmse_e``.
    """
    error = _checked("predicted", predicted) - _checked("true", true)
    return {
        "n_charges": len(error),
        "charge_mae_e": float(np.abs(error).mean()),
        "charge_rmse_e": float(np.sqrt(np.mean(error**2))),
    }


def evaluate(model: Any, molecules: Any, prediction: Prediction | None = None) -> Report:
    """Compare the predictions of a model with all labels that molecules carry.

    Parameters
    ----------
    model : Pipeline
        Fitted, from geometries to magnitudes.
    molecules : Molecules, list of ase.Atoms or path
        Molecules without a magnitude are left out of it, and so on for each kind of label.
    prediction : Prediction, default=None
        What `predict_all` gave for these molecules, where it is at hand.

    Returns
    -------
    dict
        Figures of `error_report`, of vectors where there are any, and of `charge_errors`.
        Labelled molecules that the model could not predict (NaN) are left out and counted as
        ``n_failed``.

    Raises
    ------
    InputError
        If no molecule carries a dipole label.
    """
    molecules = as_molecules(molecules)
    known, directed, charged = _where_labelled(molecules)
    if prediction is None:
        prediction = predict_all(model, molecules)
    done = ~np.isnan(prediction.magnitude)
    n_failed = int((known & ~done).sum())
    known, directed = known & done, directed & done
    charged &= done[molecules.molecule_index]
    if not known.any():
        raise InputError("model: it predicts none of the molecules that have a dipole label.")
    report = error_report(molecules.dipole_magnitude[known], prediction.magnitude[known])
    if n_failed:
        report["n_failed"] = n_failed
    if directed.any():
        vectors = molecules.dipole_vector[directed], prediction.dipole[directed]
        report |= _vector_errors(*vectors)
    if charged.any():
        report |= charge_errors(molecules.charges[charged], prediction.charges[charged])
    return report


def mae_scorer(estimator: Any, X: Any, y: ArrayLike | None = None) -> float:
    """Score by the mean absolute error of the magnitudes, negative, debye.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : Molecules or list of ase.Atoms
    y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
        Reference; None takes the labels that ride on the molecules.

    Notes
    -----
    Molecules that the model could not predict (NaN) are left out.

    Examples
    --------
    ``cross_validate(model, molecules, scoring=mae_scorer)``, ``GridSearchCV(..., scoring=SCORERS,
    refit="neg_mae_debye")``
    """
    true, predicted = _reference_and_prediction(estimator, X, y)
    return -float(np.nanmean(np.abs(predicted - true)))


def rmse_scorer(estimator: Any, X: Any, y: ArrayLike | None = None) -> float:
    """Score by the root mean square error of the magnitudes, negative, debye; see `mae_scorer`."""
    true, predicted = _reference_and_prediction(estimator, X, y)
    return -float(np.sqrt(np.nanmean((predicted - true) ** 2)))


# For ``scoring=`` of scikit-learn where several figures are wanted, each under its name.
SCORERS = {"neg_mae_debye": mae_scorer, "neg_rmse_debye": rmse_scorer}


def _reference_and_prediction(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
) -> tuple[FloatArray, FloatArray]:
    if y is None:
        molecules = as_molecules(X)
        known, *_ = _where_labelled(molecules)
        true, X = molecules.dipole_magnitude[known], molecules[known]
    else:
        true = _checked("y", y)
        true = np.linalg.norm(true, axis=1) if true.ndim == 2 else true
    return true, np.asarray(estimator.predict(X), dtype=np.float64)


def _where_labelled(
    molecules: Molecules,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Molecules with a magnitude, molecules with a vector, atoms with a charge."""
    known = molecules.has_magnitude
    if not known.any():
        raise missing_labels_error("dipole", molecules.source_keys)
    return known, molecules.has_vector, molecules.has_charges[molecules.molecule_index]


def _magnitude_errors(true: FloatArray, predicted: FloatArray) -> Report:
    error = np.abs(predicted - true)
    spread = float(np.sum((true - true.mean()) ** 2))
    return {
        "n": len(true),
        "mae_debye": float(error.mean()),
        "rmse_debye": float(np.sqrt(np.mean(error**2))),
        "median_debye": float(np.median(error)),
        "p95_debye": float(np.percentile(error, 95)),
        "r2": 1.0 - float(np.sum(error**2)) / spread if spread > 0 else None,
    }


def _vector_errors(true: FloatArray, predicted: FloatArray) -> Report:
    long = np.linalg.norm(true, axis=1) >= MIN_DIRECTED_DIPOLE
    angles = _angles(true[long], predicted[long])
    return {
        "n_vectors": len(true),
        "vector_mae_debye": float(np.linalg.norm(predicted - true, axis=1).mean()),
        "vector_angle_deg": float(np.median(angles)) if len(angles) else None,
        "vector_reversed": float(np.mean(angles > 90.0)) if len(angles) else None,
    }


def _angles(a: FloatArray, b: FloatArray) -> FloatArray:
    """Angles between rows, degrees; exact near 0 and 180, where arccos is not."""
    sine = np.linalg.norm(np.cross(a, b), axis=1)
    return np.degrees(np.arctan2(sine, np.einsum("ij,ij->i", a, b)))


def _checked(name: str, values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{name}: expected finite numbers, got NaN or infinity. Leave them out.")
    return array
