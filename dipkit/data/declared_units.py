"""Units that a file declares, compared with what the user says and what a key usually has.

A unit is looked for, in this order:

- at the end of the label's key: ``dipole_au``, ``mu_D``;
- under a key of its own for this label or for lengths: ``dipole_unit``, ``mu_units``,
  ``distance_unit``; in the metadata of a database also under the label's key, or in a mapping
  such as ``_property_unit_dict``;
- under the general key ``units``, which may be about something else, such as energies.

The first two must agree with each other, and all with the option. Words for units are in
`unit_words.py`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from .length_units import positions_look_like
from .read_notes import ReadNotes
from .read_options import ReadOptions
from .unit_words import (
    ANGSTROM_PER,
    DEBYE_PER,
    DIPOLE_NAMES,
    LONGEST_KEY,
    WRITTEN,
    dipole_unit_of,
    foreign_unit,
    length_unit_of,
    suffix_unit,
)

__all__ = ["DeclaredUnits", "fixed_units"]

_LENGTH_NAMES = (
    *("distance", "distances", "length", "lengths", "position", "positions", "pos"),
    *("coordinate", "coordinates", "coord", "coords", "geometry", "xyz"),
)
_GENERAL = ("unit", "units", "unit_system", "property_unit_dict", "property_units")
_UNIT_KEY = re.compile(r"^(?:(?P<before>.+?)[_ .:-]*units?|units?[_ .:-]+(?P<after>.+))$")
# Words under ``units`` that are about other quantities.
_OTHER = re.compile(
    r"ev|mev|hartrees?|ha|rydbergs?|ry|kcal|kj|kcal/mol|kj/mol|k|kelvin|cm-1|fs|ps|amu|e|.*/.*"
)


# Programs that write positions in bohr mostly write dipoles in atomic units too.
_MIXED = (
    "dipole labels: positions are in bohr, and vectors without a unit were read in e*angstrom. "
    'Perhaps they are in atomic units too: say dipole_unit="au" (--dipole-unit au), or '
    '"e-angstrom" if they are not.'
)


class Declaration(NamedTuple):
    """A unit, and the place that names it."""

    unit: str
    place: str


class DeclaredUnits:
    """Finds the units of one file, and collects what was assumed.

    Parameters
    ----------
    options : ReadOptions
        ``dipole_unit`` and ``length_unit`` are read.
    metadata : mapping, default=None
        Metadata of the whole file.
    """

    def __init__(self, options: ReadOptions, metadata: Mapping[str, object] | None = None) -> None:
        self.options, self.metadata = options, metadata or {}
        # Sentences for `ReadNotes`; a dictionary keeps each once, in order.
        self.assumed: dict[str, None] = {}
        self.dipole_units: dict[str, None] = {}
        self._in_bohr = self._usual_vectors = False

    def dipole_factor(
        self, key: str, usual: str, why: str, values: Mapping[str, object], where: str
    ) -> float:
        """Return debye in one unit of the label under this key.

        Parameters
        ----------
        key : str
        usual : {"debye", "e-angstrom", "au"}
            Unit where nothing is declared.
        why : str
            Why this is the usual one, for the note.
        values : mapping
            What else stands beside the label.
        where : str
            The molecule, for messages.
        """
        unit, reason = self._dipole_unit(key, usual, why, values, where)
        self.assumed[f"dipole under {key!r} read in {WRITTEN[unit]}: {reason}."] = None
        self.dipole_units[unit] = None
        return DEBYE_PER[unit]

    def is_known(self, key: str, values: Mapping[str, object], where: str) -> bool:
        """Whether the user or the file says the unit of this label."""
        return self.options.dipole_unit != "auto" or bool(self._declared(key, values, where))

    def length_unit(self, values: Mapping[str, object], where: str) -> Declaration | None:
        """Return the unit of the positions that is given or declared, and where.

        A general ``units=atomic`` gives the unit "au": positions may be in either unit then.
        """
        option = self.options.length_unit
        found = [
            self._length_word(word, place, where)
            for name, word, place in self._entries(values)
            if name == "length"
        ]
        declared = _agreed([each for each in found if each], where, "length_unit")
        if declared is None:
            declared = self._general_length(values)
        general = declared is not None and declared.unit == "au"
        if option == "auto":
            return declared
        if declared and not general and declared.unit != option:
            raise _contradiction("length_unit", option, declared, where)
        return Declaration(option, f"length_unit={option!r}")

    def notes(self, numeric_keys: Mapping[str, str]) -> ReadNotes:
        """Return what was assumed; `numeric_keys` come from `dipkit.data.label_hints`."""
        if self._in_bohr and self._usual_vectors:
            warnings.warn(_MIXED, stacklevel=4)
        unit = next(iter(self.dipole_units)) if len(self.dipole_units) == 1 else None
        return ReadNotes(tuple(self.assumed), unit, numeric_keys)

    def length_factor(
        self,
        numbers: NDArray[np.int64],
        positions: NDArray[np.float64],
        values: Mapping[str, object],
        where: str,
    ) -> float:
        """Return angstrom in one unit of these positions.

        Where a general ``units=atomic`` may be about energies alone, the bonds decide.
        """
        found = self.length_unit(values, where)
        if found is None:
            self.assumed["positions read in angstrom: the file names no other unit."] = None
            return 1.0
        unit, reason = found
        if unit == "au":
            unit = positions_look_like(numbers, positions)
            reason = f"the bonds fit, and {reason} may be about other quantities"
        self.assumed[f"positions read in {unit}: {reason}."] = None
        self._in_bohr |= unit == "bohr"
        return ANGSTROM_PER[unit]

    def _dipole_unit(
        self, key: str, usual: str, why: str, values: Mapping[str, object], where: str
    ) -> tuple[str, str]:
        option, declared = self.options.dipole_unit, self._declared(key, values, where)
        if option == "auto":
            self._usual_vectors |= declared is None and usual == "e-angstrom"
            return declared if declared else (usual, why)
        if declared and declared.unit != option:
            raise _contradiction("dipole_unit", option, declared, where)
        return option, f"dipole_unit={option!r}"

    def _declared(self, key: str, values: Mapping[str, object], where: str) -> Declaration | None:
        found = []
        if suffix := suffix_unit(key):
            found.append(Declaration(suffix, f"the end of the key {key!r}"))
        elif (foreign := foreign_unit(key)) and self.options.dipole_unit == "auto":
            place = f"the end of the key {key!r}"
            raise _unknown("dipole", foreign, place, where, "debye, e*angstrom or au")
        entries = list(self._entries(values))
        names = {name for name, _, _ in entries}
        own = key.lower()
        # A unit for this key; else one for dipoles under whatever name.
        wanted = (own, "dipole") if own not in names else (own,)
        for name, word, place in entries:
            if name in wanted or (name in DIPOLE_NAMES and own not in names):
                unit = self._dipole_word(word, place, where)
                found += [Declaration(unit, place)] if unit else []
        agreed = _agreed(found, where, "dipole_unit")
        return agreed or self._general_dipole(values, where)

    def _dipole_word(self, word: str, place: str, where: str) -> str | None:
        unit = dipole_unit_of(word)
        if unit is None and self.options.dipole_unit == "auto":
            raise _unknown("dipole", word, place, where, "debye, e*angstrom or au")
        return unit

    def _length_word(self, word: str, place: str, where: str) -> Declaration | None:
        unit = length_unit_of(word)
        if unit is None and self.options.length_unit == "auto":
            raise _unknown("length", word, place, where, "angstrom or bohr")
        return Declaration(unit, place) if unit else None

    def _general_dipole(self, values: Mapping[str, object], where: str) -> Declaration | None:
        for name, word, place in self._entries(values):
            if name != "general":
                continue
            for part in _parts(word):
                if unit := dipole_unit_of(part):
                    return Declaration(unit, place)
                other = length_unit_of(part) or _OTHER.fullmatch(part.lower())
                if not other and self.options.dipole_unit == "auto":
                    raise _unknown("dipole", word, place, where, "debye, e*angstrom or au")
        return None

    def _general_length(self, values: Mapping[str, object]) -> Declaration | None:
        for name, word, place in self._entries(values):
            if name == "general":
                for part in _parts(word):
                    if unit := length_unit_of(part):
                        return Declaration("au" if dipole_unit_of(part) else unit, place)
        return None

    def _entries(self, values: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
        """Yield what a unit is for ("length", "general" or a key), its word and its place."""
        for key in values:  # not items(): arrays of a file are read when they are asked for
            name = _unit_for(key)
            if name is not None:
                yield from _words(name, values[key], key, "")
        for key, value in self.metadata.items():
            name = _unit_for(key) or ("length" if key.lower() in _LENGTH_NAMES else key.lower())
            yield from _words(name, value, key, " of the file's metadata")


def fixed_units(options: ReadOptions, what: str) -> ReadNotes:
    """Return the note about a format whose units are fixed: debye and angstrom.

    Raises
    ------
    InputError
        If the user names another unit.
    """
    for argument, given, fixed in (
        ("dipole_unit", options.dipole_unit, "debye"),
        ("length_unit", options.length_unit, "angstrom"),
    ):
        if given not in ("auto", fixed):
            raise InputError(
                f"{argument}={given!r}: {what} are in {fixed} by definition. Leave this out."
            )
    note = f"dipoles in debye and positions in angstrom: {what} are defined so."
    return ReadNotes((note,), "debye")


@lru_cache(maxsize=4096)
def _unit_for(key: str) -> str | None:
    """Return what a key is the unit of: "length", "general", or a key; None if of nothing."""
    bare = key.lower().strip("_ ")
    if bare in _GENERAL:
        return "general"
    found = _UNIT_KEY.match(bare) if len(bare) <= LONGEST_KEY else None
    if not found:
        return None
    name = found["before"] or found["after"]
    return "length" if name in _LENGTH_NAMES else name


def _words(name: str, value: object, key: str, suffix: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, Mapping):
        for part, word in value.items():
            if isinstance(word, str):
                own = "length" if str(part).lower() in _LENGTH_NAMES else str(part).lower()
                yield own, word, f"{key!r}{suffix} ({part}: {word})"
        return
    if isinstance(value, np.ndarray) and value.dtype.kind in "US" and value.size:
        distinct = np.unique(value.astype(np.str_)).tolist()
        value = ", ".join(distinct)
    if isinstance(value, str) and value.strip():
        yield name, value.strip(), f"{key!r}{suffix} ({value.strip()})"


def _parts(word: str) -> list[str]:
    """Split a list of units such as ``eV, Angstrom``; a unit of dipoles may hold blanks."""
    if dipole_unit_of(word) or length_unit_of(word):
        return [word]
    return [part for part in re.split(r"[,;|\s]+", word) if part]


def _agreed(found: list[Declaration], where: str, argument: str) -> Declaration | None:
    for other in found[1:]:
        if other.unit != found[0].unit:
            raise InputError(
                f"{where}: {found[0].place} says {found[0].unit} and {other.place} says "
                f"{other.unit}. Correct one of them: {argument} cannot decide between them."
            )
    return found[0] if found else None


def _contradiction(argument: str, option: str, declared: Declaration, where: str) -> InputError:
    return InputError(
        f"{argument}={option!r} contradicts the file: {where} declares {declared.unit} by "
        f"{declared.place}. Leave the option out, or correct the file."
    )


def _unknown(kind: str, word: str, place: str, where: str, expected: str) -> InputError:
    return InputError(
        f"{where}: {place} declares the unknown {kind} unit {word!r}: expected {expected}. "
        f"Convert the values, or say the unit: {kind}_unit= (--{kind}-unit on the command line)."
    )
