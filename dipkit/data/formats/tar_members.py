"""Members of a tar archive, one after another, up to the mark at its end.

The standard library ends in silence where an archive is cut between two members or a header is
damaged. Here the mark of the end is required, and nothing may follow it. Sizes that headers claim
are compared with what the archive may unpack to.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from ...exceptions import FileFormatError
from .unpacking import Allowance, counted

# First bytes of compressed files.
_GZIP, _BZIP2, _XZ, _LZMA = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00\x80"
# Long names and comments of a member are small.
_MOST_METADATA = 1_000_000
_METADATA = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def tar_members(path: Path, allowance: Allowance) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the names and the contents of all files; use each before the next is asked for.

    Raises
    ------
    FileFormatError
        If the archive is cut or damaged, or unpacks to more than is allowed.
    """
    with _unpacked(path, allowance) as stream:
        with tarfile.open(fileobj=_Whole(stream), mode="r|", tarinfo=_Member) as archive:
            while (member := archive.next()) is not None:
                if member.size < 0:
                    raise tarfile.ReadError(f"a member claims {member.size} bytes")
                allowance.check(member.size)
                handle = archive.extractfile(member) if member.isfile() else None
                if handle is not None:
                    yield member.name, counted(handle, Allowance(path, member.size))
                archive.members = []  # type: ignore[attr-defined]  # else each would stay
        _check_rest(path, stream)


def _unpacked(path: Path, allowance: Allowance) -> io.BufferedReader:
    with path.open("rb") as handle:
        first = handle.read(6)
    if first.startswith(_GZIP):
        return counted(gzip.open(path), allowance)  # type: ignore[arg-type]
    if first.startswith(_BZIP2):
        return counted(bz2.open(path), allowance)
    if first.startswith((_XZ, _LZMA)):
        return counted(lzma.open(path), allowance)
    return path.open("rb")


def _check_rest(path: Path, stream: io.BufferedReader) -> None:
    """Read to the end, where checksums of compressed files are, past the padding of zeros."""
    while block := stream.read(1 << 16):
        if block.strip(b"\x00"):
            raise FileFormatError(
                f"{path}: more data follow the mark of the end: archives that were joined are not "
                "read. Unpack them into a folder."
            )


class _Whole(io.RawIOBase):
    """A stream whose end is an error, since the mark of the end comes before it."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Read bytes; there must be some."""
        content = self._stream.read(size)
        if not content:
            raise EOFError("the mark at the end of the archive is missing")
        return content


class _Member(tarfile.TarInfo):
    """A member whose header is checked."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header; a block of zeros ends the archive, all else must be right."""
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise
            raise tarfile.ReadError(f"a header is wrong ({error})") from error
        if member.type in _METADATA and member.size > _MOST_METADATA:
            raise tarfile.ReadError(f"a name or a comment claims {member.size:,} bytes")
        return member
