"""ASE databases in JSON, read row by row, and JSON of ASE in general.

The text of the file is kept, and one row at a time becomes objects, which take several times its
memory. What a text claims is checked before ASE makes arrays of it: a few characters could claim an
array of any size. Cells of ASE's databases in SQLite hold such texts too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase.db.row import AtomsRow
from ase.io.jsonio import decode

from .boundary import boundary
from .nesting import DEEPEST, check_nesting

EXPECTED = "Expected a file that ase.db wrote."

# Characters of a row; that of a protein with all its forces has a tenth of it.
_LONGEST_ROW = 20_000_000
# Bytes of an array of words, which has room for the longest word in every place.
_MOST_WORDS = 50_000_000
_BLANK = re.compile(r"\s*")
_WORD_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_PLAIN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,}\]]+', re.DOTALL)


class JSONRows:
    """Rows of a database.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileFormatError
        If this is no database, or nested too deeply.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with boundary(f"{path}: JSON, but no ASE database that can be read", EXPECTED):
            self._text = path.read_text("utf-8-sig")
            self._places = dict(_entries(self._text))
            metadata = self._value("metadata", {})
            ids = self._value("ids", [1])
            if not isinstance(ids, list) or not isinstance(metadata, dict):
                raise ValueError("'ids' must be a list, and 'metadata' an object")
            if "ids" not in self._places and "1" not in self._places:
                raise ValueError("no row is there")
            self.ids: list[object] = ids
            self.metadata: dict[str, object] = metadata

    def row(self, number: object) -> AtomsRow:
        """Return a row of `ids`."""
        where = f"{self.path}, row {number!r:.20}"
        with boundary(where, EXPECTED):
            start, end = self._places[str(number)]
            if end - start > _LONGEST_ROW:
                raise ValueError(f"it has {end - start:,} characters, more than any molecule")
            return AtomsRow(_row_of(self._text[start:end], where) | {"id": number})

    def _value(self, key: str, usual: object) -> object:
        """Return a value that is no row."""
        if key not in self._places:
            return usual
        start, end = self._places[key]
        return json.loads(self._text[start:end])


def check_json(text: str, where: str) -> object:
    """Return the plain content of a text of JSON, after a check of all that it claims for ASE.

    Raises
    ------
    FileFormatError
        If it is nested too deeply.
    TypeError, ValueError
        If it is no JSON, or arrays do not have the numbers that their shapes claim.
    """
    check_nesting(text, where)
    value = json.loads(text, object_hook=_check_array)
    _check_words(value)
    return value


def check_cell(value: object, where: str) -> None:
    """Check a cell that ASE may decode, once or, where it holds a text again, several times."""
    while isinstance(value, str):
        try:
            value = check_json(value, where)
        except json.JSONDecodeError:
            return


def _row_of(text: str, where: str) -> dict[str, object]:
    plain = check_json(text, where)
    if not isinstance(plain, dict):
        raise TypeError(f"expected an object of JSON, got {text!r:.40}")
    for value in plain.values():
        check_cell(value, where)
    found: dict[str, object] = decode(text)
    return found


def _check_array(value: dict[str, object]) -> dict[str, object]:
    """Compare the shape of an array with its numbers."""
    array = value.get("__ndarray__")
    if array is None:
        return value
    if not isinstance(array, list) or len(array) != 3:
        raise ValueError("'__ndarray__' must have a shape, a type and numbers")
    shape, kind, numbers = array
    if not isinstance(shape, list) or not isinstance(kind, str):
        raise ValueError("'__ndarray__' must have a list and a name of a type")
    dtype = np.dtype(kind)
    count = math.prod(shape) * (2 if dtype.kind == "c" else 1)
    if dtype.kind not in "biufc" or min(shape, default=1) < 0 or count != np.size(numbers):
        raise ValueError(f"an array claims shape {shape!r:.40} and type {kind!r:.20}")
    return value


def _check_words(value: object) -> tuple[int, int]:
    """Return the number of values in a list and the length of the longest word there."""
    if isinstance(value, str):
        return 1, len(value)
    if isinstance(value, dict):
        for each in value.values():
            _check_words(each)
        return 1, 0
    if not isinstance(value, list):
        return 1, 0
    counts = [_check_words(each) for each in value]
    total = sum(count for count, _ in counts)
    longest = max((length for _, length in counts), default=0)
    if 4 * total * longest > _MOST_WORDS:
        raise ValueError(f"a list holds {total:,} values and a word of {longest:,} characters")
    return total, longest


def _entries(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the keys of the object in a text, and the places of their values."""
    decoder = json.JSONDecoder()
    place = _behind(text, 0, "{")
    while text[place : place + 1] != "}":
        key, place = decoder.raw_decode(text, place)
        start = _behind(text, place, ":")
        end = _end_of_value(text, start)
        yield str(key), (start, end)
        place = _skip(text, end)
        if text[place : place + 1] != "}":
            place = _behind(text, place, ",")
    if _skip(text, place + 1) != len(text):
        raise ValueError(f"more characters follow behind character {place}")


def _end_of_value(text: str, start: int) -> int:
    """Return the place behind a value; no objects are made of it."""
    if text[start : start + 1] not in ("[", "{"):
        found = _PLAIN.match(text, start)
        if found is None:
            raise ValueError(f"expected a value at character {start}")
        return found.end()
    depth = 0
    for found in _WORD_OR_BRACKET.finditer(text, start):
        sign = found[0]
        depth += 1 if sign in ("[", "{") else -1 if sign in ("]", "}") else 0
        if depth > DEEPEST:
            raise ValueError(f"brackets are nested more than {DEEPEST} levels deep")
        if not depth:
            return found.end()
    raise ValueError(f"the bracket at character {start} has no end")


def _skip(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return found.end() if found else place


def _behind(text: str, place: int, sign: str) -> int:
    """Return the place behind a sign and the blanks around it."""
    place = _skip(text, place)
    if text[place : place + 1] != sign:
        raise ValueError(f"expected {sign!r} at character {place}")
    return _skip(text, place + 1)
