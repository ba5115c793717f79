"""Results on disk: one line of JSON for each unit of work, found again by its content.

A folder with ``results/`` (a file of lines for each process that writes), ``arrays/`` (predictions,
one .npz for each unit) and ``claims/`` (locks of the units being worked on). A kill can cut only
the last line of a file, and such a line is left out. Files of several machines can be put into one
folder. What a unit is, and how units are run, is not here (`runner.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from dipkit.support.files import atomic_write
from dipkit.support.json_values import plain
from dipkit.support.processes import try_lock

Record = dict[str, Any]


def key_of(content: Mapping[str, Any]) -> str:
    """Name a configuration by its content; the order of its parts does not matter.

    Parameters
    ----------
    content : mapping
        What JSON can hold.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Store:
    """Results of a study in a folder that several processes share.

    Parameters
    ----------
    folder : path
        Made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("results", "arrays", "claims"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        # A new name for each process and each start: nothing is ever written behind a cut line.
        machine = os.uname().nodename if hasattr(os, "uname") else "machine"
        name = f"{machine}-{os.getpid()}-{time.time_ns()}.jsonl"
        self._mine = folder / "results" / name

    def records(self) -> dict[str, Record]:
        """Read the latest result of each unit."""
        found: dict[str, Record] = {}
        for file in sorted((self.folder / "results").glob("*.jsonl")):
            for record in _lines_of(file):
                known = found.get(record["key"])
                if known is None or _rank(record) >= _rank(known):
                    found[record["key"]] = record
        return found

    def write(self, record: Record, arrays: Mapping[str, Any] | None = None) -> None:
        """Keep a result; its arrays first, so that a line never names arrays that are not there."""
        if arrays:
            with atomic_write(self._arrays_of(record["key"])) as temporary:
                np.savez_compressed(temporary, **arrays)
        line = json.dumps(plain(record), separators=(",", ":")) + "\n"
        with self._mine.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def arrays(self, key: str) -> dict[str, Any]:
        """Read the arrays of a result; nothing where it has none."""
        file = self._arrays_of(key)
        if not file.exists():
            return {}
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Take a unit of work; False where another process has it.

        The operating system gives up the claim of a process that was killed.
        """
        path = self.folder / "claims" / key
        with path.open("a+b") as file:
            # None: the file system knows no locks, and a unit may be done twice, which harms nobody
            if try_lock(file.fileno()) is False:
                yield False
                return
            try:
                yield True
            finally:
                # Whoever waits for this lock reads the results once more before it starts.
                with suppress(OSError):
                    path.unlink()

    def _arrays_of(self, key: str) -> Path:
        return self.folder / "arrays" / f"{key}.npz"


def _rank(record: Record) -> tuple[bool, str]:
    """Order results of one unit: a failure counts less than any result, an old one less."""
    return "error" not in record, record.get("made", {}).get("date", "")


def _lines_of(file: Path) -> Iterator[Record]:
    text = file.read_bytes()
    lines = text.split(b"\n")
    if lines.pop():
        pass  # A line without an end was cut by a kill, or is being written.
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and "key" in record:
            yield record
        else:
            warnings.warn(f"{file}, line {number}: no result; left out.", stacklevel=2)
