"""A journal of finished work next to an output file: after a kill the next run continues from it.

One line of JSON for each finished molecule. Lines are appended and flushed one by one, so that a
kill can cut only the last line; a cut line is dropped when the journal is opened again. An open
journal is locked, so that two runs never share an output. The calculations are not here
(`labelling.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike
from ..support.processes import try_lock

__all__ = ["Entry", "Journal", "journal_of"]

SUFFIX = ".journal"
# Windows removes no open file.
REMOVES_OPEN_FILES = os.name != "nt"
# What JSON can hold, by name.
Entry: TypeAlias = dict[str, Any]


class Journal:
    """Entries by key, written to disk one by one.

    Parameters
    ----------
    output : str or path
        The journal is the file of this name with ``.journal`` appended.
    """

    def __init__(self, output: PathLike) -> None:
        self.path = journal_of(output)
        self.entries: dict[str, Entry] = {}

    def __enter__(self) -> Self:
        """Read the entries of earlier runs and open the file for more.

        Raises
        ------
        InputError
            If the file cannot be written, or another process writes to it.
        FileFormatError
            If it is no journal.
        """
        while True:
            try:
                self._handle = open(self.path, "a+b", opener=_open_no_link)
            except OSError as error:
                raise InputError(
                    f"{self.path}: cannot be written: {error.strerror}. Choose another output."
                ) from error
            try:
                self._lock()
                if self._is_there():
                    self._read()
                    return self
            except InputError:
                self._handle.close()
                raise
            self._handle.close()  # another run has ended and removed its journal: a new one

    def __exit__(self, *_: object) -> None:
        """Close; the file stays for another run."""
        self._handle.close()

    def append(self, key: str, value: Mapping[str, object]) -> None:
        """Add an entry; when this returns, the entry is on disk."""
        self.entries[key] = dict(value)
        self._handle.write(json.dumps({"key": key, **value}).encode() + b"\n")
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def remove(self) -> None:
        """Remove the file, once its content is in the output."""
        if not REMOVES_OPEN_FILES:
            self._handle.close()
        self.path.unlink(missing_ok=True)
        self._handle.close()

    def _lock(self) -> None:
        if try_lock(self._handle.fileno()) is False:
            raise InputError(
                f"{self.path}: another process writes this output now. Wait for it, or name "
                "another output."
            )

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._handle.fileno()), os.stat(self.path))
        except OSError:
            return False

    def _read(self) -> None:
        self._handle.seek(0)
        content = self._handle.read()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            self._take(number, line)
        self._handle.truncate(len(whole))

    def _take(self, number: int, line: bytes) -> None:
        try:
            entry = json.loads(line)
            self.entries[entry.pop("key")] = entry
        except (ValueError, KeyError, AttributeError) as error:
            raise FileFormatError(
                f"{self.path}, line {number}: not a line of a journal of dipkit. Move the file "
                "away to start from the beginning."
            ) from error


def journal_of(output: PathLike) -> Path:
    """Return the path of the journal of an output."""
    return Path(f"{os.fspath(output)}{SUFFIX}")


def _open_no_link(path: str, flags: int) -> int:
    """Open a file, but no symbolic link: another user may have put one into a shared folder."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
