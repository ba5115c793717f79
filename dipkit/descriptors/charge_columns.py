"""Descriptors with charges of cheap calculations of each atom appended.

Symbols: n atoms, descriptors x (n, d_s) of unit length at scale s, K sets of charges q_k (n,) in e.
Equation (10) of the theory page:

    x' = (sqrt(1 - K g) x, sqrt(g) cos(omega_k q_k), sqrt(g) sin(omega_k q_k) for each k)

has unit length again, and x' . z' = (1 - K g) x . z + g sum_k cos(omega_k (q_k - q_k')):
environments are similar only where the cheap calculations give similar charges. Descriptors
themselves are computed elsewhere (`soap.py`).
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
    "ChargeFeatures",
    "append_charges",
    "charge_sets",
    "split_derivatives",
    "with_charge_columns",
]

# omega_k, radian / e, of the charges of a baseline and of a second calculation, and g: chosen on
# validation molecules; the error hardly changes around them.
FREQUENCIES = (4.0, 5.5)
SHARE = 0.2
# Names of the columns in messages; saved models contain the first.
_NAMES = ("charge columns", "second charge columns")

FloatArray = NDArray[np.float64]


class ChargeFeatures(Features):
    """Descriptors with columns of charges, joined block by block to save memory.

    Parameters
    ----------
    inner : PerAtomData
        Descriptors, in memory or on demand.
    columns : ndarray of shape (n_atoms, 2 K), float32
        Columns that are appended to each scale.
    """

    def __init__(self, inner: PerAtomData, columns: NDArray[np.float32]) -> None:
        made_by = inner.made_by
        for index in range(columns.shape[1] // 2):
            charges = {"frequency": FREQUENCIES[index], "share": SHARE}
            made_by = with_more(made_by, _NAMES[index], charges)
        self.__setstate__(
            {"inner": inner, "columns": columns, "weights": inner.weights, "made_by": made_by}
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
        return tuple(width + self.columns.shape[1] for width in self.inner.widths)

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
        columns, shrink = backend.asarray(self.columns), _shrink(self.columns.shape[1] // 2)
        return tuple(backend.xp.concat([shrink * scale, columns], axis=1) for scale in scales)

    def take(self, atoms: Index) -> ChargeFeatures:
        """Return the descriptors of the atoms at these positions."""
        return ChargeFeatures(self.inner.take(atoms), self.columns[atoms])

    @staticmethod
    def concatenate(parts: Sequence[Features]) -> Features:
        """Join the descriptors of several sets of atoms, in order, in memory."""
        return Features.concatenate([part.compute() for part in parts])


def with_charge_columns(
    features: PerAtomData | None, charges: FloatArray | None
) -> PerAtomData | None:
    """Append charges to descriptors, where there are both.

    Parameters
    ----------
    features : PerAtomData or None
    charges : ndarray of shape (n_atoms, K) or None, e
        From `charge_sets`. NaN counts as no charge.
    """
    if features is None or charges is None:
        return features
    return ChargeFeatures(features, _columns(np.nan_to_num(charges)).astype(np.float32))


def charge_sets(first: FloatArray | None, second: FloatArray | None) -> FloatArray | None:
    """Join the charges of a baseline and of a second calculation.

    Parameters
    ----------
    first, second : ndarray of shape (n_atoms,) or None, e

    Returns
    -------
    ndarray of shape (n_atoms, K), e, or None
        None without charges of the baseline, whose columns come first.
    """
    if first is None:
        return None
    return np.stack([first] if second is None else [first, second], axis=1)


def append_charges(x: FloatArray, charges: FloatArray) -> FloatArray:
    """Return x' in double precision.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Of unit length.
    charges : ndarray of shape (n, K), e
    """
    return np.concatenate([_shrink(charges.shape[1]) * x, _columns(charges)], axis=1)


def split_derivatives(
    derivatives: FloatArray, charges: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Turn derivatives with respect to x' into those with respect to x and to the charges.

    Parameters
    ----------
    derivatives : ndarray of shape (..., n, d + 2 K)
        With respect to x'.
    charges : ndarray of shape (n, K), e

    Returns
    -------
    of_x : ndarray of shape (..., n, d)
    of_charges : ndarray of shape (..., n, K), 1/e
    """
    n_sets, columns = charges.shape[1], _columns(charges)
    appended = derivatives[..., -2 * n_sets :]
    cosine, sine = columns[:, ::2], columns[:, 1::2]
    turned: FloatArray = appended[..., 1::2] * cosine - appended[..., ::2] * sine
    of_charges = np.asarray(FREQUENCIES[:n_sets]) * turned
    return _shrink(n_sets) * derivatives[..., : -2 * n_sets], of_charges


def _shrink(n_sets: int) -> float:
    """Factor of the descriptors, so that the joined ones have unit length."""
    return float(np.sqrt(1 - n_sets * SHARE))


def _columns(charges: FloatArray) -> FloatArray:
    """Return cosine and sine of each set of charges, in turns (n, 2 K)."""
    angles = charges * FREQUENCIES[: charges.shape[1]]
    columns = np.stack([np.cos(angles), np.sin(angles)], axis=2)
    return np.sqrt(SHARE) * columns.reshape(len(charges), -1)
