"""Dipoles and charges by quantum chemistry: GFN2-xTB, Hartree-Fock and density functionals.

Symbols: N molecules, n atoms in all; positions in angstrom, charges in e, dipoles in debye about
the centre of mass. This is the door for tblite and PySCF, which are loaded when first used. How
the work is spread over processes is in `_calculate.py`, how files are labelled in `_labelling.py`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._calculate import Calculated, Calculation, CalculationError, calculate, warn_failures
from ._elements import atomic_masses
from .exceptions import InputError, MissingDependencyError
from .molecules import Molecules
from .units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM

__all__ = ["GFN2", "Calculated", "Calculation", "CalculationError", "gfn2"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Tried one after the other until the charges are self-consistent: the usual settings of tblite,
# then more cycles with smaller steps.
ATTEMPTS: tuple[dict[str, Any], ...] = ({}, {"max-iter": 1000, "mixer-damping": 0.1})


@dataclass(frozen=True)
class GFN2:
    """GFN2-xTB by tblite.

    Its dipole is that of its charges and of its atomic dipoles together. An odd number of
    electrons leaves one of them unpaired.

    References
    ----------
    Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
    """

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
        interface = _load("tblite.interface")
        check_whole_charge(total_charge)
        bohr = centred(numbers, positions) / ANGSTROM_PER_BOHR
        for settings in ATTEMPTS:
            try:
                calculator = interface.Calculator("GFN2-xTB", numbers, bohr, total_charge)
                for name, value in ({"verbosity": 0} | settings).items():
                    calculator.set(name, value)
                result = calculator.singlepoint()
                dipole, charges = result.get("dipole"), result.get("charges")
                break
            except (interface.TBLiteRuntimeError, interface.TBLiteValueError) as error:
                reason = str(error)
        else:
            raise CalculationError(f"GFN2-xTB: {reason}")
        if not (np.isfinite(dipole).all() and np.isfinite(charges).all()):
            raise CalculationError("GFN2-xTB: the result is not finite")
        return Calculation(dipole * (ANGSTROM_PER_BOHR * DEBYE_PER_E_ANGSTROM), charges)


def gfn2(
    molecules: Molecules,
    n_jobs: int | None = None,
    memory: Any = None,
    verbose: bool | str = "auto",
) -> Calculated:
    """Calculate dipoles and charges by GFN2-xTB, about 10 ms for a molecule of 18 atoms.

    Parameters
    ----------
    molecules : Molecules
    n_jobs : int, default=None
        Processes; None takes all cores where the work is worth it.
    memory : joblib.Memory, str or path, default=None
        Keeps results on disk.
    verbose : bool or "auto", default="auto"
        Whether to show a bar; ``"auto"`` on a terminal only.

    Returns
    -------
    Calculated
        NaN where xTB did not converge; one warning counts and names these molecules.

    Raises
    ------
    MissingDependencyError
        If tblite is not installed.
    InputError
        If a total charge is not a whole number.
    """
    _load("tblite.interface")
    check_whole_charges(molecules)
    result = calculate(GFN2(), molecules, n_jobs, memory, verbose, "GFN2-xTB")
    reasons = ", ".join(sorted(set(result.failures.values()))[:3])
    warn_failures(
        "GFN2-xTB gave no result", molecules, result.failures, f"Their rows are NaN ({reasons})."
    )
    return result


def check_whole_charges(molecules: Molecules) -> None:
    """Refuse total charges of a fraction: electrons are counted in whole numbers."""
    wrong = np.flatnonzero(molecules.total_charge != np.round(molecules.total_charge))
    if len(wrong):
        first = int(wrong[0])
        raise InputError(
            f"total_charge: expected whole numbers for a calculation, got "
            f"{molecules.total_charge[first]:g} for molecule {first} "
            f"({molecules.names[first]}). Correct it."
        )


def check_whole_charge(total_charge: float) -> None:
    """Refuse the total charge of one molecule where it is a fraction."""
    if total_charge != round(total_charge):
        raise CalculationError(f"the total charge {total_charge:g} is not a whole number")


def centred(numbers: IntArray, positions: FloatArray) -> FloatArray:
    """Positions from the centre of mass: dipoles of charged molecules depend on the origin."""
    mass = atomic_masses()[numbers]
    return positions - mass @ positions / mass.sum()


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{name.partition('.')[0]} is needed for this calculation and is not installed. "
            'Install it with: pip install "dipkit[labels]"'
        ) from error
