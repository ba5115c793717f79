"""What a model file may set: no cache, path, number of jobs, device or verbosity, no odd attribute.

These parameters belong to the machine, not to the model. A cache is read by pickle: a file that
named one would choose what is unpickled. Each class lists them as `_not_saved`; they have their
defaults in a file and after loading, whatever the file says. Here too: checks that the fitted
arrays of a loaded model fit together. Reading and writing are not here (`persistence.py`).
"""

from __future__ import annotations

import copy
import inspect
import math
import numbers as numbers_abc
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from ..descriptors.radial_tables import count_columns, count_compressed
from ..descriptors.scales import SOAPScale
from ..descriptors.soap import SOAPTransformer
from ..learning.kernels import EnvironmentKernel
from .predictor import DipolePredictor

__all__ = ["check_loaded", "without_machine"]

_OF_PIPELINES = ("memory", "verbose")
# Shapes of fitted arrays: M environments, E elements, S samples. Only the first two are in every
# model.
_SHAPES = {
    "dual_coef_": "M",
    "intercept_": "E",
    "atomic_dipole_coef_": "ME",
    "atomic_dipole_intercept_": "EE",
    "std_coef_": "MS",
    "std_intercept_": "ES",
    "std_dipole_coef_": "MES",
    "std_dipole_intercept_": "EES",
}
_ALWAYS = ("dual_coef_", "intercept_")
_NUMBERS = ("baseline_factor_", "std_novelty_", "std_ceiling_", "std_floor_", "std_cut_")


def without_machine(model: Any) -> Any:
    """Return a copy in which parameters of the machine have their defaults."""
    if not isinstance(model, BaseEstimator):
        return model
    other = copy.copy(model)
    if isinstance(model, Pipeline):
        other.steps = [(name, without_machine(step)) for name, step in model.steps]
        names: tuple[str, ...] = _OF_PIPELINES
    else:
        names = getattr(model, "_not_saved", ())
    defaults = inspect.signature(type(model).__init__).parameters
    for name, value in vars(model).items():
        if name in names:
            setattr(other, name, defaults[name].default)
        elif isinstance(value, BaseEstimator):
            setattr(other, name, without_machine(value))
    return other


def check_loaded(model: Any) -> None:
    """Refuse a model whose attributes are not those of a fitted one, or do not fit together.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    for step in steps:
        if isinstance(step, BaseEstimator) and type(step).__module__ == "dipkit":
            _check_names(step)
        if isinstance(step, SOAPTransformer):
            _check_transformer(step)
        if isinstance(step, DipolePredictor):
            _check_predictor(step)
    widths = [step.widths_ for step in steps if isinstance(step, SOAPTransformer)]
    for step in steps:
        if isinstance(step, DipolePredictor) and widths:
            # Those of a model with a baseline have columns for its charges as well.
            found = [array.shape[1] for array in step.inducing_features_]
            fits = len(found) == len(widths[0]) and np.all(np.subtract(found, widths[0]) >= 0)
            _require(fits, "descriptors of other widths than its transformer")


def _check_names(step: BaseEstimator) -> None:
    """Refuse other names: such an attribute could stand in for a method."""
    known = {*step.get_params(deep=False), "_sklearn_version"}
    odd = [name for name in vars(step) if name not in known and not _is_fitted_name(name)]
    _require(not odd, f"unknown attributes {odd[:3]}")


def _is_fitted_name(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _check_transformer(soap: SOAPTransformer) -> None:
    soap._check_parameters()
    species = _array(soap.species_, "species_", "iu")
    _require(species.ndim == 1 and 0 < len(species) < 120, "species_ of a wrong shape")
    for index, scale in enumerate(soap.scales_):
        scale.check(f"scale{index}")
    # The radial tables of a scale are made anew: their size is that of the arrays in the file.
    known = tuple(species.tolist())
    widths = [count_columns(scale, known, i) for i, scale in enumerate(soap.scales_)]
    if soap.channels_ is not None:
        _require(len(soap.channels_) == len(widths), "channels_ of another length")
        pairs = zip(soap.scales_, soap.channels_, strict=True)
        widths = [_check_channels(scale, len(species), part) for scale, part in pairs]
    _require(widths == list(soap.widths_), "widths_ that are not those of its scales")


def _check_channels(scale: SOAPScale, n_species: int, value: Any) -> int:
    """Count the columns of a scale with channels, after these were found to fit to the scale."""
    matrices = _array(value, "channels_", "f")
    _require(matrices.ndim == 4 and matrices.dtype == np.float64, "channels_ of a wrong shape")
    expected = n_species, scale.l_max + 1, matrices.shape[2], scale.n_max
    fits = matrices.shape == expected and 0 < matrices.shape[2] <= scale.n_max
    _require(fits, "channels_ of a wrong shape")
    return count_compressed(matrices)


def _check_predictor(ridge: DipolePredictor) -> None:
    numbers = _array(ridge.inducing_numbers_, "inducing_numbers_", "iu")
    elements = _array(ridge.elements_, "elements_", "iu")
    _require(numbers.ndim == elements.ndim == 1, "elements of a wrong shape")
    _require(bool(np.isin(numbers, elements).all()), "environments of elements it does not know")
    in_order = (np.diff(elements) > 0).all() and (np.diff(numbers) >= 0).all()
    _require(in_order, "elements that are not sorted")
    sizes = {"M": len(numbers), "E": len(elements)}
    for name, shape in _SHAPES.items():
        value = getattr(ridge, name, None)
        if value is not None or name in _ALWAYS:
            array = _array(value, name, "f")
            if "S" in shape:
                sizes.setdefault("S", array.shape[-1])
            expected = tuple(sizes[letter] for letter in shape)
            _require(array.shape == expected, f"{name} of shape {array.shape}, not {expected}")
    scales = _array(ridge.scale_weights_, "scale_weights_", "f")
    _require(scales.shape == (len(ridge.inducing_features_),), "scale_weights_ of another length")
    for scale in ridge.inducing_features_:
        rows = _array(scale, "inducing_features_", "f")
        _require(rows.ndim == 2 and len(rows) == len(numbers), "inducing_features_ of odd shape")
    counts = [int((numbers == element).sum()) for element in elements.tolist()]
    whitening = getattr(ridge, "std_whitening_", None)
    if whitening is not None:
        found = [len(_array(part, "std_whitening_", "f")) for part in whitening]
        _require(found == counts, "std_whitening_ of odd shape")
        _require(all(part.ndim == 2 for part in whitening), "std_whitening_ of odd shape")
    if getattr(ridge, "std_coef_", None) is not None and whitening is None:
        cut: Any = getattr(ridge, "std_cut_", None)
        _require(_is_number(cut) and 0 <= cut < 1, "std_cut_ that is no share")
    for name in _NUMBERS:
        value = getattr(ridge, name, None)
        _require(value is None or _is_number(value), f"{name} that is no number")
    _require(isinstance(ridge.kernel_, EnvironmentKernel), "something else for a kernel")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers_abc.Real) and math.isfinite(value)


def _array(value: Any, name: str, kinds: str) -> np.ndarray[Any, Any]:
    _require(isinstance(value, np.ndarray) and value.dtype.kind in kinds, f"{name} odd")
    _require(value.ndim > 0 and bool(np.isfinite(value).all()), f"{name} is not finite")
    found: np.ndarray[Any, Any] = value
    return found


def _require(condition: Any, otherwise: str) -> None:
    if not condition:
        raise ValueError(f"it has {otherwise}")
