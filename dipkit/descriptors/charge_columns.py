"""Descriptors with the baseline's charge of each atom appended.

Symbols: n atoms, descriptors x (n, d_s) of unit length at scale s, charges q0 (n,) in e. Equation
(10) of the theory page:

    x' = (sqrt(1 - g) x, sqrt(g) cos(omega q0), sqrt(g) sin(omega q0))

has unit length again, and x' . z' = (1 - g) x . z + g cos(omega (q0 - q0')): environments count as
similar only where the cheap calculation puts similar charges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.per_atom import PerAtomData
from ..support.backend import NUMPY, Backend
from ..support.ragged_index import Index
from .features import Features

__all__ = ["CHARGE_COLUMNS", "ChargeFeatures", "join", "pull_apart", "with_charge_columns"]

# omega, radian / e, and g: chosen on validation molecules, and flat around there.
FREQUENCY = 4.0
SHARE = 0.2
CHARGE_COLUMNS = 2

FloatArray = NDArray[np.float64]


class ChargeFeatures(Features):
    """Descriptors joined with charges block by block: the large ones are never copied whole.

    Parameters
    ----------
    inner : PerAtomData
        In memory or on demand.
    columns : ndarray of shape (n_atoms, 2), float32
        What is appended to each scale.
    """

    def __init__(self, inner: PerAtomData, columns: NDArray[np.float32]) -> None:
        self.__setstate__({"inner": inner, "columns": columns, "weights": inner.weights})

    inner: PerAtomData
    columns: NDArray[np.float32]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle."""
        self.__dict__.update(state)

    def __len__(self) -> int:
        """Count atoms."""
        return len(self.columns)

    @property
    def scales(self) -> tuple[NDArray[np.float32], ...]:
        """Joined descriptors, made now: read them once a block."""
        return self.compute().scales

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each scale, those of the charge included."""
        return tuple(width + CHARGE_COLUMNS for width in self.inner.widths)

    @property
    def in_memory(self) -> bool:
        """They are joined, and perhaps computed, for each block."""
        return False

    def compute(self, backend: Backend = NUMPY) -> Features:
        """Return joined descriptors held in memory."""
        return Features(self._joined(self.inner.compute(backend).scales, NUMPY), self.weights)

    def on(self, backend: Backend) -> tuple[Any, ...]:
        """Return the joined scales as arrays of a device."""
        return self._joined(self.inner.on(backend), backend)

    def _joined(self, scales: Iterable[Any], backend: Backend) -> tuple[Any, ...]:
        columns, shrink = backend.asarray(self.columns), float(np.sqrt(1 - SHARE))
        return tuple(backend.xp.concat([shrink * scale, columns], axis=1) for scale in scales)

    def take(self, atoms: Index) -> ChargeFeatures:
        """Return those of the atoms at these positions."""
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


def join(x: FloatArray, charges: FloatArray) -> FloatArray:
    """Return x' in double precision.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Of unit length.
    charges : ndarray of shape (n,), e
    """
    return np.concatenate([np.sqrt(1 - SHARE) * x, _columns(charges)], axis=1)


def pull_apart(pull: FloatArray, charges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn derivatives by x' into derivatives by x (n, d) and by the charges (n,).

    Parameters
    ----------
    pull : ndarray of shape (n, d + 2)
    charges : ndarray of shape (n,), e
    """
    cosine, sine = _columns(charges).T
    by_cosine, by_sine = pull[:, -CHARGE_COLUMNS:].T
    by_charge: FloatArray = FREQUENCY * (by_sine * cosine - by_cosine * sine)
    return np.sqrt(1 - SHARE) * pull[:, :-CHARGE_COLUMNS], by_charge


def _columns(charges: FloatArray) -> FloatArray:
    angle = FREQUENCY * charges
    return np.asarray(np.sqrt(SHARE) * np.stack([np.cos(angle), np.sin(angle)], axis=1))
