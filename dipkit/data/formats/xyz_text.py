"""The text of one XYZ frame, made ready for ASE's reader: symbols and the comment line.

ASE takes every word of a comment for a key that is true, and symbols only as it spells them. Here
words that are no ``key=value`` are left out, and symbols are read as in every other format. Frames
are cut out of files in `ase_files.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...exceptions import FileFormatError
from ..elements import atomic_numbers, chemical_symbols, read_element
from .nesting import check_nesting
from .numbered_lines import count_in

# Before values in JSON, as ASE writes them; bytes of an array of words.
_JSON, _MOST_WORDS = "_JSON ", 50_000_000
# Each column is a field of ASE's array, which takes a kilobyte.
_MOST_COLUMNS = 10_000
# A part of a value, as ASE delimits it; an open delimiter runs to the end of the line.
_PART = (
    r"(?:\\.|\"(?:\\.|[^\"\\])*(?:\"|$)|'(?:\\.|[^'\\])*(?:'|$)"
    r"|\{(?:\\.|[^}\\])*(?:\}|$)|\[(?:\\.|[^\]\\])*(?:\]|$)|[^\s\"'{\[\\])"
)
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
# What follows a blank behind = is the value, unless it is the next key.
_NO_KEY = r"(?![^\s=]+\s*=)"
# Quotes count where a word begins, so that an apostrophe within a word opens nothing.
ENTRY = re.compile(
    rf"(?:^|(?<=[\s,;]))(?:(?P<key>{_QUOTED}|[^\s=,;\"'][^\s=]*)\s*=(?:\s+{_NO_KEY})?"
    rf"(?P<value>{_PART}+)"
    rf"|(?:{_QUOTED})(?!\S))"
)
_PROPERTIES = re.compile(r"\bProperties\s*=\s*[\"']?([^\s\"']+)")


def entries_of(comment: str) -> str:
    """Keep ``key=value`` of a comment line; words and keys without a value are no entries.

    Examples
    --------
    >>> from dipkit.data.formats.xyz_text import entries_of
    >>> entries_of("water, charge 0, it's from experiment, mu = 1.85 name='a b' dipole=")
    "mu=1.85 name='a b'"
    """
    found = (entry for entry in ENTRY.finditer(comment) if entry["key"])
    return " ".join(f"{entry['key']}={entry['value']}" for entry in found)


def checked_entries(comment: str, n_columns: int, where: str) -> dict[str, object]:
    """Return the entries of a comment as ASE reads them; columns that are not there are refused.

    Parameters
    ----------
    comment : str
        From `entries_of`.
    n_columns : int
        Words in the line of the first atom.
    where : str
        The frame, for messages.

    Raises
    ------
    FileFormatError
        If ``Properties`` claims more columns than there are, or values are nested too deeply.
    """
    check_nesting(comment, where)
    _check_words(comment, where)
    from ase.io.extxyz import key_val_str_to_dict  # its import takes time

    entries: dict[str, object] = key_val_str_to_dict(comment)
    widths = str(entries.get("Properties", "")).split(":")[2::3]
    n_claimed = sum(count_in(width) or n_columns + 1 for width in widths)
    if n_claimed > min(n_columns, _MOST_COLUMNS):
        raise FileFormatError(
            f"{where}: Properties={entries['Properties']!r:.80} needs {n_claimed} columns, each at "
            f"least 1: the first atom has {n_columns}, and {_MOST_COLUMNS:,} are the most that are "
            "read. Correct the widths."
        )
    return entries


def _check_words(comment: str, where: str) -> None:
    """Bound lists in JSON: an array of words has room for the longest word in every place."""
    if _JSON not in comment:
        return
    words = comment.split(",")
    if 4 * len(words) * max(map(len, words)) > _MOST_WORDS:
        raise FileFormatError(
            f"{where}: the comment has {len(comment):,} characters of JSON: expected a few lists "
            "of numbers. Leave long texts out."
        )


def ready_for_ase(lines: Sequence[str], where: str, first: int) -> str:
    """Return the text of a frame with entries alone in the comment, and ASE's symbols.

    Parameters
    ----------
    lines : sequence of str
        The number of atoms, the comment, and the atoms.
    where : str
        The file, for messages.
    first : int
        Number of the first line in the file.

    Raises
    ------
    FileFormatError
        If a symbol is no element; the error names its line.
    """
    comment = lines[1].rstrip("\r\n") if "=" in lines[1] else ""
    atoms = list(lines[2:])
    column, known = _symbol_column(comment), atomic_numbers()
    if column is not None:
        for place, line in enumerate(atoms):
            word = line.split(maxsplit=column + 1)[column:][:1]
            if word and word[0] not in known:
                z = read_element(word[0], f"{where}, line {first + 2 + place}")
                fields = line.split()
                fields[column] = chemical_symbols()[z]
                atoms[place] = " ".join(fields) + "\n"
    return "".join([lines[0], entries_of(comment), "\n", *atoms])


def _symbol_column(comment: str) -> int | None:
    """Column of the symbols, as ``Properties=name:type:width:...`` says; the first without it."""
    found = _PROPERTIES.search(comment)
    if found is None:
        return 0
    words, column = found[1].split(":"), 0
    for name, width in zip(words[::3], words[2::3], strict=False):
        if name.lower() == "species":
            return column
        column += count_in(width) or 1
    return None
