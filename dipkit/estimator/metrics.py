"""Errors of predicted dipoles and charges, and scorers for scikit-learn's searches.

Symbols: N molecules, n atoms in all; magnitudes m (N,) and vectors mu (N, 3) in debye, charges q
(n,) in e. Lower is better, except for r2 and for the scorers, which return negative errors. A
figure that does not exist is None. Scores of a search are in `dipkit.search.scoring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import ase
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from ..data.io import as_molecules
from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.files import PathLike
from .pipeline import predict_all
from .predicted_molecules import Prediction

if TYPE_CHECKING:
    from .regression import DipoleKernelRidge

__all__ = [
    "SCORERS",
    "charge_errors",
    "compare",
    "error_report",
    "mae_scorer",
    "predicted_report",
    "rmse_scorer",
]

Report = dict[str, float | int | None]
FloatArray = NDArray[np.float64]

# A reference vector shorter than this, debye, has no direction worth comparing.
MIN_DIRECTED_DIPOLE = 0.1
MAGNITUDE_FIGURES = ("mae_debye", "rmse_debye", "median_debye", "p95_debye", "r2")


class Predictor(Protocol):
    """An estimator that is fitted and predicts magnitudes."""

    def predict(self, X: Molecules | Sequence[ase.Atoms], /) -> ArrayLike:
        """Predict magnitudes (n_molecules,), debye."""


def error_report(true: ArrayLike, predicted: ArrayLike) -> Report:
    """Compare magnitudes, or vectors, with their reference.

    Parameters
    ----------
    true, predicted : array-like of shape (n_molecules,) or (n_molecules, 3), debye
        With vectors, the first six figures compare their magnitudes.

    Returns
    -------
    dict
        ``n``, ``mae_debye``, ``rmse_debye``, ``median_debye``, ``p95_debye`` (median and 95th
        percentile of the absolute errors), ``r2``. With vectors also ``n_vectors``,
        ``vector_mae_debye`` (mean length of the difference), ``vector_angle_deg`` (median
        angle) and ``vector_reversed`` (share of angles above 90 degrees); the last two use the
        reference vectors of at least 0.1 debye.

    Raises
    ------
    InputError
        If the shapes differ or are of another kind, or a value is not finite.

    Examples
    --------
    >>> from dipkit.estimator.metrics import error_report
    >>> report = error_report([1.0, 2.0, 3.0], [1.0, 2.5, 2.0])
    >>> report["mae_debye"], report["median_debye"], round(report["r2"], 3)
    (0.5, 0.5, 0.375)
    """
    true, predicted = _pair(true, predicted, "n_molecules", (), (3,))
    if true.ndim == 1:
        return _magnitude_errors(true, predicted)
    magnitudes = _magnitudes(true), _magnitudes(predicted)
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
    magnitudes, found = (np.asarray(values, dtype=np.float64) for values in (true, predicted))
    if magnitudes.shape != found.shape:
        return error_report(magnitudes, found)  # raises an error that gives the reason
    done = ~np.isnan(found)
    if done.any():
        report = error_report(magnitudes[done], found[done])
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

    Raises
    ------
    InputError
        If the shapes differ or are of another kind, or a value is not finite.
    """
    true, predicted = _pair(true, predicted, "n_atoms", ())
    error = predicted - true
    return {
        "n_charges": len(error),
        "charge_mae_e": float(np.abs(error).mean()),
        "charge_rmse_e": float(np.sqrt(np.mean(error**2))),
    }


def compare(
    model: Pipeline | DipoleKernelRidge,
    molecules: Molecules | Sequence[ase.Atoms] | PathLike,
    prediction: Prediction | None = None,
) -> Report:
    """Compare the predictions of a model with all labels that molecules carry.

    Parameters
    ----------
    model : Pipeline or DipoleKernelRidge
        As in `predict_all`. Not used where there is a prediction.
    molecules : Molecules, list of ase.Atoms or path
        Each kind of label is compared for the molecules that have it.
    prediction : Prediction, default=None
        Result of `predict_all` for these molecules. None predicts them.

    Returns
    -------
    dict
        Figures of `error_report` and `charge_errors`, as far as there are labels.
        Labelled molecules that the model could not predict (NaN) are left out and counted as
        ``n_failed``.

    Raises
    ------
    InputError
        If no molecule carries a dipole label, if all predictions of labelled molecules failed, or
        if the prediction is that of other molecules.
    """
    molecules = as_molecules(molecules)
    known, directed, charged = _where_labelled(molecules)
    if prediction is None:
        prediction = predict_all(model, molecules)
    elif not np.array_equal(prediction.molecules.numbers, molecules.numbers):
        raise InputError(
            f"prediction: expected that of these {len(molecules)} molecules with "
            f"{molecules.n_atoms} atoms, got one of {len(prediction.molecules)} molecules with "
            f"{prediction.molecules.n_atoms} atoms, or of others. Give the result of predict_all "
            "for the same molecules."
        )
    done = ~np.isnan(prediction.magnitude)
    n_failed = int((known & ~done).sum())
    known, directed = known & done, directed & done
    charged &= done[molecules.molecule_index]
    if not known.any():
        raise InputError(
            "model: expected predictions of molecules that have a dipole label, got NaN for all "
            f"{n_failed}. Look at the warnings of the baseline."
        )
    report = error_report(molecules.dipole_magnitude[known], prediction.magnitude[known])
    if n_failed:
        report["n_failed"] = n_failed
    if directed.any():
        vectors = molecules.dipole_vector[directed], prediction.dipole[directed]
        report |= _vector_errors(*vectors)
    if charged.any():
        report |= charge_errors(molecules.charges[charged], prediction.charges[charged])
    return report


