"""Files: checks before reading, and writing that leaves no incomplete file.

A file is written to a temporary folder next to its place, and then gets its name in one step. A
kill leaves such a folder: the next writing in the same place removes it. File formats are not here
(`dipkit.data.formats`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..exceptions import FileFormatError, InputError
from .processes import process_exists, try_lock

PathLike = str | os.PathLike[str]

# Temporary folders: their number is that of the process, which holds a lock on the file `_OWNER`.
_PREFIX, _OWNER = ".dipkit-tmp-", "owner"
_FOLDER = re.compile(re.escape(_PREFIX) + r"(\d+)-\w+")
# Seconds after which a folder without a lock is given up, even if a process has its number again.
_FORGOTTEN = 600
_unfinished: set[Path] = set()
# Files that keep an output for one process.
_LOCK = ".dipkit-lock-"
_locks: set[Path] = set()


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
    failure this folder is removed, and an older file under `path` is unchanged. Folders of
    processes that were killed are removed at the beginning. Where `path` is a symbolic link, the
    file that it names is written.

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
    try:
        _check_target(target)
        _remove_abandoned(target.parent)
        with _temporary_folder(target.parent) as folder:
            temporary = folder / target.name
            yield temporary
            _flush(temporary)
            os.replace(temporary, target)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror or error}. Nothing was changed; free "
            "space or choose another place."
        ) from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder for temporary files; after a kill the next such folder removes it."""
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    with _temporary_folder(parent) as folder:
        yield folder


def is_scratch(path: Path) -> bool:
    """Whether a file lies in a temporary folder of these functions."""
    return _FOLDER.fullmatch(path.parent.name) is not None


@contextmanager
def locked_output(path: PathLike) -> Iterator[None]:
    """Keep an output for this process, so that no other process works for the same file.

    The lock is on a hidden file next to the output, which is removed at the end. The operating
    system gives the lock up when its process ends, however that happens: a file that a kill left is
    taken over. Where no such file can be made, or the file system knows no locks, there is no lock.

    Raises
    ------
    InputError
        If another process has this output.
    """
    target = Path(os.path.realpath(path))
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    lock = target.parent / f"{_LOCK}{digest}"
    descriptor = _open_lock(lock, path)
    if descriptor is None:
        yield
        return
    _locks.add(lock)
    try:
        yield
    finally:
        _remove_lock(lock)
        os.close(descriptor)


def _open_lock(lock: Path, output: PathLike) -> int | None:
    """Open and lock a file; None where that cannot be done."""
    while True:
        try:
            no_link = getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | no_link, 0o666)
        except OSError:
            return None
        locked = try_lock(descriptor)
        if locked and _is_same_file(descriptor, lock):
            return descriptor
        os.close(descriptor)
        if locked is None:
            _remove_lock(lock)
            return None
        if not locked:
            raise InputError(
                f"{output}: another process writes this output now. Wait for it, or name another "
                "output."
            )
        # The process before has ended and removed its file: a new one.


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _remove_lock(lock: Path) -> None:
    _locks.discard(lock)
    with suppress(OSError):  # Windows removes no open file: the next process takes it over
        lock.unlink()


def remove_unfinished() -> None:
    """Remove the temporary folders and locks of this process, which is about to end."""
    for folder in list(_unfinished):
        shutil.rmtree(folder, ignore_errors=True)
    for lock in list(_locks):
        _remove_lock(lock)


def require_other_file(path: PathLike, inputs: Iterable[PathLike | None]) -> None:
    """Refuse an output that is one of the inputs, under whatever name.

    Parameters
    ----------
    path : str or path
    inputs : iterable of (str, path or None)
        Files, or folders of files.

    Raises
    ------
    InputError
    """
    output = Path(os.path.realpath(path))
    for given in inputs:
        source = None if given is None else Path(os.path.realpath(given))
        if source is None:
            continue
        inside = source.is_dir() and output.exists() and source in output.parents
        if inside or output == source or _is_same(output, source):
            raise InputError(
                f"{path}: the output would replace the input {given}. Name another file."
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{_PREFIX}{os.getpid()}-"))
    _unfinished.add(folder)
    try:
        with (folder / _OWNER).open("xb") as owner:
            try_lock(owner.fileno())
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unfinished.discard(folder)


def _remove_abandoned(parent: Path) -> None:
    """Remove the temporary folders of processes that have ended."""
    with os.scandir(parent) as entries:
        found = [Path(entry.path) for entry in entries if _FOLDER.fullmatch(entry.name)]
    for folder in found:
        if folder not in _unfinished and folder.is_dir() and _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether nobody holds the lock; a process that runs may be just about to take it."""
    match = _FOLDER.fullmatch(folder.name)
    assert match is not None
    try:
        age = time.time() - folder.stat().st_mtime
        starting = process_exists(int(match[1])) and age < _FORGOTTEN
        if not (folder / _OWNER).exists():
            return not starting
        with (folder / _OWNER).open("r+b") as owner:
            return try_lock(owner.fileno()) is True and not starting
    except OSError:
        return False


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
