"""Molecules of a file, a folder or an archive, one after another, whatever the format of each.

A file is read by its suffix, a folder and an archive by the files inside. Files of XYZ frames may
be plain, extended or raw QM9, also side by side; different formats side by side are refused, since
the same molecules often lie there twice. Formats of arrays (``.npz``, CHAMPS) are not here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from ase import Atoms

from ...exceptions import FileFormatError, InputError
from . import program_outputs, sdf, xyz_files
from .boundary import boundary
from .entries import Context, Entry, with_errors
from .names import file_stem, with_stem
from .text_sources import (
    TextSource,
    archive_sources,
    content_suffix,
    file_source,
    folder_sources,
    is_archive,
)

_TEXT_FORMATS = {
    "XYZ": xyz_files.SUFFIXES,
    "SD": sdf.SUFFIXES,
    "output": program_outputs.SUFFIXES,
}
_FORMAT_OF = {suffix: name for name, suffixes in _TEXT_FORMATS.items() for suffix in suffixes}
_IN_ARCHIVES = (*xyz_files.SUFFIXES, *sdf.SUFFIXES)
_DATABASES = (".db", ".json")
_TRAJECTORY = ".traj"
# An output is in memory as a whole; those of long relaxations have a hundredth of this.
_MOST_OUTPUT_LINES = 5_000_000


def is_readable(path: Path) -> bool:
    """Whether there is a reader here for a file, a folder or an archive, by its name."""
    known = {*_FORMAT_OF, *_DATABASES, _TRAJECTORY}
    return path.is_dir() or is_archive(path) or content_suffix(path.name) in known


def holds_many_files(path: Path) -> bool:
    """Whether this is a folder or an archive."""
    return path.is_dir() or is_archive(path)


def metadata_of(path: Path) -> dict[str, object]:
    """Return what a file says about all its molecules."""
    if path.suffix.lower() not in _DATABASES:
        return {}
    # Imports of ASE's databases take time, here and below.
    from .ase_files import read_metadata

    return read_metadata(path)


def read_entries(path: Path, context: Context) -> Generator[Entry, None, None]:
    """Yield the molecules of a file, a folder or an archive.

    Raises
    ------
    FileFormatError
        If a file is cut or damaged, or a folder or an archive holds no molecules, or files of
        several formats.
    """
    suffix = content_suffix(path.name)
    if path.is_dir():
        yield from _folder(path, context)
    elif is_archive(path):
        yield from _archive(path, context)
    elif suffix in _DATABASES:
        from .ase_files import read_database

        yield from _frames(read_database(path), path)
    elif suffix == _TRAJECTORY:
        from .ase_files import read_trajectory

        yield from _frames(read_trajectory(path), path)
    else:
        source = file_source(path, max_unpacked=context.options.most_unpacked)
        yield from _text(source, context)


def _text(source: TextSource, context: Context) -> Iterator[Entry]:
    kind = _FORMAT_OF[source.suffix]
    if kind == "XYZ":
        return xyz_files.xyz_entries(source, context)
    if kind == "SD":
        return sdf.sdf_entries(source, context)
    return with_errors(_output(source, context), source.where)


def _output(source: TextSource, context: Context) -> Iterator[Entry]:
    # Comments and paths in outputs may have any encoding; what is read is ASCII.
    lines = list(islice(source.lines(errors="replace"), _MOST_OUTPUT_LINES + 1))
    if len(lines) > _MOST_OUTPUT_LINES:
        raise FileFormatError(
            f"{source.where}: the output has more than {_MOST_OUTPUT_LINES:,} lines. Cut it down "
            "to the last geometry and what follows, or write the results to extended XYZ."
        )
    with boundary(source.where):
        record, notes = program_outputs.parse_output(lines, source.where, source.stem, context)
    keys = program_outputs.PRESENT
    yield Entry(record, source.where, source.stem, source.stem, keys=keys, notes=tuple(notes))


def _frames(frames: Iterable[Atoms | InputError], path: Path) -> Iterator[Entry]:
    stem = file_stem(path)
    numbered = (
        Entry(atoms, f"{path}, molecule {place}", stem) for place, atoms in enumerate(frames)
    )
    for name, entry in with_stem(with_errors(numbered, str(path)), stem):
        entry.name = name
        yield entry


def _folder(folder: Path, context: Context) -> Iterator[Entry]:
    sources, foreign = [], []
    for source in folder_sources(folder, tuple(_FORMAT_OF), context.options.most_unpacked):
        if source.suffix in program_outputs.SUFFIXES and not _is_output(source):
            foreign.append(source.name)  # a log of a queue of jobs, for example
        else:
            sources.append(source)
    if not sources:
        raise FileFormatError(
            f"{folder}: no molecules inside: expected XYZ files, SD files, or outputs of Gaussian "
            f"or ORCA{_foreign(foreign)}."
        )
    _check_one_format(folder, Counter(_FORMAT_OF[source.suffix] for source in sources))
    for source in sources:
        yield from _text(source, context)


def _is_output(source: TextSource) -> bool:
    try:
        with closing(source.lines(errors="replace")) as lines:
            return program_outputs.is_readable(lines)
    except FileFormatError:
        return False


def _foreign(names: list[str]) -> str:
    return f"; {', '.join(names[:3])} is none of these" if names else ""


def _archive(path: Path, context: Context) -> Iterator[Entry]:
    formats: Counter[str] = Counter()
    for source in archive_sources(path, _IN_ARCHIVES, context.options.most_unpacked):
        formats[_FORMAT_OF[source.suffix]] += 1
        _check_one_format(path, formats)
        yield from _text(source, context)
    if not formats:
        raise FileFormatError(f"{path}: no molecules inside: expected XYZ files or SD files.")


def _check_one_format(path: Path, formats: Counter[str]) -> None:
    if len(formats) > 1:
        found = " and ".join(f"{count} {name}" for name, count in formats.items())
        raise FileFormatError(
            f"{path}: holds files of several formats: {found} files. The same molecules would be "
            "read twice: put the files of one format into a folder of their own."
        )
