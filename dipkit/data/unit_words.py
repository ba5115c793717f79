"""Words for units of dipoles and lengths, as files write them, and what one of each is.

Dipoles become debye and lengths angstrom. Where a file declares its units is in
`declared_units.py`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM

__all__ = [
    "ANGSTROM_PER",
    "DEBYE_PER",
    "DIPOLE_NAMES",
    "WRITTEN",
    "dipole_unit_of",
    "foreign_unit",
    "key_stem",
    "length_unit_of",
    "suffix_unit",
]

DEBYE_PER = {
    "debye": 1.0,
    "e-angstrom": DEBYE_PER_E_ANGSTROM,
    "au": DEBYE_PER_E_ANGSTROM * ANGSTROM_PER_BOHR,
}
ANGSTROM_PER = {"angstrom": 1.0, "bohr": ANGSTROM_PER_BOHR}
# Names of the units in messages.
WRITTEN = {"debye": "debye", "e-angstrom": "e*angstrom", "au": "e*bohr (atomic units)"}

# Names of dipoles, in lower case: a unit declared for one of them holds for the dipole labels.
DIPOLE_NAMES = ("dipole", "dipoles", "dipole_moment", "dipole_moments", "mu")

_ATOMIC = ("au", "atomic", "atomicunit", "atomicunits")
_DIPOLE_WORDS = {
    "debye": ("d", "debye", "debyes"),
    "e-angstrom": ("ea", "eå", "eang", "eangstrom", "eangstroms", "ae", "ange", "angstrome"),
    "au": (*_ATOMIC, "ebohr", "ea0", "bohre", "a0e"),
}
_LENGTH_WORDS = {
    "angstrom": ("a", "å", "ang", "angs", "angstrom", "angstroms", "ångström", "ångstrom"),
    "bohr": (*_ATOMIC, "bohr", "bohrs", "a0"),
}
_DIPOLE_UNITS = {word: unit for unit, words in _DIPOLE_WORDS.items() for word in words}
_LENGTH_UNITS = {word: unit for unit, words in _LENGTH_WORDS.items() for word in words}
# Signs of multiplication and decoration: e*A, e·Å, e_angstrom, a.u., [D].
_DECORATION = re.compile(r"[\s*·×._\-\[\](){}^'\"]+")
# A unit at the end of a key: dipole_debye, mu_D, dipole_e_angstrom, "dipole (D)", "mu / D".
_SUFFIX = re.compile(
    r"^(?P<stem>.+?)(?:[_\s.:,/-]+(?P<plain>D|(?i:debye|au|a\.u\.?|e[_*-]?a|e[_*-]?ang|"
    r"e[_*-]?angstrom|e[_*-]?bohr|ea0))|[_\s]*[\[(](?P<bracket>[^\])]+)[\])])$"
)

# Units of dipoles that are not converted here.
_FOREIGN = re.compile(
    r"[_\s.:,/\[({]\s*((?:1e-?30|10\^?-30)?\s*C[*·. ]?m|coulomb.?met(?:re|er)s?|mD|e[*·]?nm)"
    r"[\])}]?$"
)


def dipole_unit_of(word: str) -> str | None:
    """Return the unit of dipoles that a word names, or None.

    Examples
    --------
    >>> from dipkit.data.unit_words import dipole_unit_of
    >>> [dipole_unit_of(word) for word in ("a.u.", "e*Ang", "Debye", "eV")]
    ['au', 'e-angstrom', 'debye', None]
    """
    return _DIPOLE_UNITS.get(_bare(word))


def length_unit_of(word: str) -> str | None:
    """Return the unit of lengths that a word names, or None."""
    return _LENGTH_UNITS.get(_bare(word))


@lru_cache(maxsize=4096)
def suffix_unit(key: str) -> str | None:
    """Return the unit of dipoles at the end of a key, or None.

    Examples
    --------
    >>> from dipkit.data.unit_words import suffix_unit
    >>> [suffix_unit(key) for key in ("mu_D", "dipole_e_angstrom", "dipole (au)", "dipole")]
    ['debye', 'e-angstrom', 'au', None]
    """
    found = _SUFFIX.match(key)
    return dipole_unit_of(found["plain"] or found["bracket"]) if found else None


@lru_cache(maxsize=4096)
def foreign_unit(key: str) -> str | None:
    """Return a unit of dipoles at the end of a key that is not converted here, or None.

    Examples
    --------
    >>> from dipkit.data.unit_words import foreign_unit
    >>> [foreign_unit(key) for key in ("mu (C*m)", "dipole_mD", "mu_D", "dipole")]
    ['C*m', 'mD', None, None]
    """
    found = _FOREIGN.search(key)
    return found[1] if found else None


@lru_cache(maxsize=4096)
def key_stem(key: str) -> str:
    """Return a key in lower case, with underscores for blanks, without the unit at its end."""
    found = _SUFFIX.match(key) if suffix_unit(key) else None
    return re.sub(r"\s+", "_", (found["stem"] if found else key).strip().lower())


def _bare(word: str) -> str:
    return _DECORATION.sub("", word).lower()
