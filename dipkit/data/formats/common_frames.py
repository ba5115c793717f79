"""XYZ frames of the common form, read without ASE's reader, which takes several times longer.

The result is that of ASE, to the last bit: tests compare the two. Common are symbols of elements,
positions and further columns of real numbers, and comments with entries such as ``name=water``,
``charge=-1`` or ``dipole="0.1 0.2 0.3"``. All other frames, and all damaged ones, are left to ASE
(`xyz_files.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.outputs import ArrayProperty, all_outputs

from ..elements import atomic_numbers
from .xyz_text import ENTRY

__all__ = ["common_frame"]

_PROPERTIES = "Properties"
_PLAIN = "species:S:1:pos:R:3"
# ASE gives these a meaning, or another type.
_SPECIAL_KEYS = {"uid", "Lattice", "virial", "stress"}
_SPECIAL_COLUMNS = {
    *("Z", "numbers", "symbols", "positions", "initial_charges", "move_mask", "initial_magmoms"),
    *("magmoms", "tags", "momenta", "masses"),
}
# Columns under other names than ASE gives them.
_NAMES = {"charge": "charges"}
_MOST_COLUMNS = 1000

_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# A value without quotes, brackets and escapes, or a text within double quotes, without escapes.
_VALUE = re.compile(r"[^\s\"'{}\[\]\\=]+|\"[^\"\\]*[^\"\\\s][^\"\\]*\"")
_WORD = re.compile(r"[^\s,]+")
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
# These may be too large for an integer, and are then real numbers.
_LONG = re.compile(r"[+-]?\d{19,}", re.ASCII)
_REAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
# A word that begins with a letter is no number, unless it is one of these.
_TEXT = re.compile(r"[A-Za-z_][^\s,]*")
_NO_NUMBERS = {"nan", "inf", "infinity"}
_TRUTH = {"T": True, "F": False} | {
    word: word.lower() == "true" for word in ("true", "false", "True", "False", "TRUE", "FALSE")
}


class _Column(NamedTuple):
    """Columns of text that belong together."""

    name: str
    start: int
    width: int


class _Results(NamedTuple):
    """Results beside atoms that were just read; ASE's class copies the atoms, which takes time."""

    results: dict[str, Any]


class _Uncommon(Exception):
    """The frame has something that is left to ASE."""


def common_frame(comment: str, atoms: Sequence[str]) -> Atoms | None:
    """Return a frame as ASE reads it; None where it is not of the common form.

    Parameters
    ----------
    comment : str
        The second line of the frame.
    atoms : sequence of str
        The lines of the atoms.
    """
    try:
        info = _entries(comment) if "=" in comment else {}
        columns, n_columns = _columns(info.pop(_PROPERTIES, _PLAIN))
        texts = _columns_of_text(atoms, n_columns)
        known = atomic_numbers()
        numbers = [known[symbol] for symbol in texts[_at(columns, "species").start]]
        arrays = {
            column.name: _numbers(texts, column) for column in columns if column.name != "species"
        }
        positions, pbc = arrays.pop("pos"), info.pop("pbc", None)
        frame = Atoms(numbers, positions=positions, pbc=pbc, info=info)
        _add(frame, arrays)
    except (_Uncommon, KeyError, ValueError, TypeError):
        return None
    return frame


def _entries(comment: str) -> dict[str, Any]:
    """Return entries of a comment with their values."""
    found: dict[str, Any] = {}
    for entry in ENTRY.finditer(comment.rstrip("\r\n")):
        key, text = entry["key"], entry["value"]
        if key is None or key in _SPECIAL_KEYS or not _KEY.fullmatch(key):
            raise _Uncommon
        if not _VALUE.fullmatch(text):
            raise _Uncommon
        text = text.strip('"')
        found[key] = text if key == _PROPERTIES else _value(text)
    # Other spellings, and a second one, count for ASE or for the search of symbols.
    if comment.count(_PROPERTIES) != (_PROPERTIES in found):
        raise _Uncommon
    return found


def _value(text: str) -> Any:
    """Return numbers, truth values or the text itself."""
    words = _WORD.findall(text)
    if not words:
        raise _Uncommon
    if all(map(_REAL.fullmatch, words)):
        whole = all(map(_INTEGER.fullmatch, words))
        if any(map(_LONG.fullmatch, words)):
            raise _Uncommon
        numbers = [np.int_(word) if whole else np.float64(word) for word in words]
        return numbers[0] if len(numbers) == 1 else np.array(numbers)
    if not _TEXT.fullmatch(words[0]) or words[0].lower() in _NO_NUMBERS or words[0] == "_JSON":
        raise _Uncommon
    if all(word in _TRUTH for word in words):
        truth = [_TRUTH[word] for word in words]
        return truth[0] if len(truth) == 1 else truth
    return text


@lru_cache(maxsize=32)
def _columns(properties: str) -> tuple[tuple[_Column, ...], int]:
    """Return what stands in the columns of a frame, and their number."""
    fields, columns, start = properties.split(":"), list[_Column](), 0
    if len(fields) % 3:
        raise _Uncommon
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        if name in _SPECIAL_COLUMNS or kind != ("S" if name == "species" else "R"):
            raise _Uncommon
        if not (width.isascii() and width.isdigit() and 0 < int(width[:9]) <= _MOST_COLUMNS):
            raise _Uncommon
        columns.append(_Column(name, start, int(width)))
        start += int(width)
    names = {_NAMES.get(column.name, column.name) for column in columns}
    expected = _at(columns, "species").width == 1 and _at(columns, "pos").width == 3
    if len(names) < len(columns) or not expected or start > _MOST_COLUMNS:
        raise _Uncommon
    # Names of the fields of ASE's array must differ as well.
    fields = [f"{c.name}{part}" for c in columns for part in range(c.width)]
    if len({*fields, *names}) < len(fields) + len(names):
        raise _Uncommon
    return tuple(columns), start


def _at(columns: Sequence[_Column], name: str) -> _Column:
    for column in columns:
        if column.name == name:
            return column
    raise _Uncommon


def _columns_of_text(lines: Sequence[str], n_columns: int) -> list[tuple[str, ...]]:
    rows = [line.split() for line in lines]
    if {*map(len, rows)} != {n_columns}:
        raise _Uncommon
    return list(zip(*rows, strict=True))


def _numbers(texts: Sequence[tuple[str, ...]], column: _Column) -> np.ndarray[Any, Any]:
    parts = [list(map(float, text)) for text in texts[column.start : column.start + column.width]]
    return np.array(parts[0]) if column.width == 1 else np.array(parts).T


@cache
def _of_frames() -> frozenset[str]:
    """Properties of ASE that are of a whole frame, not of its atoms."""
    return frozenset(
        name
        for name, kind in all_outputs.items()
        if name in all_properties
        and not (isinstance(kind, ArrayProperty) and kind.shapespec[0] == "natoms")
    )


def _add(frame: Atoms, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Put what is a property of ASE into the results of a calculator, as ASE does."""
    results: dict[str, Any] = {}
    for name, values in arrays.items():
        ase_name = _NAMES.get(name, name)
        if ase_name in all_properties:
            results[ase_name] = values
        else:
            frame.new_array(ase_name, values)
    for name in [name for name in frame.info if name in _of_frames()]:
        results[name] = frame.info.pop(name)
    if results:
        as_they_are = ("energy", "magmom", "free_energy")
        frame.calc = _Results(
            {k: v if k in as_they_are else np.array(v, float) for k, v in results.items()}
        )
