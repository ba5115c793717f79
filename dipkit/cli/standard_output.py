"""Standard output whose errors say that they are of standard output.

A full disk behind `>` and a closed stream end in errors of the system that name no file.
"""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..exceptions import DipkitError

__all__ = ["OutputError", "name_errors"]


class OutputError(DipkitError, OSError):
    """What a command prints cannot be written."""


def name_errors() -> None:
    """Let errors of writing to `sys.stdout` be those of this module."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Output(sys.stdout)


class _Output(io.TextIOWrapper):
    def __init__(self, plain: io.TextIOWrapper):
        super().__init__(
            plain.buffer,
            encoding=plain.encoding,
            errors=plain.errors,
            line_buffering=plain.line_buffering,
            write_through=plain.write_through,
        )
        self._plain = plain  # closes the buffer when it is deleted

    def write(self, text: str) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader has gone, which is no error
        raise
    except OSError as error:
        if error.errno == errno.EBADF:
            why = "is closed. Send it to a file, or to /dev/null"
        else:
            why = f"cannot be written: {error.strerror}"
        raise OutputError(f"standard output {why}.") from error
