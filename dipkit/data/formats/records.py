"""One molecule as a reader finds it, and numbers in text.

A reader makes one `Record` for each molecule. Units are those of `Molecules`: angstrom, e, debye;
None marks a missing value. Records of a whole file are kept in `record_columns.py`; file formats
are not here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError

FloatArray = NDArray[np.float64]

# Characters of a number.
_LONGEST_NUMBER = 100


@dataclass(slots=True)
class Record:
    """One molecule as read."""

    numbers: Sequence[int] | NDArray[Any]
    positions: Sequence[Sequence[float]] | NDArray[Any]
    name: str
    total_charge: float = 0.0
    magnitude: float | None = None
    vector: FloatArray | None = None
    charges: Sequence[float] | FloatArray | None = None
    baseline_dipole: FloatArray | None = None
    baseline_charges: FloatArray | None = None
    descriptor_charges: FloatArray | None = None
    quadrupole: FloatArray | None = None
    multiplicity: float | None = None
    where: str = ""
    """The file and the line or member, for messages; empty where the reader is told by others."""
    index: int = -1
    """Place among all records of the file or the folder, from 0; -1 is the place in the list."""
    stem: str = ""
    """Stem of the file, by which tables of labels may name the molecule."""


def finite_number(field: str, where: str) -> float:
    """Read a finite number of a text file; `where` names the file and the line."""
    try:
        value = float(field) if len(field) <= _LONGEST_NUMBER else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileFormatError(f"{where}: expected a finite number, got {field!r:.60}.")
    return value
