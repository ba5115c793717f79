"""How many bytes a packed file may unpack to.

A small file can unpack to any size, and to any number of molecules. The usual limit is generous:
data of molecules shrink to a third or a tenth, and no file of them came near a hundredth. The user
may name another one (``max_unpacked``, ``--max-unpacked``).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

from ...exceptions import FileFormatError

# Bytes that any file may unpack to, and bytes more for each byte of the packed file.
FREE_BYTES = 100_000_000
MOST_TIMES = 100
# A molecule counts as so many bytes at least, about what it takes in memory beside its atoms.
MOLECULE_BYTES = 1_000


class Allowance:
    """Bytes that one packed file may still unpack to.

    Parameters
    ----------
    path : Path
        The packed file.
    limit : int, default=None
        Bytes; None is the usual limit.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path, self.is_usual = path, limit is None
        self.limit = FREE_BYTES + MOST_TIMES * path.stat().st_size if limit is None else limit
        self.left = self.limit

    def check(self, n_bytes: int) -> None:
        """Refuse a content that claims more bytes than are left."""
        if n_bytes > self.left:
            usual = f", {MOST_TIMES} times its size and more" if self.is_usual else ""
            raise self._error(f"unpacks to more than {self.limit / 1e6:,.0f} MB{usual}")

    def check_molecules(self, number: int) -> None:
        """Refuse a file of more molecules than the usual limit has room for."""
        most = self.limit // MOLECULE_BYTES
        if self.is_usual and number > most:
            raise self._error(f"holds more than {most:,} molecules, too many for its size")

    def take(self, n_bytes: int) -> None:
        """Count bytes that were unpacked."""
        self.check(n_bytes)
        self.left -= n_bytes

    def _error(self, what: str) -> FileFormatError:
        return FileFormatError(
            f"{self.path}: {what}: it is damaged, or made to fill the memory. If you trust it, "
            "allow more: --max-unpacked 8GB (max_unpacked='8GB' in Python)."
        )


class Counted(io.RawIOBase):
    """A stream that goes forwards only, and whose bytes are counted.

    Parameters
    ----------
    handle : binary file
        Closed with this one.
    allowance : Allowance
    """

    def __init__(self, handle: IO[bytes], allowance: Allowance) -> None:
        self._handle, self._allowance = handle, allowance

    def readable(self) -> bool:
        """Whether bytes can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer."""
        content = self._handle.read(len(buffer))
        self._allowance.take(len(content))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close both streams."""
        self._handle.close()
        super().close()


def counted(handle: IO[bytes], allowance: Allowance) -> io.BufferedReader:
    """Return a stream whose bytes are counted, with a buffer."""
    return io.BufferedReader(Counted(handle, allowance), 1 << 16)
