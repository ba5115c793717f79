"""All checks of units after reading: positions that are no bonds, dipoles of the wrong size.

The checks are in `length_units.py`, `dipole_size.py` and `label_units.py`.
"""

from __future__ import annotations

from .dipole_size import warn_size
from .label_units import warn_tiny
from .length_units import warn_lengths
from .molecules import Molecules


def warn_of_units(molecules: Molecules) -> None:
    """Warn where positions or dipole labels seem to be in another unit than they were read in."""
    warn_lengths(molecules.numbers, molecules.positions, molecules.offsets)
    if molecules.has_magnitude.any():
        warn_size(molecules, molecules.notes.dipole_unit)
        warn_tiny(molecules.dipole_magnitude)
