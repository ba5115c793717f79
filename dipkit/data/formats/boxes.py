"""Molecules in periodic boxes, taken as isolated where the user asks for that.

A box that the molecule does not cross can be left away. Where atoms are near each other only
through a wall of the box, the coordinates do not show the molecule as a whole, and its dipole would
be wrong.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ...exceptions import InputError

# Atoms are near: within this multiple of a bond, and within this distance in any case, angstrom.
# The distance is shorter than contacts between molecules, and as long as a hydrogen bond.
_BONDS = 1.3
_CONTACT = 2.5
# A box must be longer than this along a periodic direction, angstrom, to be one.
_LEAST_LENGTH = 1e-6


def check_box(atoms: Atoms, where: str, ignored: bool) -> None:
    """Check that atoms are isolated, or a whole molecule in a box that is to be ignored.

    Parameters
    ----------
    atoms : ase.Atoms
    where : str
        The molecule, for messages.
    ignored : bool
        Whether the user asked to leave the box away.

    Raises
    ------
    InputError
        If the atoms are periodic and `ignored` is false, or the molecule crosses the box.
    """
    if not atoms.pbc.any():
        return
    if not ignored:
        raise InputError(
            f"{where} has a periodic cell: periodic systems are not supported. If it is a molecule "
            "in a box, say so: --ignore-pbc (ignore_pbc=True in Python), or set atoms.pbc = False "
            '(pbc="F F F" in a file).'
        )
    _check_inside(atoms, where)


def _check_inside(atoms: Atoms, where: str) -> None:
    from ase.neighborlist import natural_cutoffs, neighbor_list  # the import takes time

    lengths = atoms.cell.lengths()
    periodic = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell)
    periodic.pbc = atoms.pbc & (lengths > _LEAST_LENGTH)
    if not periodic.pbc.any():
        return
    radii = np.maximum(natural_cutoffs(periodic, mult=_BONDS), _CONTACT / 2)
    first, second, distance, shift = neighbor_list("ijdS", periodic, radii)
    through = np.flatnonzero(shift.any(axis=1))
    if len(through):
        nearest = through[np.argmin(distance[through])]
        raise InputError(
            f"{where}: atoms {first[nearest]} and {second[nearest]} are {distance[nearest]:.2f} "
            "angstrom apart through a wall of the box: the molecule crosses the box, is a part of "
            "a crystal, or nearly touches its image. Make it whole first, or use a larger box."
        )
