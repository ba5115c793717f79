"""Total charges of molecules: the places where files have them, and places that disagree.

A place is a key of the usual names (`TOTAL_CHARGE_KEYS`, in any spelling), the sum of initial
charges as ASE keeps them, or the formal charges of an SD record. Values are whole numbers, e.
Charges of single atoms are checked in `label_checks.py`; formats find the places and pass them on.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from .label_checks import rounding_of_sum
from .label_keys import TOTAL_CHARGE_KEYS
from .naming import counted, listed
from .read_options import ReadOptions

__all__ = ["INITIAL", "NO_KEY", "TotalCharges", "same_key"]

# The array in which ASE keeps initial charges; its sum is the total charge.
INITIAL = "initial_charges"
# Values this near a whole number are that number, e.
_WHOLE = 1e-3
# Partial charges whose sum is farther than this from a whole number give no total charge, e.
_WHOLE_SUM = 0.1
# Characters of a number.
_LONGEST_NUMBER = 100

Places = Mapping[str, Any]


@lru_cache(maxsize=4096)  # a file has the same keys all through
def same_key(key: str) -> str:
    """Return one spelling of a key: small letters, and one underscore between words.

    Examples
    --------
    >>> from dipkit.data.total_charge import same_key
    >>> same_key("Total Charge"), same_key("M  CHG")
    ('total_charge', 'm_chg')
    """
    return re.sub(r"[\W_]+", "_", key.casefold()).strip("_")


_SEPARATORS = re.compile(r"[|,;\s]+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# Names that are read only where the user gives them: they may be about single atoms.
_LIKELY = ("formal_charge", "molecular_charge", "molecule_charge", "mol_charge", "system_charge")
NO_KEY = "total charge: no key found, all molecules taken as neutral."
_USUAL = frozenset(same_key(key) for key in TOTAL_CHARGE_KEYS)


class TotalCharges:
    """Total charges of the molecules of one file, found one by one.

    Parameters
    ----------
    options : ReadOptions
        Its ``total_charge`` is a key that replaces the usual places, or the charge of every
        molecule.
    """

    def __init__(self, options: ReadOptions) -> None:
        self.key, self.number = _wanted(options.total_charge)
        labels = (options.charges_key, options.dipole_key)
        self.taken = {key for key in labels if key}
        self.n_molecules = 0
        self.sources: Counter[str] = Counter()
        self.no_sum: list[str] = []

    def find(self, values: Places, where: str, special: Places | None = None) -> float:
        """Return the total charge of a molecule, e; 0 where no place has one.

        Parameters
        ----------
        values : mapping
            Everything that the file has for the molecule, by key.
        where : str
            The molecule, for messages.
        special : mapping, default=None
            Places that are no keys: `INITIAL` with the charges of the atoms, or formal charges.

        Raises
        ------
        InputError
            If a value is no whole number, or two places disagree.
        """
        self.n_molecules += 1
        if self.number is not None:
            return self.number
        places = {k: v for k, v in values.items() if self._is_place(k) and _is_said(k, v)}
        if self.key is None or same_key(self.key) in map(same_key, special or {}):
            places |= special or {}
        if self.key is not None:
            places = {k: v for k, v in places.items() if same_key(k) == same_key(self.key)}
        found = {key: self._whole(key, value, where) for key, value in places.items()}
        said = {key: value for key, value in found.items() if value is not None}
        if not said and np.any(places.get(INITIAL, 0)):
            self.no_sum.append(where)
        if len(set(said.values())) > 1:
            raise _disagreement(said, where)
        self.sources.update(list(said)[:1])
        return next(iter(said.values()), 0.0)

    def find_all(self, arrays: Mapping[str, NDArray[Any]], n_molecules: int) -> Any:
        """Return the total charges of all molecules, from arrays of one value for each.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Arrays of the file, by key.
        n_molecules : int

        Returns
        -------
        ndarray of shape (n_molecules,), e, or None where no array has them
        """
        self.n_molecules = n_molecules
        if self.number is not None:
            return np.full(n_molecules, self.number)
        # Not items(): arrays of a file are read when they are asked for.
        places = {key: arrays[key] for key in arrays if self._is_place(key)}
        found = {key: value for key, value in places.items() if _is_said(key, value[:1])}
        if not found:
            return None
        first, charges = next(iter(found.items()))
        if any(v.shape != (n_molecules,) or v.dtype.kind not in "fiu" for v in found.values()):
            return charges  # `Molecules` refuses it
        wrong = ~(np.abs(charges - np.round(charges)) <= _WHOLE)
        for other in found.values():
            wrong |= ~(np.abs(other - charges) <= _WHOLE)
        if wrong.any():
            index = int(np.argmax(wrong))
            self.find({k: v[index] for k, v in found.items()}, f"molecule {index}")
        self.sources[first] = n_molecules
        return np.round(charges) + 0.0

    def also(self, place: str, count: int) -> None:
        """Count molecules whose total charge comes from a place outside their file."""
        n_silent = self.n_molecules - self.sources.total()
        if count:
            self.sources[place] += min(count, n_silent)

    def sentences(self, present: Iterable[str]) -> list[str]:
        """Say where the charges came from, for `ReadNotes`, and warn of what was left out.

        Raises
        ------
        InputError
            If no molecule has the key that the user named.
        """
        if self.number is not None:
            return [f"total charge: {self.number:g} e for every molecule, as asked."]
        if self.key is not None and not self.sources and self.n_molecules:
            raise InputError(
                f"total_charge={self.key!r}: found in no molecule; keys present: "
                f"{', '.join(present) or 'none'}. Name one of these, or give a number."
            )
        n_silent = self.n_molecules - self.sources.total()
        if self.no_sum:
            warnings.warn(
                f"total charge: the {INITIAL} of {counted(len(self.no_sum))} sum to no whole "
                f"number, and no key has one: {listed(self.no_sum)}. They are taken as neutral: "
                "give the charge with total_charge= (--total-charge KEY|N) if they are not.",
                stacklevel=4,
            )
        if self.key is not None and n_silent:
            warnings.warn(
                f"total charge: {n_silent} of {self.n_molecules} molecules have no key "
                f"{self.key!r} and are taken as neutral.",
                stacklevel=4,
            )
        if not self.sources:
            likely = next((key for key in present if same_key(key) in _LIKELY), None)
            advice = f" Perhaps {likely!r} has it: --total-charge {likely}." if likely else ""
            return [NO_KEY + advice]
        found = ", ".join(f"{key} ({counted(count)})" for key, count in self.sources.items())
        rest = f"; {counted(n_silent)} without one, taken as neutral" if n_silent else ""
        return [f"total charge: from {found}{rest}."]

    def _is_place(self, key: str) -> bool:
        if key in self.taken:
            return False
        wanted = _USUAL if self.key is None else {same_key(self.key)}
        return same_key(key) in wanted and key != INITIAL

    def _whole(self, key: str, value: Any, where: str) -> float | None:
        if key == INITIAL:
            return whole_sum(np.asarray(value, dtype=np.float64))
        return _whole_number(key, value, where)


def whole_sum(charges: NDArray[np.float64]) -> float | None:
    """Return the total charge that charges of the atoms sum to, or None where they say nothing.

    Charges that are all zero say nothing: programs write them where none were set. Partial charges
    may differ from a whole number in their sum by their rounding.

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    """
    if not np.any(charges):
        return None
    total = float(charges.sum())
    near = float(np.round(total))
    allowed = min(_WHOLE_SUM, max(0.02, rounding_of_sum(charges)))
    return near + 0.0 if abs(total - near) <= allowed else None


def _wanted(total_charge: str | float | None) -> tuple[str | None, float | None]:
    """Return the key or the number that the user gave."""
    if total_charge is None:
        return None, None
    try:
        number = float(total_charge)
    except ValueError:
        return str(total_charge), None
    if number != np.round(number) or not np.isfinite(number):
        raise InputError(
            f"total_charge: expected a key or a whole number of e, got {total_charge!r}."
        )
    return None, number + 0.0


def _is_said(key: str, value: Any) -> bool:
    """Whether a place holds anything; texts may be blank, and q may be charges of the atoms."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return False
    return same_key(key) != "q" or np.size(_split(value)) == 1


