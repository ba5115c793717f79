"""Dipole vectors of ions that look as if they are about the origin of the coordinates.

The dipole of a molecule with charge q depends on the origin: about the point R it is smaller by
q R than about zero. `Molecules` keeps it about the centre of mass. Programs differ, and files do
not say; an ion far from zero shows it, since q R is then larger than any dipole of its own.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..units import DEBYE_PER_E_ANGSTROM
from .molecules import Molecules
from .naming import counted, listed

__all__ = ["warn_origin"]

# The share of its length that a vector must lose, and the debye, before its origin is doubted.
_LEFT, _LEAST = 0.5, 2.0


def warn_origin(molecules: Molecules) -> None:
    """Warn where most dipole vectors of ions away from zero become much smaller without q R.

    Parameters
    ----------
    molecules : Molecules
        Dipole vectors in debye, positions in angstrom, total charges in e.
    """
    ions = np.flatnonzero((molecules.total_charge != 0) & molecules.has_vector)
    if not len(ions):
        return
    part = molecules[ions]
    charge = part.total_charge[:, None] * DEBYE_PER_E_ANGSTROM
    moved = np.linalg.norm(part.dipole_vector - charge * part.centers_of_mass(), axis=1)
    length = np.linalg.norm(part.dipole_vector, axis=1)
    shift = np.linalg.norm(charge * part.centers_of_mass(), axis=1)
    telling = shift > _LEAST
    doubted = np.flatnonzero(telling & (moved < _LEFT * length))
    if 2 * len(doubted) <= np.count_nonzero(telling):
        return
    cases = [
        f"{name!r} has {before:.3g} debye, and {after:.3g} about its centre of mass"
        for name, before, after in zip(
            part.names[doubted].tolist(), length[doubted], moved[doubted], strict=True
        )
    ]
    warnings.warn(
        f"dipole vectors of ions: those of {counted(len(doubted))} look as if they were about the "
        f"origin of the coordinates: {listed(cases)}. They are taken as about the centre of mass: "
        "subtract the total charge times the centre of mass, or centre the molecules and "
        "calculate again.",
        stacklevel=5,
    )
