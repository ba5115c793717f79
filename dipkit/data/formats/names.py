"""Names of molecules that have no title: the stem of their file.

The only molecule of ``water.xyz`` is ``water``; those of ``set.xyz`` are ``set_0``, ``set_1``, ...,
counted from 0 as they are indexed. Names therefore tell molecules of a folder apart, and tables
can be joined by them. Titles go before the stem; the formats know them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import TypeVar

Item = TypeVar("Item")

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def file_stem(path: PurePath) -> str:
    """Return the name of a file without its suffix, and without that of a compressed file.

    Examples
    --------
    >>> from pathlib import Path, PurePath
    >>> from dipkit.data.formats.names import file_stem
    >>> file_stem(Path("geometries/water.v2.xyz.gz"))
    'water.v2'
    """
    name = PurePath(path.stem) if path.suffix.lower() in _COMPRESSED else path
    return name.stem


def with_names(items: Iterable[Item], path: Path) -> Iterator[tuple[str, Item]]:
    """Yield molecules of a file with their names, one by one, reading one ahead.

    Parameters
    ----------
    items : iterable
        Frames or records of the file.
    path : Path

    Yields
    ------
    name : str
    item
    """
    return with_stem(items, file_stem(path))


def with_stem(items: Iterable[Item], stem: str) -> Iterator[tuple[str, Item]]:
    """Yield the molecules of a file of this stem with their names, reading one ahead."""
    rest = iter(items)
    try:
        item = next(rest)
    except StopIteration:
        return
    place = 0
    for following in rest:
        yield f"{stem}_{place}", item
        item, place = following, place + 1
    yield (f"{stem}_{place}" if place else stem), item