def _split(value: Any) -> Any:
    """Split a text of several numbers, such as charges of the atoms in an SD record."""
    fields = (
        [field for field in _SEPARATORS.split(value) if field] if isinstance(value, str) else []
    )
    if len(fields) < 2 or max(map(len, fields)) > _LONGEST_NUMBER:
        return value  # an array of words has room for the longest in every place
    return fields if all(map(_NUMBER.fullmatch, fields)) else value


def _whole_number(key: str, value: Any, where: str) -> float:
    try:
        array = np.asarray(_split(value))
        number = array.astype(np.float64) if array.dtype.kind != "b" else None
    except (TypeError, ValueError):
        number = None
    if number is None:
        raise InputError(
            f"{where}: {key!r} holds {value!r:.60}: expected numbers, one total charge in e. Name "
            "another key or the charge itself: total_charge= (--total-charge KEY|N)."
        )
    if number.size != 1:
        raise InputError(
            f"{where}: {key!r} holds {number.size} numbers: expected 1, the total charge in e. If "
            f"these are charges of the atoms, name the key: charges_key={key!r} (--charges {key})."
        )
    charge = float(number.reshape(-1)[0])
    if not np.isfinite(charge):
        raise InputError(
            f"{where}: {key!r} holds NaN or infinity. Correct it, or leave the key out where the "
            "molecule is neutral."
        )
    whole = float(round(charge))
    if abs(charge - whole) > _WHOLE:
        raise InputError(
            f"{where}: {key!r} holds {charge:g}: expected a whole number, the total charge in e. "
            "Correct it, or name another key or the charge: total_charge= (--total-charge KEY|N)."
        )
    return whole + 0.0  # no -0


def _disagreement(said: Mapping[str, float], where: str) -> InputError:
    (one, first), *others = said.items()
    other, second = next((key, value) for key, value in others if value != first)
    return InputError(
        f"{where}: its total charge is {first:+g} e by {_place(one)} and {second:+g} e by "
        f"{_place(other)}. Correct one of them, or say which counts: total_charge={one!r} "
        f"(--total-charge {one!r}), or the charge of every molecule as a number."
    )


def _place(key: str) -> str:
    return f"the sum of {key!r}" if key == INITIAL else repr(key)
