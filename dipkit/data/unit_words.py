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
    "LONGEST_KEY",
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
# Characters: no longer key names a unit, and patterns take long for what is far longer.
LONGEST_KEY = 200
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


def suffix_unit(key: str) -> str | None:
    """Return the unit of dipoles at the end of a key, or None.

    Examples
    --------
    >>> from dipkit.data.unit_words import suffix_unit
    >>> [suffix_unit(key) for key in ("mu_D", "dipole_e_angstrom", "dipole (au)", "dipole")]
    ['debye', 'e-angstrom', 'au', None]
    """
    return _split(key)[1] if len(key) <= LONGEST_KEY else None


def key_stem(key: str) -> str:
    """Return a key in lower case, without the unit at its end."""
    return _split(key)[0] if len(key) <= LONGEST_KEY else key.lower()


@lru_cache(maxsize=4096)
def foreign_unit(key: str) -> str | None:
    """Return a unit of dipoles at the end of a key that is not converted here, or None.

    Examples
    --------
    >>> from dipkit.data.unit_words import foreign_unit
    >>> [foreign_unit(key) for key in ("mu (C*m)", "dipole_mD", "mu_D", "dipole")]
    ['C*m', 'mD', None, None]
    """
    found = _FOREIGN.search(key) if len(key) <= LONGEST_KEY else None
    return found[1] if found else None


@lru_cache(maxsize=4096)
def _split(key: str) -> tuple[str, str | None]:
    """Return a key in lower case without its unit, with underscores for blanks, and the unit."""
    found = _SUFFIX.match(key)
    unit = dipole_unit_of(found["plain"] or found["bracket"]) if found else None
    stem = found["stem"] if found and unit else key
    return re.sub(r"\s+", "_", stem.strip().lower()), unit


def _bare(word: str) -> str:
    return _DECORATION.sub("", word).lower()
