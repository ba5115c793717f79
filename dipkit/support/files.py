"""Files: checks before reading, and writing that leaves no incomplete file.

A file is written to a temporary folder next to its place, and then gets its name in one step. File
formats are not here (`dipkit.data.formats`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..exceptions import FileFormatError, InputError

PathLike = str | os.PathLike[str]


def existing_file(path: PathLike) -> Path:
    """Return the path of a file that is there and not empty."""
    file = Path(path)
    if not file.exists():
        raise InputError(f"{file}: no such file. Check the path.")
    if not file.is_file():
        raise InputError(f"{file}: expected a file, got something else.")
    if file.stat().st_size == 0:
        raise FileFormatError(f"{file}: the file is empty. Expected at least one molecule.")
    return file


@contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Give a path to write to; it becomes `path` only when all went well.

    The given path has the same name as `path` and lies in a temporary folder next to it. After any
    failure this folder is removed, and an older file under `path` is unchanged.

    Raises
    ------
    InputError
        If the place cannot be written, or writing fails (disk full).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dipkit.data.io import atomic_write
    >>> folder = tempfile.TemporaryDirectory()
    >>> with atomic_write(Path(folder.name) / "out.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> [file.name for file in Path(folder.name).iterdir()]
    ['out.txt']
    >>> folder.cleanup()
    """
    target = Path(os.path.realpath(path))
    _check_target(target)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            temporary = Path(folder) / target.name
            yield temporary
            _flush(temporary)
            os.replace(temporary, target)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror or error}. Nothing was changed; free "
            "space or choose another place."
        ) from error


def _check_target(target: Path) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{target}: cannot be written: create the folder {target.parent} first.")
    if target.exists() and not target.is_file():
        raise InputError(f"{target}: cannot be written: it is not a regular file. Name a file.")
    if target.exists() and not os.access(target, os.W_OK):
        raise InputError(f"{target}: cannot be written: it is read-only. Choose another name.")


def _flush(file: Path) -> None:
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())
