"""Identity of a study: short digests of everything that its scores depend on.

A study that is resumed must have the same data, folds, estimator, space, grid and scoring;
otherwise its trials could not be compared. Where and how fast scores are computed does not count.
Functions are identified by module and name: a change of the code of a function is not noticed. The
comparison with a stored study is in `study.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from ..learning.labels import FitLabels
from .optuna_objects import text_of
from .ridge_parameters import WITHOUT_EFFECT

if TYPE_CHECKING:
    from .trial import SearchTask

__all__ = ["identity_of"]


def identity_of(task: SearchTask) -> dict[str, str]:
    """Return a digest of each thing that the scores of a search depend on.

    Parameters
    ----------
    task : SearchTask

    Returns
    -------
    dict
        By the names that error messages use; the same in every process.
    """
    parts = {
        "space": _of_space(task.space),
        "grid": task.grid,
        "scoring": task.scoring if isinstance(task.scoring, str) else _of_value(task.scoring),
        "estimator": _of_estimator(task.estimator),
        "cv": joblib.hash(task.folds),
        "data": _of_data(task.labels),
    }
    return {name: _digest(part) for name, part in parts.items()}


def _of_space(space: object) -> object:
    if not isinstance(space, Mapping):
        return {"callable": _of_value(space)}
    return {name: text_of(space[name]) for name in sorted(space)}


def _of_estimator(estimator: BaseEstimator) -> dict[str, str]:
    """Parameters by name, those of nested objects under their own names."""
    return {
        name: type(value).__qualname__ if hasattr(value, "get_params") else _of_value(value)
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] not in WITHOUT_EFFECT
    } | {"": type(estimator).__qualname__}


def _of_data(labels: FitLabels) -> dict[str, str]:
    """All arrays of the molecules except names, and the given weights and descriptors."""
    m, target = labels.molecules, labels.target
    arrays = {
        "numbers": m.numbers,
        "positions": m.positions,
        "offsets": m.offsets,
        "total_charge": m.total_charge,
        "magnitudes": target.magnitudes,
        "vectors": target.vectors,
        "charges": labels.charges,
        "quadrupole": m.quadrupole,
        "baseline_dipole": m.baseline_dipole,
        "baseline_charges": m.baseline_charges,
        "descriptor_charges": m.descriptor_charges,
        "sample_weight": target.weights,
    }
    found = {
        name: joblib.hash(None if array is None else np.ascontiguousarray(array))
        for name, array in arrays.items()
    }
    return found | {"features": _of_value(m.features)}


def _of_value(value: object) -> str:
    """Digest of a parameter's value, equal in every process for equal values."""
    name = getattr(value, "__qualname__", None)
    if callable(value) and name is not None:  # a function or a class
        return f"{value.__module__}.{name}"
    try:
        return str(joblib.hash(value))
    except Exception:  # the value cannot be pickled
        return repr(value)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 60 else hashlib.sha256(text.encode()).hexdigest()[:16]
