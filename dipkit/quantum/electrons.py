"""Input of every method: number of unpaired electrons, positions from the centre of mass.

Symbols: n atoms; positions in angstrom, charges in e. The methods are in `xtb.py` and
`mean_field.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.elements import atomic_masses
from .calculation import CalculationError

__all__ = ["centred", "count_unpaired"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def centred(numbers: IntArray, positions: FloatArray) -> FloatArray:
    """Positions (n, 3) from the centre of mass: the dipole of an ion depends on the origin."""
    mass = atomic_masses()[numbers]
    return positions - mass @ positions / mass.sum()


def count_unpaired(numbers: IntArray, total_charge: float, wanted: int, n_core: int = 0) -> int:
    """Return the number of unpaired electrons.

    Parameters
    ----------
    numbers : ndarray of shape (n,)
    total_charge : float, e
    wanted : int
        Number asked for, or -1 for the smallest possible one.
    n_core : int, default=0
        Electrons that core potentials replace.

    Raises
    ------
    CalculationError
        If this number is impossible, or the total charge is not a whole number.
    """
    electrons = int(numbers.sum()) - n_core - round(total_charge)
    if total_charge != round(total_charge):
        raise CalculationError(f"the total charge {total_charge:g} is not a whole number")
    if electrons < 0:
        raise CalculationError(
            f"the total charge {total_charge:g} exceeds the charge of the nuclei"
        )
    if wanted < 0:
        return electrons % 2
    if wanted > electrons or (electrons - wanted) % 2:
        raise CalculationError(
            f"{electrons} electrons cannot have multiplicity {wanted + 1}: name another one "
            '(--multiplicity, or "multiplicity" in the file), or correct the total charge'
        )
    return wanted
