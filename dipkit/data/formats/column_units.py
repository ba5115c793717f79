"""Units in the names of columns: ``mu_debye``, ``dipole (D)``, ``dipole_x_au``, ``mu / D``.

A unit is a word behind the name, after an underscore, a blank or a slash, or in brackets. A word in
brackets or behind a slash that is no known unit is an error, because it would otherwise be ignored.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...exceptions import InputError
from ..read_options import ReadOptions
from ..unit_words import DEBYE_PER, LONGEST_KEY, WRITTEN, key_stem, suffix_unit

_MARKED = re.compile(r"^(.*?)\s*(?:[(\[{]\s*([^)\]}]*?)\s*[)\]}]|\s/\s*([^/]+))$")


def split_unit(column: str) -> tuple[str, str | None]:
    """Split the name of a column into its base, in small letters, and its unit.

    Examples
    --------
    >>> from dipkit.data.formats.column_units import split_unit
    >>> split_unit("Dipole (D)"), split_unit("dipole_x_au"), split_unit("mu"), split_unit("mu [mD]")
    (('dipole', 'debye'), ('dipole_x', 'au'), ('mu', None), ('mu', 'mD'))
    """
    name = column.strip()
    if len(name) > LONGEST_KEY:
        return name, None
    unit = suffix_unit(name)
    if unit is None and (marked := _MARKED.match(name)):
        return _base(marked[1]), marked[2] or marked[3] or ""
    return _base(key_stem(name)), unit


def _base(name: str) -> str:
    return re.sub(r"[\s_]+", "_", name.strip().lower()).strip("_")


def unit_of(
    path: Path,
    column: str,
    unit: str | None,
    options: ReadOptions,
    usual: str | None,
    notes: list[str],
) -> str:
    """Return the unit of a column, one of those of `ReadOptions.dipole_unit`.

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
    if unit is not None and unit not in DEBYE_PER:
        raise InputError(
            f"{path}: column {column!r}: unknown unit {unit!r}. Known are {', '.join(DEBYE_PER)}: "
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
    notes.append(f"dipoles read in {WRITTEN[chosen]}: {reason} ({path}, {column}).")
    return chosen
