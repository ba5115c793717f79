"""Numeric keys that no label was read from, and the likely label among them.

A reader reports what stands under each key; `hint` proposes the option to type. Keys that are read
without being named are in `label_keys.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["NumericKeys", "hint", "list_keys"]

# What may stand under a key, in the words of messages.
ONE, THREE, ATOMS, ATOMS_BY_3 = "1 number", "3 numbers", "1 for each atom", "3 for each atom"
OTHER = "numbers"

# A dipole moment, but no momentum.
_DIPOLE = re.compile(r"dipole|dip(?![a-z])|(^|[^a-z])mu($|[^a-z])|moment(?!a|um)", re.IGNORECASE)
_NOT_DIPOLE = re.compile(
    r"quadrupole|magnetic|magmom|inertia|baseline|predicted|unit|std|weight", re.IGNORECASE
)
_COMPONENT = re.compile(r"(?P<name>.*?)[_ ]?(?P<axis>[xyz])", re.IGNORECASE)
_CHARGES = re.compile(
    r"charge|mulliken|hirshfeld|l[oö]wdin|resp|esp|cm5|nbo|npa|mbis|ddec|bader|gasteiger"
    r"|(^|[^a-z])q($|[^a-z])",
    re.IGNORECASE,
)
_NOT_CHARGES = re.compile(r"baseline|initial|predicted|unit|formal", re.IGNORECASE)


@dataclass
class NumericKeys:
    """Collects what stands under each key, molecule by molecule."""

    shapes: dict[str, set[str]]

    @classmethod
    def empty(cls) -> NumericKeys:
        """Start with no key."""
        return cls({})

    def see(self, values: Mapping[str, Any], n_atoms: int) -> None:
        """Report the values of one molecule; what is no number is left out."""
        for key, value in values.items():
            fits = _fits(value, n_atoms)
            if fits:
                # Of three atoms, three numbers may be either: other molecules decide.
                self.shapes[key] = (self.shapes.get(key, fits) & fits) or {OTHER}

    def result(self) -> dict[str, str]:
        """Return the likely shape of each key; a vector is likelier than charges by its name."""
        return {key: _likely(key, shapes) for key, shapes in self.shapes.items()}


def hint(kind: str, numeric: Mapping[str, str]) -> str:
    """Propose a key for labels of a kind, with the option to type; "" if none is likely.

    Parameters
    ----------
    kind : {"dipole", "charges"}
    numeric : mapping of str to str
        What stands under each key, as `NumericKeys.result` says it.

    Examples
    --------
    >>> from dipkit.data.label_hints import hint
    >>> hint("dipole", {"energy": "1 number", "REF_dipole": "3 numbers"})
    "Perhaps 'REF_dipole' (3 numbers): --dipole REF_dipole (dipole_key='REF_dipole')."
    """
    name, but, shapes = (
        (_DIPOLE, _NOT_DIPOLE, (THREE, ONE))
        if kind == "dipole"
        else (_CHARGES, _NOT_CHARGES, (ATOMS,))
    )
    likely = [key for key in numeric if name.search(key) and not but.search(key)]
    components = _components(likely) if kind == "dipole" else []
    likely = [key for key in likely if key not in components]
    for shape in shapes:
        for key in likely:
            if numeric[key] == shape:
                quoted = key if re.fullmatch(r"[\w.:-]+", key) else f"'{key}'"
                return f"Perhaps {key!r} ({shape}): --{kind} {quoted} ({kind}_key={key!r})."
    for key in likely:
        if kind == "dipole" and numeric[key] in (ATOMS_BY_3, ATOMS):
            return (
                f"{key!r} holds {numeric[key]}: these are dipoles of atoms, not the dipole of the "
                "molecule, which is needed."
            )
    if components:
        return (
            f"{', '.join(components)} are the components of a vector: write them as three numbers "
            "under one key, or as columns of a table for --labels CSV (labels_file=)."
        )
    return ""


def _components(keys: Iterable[str]) -> list[str]:
    """Return three keys that differ in x, y and z at their ends alone, if there are any."""
    found: dict[str, list[str]] = {}
    for key in keys:
        if match := _COMPONENT.fullmatch(key):
            found.setdefault(match["name"], []).append(key)
    return next((three for three in found.values() if len(three) == 3), [])


def list_keys(numeric: Mapping[str, str]) -> str:
    """List numeric keys for a message."""
    return ", ".join(f"{key} ({shape})" for key, shape in numeric.items()) or "none"


def _fits(value: Any, n_atoms: int) -> set[str]:
    if isinstance(value, str):
        value = _text_numbers(value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return set()
    if array.dtype.kind not in "fiu" or not array.size:
        return set()
    sizes = {ONE: 1, THREE: 3, ATOMS: n_atoms, ATOMS_BY_3: 3 * n_atoms}
    return {shape for shape, size in sizes.items() if size == array.size} or {OTHER}


def _text_numbers(text: str) -> list[float]:
    """Numbers in an item of an SD file; none if there are words."""
    fields = [field for field in re.split(r"[|,;\s]+", text) if field]
    try:
        return [float(field) for field in fields]
    except ValueError:
        return []


def _likely(key: str, shapes: Iterable[str]) -> str:
    shapes = set(shapes)
    order = (ATOMS, THREE) if _CHARGES.search(key) and not _DIPOLE.search(key) else (THREE, ATOMS)
    return next((s for s in (ONE, *order, ATOMS_BY_3) if s in shapes), OTHER)
