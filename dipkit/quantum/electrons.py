"""What calculations of every program need: electrons, origin, the program itself.

Symbols: n atoms; positions in angstrom, charges in e.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.elements import atomic_masses
from ..exceptions import MissingDependencyError
from .calculation import CalculationError

__all__ = ["centred", "count_unpaired", "load", "provenance"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def load(name: str) -> Any:
    """Import a module of an optional program.

    Raises
    ------
    MissingDependencyError
        If the program is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{name.partition('.')[0]} is needed for this calculation and cannot be imported "
            f'({error}). Install it with: pip install "dipkit[labels]"'
        ) from error


def provenance(program: str, method: str, basis: str, scheme: str) -> dict[str, str]:
    """Say where labels come from, in words that a file can keep."""
    words = {
        "label_program": program,
        "label_version": version(program),
        "label_method": method,
        "label_basis": basis,
        "label_charges": scheme,
    }
    return {key: word for key, word in words.items() if word}


def centred(numbers: IntArray, positions: FloatArray) -> FloatArray:
    """Positions from the centre of mass: dipoles of charged molecules depend on the origin."""
    mass = atomic_masses()[numbers]
    return positions - mass @ positions / mass.sum()


def count_unpaired(numbers: IntArray, total_charge: float, wanted: int) -> int:
    """Return the number of unpaired electrons.

    Parameters
    ----------
    numbers : ndarray of shape (n,)
    total_charge : float, e
    wanted : int
        That number, or -1 for as few as possible.

    Raises
    ------
    CalculationError
        If so many electrons cannot be unpaired, or the total charge is a fraction.
    """
    electrons = int(numbers.sum()) - round(total_charge)
    if total_charge != round(total_charge):
        raise CalculationError(f"the total charge {total_charge:g} is not a whole number")
    if electrons < 0:
        raise CalculationError(f"the total charge {total_charge:g} takes more electrons than exist")
    if wanted < 0:
        return electrons % 2
    if wanted > electrons or (electrons - wanted) % 2:
        raise CalculationError(
            f"{electrons} electrons cannot have multiplicity {wanted + 1}: name another one"
        )
    return wanted
