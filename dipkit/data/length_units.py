"""Units of positions that look wrong: bonds that no molecule has in angstrom.

Symbols: distances d over sums of covalent radii, of each atom and its nearest neighbour, r (n,).
In molecules r is close to 1: O-H 0.99, C-H 1.02, C-C 1.01. Atoms without a bond, such as noble
gases, are left out.
"""

from __future__ import annotations

import warnings

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..units import ANGSTROM_PER_BOHR

__all__ = ["likely_length_unit", "nearest_ratios", "positions_look_like", "warn_lengths"]

NOBLE_GASES = (2, 10, 18, 36, 54, 86)
# Angstrom in one of each unit. Lengths in bohr that were multiplied once too often count too.
UNITS = {
    "bohr": ANGSTROM_PER_BOHR,
    "nm": 10.0,
    "pm": 0.01,
    "angstrom, already converted from bohr": 1 / ANGSTROM_PER_BOHR,
}
# A unit is named if the median, converted to it, is within a factor of 1.2 of 1, and eight of ten
# ratios within a factor of 1.4 of the median (in molecules: 0.77 to 1.11).
TOLERANCE, SPREAD = np.log(1.2), np.log(1.4)
FEWEST_ATOMS = 3
MAX_ATOMS, ATOMS_AT_ONCE = 20_000, 2000
# Between molecules, angstrom: no molecule is as large, see `geometry_checks.MAX_COORDINATE`.
APART = 1e5


def nearest_ratios(
    numbers: NDArray[np.int64], positions: NDArray[np.float64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return nearest distances over sums of covalent radii, of atoms that may have a bond.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
    positions : ndarray of shape (n_atoms, 3), angstrom
    offsets : ndarray of shape (n_molecules + 1,)
        Atoms of molecule A are ``offsets[A]:offsets[A + 1]``.
    """
    ratios: list[NDArray[np.float64]] = []
    start = n_seen = 0
    while start < len(offsets) - 1 and n_seen <= MAX_ATOMS:
        # Some molecules at a time: the set may fill half of the memory.
        most = offsets[start] + min(MAX_ATOMS - n_seen, ATOMS_AT_ONCE)
        stop = max(start + 1, int(np.searchsorted(offsets, most, side="right")))
        atoms = slice(int(offsets[start]), int(offsets[min(stop, len(offsets) - 1)]))
        found, n_used = _ratios(
            numbers[atoms], positions[atoms], np.diff(offsets[start : stop + 1])
        )
        ratios.append(found)
        n_seen, start = n_seen + n_used, stop
    return np.concatenate(ratios) if ratios else np.zeros(0)


def _ratios(
    numbers: NDArray[np.int64], positions: NDArray[np.float64], natoms: NDArray[np.int64]
) -> tuple[NDArray[np.float64], int]:
    """Return the ratios of molecules of these sizes, and how many atoms were usable."""
    molecule = np.repeat(np.arange(len(natoms)), natoms)
    broken = np.unique(molecule[~np.isfinite(positions).all(axis=1)])
    chosen = np.flatnonzero((natoms[molecule] > 1) & ~np.isin(molecule, broken))
    if not len(chosen):
        return np.zeros(0), 0
    atoms, radii = numbers[chosen], covalent_radii[numbers[chosen]]
    # One tree for all: a fourth coordinate keeps the molecules apart.
    points = np.hstack([positions[chosen], molecule[chosen, None] * APART])
    distance, neighbour = cKDTree(points).query(points, k=2)
    ratios: NDArray[np.float64] = distance[:, 1] / (radii + radii[neighbour[:, 1]])
    return ratios[~np.isin(atoms, NOBLE_GASES)], len(chosen)


def likely_length_unit(ratios: NDArray[np.float64]) -> str | None:
    """Return the unit that would explain these ratios; None where angstrom does, or nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from dipkit.data.length_units import likely_length_unit
    >>> [likely_length_unit(np.full(5, ratio)) for ratio in (1.0, 1.9, 0.1)]
    [None, 'bohr', 'nm']
    """
    if len(ratios) < FEWEST_ATOMS:
        return None
    logs = np.log(ratios)
    low, middle, high = np.quantile(logs, [0.1, 0.5, 0.9])
    near = {unit: abs(middle + np.log(factor)) for unit, factor in UNITS.items()}
    unit = min(near, key=near.__getitem__)
    # Bonds are alike in all molecules: distances that spread widely are of another kind.
    alike = high - middle < SPREAD and middle - low < SPREAD
    return unit if near[unit] < TOLERANCE and alike else None


def positions_look_like(numbers: NDArray[np.int64], positions: NDArray[np.float64]) -> str:
    """Return "bohr" or "angstrom", whichever gives the bonds of one molecule."""
    ratios = nearest_ratios(numbers, positions, np.array([0, len(numbers)]))
    # Half the way between the two, as a ratio.
    bohr = len(ratios) and float(np.median(ratios)) * np.sqrt(ANGSTROM_PER_BOHR) > 1
    return "bohr" if bohr else "angstrom"


def warn_lengths(
    numbers: NDArray[np.int64], positions: NDArray[np.float64], offsets: NDArray[np.int64]
) -> None:
    """Warn where the nearest distances are not those of molecules in angstrom."""
    ratios = nearest_ratios(numbers, positions, offsets)
    unit = likely_length_unit(ratios)
    if unit is None:
        return
    if unit == "bohr":
        advice = "say so: length_unit='bohr' (--length-unit bohr)"
    elif unit in ("nm", "pm"):
        advice = f"multiply them by {UNITS[unit]:g}"
    else:
        advice = "leave out length_unit (--length-unit)"
    warnings.warn(
        f"positions: the nearest atoms are {np.median(ratios):.3g} times as far apart as bonds are "
        f"in angstrom (median). Perhaps they are in {unit}: {advice}.",
        stacklevel=4,
    )
