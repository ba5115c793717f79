"""Text of files, of compressed files, of archives and of folders, one source after another.

A source is one text with a name: a file, a file compressed by gzip, a member of a tar or zip
archive, or a file of a folder. Archives are streamed: nothing is unpacked to disk, and no member is
in memory as a whole. A line has a longest length, so that a damaged or hostile file cannot fill the
memory. What the text means is in the readers of each format.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ...exceptions import FileFormatError
from ...support.files import existing_file
from .names import file_stem

TAR_SUFFIXES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tbz2", ".tgz", ".txz")
ZIP_SUFFIXES = (".zip",)
COMPRESSED_SUFFIX = ".gz"

# Characters. Lines of XYZ and SD files are far shorter, also those with many properties.
_LONGEST_LINE = 10_000_000
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


@dataclass(frozen=True)
class TextSource:
    """One text: `where` names it in messages, `name` is its file name, `stem` names molecules."""

    where: str
    name: str
    stem: str
    open_binary: Callable[[], IO[bytes]]

    @property
    def suffix(self) -> str:
        """Suffix in small letters, without that of the compression."""
        return content_suffix(self.name)

    def lines(self, errors: str = "strict") -> Generator[str, None, None]:
        """Yield the lines, with their ends; close the generator where it is not used up.

        Parameters
        ----------
        errors : {"strict", "replace"}, default="strict"
            What to do with bytes that are no UTF-8.

        Raises
        ------
        FileFormatError
            If the content is no text, is cut or damaged, or has a line without end.
        """
        with reading(self.where), self.open_binary() as binary:
            handle = io.TextIOWrapper(binary, encoding="utf-8-sig", errors=errors)
            while line := handle.readline(_LONGEST_LINE):
                if len(line) == _LONGEST_LINE:
                    raise FileFormatError(
                        f"{self.where}: a line has more than {_LONGEST_LINE:,} characters: "
                        "expected text in lines."
                    )
                yield line


def content_suffix(name: str) -> str:
    """Return the suffix of a file name in small letters, without that of gzip."""
    return PurePosixPath(name.lower().removesuffix(COMPRESSED_SUFFIX)).suffix


def is_archive(path: Path) -> bool:
    """Whether this is a tar or zip archive, by its name."""
    return path.name.lower().endswith((*TAR_SUFFIXES, *ZIP_SUFFIXES))


def file_source(path: Path, stem: str = "") -> TextSource:
    """Return the source of one file, compressed by gzip or not; its own stem is the default."""
    compressed = path.name.lower().endswith(COMPRESSED_SUFFIX)

    def open_binary() -> IO[bytes]:
        existing_file(path)
        return gzip.open(path, "rb") if compressed else path.open("rb")  # type: ignore[return-value]

    return TextSource(str(path), path.name, stem or file_stem(path), open_binary)


def folder_sources(folder: Path, suffixes: tuple[str, ...]) -> list[TextSource]:
    """Return sources of the files with these suffixes in a folder and its subfolders, by name.

    Hidden files, and files in hidden folders, are left out. Where two files have the same stem, as
    ``a/orca.out`` and ``b/orca.out``, the folder becomes a part of it.
    """
    paths = sorted(
        path
        for path in folder.rglob("*")
        if content_suffix(path.name) in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    counts = Counter(file_stem(path) for path in paths)
    return [
        file_source(path, file_stem(path) if counts[file_stem(path)] == 1 else _long(path, folder))
        for path in paths
    ]


def _long(path: Path, folder: Path) -> str:
    return (path.relative_to(folder).parent / file_stem(path)).as_posix()


def archive_sources(path: Path, suffixes: tuple[str, ...]) -> Iterator[TextSource]:
    """Yield the members with these suffixes; use each before the next one is asked for."""
    with reading(str(path), "the archive"):
        is_zip = path.name.lower().endswith(ZIP_SUFFIXES)
        yield from _zip_members(path, suffixes) if is_zip else _tar_members(path, suffixes)


def _tar_members(path: Path, suffixes: tuple[str, ...]) -> Iterator[TextSource]:
    with tarfile.open(path, mode="r|*") as archive:
        for member in archive:
            if member.isfile() and _is_wanted(member.name, suffixes):
                handle = archive.extractfile(member)
                if handle is not None:
                    yield _member(path, member.name, handle)


def _zip_members(path: Path, suffixes: tuple[str, ...]) -> Iterator[TextSource]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and _is_wanted(member.filename, suffixes):
                if member.flag_bits & 1:
                    raise FileFormatError(f"{path}: {member.filename} needs a password: unpack it.")
                with archive.open(member) as handle:
                    yield _member(path, member.filename, handle)


def _is_wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts if part != ".")
    return not hidden and content_suffix(path.name) in suffixes


def _member(path: Path, name: str, handle: IO[bytes]) -> TextSource:
    short = PurePosixPath(name).name
    compressed = short.lower().endswith(COMPRESSED_SUFFIX)

    def open_binary() -> IO[bytes]:
        stream = io.BufferedReader(_Forwards(handle))
        return gzip.open(stream, "rb") if compressed else stream  # type: ignore[return-value]

    return TextSource(f"{path}, {short}", short, file_stem(Path(short)), open_binary)


class _Forwards(io.RawIOBase):
    """A member of a streamed archive, which cannot say itself that it goes forwards only."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle

    def readable(self) -> bool:
        """Whether bytes can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer."""
        content = self._handle.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def reading(where: str, what: str = "the file") -> Iterator[None]:
    """Turn errors of damaged and of binary content into `FileFormatError`."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{where}: expected text in UTF-8, got another encoding or binary data. Text can be "
            "saved again as UTF-8 (iconv -f latin1 -t utf-8 FILE)."
        ) from error
    except _DAMAGE as error:
        raise FileFormatError(
            f"{where}: {what} is damaged or cut: {error}. Fetch it again."
        ) from error
