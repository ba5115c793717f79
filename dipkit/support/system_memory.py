"""Memory of the host: how much is free, how much this process has taken, sizes as text.

Begin with `host_memory`. psutil knows each operating system; limits of containers (control groups
of Linux, versions 1 and 2) are read here, because psutil ignores them. Memory of a GPU is not here
(`Backend.free_memory`), nor is what a fit needs (`dipkit.estimator.memory_plan`).
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from ..exceptions import InputError

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUPS_OF_THIS_PROCESS = Path("/proc/self/cgroup")

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_UNITS |= {f"{unit}i": 2.0 ** (10 * power) for power, unit in enumerate("kmgt", start=1)}


def host_memory() -> int:
    """Bytes of memory that this process can still take, limits of containers respected."""
    return min([int(psutil.virtual_memory().available), *container_memory()])


def process_memory() -> int:
    """Bytes of memory that this process has taken (its resident set)."""
    return int(psutil.Process().memory_info().rss)


def container_memory() -> list[int]:
    """Bytes left under each memory limit of the control groups that this process is in.

    Returns
    -------
    list of int
        Empty where there is no limit, and on other systems than Linux. Cached files that the
        kernel would give up first count as free.
    """
    return [rest for folder in _cgroup_folders() if (rest := _rest_below_limit(folder)) is not None]


def _cgroup_folders() -> Iterator[Path]:
    """Yield the folders of the groups of this process and of all groups above them."""
    try:
        lines = CGROUPS_OF_THIS_PROCESS.read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        # Version 2 writes "0::PATH", version 1 "NUMBER:memory:PATH".
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            root = CGROUP_ROOT / ("memory" if controllers else "")
            # Within a container the path may be that of the host: then only the root is there.
            for group in (PurePosixPath(path), *PurePosixPath(path).parents):
                yield root / group.relative_to("/")


def _rest_below_limit(group: Path) -> int | None:
    """Bytes left in one group; None where it has no limit."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),  # version 2
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
    ):
        try:
            rest = int((group / limit).read_text()) - int((group / used).read_text())
        except (OSError, ValueError):  # no such file, or no limit ("max")
            continue
        return max(rest + _figure(group / "memory.stat", cached), 0)
    return None


def _figure(file: Path, name: str) -> int:
    """Read one figure of a file of names and figures; 0 where it is absent."""
    try:
        rows = (line.split() for line in file.read_text().splitlines())
        return next((int(row[1]) for row in rows if row[0] == name), 0)
    except OSError:
        return 0


def parse_bytes(value: object, name: str = "memory_budget") -> int:
    """Turn a number of bytes, or text such as "8GB", "500 MB" or "8GiB", into bytes.

    Parameters
    ----------
    value : int, float or str
    name : str, default="memory_budget"
        Argument, for the message.

    Raises
    ------
    InputError
        If it is neither, or not positive.

    Examples
    --------
    >>> parse_bytes("8GB"), parse_bytes("1.5 GiB"), parse_bytes(1e6)
    (8000000000, 1610612736, 1000000)
    """
    number = None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]i?)?b?\s*", value.lower())
        if match and match[1].count(".") <= 1 and match[1] != ".":
            number = float(match[1]) * _UNITS[match[2] or ""]
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
    if number is None or not 1 <= number < 2**60:
        raise InputError(f'{name}: expected bytes or text such as "8GB", got {value!r}.')
    return int(number)
