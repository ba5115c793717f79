"""Molecules with an odd number of electrons: radicals, or ions whose charge is missing.

Files lack formal charges, or repeat them, more often than they hold radicals, so that these
molecules are counted and named. Total charges are read in `total_charge.py`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from .naming import counted, listed

if TYPE_CHECKING:
    from .molecules import Molecules

__all__ = ["OddElectrons", "has_odd_electrons"]


class Charged(Protocol):
    """The part of `Molecules` that is read here."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers (n,)."""

    @property
    def molecule_index(self) -> NDArray[np.int64]:
        """Molecule of each atom (n,)."""

    @property
    def total_charge(self) -> NDArray[np.float64]:
        """(N,), e."""


def has_odd_electrons(molecules: Charged) -> NDArray[np.bool_]:
    """Which molecules have an odd number of electrons, shape (n_molecules,).

    Total charges that are no whole numbers are left out.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from dipkit.data.io import as_molecules
    >>> from dipkit.data.odd_electrons import has_odd_electrons
    >>> has_odd_electrons(as_molecules([molecule("H2O"), molecule("OH")])).tolist()
    [False, True]
    """
    charge = np.round(molecules.total_charge)
    protons = np.bincount(molecules.molecule_index, molecules.numbers, minlength=len(charge))
    whole = np.abs(molecules.total_charge - charge) < 1e-6
    odd: NDArray[np.bool_] = whole & ((protons - charge) % 2 == 1)
    return odd


class OddElectrons:
    """Counts molecules with an odd number of electrons, over any number of parts."""

    def __init__(self) -> None:
        self.n_molecules, self.names = 0, list[str]()

    def add(self, molecules: Molecules) -> None:
        """Count these molecules too."""
        self.n_molecules += len(molecules)
        odd = molecules.names[has_odd_electrons(molecules)]
        self.names += [repr(name) for name in odd.tolist()]

    def warn(self) -> None:
        """Warn where there are any."""
        if self.names:
            warnings.warn(
                f"odd number of electrons in {len(self.names)} of {counted(self.n_molecules)}: "
                f"{listed(self.names)}. Radicals have one; if these are ions, their "
                "total charge is missing or wrong in the file: give it under the key charge, or "
                "with total_charge= (--total-charge KEY|N).",
                stacklevel=3,
            )
