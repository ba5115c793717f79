"""Which molecules have a label of each kind.

The labels themselves are arrays of `Molecules`; which label a fit uses is in `dipkit.learning`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelMasks"]


class LabelMasks:
    """Base class of `Molecules`: masks (n_molecules,) of molecules with a label."""

    offsets: NDArray[np.int64]
    dipole_magnitude: NDArray[np.float64]
    dipole_vector: NDArray[np.float64]
    charges: NDArray[np.float64]
    quadrupole: NDArray[np.float64] | None

    @property
    def has_magnitude(self) -> NDArray[np.bool_]:
        """Which molecules have a dipole magnitude, shape (n_molecules,)."""
        return ~np.isnan(self.dipole_magnitude)

    @property
    def has_vector(self) -> NDArray[np.bool_]:
        """Which molecules have a dipole vector, shape (n_molecules,)."""
        return ~np.isnan(self.dipole_vector[:, 0])

    @property
    def has_charges(self) -> NDArray[np.bool_]:
        """Which molecules have reference charges, shape (n_molecules,)."""
        return ~np.isnan(self.charges[self.offsets[:-1]])

    @property
    def has_quadrupole(self) -> NDArray[np.bool_]:
        """Which molecules have a quadrupole, shape (n_molecules,)."""
        if self.quadrupole is None:
            return np.zeros(len(self.offsets) - 1, dtype=bool)
        return ~np.isnan(self.quadrupole[:, 0, 0])
