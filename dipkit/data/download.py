"""Fetching files into a cache folder by pooch: checksums, and what to do without a network.

No other module imports pooch or requests. The list of files is not here (`datasets.py`).
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import DownloadError, MissingDependencyError
from ..support.files import PathLike

# Seconds without an answer after which a download fails.
TIMEOUT = 30.0


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
    """Return the path of a file in the cache folder, and fetch the file first if needed.

    A file with another checksum is fetched again; nothing of an interrupted download is kept.

    Parameters
    ----------
    remote : Remote
    cache : str or path, default=None
        Folder; None is that of the operating system for caches, for example ``~/.cache/dipkit``.

    Raises
    ------
    DownloadError
        If the file cannot be fetched, or the fetched file has another checksum.
    MissingDependencyError
        If pooch is not installed.
    """
    try:
        import pooch
        import requests
    except ImportError as error:
        raise MissingDependencyError(
            'fetching data needs pooch: install it with `pip install "dipkit[data]"`.'
        ) from error
    folder = Path(pooch.os_cache("dipkit") if cache is None else cache).expanduser()
    # A bar on a terminal; tqdm, which draws it, comes with Optuna.
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)
    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(remote.url, remote.checksum, remote.name, folder, downloader=downloader)
    except (ValueError, OSError, requests.exceptions.RequestException) as error:
        raise DownloadError(
            f"{remote.name}: could not be fetched from {remote.url} ({_short(error)}). Try again. "
            "Without a network, fetch it on another machine and save it as "
            f"{folder / remote.name} ({remote.checksum})."
        ) from error
    return folder / remote.name


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from writing to the terminal; the errors raised here are more useful."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
