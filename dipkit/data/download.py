"""Fetching files into a cache folder: checksums, resuming, and what to do without a network.

This is the door for pooch, and for requests behind it. A file is written aside as ``NAME.part`` and
takes its name when its checksum is right; an interrupted download goes on from where it stopped.
Which files there are is told in `datasets.py`.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..exceptions import DownloadError, MissingDependencyError
from ..support.files import PathLike

ATTEMPTS = 4
TIMEOUT = 30.0
# What is not yet a chunk is lost where the connection breaks.
CHUNK_BYTES = 2**13
_PARTIAL, _REFUSED_RANGE = 206, 416


@dataclass(frozen=True)
class Remote:
    """A file somewhere else.

    Parameters
    ----------
    name : str
        Its name in the cache folder.
    url : str
    checksum : str
        Algorithm and digest, ``"md5:..."``.
    """

    name: str
    url: str
    checksum: str


def fetch(remote: Remote, cache: PathLike | None = None) -> Path:
    """Return the path of a file in the cache folder, after fetching it where it is not there.

    Parameters
    ----------
    remote : Remote
    cache : str or path, default=None
        Folder; None is that of the operating system for caches, for example ``~/.cache/dipkit``.

    Raises
    ------
    DownloadError
        If the file cannot be fetched, or what came has another checksum.
    MissingDependencyError
        If pooch is not installed.
    """
    pooch = _pooch()
    import requests

    folder = Path(pooch.os_cache("dipkit") if cache is None else cache).expanduser()
    target = folder / remote.name
    try:
        with _quiet(pooch.get_logger()):
            folder.mkdir(parents=True, exist_ok=True)
            if not _is_right(pooch, target, remote):
                resume = partial(_resume, target.with_name(f"{remote.name}.part"))
                pooch.core.stream_download(
                    remote.url, target, remote.checksum, resume, retry_if_failed=ATTEMPTS - 1
                )
    except (ValueError, OSError, requests.exceptions.RequestException) as error:
        raise DownloadError(
            f"{remote.name}: could not be fetched from {remote.url} ({_short(error)}). What came "
            "so far is kept: try again. Without a network, fetch it on another machine and save it "
            f"as {target} ({remote.checksum})."
        ) from error
    return target


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise MissingDependencyError(
            'fetching data needs pooch: install it with `pip install "dipkit[data]"`.'
        ) from error
    return pooch


def _is_right(pooch: Any, target: Path, remote: Remote) -> bool:
    """Tell whether the file is there; one with another checksum is replaced."""
    return target.is_file() and pooch.hashes.hash_matches(str(target), remote.checksum)


def _resume(part: Path, url: str, output_file: str, _: Any) -> None:
    """Download into a partial file, from where that ends, and move it to where pooch wants it.

    Pooch checks the file next, and removes it where its checksum is wrong: then the following
    attempt starts from nothing.
    """
    import requests

    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == _REFUSED_RANGE:
            part.unlink()  # longer than the file, or complete and wrong
        response.raise_for_status()
        resumed = response.status_code == _PARTIAL
        length = int(response.headers.get("content-length", 0))
        total = length + (start if resumed else 0)
        with part.open("ab" if resumed else "wb") as handle, _progress(part.stem, total) as advance:
            advance(start if resumed else 0)
            for chunk in response.iter_content(CHUNK_BYTES):
                handle.write(chunk)
                advance(len(chunk))
    shutil.move(part, output_file)


@contextlib.contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal; hand out the function that moves it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=total or None)
        yield lambda n: bar.advance(task, n)


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from writing to the terminal what errors here say better."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
