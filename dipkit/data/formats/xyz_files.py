"""Files of XYZ frames: plain, extended, raw QM9, or several kinds in one file or folder.

Frames are cut out here, one by one, so that errors name the line and no frame is lost. A frame
whose second line begins with ``gdb`` is one of raw QM9 (`qm9.py`); all others go through ASE, with
symbols and comments read in `xyz_text.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from ase import Atoms
from ase.io.extxyz import read_xyz

from ...exceptions import FileFormatError
from ..declared_units import fixed_units
from . import qm9
from .entries import Context, Entry
from .names import with_stem
from .numbered_lines import NumberedLines
from .records import Record
from .text_sources import TextSource
from .xyz_text import ready_for_ase

SUFFIXES = (".xyz", ".extxyz")


def xyz_entries(source: TextSource, context: Context) -> Iterator[Entry]:
    """Yield the molecules of a file, named by its stem where they have no title."""
    lines = NumberedLines(source.lines(), source.where)
    for name, entry in with_stem(_entries(lines), source.stem):
        entry.name, entry.stem = name, source.stem
        if isinstance(entry.content, Record):
            entry.content.total_charge = context.total_charges.find({}, entry.where)
            entry.notes = tuple(fixed_units(context.options, "raw QM9 files"))
        yield entry


def frames_in_text(text: str, where: str) -> Iterator[Atoms]:
    """Yield the frames of plain or extended XYZ in a text."""
    lines = NumberedLines(text.splitlines(keepends=True), where)
    while lines.skip_blank():
        yield _frame(lines)


def _entries(lines: NumberedLines) -> Iterator[Entry]:
    while lines.skip_blank():
        where = f"{lines.where}, line {lines.number + 1}"
        if qm9.is_raw(lines.peek(1)):
            index, record = qm9.read_raw_frame(lines)
            yield Entry(record, where, keys=qm9.SOURCE_KEYS, order=index)
        else:
            yield Entry(_frame(lines), where)


def _frame(lines: NumberedLines) -> Atoms:
    header, first = lines.take(), lines.number
    word = header.strip()
    if not (word.isascii() and word.isdigit() and int(word)):
        raise FileFormatError(
            f"{lines.where}, line {first}: expected the number of atoms of an XYZ frame, got "
            f"{word!r:.60}."
        )
    body = lines.take_many(int(word) + 1)
    if len(body) < int(word) + 1:
        raise FileFormatError(
            f"{lines.where}, line {lines.number + 1}: the file ends within a frame of {word} "
            "atoms: it is cut."
        )
    text = ready_for_ase([header, *body], lines.where, first)
    return _parse(text, f"{lines.where}, line {first}")


def _parse(text: str, where: str) -> Atoms:
    try:
        frames: Iterable[Atoms] = read_xyz(io.StringIO(text), slice(0, 1))
        return next(iter(frames))
    except (ValueError, KeyError, IndexError, TypeError, OSError, AssertionError) as error:
        raise FileFormatError(
            f"{where}: this XYZ frame cannot be read: {type(error).__name__}: {error}."
        ) from error
