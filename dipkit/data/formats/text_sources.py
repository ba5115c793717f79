"""Text of files, of compressed files, of archives and of folders, one source after another.

A source is one text with a name: a file, a file compressed by gzip, a member of a tar or zip
archive, or a file of a folder. Archives are streamed: nothing is unpacked to disk, and no member is
in memory as a whole. The length of a line and the size of what is unpacked are bounded, so that no
damaged or hostile file can fill the memory. What the text means is in the readers of each format.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ...exceptions import FileFormatError
from ...support.files import existing_file
from .boundary import boundary
from .names import file_stem
from .tar_members import tar_members
from .unpacking import Allowance, counted

TAR_SUFFIXES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tbz2", ".tgz", ".txz")
ZIP_SUFFIXES = (".zip",)
COMPRESSED_SUFFIX = ".gz"

# Characters. Lines of XYZ and SD files are far shorter, also those with many properties.
_LONGEST_LINE = 1_000_000


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
        with boundary(self.where), self.open_binary() as binary:
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


def is_packed(path: Path) -> bool:
    """Whether this is an archive or a compressed file, by its name."""
    return is_archive(path) or path.name.lower().endswith(COMPRESSED_SUFFIX)


def file_source(path: Path, stem: str = "", max_unpacked: int | None = None) -> TextSource:
    """Return the source of one file, compressed by gzip or not; its own stem is the default.

    ``max_unpacked`` is the number of bytes that a compressed file may unpack to.
    """
    compressed = path.name.lower().endswith(COMPRESSED_SUFFIX)

    def open_binary() -> IO[bytes]:
        existing_file(path)
        if not compressed:
            return path.open("rb")
        return counted(gzip.open(path), Allowance(path, max_unpacked))  # type: ignore[arg-type]

    return TextSource(str(path), path.name, stem or file_stem(path), open_binary)


def folder_sources(
    folder: Path, suffixes: tuple[str, ...], max_unpacked: int | None = None
) -> list[TextSource]:
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
    stems = [
        file_stem(path) if counts[file_stem(path)] == 1 else _long(path, folder) for path in paths
    ]
    return [file_source(path, stem, max_unpacked) for path, stem in zip(paths, stems, strict=True)]


def _long(path: Path, folder: Path) -> str:
    return (path.relative_to(folder).parent / file_stem(path)).as_posix()


def archive_sources(
    path: Path, suffixes: tuple[str, ...], max_unpacked: int | None = None
) -> Iterator[TextSource]:
    """Yield the members with these suffixes; use each before the next one is asked for."""
    with boundary(str(path)):
        allowance = Allowance(path, max_unpacked)
        is_zip = path.name.lower().endswith(ZIP_SUFFIXES)
        if is_zip:
            members = _zip_members(path, suffixes, allowance)
        else:
            members = tar_members(path, allowance)
        for name, handle in members:
            if _is_wanted(name, suffixes):
                yield _member(path, name, handle, allowance)


def _zip_members(
    path: Path, suffixes: tuple[str, ...], allowance: Allowance
) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir() or not _is_wanted(member.filename, suffixes):
                continue
            if member.flag_bits & 1:
                raise FileFormatError(f"{path}: {member.filename} needs a password: unpack it.")
            allowance.check(member.file_size)
            with archive.open(member) as handle:
                yield member.filename, counted(handle, allowance)


def _is_wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts if part != ".")
    return not hidden and content_suffix(path.name) in suffixes


def _member(path: Path, name: str, handle: IO[bytes], allowance: Allowance) -> TextSource:
    short = PurePosixPath(name).name
    compressed = short.lower().endswith(COMPRESSED_SUFFIX)

    def open_binary() -> IO[bytes]:
        return counted(gzip.open(handle), allowance) if compressed else handle  # type: ignore[arg-type]

    return TextSource(f"{path}, {short}", short, file_stem(Path(short)), open_binary)
