"""Derivatives of a calculation with respect to the positions, by central differences.

Symbols: a molecule of n atoms; dipoles in debye about the centre of mass, charges in e, positions
in angstrom. For each of the 3n coordinates there are two geometries, which `calculation.py` runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from .calculation import MemoryLike, Method, calculate

__all__ = ["STEP", "CalculationDerivatives", "differentiate", "displaced"]

FloatArray = NDArray[np.float64]

# Angstrom. Calculations are self-consistent to about 1e-5 e; a smaller step magnifies this error.
STEP = 0.01


class CalculationDerivatives(NamedTuple):
    """The charges of one molecule, and the derivatives of its dipole and charges.

    Parameters
    ----------
    charges : ndarray of shape (n,), e
    of_dipole : ndarray of shape (n, 3, 3), debye / angstrom
        ``[j, b, c]``: component c of the dipole with respect to coordinate b of atom j.
    of_charges : ndarray of shape (n, n, 3), e / angstrom
        ``[i, j, b]``: the charge of atom i with respect to coordinate b of atom j.
    """

    charges: FloatArray
    of_dipole: FloatArray
    of_charges: FloatArray


def displaced(one: Molecules, step: float = STEP) -> Molecules:
    """Return the 6n geometries of a molecule of n atoms with one coordinate moved.

    Parameters
    ----------
    one : Molecules
        A single one.
    step : float, default=0.01
        Angstrom.

    Returns
    -------
    Molecules
        Number ``6 j + 2 b`` has coordinate b of atom j raised by the step, the next one lowered.
        Without labels.
    """
    n = one.n_atoms
    moves = step * np.eye(3 * n).reshape(3 * n, 1, n, 3) * np.array([1.0, -1.0])[:, None, None]
    positions = one.positions + moves.reshape(6 * n, n, 3)
    return Molecules(
        np.tile(one.numbers, 6 * n),
        positions.reshape(-1, 3),
        n * np.arange(6 * n + 1),
        total_charge=np.repeat(one.total_charge, 6 * n),
    )


def differentiate(
    method: Method, one: Molecules, n_jobs: int | None = None, memory: MemoryLike | None = None
) -> CalculationDerivatives:
    """Differentiate a calculated dipole and calculated charges with respect to the positions.

    Parameters
    ----------
    method : Method
    one : Molecules
        A single one.
    n_jobs : int, default=None
        Processes, see `dipkit.quantum.calculation.calculate`.
    memory : joblib.Memory, str or path, default=None
        Keeps results on disk.

    Returns
    -------
    CalculationDerivatives
        Its charges are NaN where the geometry itself cannot be calculated.

    Raises
    ------
    InputError
        If one of the displaced geometries cannot be calculated.
    """
    n = one.n_atoms
    here = calculate(method, one, 1, memory)
    found = calculate(method, displaced(one), n_jobs, memory, what="differences")
    if found.failures:
        reason = next(iter(found.failures.values()))
        raise InputError(
            f"baseline: {len(found.failures)} of the {6 * n} geometries around {one.names[0]} "
            f"could not be calculated ({reason}). Correct its geometry or its total charge."
        )
    dipole = found.dipole.reshape(n, 3, 2, 3)
    charges = found.charges.reshape(n, 3, 2, n)
    of_dipole = (dipole[:, :, 0] - dipole[:, :, 1]) / (2 * STEP)
    of_charges = (charges[:, :, 0] - charges[:, :, 1]) / (2 * STEP)
    return CalculationDerivatives(here.charges, of_dipole, np.moveaxis(of_charges, -1, 0))
