"""The boundary between dipkit and what files make other libraries raise.

Whatever is read from a file is read within `boundary`: an error of any library becomes one
`FileFormatError` that names the file or the record, the reason and the remedy. Errors of dipkit,
warnings and interruptions pass unchanged. Limits that keep files from taking time and memory are
elsewhere: unpacked bytes in `unpacking.py`, nesting in `nesting.py`, lines in `text_sources.py`.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from tarfile import TarError
from zipfile import BadZipFile

from ...exceptions import DipkitError, FileFormatError, InputError

REMEDY = "The file is damaged, cut or of another format: write or fetch it again."

_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, TarError, BadZipFile)
# Characters of a message of another library.
_LONGEST_REASON = 200


@contextmanager
def boundary(where: str, remedy: str = REMEDY) -> Iterator[None]:
    """Turn errors of other libraries into errors of dipkit.

    Parameters
    ----------
    where : str
        The file, and the line, the member or the row, for messages.
    remedy : str
        Sentences about what was expected and what to do.

    Raises
    ------
    FileFormatError
        Instead of any error that is none of dipkit's.
    InputError
        If the operating system refuses to read, for example for want of a permission.

    Examples
    --------
    >>> from dipkit.data.formats.boundary import boundary
    >>> with boundary("set.xyz, line 3", "Correct the number."):
    ...     float("1.2.3")
    Traceback (most recent call last):
    dipkit.exceptions.FileFormatError: set.xyz, line 3: cannot be read: ValueError: could not
    convert string to float: '1.2.3'. Correct the number.
    """
    try:
        yield
    except (DipkitError, Warning):
        raise
    except OSError as error:
        if error.errno is None:  # of a library, not of the operating system
            raise FileFormatError(f"{where}: {_reason(error)}. {remedy}") from error
        raise InputError(
            f"{where}: cannot be read: {error.strerror}. Check the place and its permissions."
        ) from error
    except Exception as error:
        raise FileFormatError(f"{where}: {_reason(error)}. {remedy}") from error


def _reason(error: Exception) -> str:
    """Say in one short line what happened."""
    if isinstance(error, UnicodeDecodeError):
        return "expected text in UTF-8, got another encoding or binary data"
    if isinstance(error, RecursionError):
        return "the content is nested too deeply"
    if isinstance(error, MemoryError):
        return "the content takes more memory than there is"
    message = " ".join(str(error).split())[:_LONGEST_REASON].rstrip(".")
    if isinstance(error, _DAMAGE):
        return f"damaged or cut: {message or 'the content ends too early'}"
    return f"cannot be read: {type(error).__name__}{f': {message}' if message else ''}"
