"""Atoms far from the rest of their molecule: a wrong coordinate, as a rule.

Symbols: positions (n, 3) angstrom, offsets (N + 1,). Atoms that are too close are an error of
`geometry_checks.py`; distant ones are a warning, as two molecules may be meant to be far apart.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .naming import counted, listed

if TYPE_CHECKING:
    from .molecules import Molecules

__all__ = ["FAR", "FarAtoms", "far_atom", "warn_far"]

FloatArray = NDArray[np.float64]

# Angstrom between a part of a molecule and all its other atoms. Bonds are up to 3, contacts of van
# der Waals complexes 3 to 5, ion pairs and parts of clusters 5 to 10 apart, and curves of
# dissociation end at about 15. No part of a molecule of QM9 is more than 1.9 from its other atoms.
# The usual descriptors end at 5.
FAR = 20.0
# Steps of this length from the first atom to the last. A longer chain is no molecule, and the time
# is bounded.
MAX_STEPS = 100


def far_atom(positions: FloatArray) -> tuple[int, float] | None:
    """Find a part of one molecule that is far from all its other atoms.

    Parameters
    ----------
    positions : ndarray of shape (n, 3), angstrom

    Returns
    -------
    tuple of (int, float), or None
        The first atom of the smaller part, and the distance between the two parts in angstrom; None
        where no part is farther than `FAR` from the others, or the molecule is longer than
        `MAX_STEPS` of these distances.

    Examples
    --------
    >>> import numpy as np
    >>> from dipkit.data.far_atoms import far_atom
    >>> far_atom(np.array([[0.0, 0, 0], [1, 0, 0], [0, 900, 0]]))
    (2, 900.0)
    """
    near = np.zeros(len(positions), dtype=bool)
    near[0] = True
    newest = near.copy()
    # From the first atom to all that chains of short distances reach.
    for _ in range(MAX_STEPS):
        if near.all():
            return None
        others = np.flatnonzero(~near)
        distances, _ = cKDTree(positions[newest]).query(positions[others], distance_upper_bound=FAR)
        newest = np.zeros(len(positions), dtype=bool)
        newest[others[np.isfinite(distances)]] = True
        near |= newest
        if not newest.any():
            return _smaller_part(positions, near)
    return None


def _smaller_part(positions: FloatArray, near: NDArray[np.bool_]) -> tuple[int, float]:
    gap = cKDTree(positions[near]).query(positions[~near])[0].min()
    few = near if 2 * near.sum() <= len(near) else ~near
    return int(np.argmax(few)), float(gap)


class FarAtoms:
    """Counts molecules with a distant part, over any number of sets of molecules."""

    def __init__(self) -> None:
        self.n_molecules, self.found = 0, list[str]()

    def add(self, molecules: Molecules) -> None:
        """Count these molecules too."""
        self.n_molecules += len(molecules)
        for index in _large(molecules.positions, molecules.offsets) if len(molecules) else ():
            start, stop = molecules.offsets[index : index + 2]
            if (found := far_atom(molecules.positions[start:stop])) is not None:
                atom, gap = found
                name = str(molecules.names[index])
                self.found.append(f"atom {atom} of {name!r}, {gap:,.4g} angstrom")

    def warn(self) -> None:
        """Warn where there are any."""
        if self.found:
            warnings.warn(
                f"positions: in {len(self.found)} of {counted(self.n_molecules)} an atom, or a "
                f"group of atoms, is more than {FAR:g} angstrom from all others: "
                f"{listed(self.found)}. Perhaps a coordinate is wrong, a molecule was cut at the "
                "wall of a periodic box, or two molecules are in one record. Correct them, or "
                "leave them out.",
                stacklevel=4,
            )


def warn_far(molecules: Molecules) -> None:
    """Warn where parts of molecules are far from the rest."""
    found = FarAtoms()
    found.add(molecules)
    found.warn()


def _large(positions: FloatArray, offsets: NDArray[np.int64]) -> NDArray[np.intp]:
    """Molecules whose box has a diagonal beyond `FAR`: no other has room for a distant atom."""
    starts = offsets[:-1]
    squares = np.zeros(len(starts))
    # One coordinate at a time, so that the temporary arrays stay small.
    for along in positions.T:
        squares += (np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts)) ** 2
    return np.flatnonzero(squares > FAR**2)
