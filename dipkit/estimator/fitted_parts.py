"""Optional parts of a fitted model; attributes that models of old files lack have one reading here.

Symbols: M inducing environments; coefficients in e.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..learning.compensation import BOND_STIFFNESS, Compensation

if TYPE_CHECKING:
    from .predictor import DipolePredictor

__all__ = [
    "compensations",
    "has_atomic_dipoles",
    "has_bond_charges",
    "raw_coefficients",
    "smallest_type",
]

FloatArray = NDArray[np.float64]


def has_atomic_dipoles(model: DipolePredictor) -> bool:
    """Return whether a fitted model has atomic dipoles."""
    return getattr(model, "atomic_dipole_coef_", None) is not None


def has_bond_charges(model: DipolePredictor) -> bool:
    """Return whether a fitted model has bond charges."""
    return getattr(model, "bond_coef_", None) is not None


def compensations(model: DipolePredictor) -> list[Compensation]:
    """Return the compensation of the raw charges, and of bond charges if the model has any.

    Their scales are 1: the coefficients include them. Models of old files have even compensation.
    """
    charges, bonds = getattr(model, "stiffness_", (np.inf, BOND_STIFFNESS))
    both = [Compensation(charges), Compensation(bonds)]
    return both if has_bond_charges(model) else both[:1]


def raw_coefficients(model: DipolePredictor) -> FloatArray:
    """Return coefficients (M, k) of the raw charges, one column for each of `compensations`, e."""
    parts = [model.dual_coef_, model.bond_coef_] if has_bond_charges(model) else [model.dual_coef_]
    return np.stack(parts, axis=1)


def smallest_type(environments: NDArray[np.floating]) -> NDArray[np.floating]:
    """Convert to half precision where this changes no number, else to single precision.

    Parameters
    ----------
    environments : ndarray of shape (M, d)
        Rounded to half precision when they were chosen (`learning/inducing.py`).
    """
    half = environments.astype(np.float16)
    exact = np.array_equal(half, environments)
    return half if exact else environments.astype(np.float32, copy=False)
