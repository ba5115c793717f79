r"""Dipole labels that are larger than the molecule can have: slips in single labels.

Symbols: labels m (N,) in debye. A molecule whose atoms are at most d angstrom apart has less than
4.8 d debye: that is one electron moved from one end to the other. An ion of charge Q, and a large
molecule with several charged groups, can have more; the bound grows with both. One such label bends
a fit of the squared loss for all other molecules. A unit that is wrong for most labels is found by
`dipole_size.py` and `label_units.py`.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ..units import DEBYE_PER_E_ANGSTROM
from .molecules import Molecules
from .naming import listed

__all__ = ["most_debye", "warn_large"]

FloatArray = NDArray[np.float64]

# Atoms of a large molecule for which one charged group is allowed.
_ATOMS_PER_CHARGE = 50
# Of atoms besides the distance of their nuclei, angstrom.
_WIDTH = 0.5


def most_debye(positions: FloatArray, total_charge: float) -> float:
    """Return more than the dipole that a molecule can have, debye.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3), angstrom
    total_charge : float, e

    Examples
    --------
    >>> import numpy as np
    >>> from dipkit.data.large_dipoles import most_debye
    >>> lithium_fluoride = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.56]])
    >>> most_debye(lithium_fluoride, 0.0) > 6.3
    True
    """
    radius = np.linalg.norm(positions - positions.mean(axis=0), axis=1).max()
    n_charges = max(1.0, abs(total_charge), len(positions) / _ATOMS_PER_CHARGE)
    return float(DEBYE_PER_E_ANGSTROM * n_charges * (2 * radius + _WIDTH))


def warn_large(molecules: Molecules, sizes: FloatArray) -> None:
    """Warn where some labels, less than half of them, are larger than a molecule can have.

    Parameters
    ----------
    molecules : Molecules
    sizes : ndarray of shape (n_molecules,), debye
        Lengths of the dipoles; NaN where missing or not used.
    """
    n_known = int(np.count_nonzero(~np.isnan(sizes)))
    # No molecule of two atoms or more has a smaller bound.
    candidates = np.flatnonzero(sizes > DEBYE_PER_E_ANGSTROM * _WIDTH)
    found = [index for index in candidates.tolist() if sizes[index] > _bound(molecules, index)]
    if not found or 2 * len(found) > n_known:
        return
    cases = [
        f"{str(molecules.names[index])!r} has {sizes[index]:.4g} debye, and less than "
        f"{_bound(molecules, index):.2g} by its size"
        for index in found
    ]
    warnings.warn(
        f"dipole labels: {len(found)} of {n_known} {'is' if len(found) == 1 else 'are'} larger "
        f"than the molecule can have: {listed(cases)}. They make the errors of all other molecules "
        "larger. Correct them or leave them out; the model's loss='huber' bears a few such labels.",
        stacklevel=5,
    )


def _bound(molecules: Molecules, index: int) -> float:
    atoms = slice(int(molecules.offsets[index]), int(molecules.offsets[index + 1]))
    return most_debye(molecules.positions[atoms], float(molecules.total_charge[index]))
