"""Units that look wrong: magnitudes that no set of molecules has in debye.

Symbols: magnitudes m (N,), taken for debye. Typical molecules have 1 to 5 D. Conversions of units
are not here (`dipkit.units`), nor are other checks of labels (`label_checks.py`).
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

__all__ = ["likely_unit", "warn_tiny", "warn_units"]

# Medians outside this range give a warning, debye.
USUAL_RANGE = (0.05, 50.0)
TYPICAL = 2.5
# Below this, debye, numbers are no dipoles of symmetric molecules with errors of rounding.
TINY = 1e-20
# Debye in one of each unit.
UNITS = {
    "e*angstrom": 4.80320471,
    "e*bohr (atomic units)": 2.54174647,
    "e*nm": 48.0320471,
    "1e-30 coulomb metre": 0.299792458,
    "coulomb metre": 2.99792458e29,
    "millidebye": 1e-3,
}


def likely_unit(median: float) -> str:
    """Return the unit in which this median would be that of usual molecules.

    Examples
    --------
    >>> from dipkit.data.label_units import likely_unit
    >>> likely_unit(8e-30)
    'coulomb metre'
    """
    return min(UNITS, key=lambda unit: abs(math.log(median * UNITS[unit] / TYPICAL)))


def warn_units(magnitudes: NDArray[np.float64]) -> None:
    """Warn where the median magnitude is not that of molecules in debye.

    Parameters
    ----------
    magnitudes : ndarray of shape (n_molecules,), debye
        NaN where missing. Zeros belong to symmetric molecules, and are left out.
    """
    known = magnitudes[~np.isnan(magnitudes) & (magnitudes > 0)]
    if not len(known):
        return
    median = float(np.median(known))
    if USUAL_RANGE[0] <= median <= USUAL_RANGE[1]:
        return
    unit = likely_unit(median)
    warnings.warn(
        f"dipole labels: their median is {median:.3g} debye, and molecules have about "
        f"{TYPICAL:g}. Perhaps they are in {unit}: multiply them by {UNITS[unit]:.6g}.",
        stacklevel=5,
    )


def warn_tiny(magnitudes: NDArray[np.float64]) -> None:
    """Warn where all magnitudes are so small that they can only be in coulomb metre.

    Few molecules, or symmetric ones, are no reason for a warning here, unlike in `warn_units`,
    which serves fits.

    Parameters
    ----------
    magnitudes : ndarray of shape (n_molecules,), debye
        NaN where missing.
    """
    known = magnitudes[~np.isnan(magnitudes) & (magnitudes > 0)]
    if len(known) and known.max() < TINY:
        warn_units(known)
