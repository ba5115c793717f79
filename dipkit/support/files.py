"""Files: checks before reading, and writing that leaves nothing half-done.

A file is written aside, in the folder where it will live, and then takes its name in one step.
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

    The path given lies in a folder of its own beside `path` and has the same name. Whatever
    fails, that folder is removed and an older file under `path` stays as it was.

    Raises
    ------
    InputError
        If the place cannot be written, or writing fails (disk full), from the OSError.

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
