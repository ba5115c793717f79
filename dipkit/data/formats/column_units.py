"""Units in the names of columns: ``mu_debye``, ``dipole (D)``, ``dipole_x_au``.

A unit is a word behind the name, after an underscore or a blank, or in brackets. A word in brackets
that is no known unit is an error, because it would otherwise be ignored. Factors are in debye.
"""

from __future__ import annotations

import re
from pathlib import Path

from ase.units import Bohr

from ...exceptions import InputError
from ...units import DEBYE_PER_E_ANGSTROM
from ..read_options import ReadOptions

# Words for each unit of `ReadOptions.dipole_unit`, in small letters; dots, stars and blanks do
# not count in brackets.
_WORDS = {
    "debye": ("debye", "d", "debyes"),
    "e-angstrom": ("ea", "eang", "eangstrom", "eå", "e-angstrom", "e_angstrom", "e_a"),
    "au": ("au", "ebohr", "e-bohr", "e_bohr", "ea0", "e_a0", "a_u"),
}
_UNITS = {word: unit for unit, words in _WORDS.items() for word in words}
_DEBYE = {
    "debye": 1.0,
    "e-angstrom": DEBYE_PER_E_ANGSTROM,
    "au": DEBYE_PER_E_ANGSTROM * Bohr,
}
_BRACKETS = re.compile(r"^(.*?)\s*[(\[{]\s*([^)\]}]*?)\s*[)\]}]$")


def split_unit(column: str) -> tuple[str, str | None]:
    """Split the name of a column into its base, in small letters, and its unit.

    Examples
    --------
    >>> from dipkit.data.formats.column_units import split_unit
    >>> split_unit("Dipole (D)"), split_unit("dipole_x_au"), split_unit("mu"), split_unit("mu [mD]")
    (('dipole', 'debye'), ('dipole_x', 'au'), ('mu', None), ('mu', 'mD'))
    """
    name = column.strip()
    if bracketed := _BRACKETS.match(name):
        word = bracketed[2]
        return _base(bracketed[1]), _UNITS.get(_plain(word), word)
    name = name.lower()
    for word in sorted(_UNITS, key=len, reverse=True):
        for joint in ("_", " ", "/"):
            if name.endswith(joint + word):
                return _base(name.removesuffix(joint + word)), _UNITS[word]
    return _base(name), None


def _base(name: str) -> str:
    return re.sub(r"[\s_]+", "_", name.strip().lower()).strip("_")


def _plain(word: str) -> str:
    return re.sub(r"[.*·\s]", "", word.lower())


def debye_in(
    path: Path,
    column: str,
    unit: str | None,
    options: ReadOptions,
    usual: str | None,
    notes: list[str],
) -> float:
    """Return debye in one unit of a column.

    Parameters
    ----------
    path : Path
    column : str
        For messages.
    unit : str or None
        What the name of the column says.
    options : ReadOptions
        Their ``dipole_unit`` counts where the name says nothing.
    usual : str or None
        Unit where nobody says anything; None makes that an error.
    notes : list of str
        A sentence about the unit is added.

    Raises
    ------
    InputError
        If the unit is unknown, missing, or another one than that of the options.
    """
    asked = None if options.dipole_unit == "auto" else options.dipole_unit
    if unit is not None and unit not in _DEBYE:
        raise InputError(
            f"{path}: column {column!r}: unknown unit {unit!r}. Known are {', '.join(_DEBYE)}: "
            "convert the values."
        )
    if unit is not None and asked is not None and unit != asked:
        raise InputError(
            f"{path}: column {column!r} says {unit}, and dipole_unit (--dipole-unit) says {asked}. "
            "Remove one of them."
        )
    chosen = unit or asked or usual
    if chosen is None:
        raise InputError(
            f"{path}: columns {column}: the unit of these vectors is not said. Give it: "
            "--dipole-unit debye, e-angstrom or au (dipole_unit= in Python), or write it behind "
            "the names of the columns, for example dipole_x_debye."
        )
    reason = "as the column says" if unit else "as given" if asked else "as no unit is named"
    notes.append(f"dipoles in {chosen}, {reason} ({path}, {column}).")
    return _DEBYE[chosen]
