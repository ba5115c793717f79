"""Descriptors with the baseline's charge of each atom appended.

Symbols: n atoms, descriptors x (n, d_s) of unit length at scale s, charges q0 (n,) in e. Equation
(10) of the theory page:

    x' = (sqrt(1 - g) x, sqrt(g) cos(omega q0), sqrt(g) sin(omega q0))

has unit length again, and x' . z' = (1 - g) x . z + g cos(omega (q0 - q0')): environments are
similar only where the cheap calculation gives similar charges. Descriptors themselves are computed
elsewhere (`soap.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.per_atom import PerAtomData
from ..support.backend import NUMPY, Array, Backend
from ..support.ragged_index import Index
from .features import Features
from .provenance import with_more

__all__ = [
    "CHARGE_COLUMNS",
    "ChargeFeatures",
    "append_charges",
    "split_derivatives",
    "with_charge_columns",
]

# omega, radian / e, and g: chosen on validation molecules; the error hardly changes around them.
FREQUENCY = 4.0
SHARE = 0.2
CHARGE_COLUMNS = 2

FloatArray = NDArray[np.float64]


class ChargeFeatures(Features):
    """Descriptors with columns of charges, joined block by block to save memory.

    Parameters
    ----------
    inner : PerAtomData
        Descriptors, in memory or on demand.
    columns : ndarray of shape (n_atoms, 2), float32
        Columns that are appended to each scale.
    """

    def __init__(self, inner: PerAtomData, columns: NDArray[np.float32]) -> None:
        charges = {"frequency": FREQUENCY, "share": SHARE}
        self.__setstate__(
            {
                "inner": inner,
                "columns": columns,
                "weights": inner.weights,
                "made_by": with_more(inner.made_by, "charge columns", charges),
            }
        )

    inner: PerAtomData
    columns: NDArray[np.float32]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle; there are no arrays to make read-only here."""
        self.__dict__.update(state)

    def __len__(self) -> int:
        """Count atoms."""
        return len(self.columns)

    @property
    def scales(self) -> tuple[NDArray[np.float32], ...]:
        """Joined descriptors, made now: read them once per block."""
        return self.compute().scales

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each scale, the columns of the charge included."""
        return tuple(width + CHARGE_COLUMNS for width in self.inner.widths)

    @property
    def in_memory(self) -> bool:
        """Return False: descriptors are joined, and perhaps computed, when they are read."""
        return False

    def compute(self, backend: Backend = NUMPY) -> Features:
        """Return joined descriptors in host memory."""
        scales = self._joined(self.inner.compute(backend).scales, NUMPY)
        return Features(scales, self.weights, self.made_by)

    def on(self, backend: Backend) -> tuple[Array, ...]:
        """Return the joined scales as arrays of a device."""
        return self._joined(self.inner.on(backend), backend)

    def _joined(self, scales: Iterable[Array], backend: Backend) -> tuple[Array, ...]:
        columns, shrink = backend.asarray(self.columns), float(np.sqrt(1 - SHARE))
        return tuple(backend.xp.concat([shrink * scale, columns], axis=1) for scale in scales)

    def take(self, atoms: Index) -> ChargeFeatures:
        """Return the descriptors of the atoms at these positions."""
        return ChargeFeatures(self.inner.take(atoms), self.columns[atoms])

    @staticmethod
    def concatenate(parts: Sequence[Features]) -> Features:
        """Join the descriptors of several sets of atoms, in order, in memory."""
        return Features.concatenate([part.compute() for part in parts])


def with_charge_columns(
    features: PerAtomData | None, charges: NDArray[np.float64] | None
) -> PerAtomData | None:
    """Append charges to descriptors, where there are both.

    Parameters
    ----------
    features : PerAtomData or None
    charges : ndarray of shape (n_atoms,) or None, e
        NaN counts as no charge.
    """
    if features is None or charges is None:
        return features
    return ChargeFeatures(features, _columns(np.nan_to_num(charges)).astype(np.float32))


def append_charges(x: FloatArray, charges: FloatArray) -> FloatArray:
    """Return x' in double precision.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Of unit length.
    charges : ndarray of shape (n,), e
    """
    return np.concatenate([np.sqrt(1 - SHARE) * x, _columns(charges)], axis=1)


def split_derivatives(
    derivatives: FloatArray, charges: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Turn derivatives with respect to x' into those with respect to x and to the charges.

    Parameters
    ----------
    derivatives : ndarray of shape (..., n, d + 2)
        With respect to x'.
    charges : ndarray of shape (n,), e

    Returns
    -------
    of_x : ndarray of shape (..., n, d)
    of_charge : ndarray of shape (..., n), 1/e
    """
    cosine, sine = _columns(charges).T
    of_cosine, of_sine = derivatives[..., -2], derivatives[..., -1]
    of_charge: FloatArray = FREQUENCY * (of_sine * cosine - of_cosine * sine)
    return np.sqrt(1 - SHARE) * derivatives[..., :-CHARGE_COLUMNS], of_charge


def _columns(charges: FloatArray) -> FloatArray:
    angle = FREQUENCY * charges
    return np.asarray(np.sqrt(SHARE) * np.stack([np.cos(angle), np.sin(angle)], axis=1))
