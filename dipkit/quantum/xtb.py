"""GFN2-xTB and IPEA1-xTB for one molecule, by tblite.

Symbols: n atoms; positions in angstrom, charges in e, dipoles in debye about the centre of mass.
Only this module imports tblite, when first used. Many molecules are calculated in `calculation.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM
from .calculation import Calculation, CalculationError
from .electrons import centred, count_unpaired
from .programs import load, provenance

__all__ = ["GFN2", "IPEA1", "ExtendedTightBinding"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LAST_ELEMENT = 86
# Tried in this order until the charges are self-consistent: the defaults of tblite, then more
# cycles with smaller steps.
ATTEMPTS: tuple[dict[str, int | float], ...] = ({}, {"max-iter": 1000, "mixer-damping": 0.1})


@dataclass(frozen=True)
class ExtendedTightBinding:
    """A method of the xTB family; the classes below name it.

    Parameters
    ----------
    unpaired : int, default=-1
        Unpaired electrons; -1 for as few as possible.
    """

    name: ClassVar[str]
    # Settings of tblite that differ from its defaults.
    settings: ClassVar[dict[str, float]] = {}

    unpaired: int = -1

    def check(self, elements: IntArray) -> None:
        """Refuse elements without parameters before anything is calculated.

        Parameters
        ----------
        elements : ndarray of int
            Atomic numbers that will be calculated.
        """
        load("tblite.interface")
        heavy = list(self.refusals(elements))
        if heavy:
            raise InputError(
                f"method: {self.name} ends with element {LAST_ELEMENT}, got {heavy}. Leave "
                "these molecules out."
            )

    def refusals(self, elements: IntArray) -> dict[int, str]:
        """Return the reason for each atomic number without parameters."""
        return {
            number: f"{self.name} ends with element {LAST_ELEMENT}, got {number}"
            for number in elements.tolist()
            if number > LAST_ELEMENT
        }

    def provenance(self, elements: IntArray) -> dict[str, str]:
        """Program, version, method and charge scheme."""
        return provenance("tblite", self.name, "", "mulliken")

    def calculate(
        self, numbers: IntArray, positions: FloatArray, total_charge: float
    ) -> Calculation:
        """Calculate one molecule.

        Parameters
        ----------
        numbers : ndarray of shape (n,)
        positions : ndarray of shape (n, 3), angstrom
        total_charge : float, e

        Returns
        -------
        Calculation

        Raises
        ------
        CalculationError
            If the charges do not become self-consistent, or an element has no parameters.
        """
        interface = load("tblite.interface")
        unpaired = count_unpaired(numbers, total_charge, self.unpaired)
        bohr = centred(numbers, positions) / ANGSTROM_PER_BOHR
        for settings in ATTEMPTS:
            try:
                calculator = interface.Calculator(self.name, numbers, bohr, total_charge, unpaired)
                for name, value in ({"verbosity": 0} | self.settings | settings).items():
                    calculator.set(name, value)
                result = calculator.singlepoint()
                dipole, charges = result.get("dipole"), result.get("charges")
                break
            except (RuntimeError, ValueError) as error:
                reason = str(error)
        else:
            raise CalculationError(f"{self.name}: {reason}")
        if not (np.isfinite(dipole).all() and np.isfinite(charges).all()):
            raise CalculationError(f"{self.name}: the result is not finite")
        return Calculation(dipole * (ANGSTROM_PER_BOHR * DEBYE_PER_E_ANGSTROM), charges)


@dataclass(frozen=True)
class GFN2(ExtendedTightBinding):
    """GFN2-xTB by tblite.

    The dipole is that of the charges plus the atomic dipoles. The quadrupole is not used: in tblite
    0.8 its components off the diagonal do not rotate with the molecule.

    Parameters
    ----------
    unpaired : int, default=-1
        Unpaired electrons; -1 for as few as possible.

    References
    ----------
    Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
    """

    name: ClassVar[str] = "GFN2-xTB"


@dataclass(frozen=True)
class IPEA1(ExtendedTightBinding):
    """IPEA1-xTB by tblite: GFN1-xTB with parameters for ionisation potentials and affinities.

    The dipole is that of the charges.

    Parameters
    ----------
    unpaired : int, default=-1
        Unpaired electrons; -1 for as few as possible.

    References
    ----------
    Asgeirsson, Bauer, Grimme, Chem. Sci. 8, 4879 (2017).
    """

    name: ClassVar[str] = "IPEA1-xTB"
    # By default the charges of anions are so inexact that derivatives by differences are wrong.
    settings: ClassVar[dict[str, float]] = {"accuracy": 0.1}
