"""Rules of dipole labels that all readers share: usual keys, usual units, number or vector.

One number is a magnitude, three are a vector. Units that the file or the user names are found by
`dipkit.data.declared_units`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ...exceptions import InputError
from ..declared_units import DeclaredUnits
from ..label_keys import DIPOLE_KEYS, VECTOR_KEYS
from ..unit_words import DIPOLE_NAMES, key_stem, suffix_unit

__all__ = ["read_dipole", "usual_keys", "usual_unit"]

FloatArray = NDArray[np.float64]
Numbers = Callable[[str], FloatArray]


def usual_keys(present: Iterable[str]) -> list[str]:
    """Return the keys of dipole labels among these, the first to be looked at first.

    Examples
    --------
    >>> from dipkit.data.formats.dipole_labels import usual_keys
    >>> usual_keys(["energy", "dipole", "dipole_au", "mu"])
    ['mu', 'dipole_au', 'dipole']
    """
    present = list(present)
    with_unit = [
        key
        for key in present
        if key not in DIPOLE_KEYS and suffix_unit(key) and key_stem(key) in DIPOLE_NAMES
    ]
    usual = [key for key in DIPOLE_KEYS if key in present]
    return [*usual, *with_unit, *(key for key in VECTOR_KEYS if key in present)]


def usual_unit(n_numbers: int) -> tuple[str, str]:
    """Return the unit of labels of one or three numbers that nobody names, and why."""
    if n_numbers == 3:
        return "e-angstrom", "the unit in which ASE keeps vectors, since the file names none"
    return "debye", "the usual unit of magnitudes, since the file names none"


def read_dipole(
    units: DeclaredUnits,
    numbers: Mapping[str, FloatArray],
    values: Mapping[str, object],
    where: str,
    named: str | None,
) -> tuple[float | None, FloatArray | None]:
    """Return the magnitude and the vector of one molecule, debye; None where missing.

    Parameters
    ----------
    units : DeclaredUnits
    numbers : mapping of str to ndarray of shape (1,) or (3,)
        What stands under the keys of dipoles; the first of each kind counts.
    values : mapping
        What else stands beside the labels, for declared units.
    where : str
        The molecule, for messages.
    named : str or None
        The key, if the user named one.
    """
    magnitude: float | None = None
    vector: FloatArray | None = None
    for key, value in numbers.items():
        size = len(value)
        known = named is not None or units.is_known(key, values, where)
        if not known and size == 1 and key in VECTOR_KEYS:
            if magnitude is None:
                raise _unclear_number(key, where)
            continue
        if not known and size == 3 and key not in VECTOR_KEYS:
            raise _unclear_vector(key, where)
        usual, why = usual_unit(size)
        value = value * units.dipole_factor(key, usual, why, values, where)
        if size == 3:
            vector = value if vector is None else vector
            continue
        magnitude = float(value[0]) if magnitude is None else magnitude
    return magnitude, vector


def _unclear_number(key: str, where: str) -> InputError:
    return InputError(
        f"{where}: {key!r} holds one number: expected a vector in e*angstrom. If it is a magnitude "
        f"in debye, name it: dipole_key={key!r} (--dipole {key}); in another unit, name that "
        "(dipole_unit=, --dipole-unit)."
    )


def _unclear_vector(key: str, where: str) -> InputError:
    return InputError(
        f"{where}: {key!r} holds 3 numbers: expected 1, a magnitude in debye. If it is a vector, "
        f"name its unit: dipole_unit='debye' (--dipole-unit debye); or name the key, and a "
        f"vector in e*angstrom is read: dipole_key={key!r} (--dipole {key})."
    )
