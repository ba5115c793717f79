"""Files of XYZ frames: plain, extended, raw QM9, or several kinds in one file or folder.

Frames are cut out here, one by one, so that errors name the line and no frame is lost. A frame
whose second line begins with ``gdb`` is one of raw QM9 (`qm9.py`). Others are read in
`common_frames.py`, or go through ASE, with symbols and comments read in `xyz_text.py`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from ase import Atoms

from ...exceptions import FileFormatError, InputError
from . import qm9
from .boundary import boundary
from .common_frames import common_frame
from .entries import Context, Entry, with_errors
from .names import with_stem
from .numbered_lines import NumberedLines, count_in
from .text_sources import TextSource
from .xyz_text import checked_entries, ready_for_ase

SUFFIXES = (".xyz", ".extxyz")

# Symbol, x, y, z.
_ATOM_FIELDS = 4
# Descriptors of larger molecules would fill any memory: a frame that claims more is damaged.
_MOST_ATOMS = 1_000_000
# A damaged frame that claims to be longer is not believed when the next frame is looked for.
_MOST_LINES_AHEAD = 10_000
# A file in which so many frames are damaged, and more than are not, is no XYZ file.
_MOST_DAMAGED = 1_000


def xyz_entries(source: TextSource, context: Context) -> Iterator[Entry]:
    """Yield the molecules of a file, named by its stem where they have no title."""
    with closing(source.lines()) as text:
        lines = NumberedLines(text, source.where)
        entries = with_errors(_entries(lines, context), source.where)
        for name, entry in with_stem(entries, source.stem):
            entry.name, entry.stem = name, source.stem
            yield entry


def frames_in_text(text: str, where: str) -> Iterator[Atoms]:
    """Yield the frames of plain or extended XYZ in a text."""
    lines = NumberedLines(text.splitlines(keepends=True), where)
    while lines.skip_blank():
        yield _frame(lines)


def _entries(lines: NumberedLines, context: Context) -> Iterator[Entry]:
    n_good = n_damaged = 0
    while lines.skip_blank():
        where = f"{lines.where}, line {lines.number + 1}"
        lines.begin()
        try:
            with boundary(where):
                entry = _entry(lines, where, context)
            n_good += 1
        except InputError as error:
            n_damaged += 1
            if n_damaged > max(_MOST_DAMAGED, n_good):
                warnings.warn(
                    f"{where}: {n_damaged} of {n_good + n_damaged} frames up to here cannot be "
                    "read: the rest of the file is left unread.",
                    stacklevel=2,
                )
                raise
            _skip_frame(lines)
            entry = Entry(error, where)
        yield entry


def _entry(lines: NumberedLines, where: str, context: Context) -> Entry:
    if not qm9.is_raw(lines.peek(1)):
        frame = _frame(lines)
        _check_end(lines)
        return Entry(frame, where)
    index, record = qm9.read_raw_frame(lines)
    record.total_charge = context.total_charges.find({}, where)
    notes = context.fixed_units("raw QM9 files")
    return Entry(record, where, keys=qm9.SOURCE_KEYS, order=index, notes=notes)


def _check_end(lines: NumberedLines) -> None:
    """Refuse a frame that is followed by one more atom: its number of atoms is wrong."""
    fields = lines.peek().split()
    if len(fields) >= _ATOM_FIELDS and all(map(_is_number, fields[1:_ATOM_FIELDS])):
        raise FileFormatError(
            f"{lines.where}, line {lines.number + 1}: expected the number of atoms of the next XYZ "
            f"frame, got {lines.peek().strip()!r:.60}: this frame has more atoms than its number "
            "says."
        )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _skip_frame(lines: NumberedLines) -> None:
    """Go to the first line behind a damaged frame that may be the header of another one.

    A frame may have lost or gained a line: its own header is not believed, but the place where the
    next frame should begin is tried first.
    """
    lines.again()
    n_atoms = count_in(lines.take().strip())
    if n_atoms:
        n_lines = n_atoms + 1
        is_there = n_lines < _MOST_LINES_AHEAD and lines.peek(n_lines - 1)
        following = lines.peek(n_lines) if is_there else "-"
        if not following.strip() or count_in(following.strip()):
            lines.take_many(n_lines)
            return
        lines.take()  # the comment may be a number
    while lines.peek() and not count_in(lines.peek().strip()):
        lines.take()
        lines.begin()  # lines that are skipped are not kept


def _frame(lines: NumberedLines) -> Atoms:
    header, first = lines.take(), lines.number
    n_atoms = count_in(header.strip())
    if not 0 < n_atoms <= _MOST_ATOMS:
        raise FileFormatError(
            f"{lines.where}, line {first}: expected the number of atoms of an XYZ frame, at most "
            f"{_MOST_ATOMS:,}, got {header.strip()!r:.60}."
        )
    body = lines.take_many(n_atoms + 1)
    if len(body) < n_atoms + 1:
        raise FileFormatError(
            f"{lines.where}, line {lines.number + 1}: the file ends within a frame of {n_atoms} "
            "atoms: it is cut."
        )
    if (frame := common_frame(body[0], body[1:])) is not None:
        return frame
    return _by_ase(header, body, lines.where, first)


def _by_ase(header: str, body: Sequence[str], file: str, first: int) -> Atoms:
    """Read a frame of any form; `first` is the number of its first line in the file."""
    from ase.io.extxyz import read_xyz  # its import takes time

    where = f"{file}, line {first}"
    text = ready_for_ase([header, *body], file, first)
    n_columns = len(body[1].split())

    def parse(comment: str) -> dict[str, object]:
        return checked_entries(comment, n_columns, where)

    with boundary(where, "This XYZ frame is damaged: correct it, or leave it out."):
        frames: Iterable[Atoms] = read_xyz(io.StringIO(text), slice(0, 1), properties_parser=parse)
        return next(iter(frames))