def mae_scorer(
    estimator: Predictor,
    X: Molecules | Sequence[ase.Atoms],
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the negative mean absolute error of the magnitudes, debye.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : Molecules or list of ase.Atoms
    y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
        Reference. None takes the labels of the molecules.
    sample_weight : array-like of shape (n_molecules,), default=None
        Weights of the mean; None gives all molecules the same weight.

    Returns
    -------
    float
        Higher is better. Molecules that the model could not predict (NaN) are left out.

    Raises
    ------
    InputError
        If there is no reference, or not one for each prediction.

    Examples
    --------
    ``cross_validate(model, molecules, scoring=mae_scorer)``, ``GridSearchCV(..., scoring=SCORERS,
    refit="neg_mae_debye")``
    """
    errors, weights = _signed_errors(estimator, X, y, sample_weight)
    return -float(np.average(np.abs(errors), weights=weights))


def rmse_scorer(
    estimator: Predictor,
    X: Molecules | Sequence[ase.Atoms],
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the negative root mean square error of the magnitudes, debye; see `mae_scorer`."""
    errors, weights = _signed_errors(estimator, X, y, sample_weight)
    return -float(np.sqrt(np.average(errors**2, weights=weights)))


# For ``scoring=`` of scikit-learn with several scorers, each under its name.
SCORERS = {"neg_mae_debye": mae_scorer, "neg_rmse_debye": rmse_scorer}


def _signed_errors(
    estimator: Predictor,
    X: Molecules | Sequence[ase.Atoms],
    y: ArrayLike | None,
    sample_weight: ArrayLike | None,
) -> tuple[FloatArray, FloatArray]:
    """Errors of the molecules that have a label and a prediction, debye, and their weights."""
    known: NDArray[np.bool_] | slice = slice(None)
    if y is None:
        molecules = as_molecules(X)
        known, *_ = _where_labelled(molecules)
        true, X = molecules.dipole_magnitude[known], molecules[known]
    else:
        true = _finite("y", y)
        true = _magnitudes(true) if true.ndim == 2 else true
    predicted = np.asarray(estimator.predict(X), dtype=np.float64)
    if true.shape != predicted.shape or true.ndim != 1:
        raise InputError(
            "y: expected one magnitude or vector for each of the predictions of shape "
            f"{predicted.shape}, got {true.shape}."
        )
    errors = predicted - true
    weights = np.ones(len(errors))
    if sample_weight is not None:
        weights = _finite("sample_weight", sample_weight)[known]
    weights = np.where(np.isnan(errors), 0.0, weights)
    if not weights.any():
        raise InputError("sample_weight: no molecule that can be predicted has a weight above 0.")
    return np.nan_to_num(errors), weights


def _where_labelled(
    molecules: Molecules,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Molecules with a magnitude, molecules with a vector, atoms with a charge."""
    known = molecules.has_magnitude
    if not known.any():
        raise missing_labels_error("dipole", molecules.source_keys, molecules.notes.numeric_keys)
    return known, molecules.has_vector, molecules.has_charges[molecules.molecule_index]


def _magnitude_errors(true: FloatArray, predicted: FloatArray) -> Report:
    error = np.abs(predicted - true)
    deviation = float(np.sum((true - true.mean()) ** 2))
    return {
        "n": len(true),
        "mae_debye": float(error.mean()),
        "rmse_debye": float(np.sqrt(np.mean(error**2))),
        "median_debye": float(np.median(error)),
        "p95_debye": float(np.percentile(error, 95)),
        "r2": 1.0 - float(np.sum(error**2)) / deviation if deviation > 0 else None,
    }


def _vector_errors(true: FloatArray, predicted: FloatArray) -> Report:
    long = np.linalg.norm(true, axis=1) >= MIN_DIRECTED_DIPOLE
    angles = vector_angles(true[long], predicted[long])
    return {
        "n_vectors": len(true),
        "vector_mae_debye": float(np.linalg.norm(predicted - true, axis=1).mean()),
        "vector_angle_deg": float(np.median(angles)) if len(angles) else None,
        "vector_reversed": float(np.mean(angles > 90.0)) if len(angles) else None,
    }


def vector_angles(a: FloatArray, b: FloatArray) -> FloatArray:
    """Angles between rows, degrees; exact near 0 and 180, where arccos is not."""
    sine = np.linalg.norm(np.cross(a, b), axis=1)
    return np.degrees(np.arctan2(sine, np.einsum("ij,ij->i", a, b)))


def _magnitudes(vectors: FloatArray) -> FloatArray:
    magnitudes: FloatArray = np.linalg.norm(vectors, axis=1)
    return magnitudes


def _pair(
    true: ArrayLike, predicted: ArrayLike, length: str, *tails: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Check that both have one shape, that of a length followed by one of the tails."""
    true, predicted = _finite("true", true), _finite("predicted", predicted)
    if true.shape != predicted.shape or true.shape[1:] not in tails or not true.size:
        shapes = " or ".join(f"({length}, 3)" if tail else f"({length},)" for tail in tails)
        raise InputError(
            f"true, predicted: expected equal shapes {shapes}, not empty, got {true.shape} and "
            f"{predicted.shape}. Give one value for each."
        )
    return true, predicted


def _finite(name: str, values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{name}: expected finite numbers, got NaN or infinity. Leave them out.")
    return array
