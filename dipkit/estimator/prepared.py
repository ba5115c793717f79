"""Environments of a fitted model in the form that predictions need, kept between predictions.

Files and fitted models hold float32, predictions need float64 at the scales that matter, in Fortran
order. For one molecule the conversion takes longer than all the rest, and molecular dynamics
predicts one molecule at a time. Symbols: M_e environments of an element, d_s columns at scale s.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..learning.basis import kernel_dtype
from ..support.backend import Array, Backend
from .parameters import make_basis

if TYPE_CHECKING:
    from .predictor import DipolePredictor

__all__ = ["element_rows", "prepared_environments"]

# By atomic number: descriptors of the inducing environments, one array (M_e, d_s) per scale.
Environments: TypeAlias = dict[int, list[Array]]

# Predictions use float32 for a scale with less than this share of the kernel, unless
# precision="double".
SINGLE_PRECISION_SHARE = 0.01
# Larger ones are converted for each prediction: their memory counts more than the time.
MOST_BYTES = 256 * 2**20


class _Prepared(NamedTuple):
    """What was prepared, and from what."""

    source: tuple[NDArray[np.float32], ...]
    precise: tuple[bool, ...]
    place: tuple[str, int]
    environments: Environments

    def is_from(
        self,
        source: tuple[NDArray[np.float32], ...],
        precise: tuple[bool, ...],
        place: tuple[str, int],
    ) -> bool:
        """Return whether these are the same arrays, of the same precision, on the same device."""
        same = len(source) == len(self.source) and all(map(operator.is_, self.source, source))
        return same and (self.precise, self.place) == (precise, place)


_prepared: WeakKeyDictionary[DipolePredictor, _Prepared] = WeakKeyDictionary()


def prepared_environments(model: DipolePredictor, backend: Backend) -> Environments:
    """Return the environments of a fitted model on a device, from the last time if unchanged.

    Parameters
    ----------
    model : DipoleKernelRidge
        Fitted.
    backend : Backend

    Returns
    -------
    dict
        By atomic number: one array of shape (M_e, d_s) per scale, in Fortran order. Do not change
        them.
    """
    source, precise = tuple(model.inducing_features_), _precise(model)
    known = _prepared.get(model)
    if known is not None and known.is_from(source, precise, backend.place):
        return known.environments
    environments, n_bytes = {}, 0
    for number in model.elements_.tolist():
        rows = element_rows(model, number)
        converted = [
            np.asfortranarray(scale[rows], kernel_dtype(double))
            for scale, double in zip(source, precise, strict=True)
        ]
        n_bytes += sum(array.nbytes for array in converted)
        environments[number] = [backend.asarray(array) for array in converted]
    if n_bytes <= MOST_BYTES:
        _prepared[model] = _Prepared(source, precise, backend.place, environments)
    else:
        _prepared.pop(model, None)
    return environments


def element_rows(model: DipolePredictor, number: int) -> slice:
    """Return the rows of the environments of an element, which are consecutive."""
    mine = model.inducing_numbers_ == number
    return slice(int(mine.argmax()), int(mine.argmax() + mine.sum()))


def _precise(model: DipolePredictor) -> tuple[bool, ...]:
    """Return for each scale whether its kernel values need double precision.

    Large coefficients of both signs magnify the rounding errors of float32, which depend on the
    molecules in the same product. For scales with a small weight these errors are small.
    """
    share = model.scale_weights_ / model.scale_weights_.sum()
    precise = share >= SINGLE_PRECISION_SHARE
    return tuple((precise | (make_basis(model.basis).precision == "double")).tolist())
