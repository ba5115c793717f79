"""Checks of the zip of a model before anything in it is built: members, sizes, checksums.

A model file is a zip with a description (`DESCRIPTION`), a tree of objects (`SCHEMA`) and arrays as
npy. The last bytes of the file, in the comment of the zip, are a SHA-256 over all bytes before
them. The description lists each other member with its size and SHA-256. Files of older versions
have neither; the CRC of each member is checked in any case. Checksums find damage; they do not say
who wrote a file. Members are read in memory and never unpacked into a folder, so that a symbolic
link in the zip has no target to lead to; a member that says it is one is refused nevertheless.
The tree is checked in `model_tree.py`; how it becomes a model is not here (`persistence.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..exceptions import FileFormatError
from ..support.files import PathLike
from ..support.model_files import DESCRIPTION
from ..support.system_memory import host_memory

__all__ = [
    "SCHEMA",
    "UNREADABLE",
    "check_archive",
    "list_members",
    "read_description",
    "refusing",
    "seal",
    "too_dense",
]

SCHEMA = "schema.json"
# The tree and the description are text: those of a model take 70 kB and 4 kB.
MOST_SCHEMA_BYTES = 4 * 2**20
MOST_DESCRIPTION_BYTES = 2**20
MOST_MEMBERS = 2000
# Unpacked bytes of a file of s bytes: at most the first number plus the second times s. Models take
# two to ten times their file.
UNPACKED_BYTES, UNPACKED_RATIO = 64 * 2**20, 200
NO_MODEL = (
    "Expected a file that `dipkit fit` or save_model wrote; copy the file again or fit again."
)
UNREADABLE = "the model cannot be read"

_ARRAY_NAME = re.compile(r"\d{1,40}\.npy")
_SEAL = b"dipkit sha256 "
_HEX = 64
_CHUNK = 2**20


def list_members(path: PathLike) -> dict[str, dict[str, int | str]]:
    """Return size and SHA-256 of each member of a zip."""
    with zipfile.ZipFile(path) as archive:
        return {
            member.filename: {"bytes": member.file_size, "sha256": _digest(archive, member)}
            for member in archive.infolist()
        }


def seal(path: PathLike) -> None:
    """Add the checksum over the whole file, after which nothing may be changed."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = _SEAL + b"0" * _HEX
    with Path(path).open("r+b") as file:
        digest = _digest_until_seal(file)
        file.seek(-_HEX, 2)
        file.write(digest.encode())


def too_dense(path: PathLike) -> bool:
    """Whether a zip unpacks to more than `check_archive` allows."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    return unpacked > _allowed_bytes(Path(path))


def read_description(path: Path) -> Any:
    """Read the description alone.

    Raises
    ------
    FileFormatError
        If the file is no zip with a description in JSON.
    """
    with refusing(path, "not a dipkit model, or cut or damaged"), zipfile.ZipFile(path) as archive:
        size = archive.getinfo(DESCRIPTION).file_size
        if size > MOST_DESCRIPTION_BYTES:
            raise ValueError(f"{DESCRIPTION} claims {size} bytes")
        return json.loads(archive.read(DESCRIPTION))


def check_archive(path: Path, described: Mapping[str, Any]) -> None:
    """Refuse a file with a damaged, unknown or oversized member, before arrays are unpacked.

    Parameters
    ----------
    path : Path
    described : mapping
        Description in the file, from `read_description`.

    Raises
    ------
    FileFormatError
    """
    listed = described.get("members")
    with refusing(path, UNREADABLE):
        if listed is not None:
            _check_seal(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(path, members)
            for member in members:
                _check_content(archive, member, listed)
        if listed is not None and {m.filename for m in members} != {*listed, DESCRIPTION}:
            raise ValueError("its members are not those that its description lists")


def _check_members(path: Path, members: Collection[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(names) > MOST_MEMBERS or len(set(names)) < len(names):
        raise ValueError("a member is there twice, or there are more than a model has")
    for member in members:
        name, size = member.filename, member.file_size
        if name not in (DESCRIPTION, SCHEMA) and not _ARRAY_NAME.fullmatch(name):
            raise ValueError(f"a member {name[:80]!r}, which no model has")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"{name} is a symbolic link")
        if member.flag_bits & 1 or member.compress_type not in (0, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is encrypted, or packed in another way than models are")
        if name == SCHEMA and size > MOST_SCHEMA_BYTES:
            raise ValueError(f"{name} claims {size} bytes")
    unpacked = sum(member.file_size for member in members)
    if unpacked > _allowed_bytes(path):
        raise ValueError(f"it unpacks to {unpacked / 1e9:.3g} GB, more than models of this size")
    if unpacked > host_memory():
        raise ValueError(f"it unpacks to {unpacked / 1e9:.3g} GB, more than the free memory")


def _allowed_bytes(path: Path) -> int:
    return UNPACKED_BYTES + UNPACKED_RATIO * path.stat().st_size


def _check_content(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, listed: Mapping[str, Any] | None
) -> None:
    """Read a member once, in chunks, which checks its CRC."""
    digest, name = _digest(archive, member), member.filename
    if listed is not None and name != DESCRIPTION and listed[name]["sha256"] != digest:
        raise ValueError(f"{name} has another checksum than the description says")
    if name.endswith(".npy"):
        with archive.open(member) as file:
            _check_array(name, file, member.file_size)


def _check_array(name: str, file: IO[bytes], size: int) -> None:
    """Refuse an array whose header claims another size than its member has: NumPy allocates it."""
    version = np.lib.format.read_magic(file)
    readers: dict[tuple[int, int], Callable[..., Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"{name}: an array in version {version} of its format")
    shape, _, dtype = readers[version](file)
    n_items = 1
    for length in shape:
        n_items *= length
    if dtype.hasobject or dtype.kind not in "biufSU" or min(shape, default=0) < 0:
        raise ValueError(f"{name}: an array of {dtype} and shape {shape}")
    if file.tell() + n_items * dtype.itemsize != size:
        raise ValueError(f"{name}: an array of another size than its header says")


def _digest(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    digest, n_bytes = hashlib.sha256(), 0
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            n_bytes += len(chunk)
    if n_bytes != member.file_size:
        raise ValueError(f"{member.filename} has another size than the zip says")
    return digest.hexdigest()


def _check_seal(path: Path) -> None:
    with path.open("rb") as file:
        digest = _digest_until_seal(file)
        if file.read(_HEX) != digest.encode():
            raise ValueError("its checksum does not match: the file is changed, cut or damaged")


def _digest_until_seal(file: IO[bytes]) -> str:
    left = file.seek(0, 2) - _HEX
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            break
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


@contextmanager
def refusing(path: PathLike, what: str, remedy: str = NO_MODEL) -> Iterator[None]:
    """Turn whatever a damaged file raises in zipfile, json, NumPy or skops into one error.

    Parameters
    ----------
    path : str or path
    what : str
        What went wrong.
    remedy : str
        What to do.
    """
    try:
        yield
    except FileFormatError:
        raise
    except Exception as error:  # RecursionError, MemoryError, struct.error, TokenError, ...
        reason = " ".join(str(error).split())[:200]
        raise FileFormatError(
            f"{path}: {what}: {type(error).__name__}: {reason}. {remedy}"
        ) from error
