"""Memory of the host: limits of containers, systems without Linux's files, sizes as text."""

import mmap
import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from dipkit.exceptions import InputError
from dipkit.support import system_memory
from dipkit.support.system_memory import (
    container_memory,
    host_memory,
    parse_bytes,
    process_memory,
)

FREE = 8 * 10**9
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of ``/sys/fs/cgroup``, on a machine with 8 GB free."""
    monkeypatch.setattr(system_memory, "CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(system_memory, "CGROUPS_OF_THIS_PROCESS", tmp_path / "cgroup")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE))
    return tmp_path


def write_group(folder: Path, names: tuple[str, str, str], limit: object, used: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")


@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/", ".", V2),
        ("0::/user/job", "user/job", V2),
        ("0::/user/job", "user", V2),  # a limit of the group above
        ("4:memory:/docker/1a", "memory/docker/1a", V1),
        ("4:memory:/docker/1a", "memory", V1),  # the path of the host, seen in the container
        ("4:cpu,memory:/", "memory", V1),
    ],
)
def test_the_limit_of_a_container_is_respected(
    cgroups: Path, line: str, folder: str, names: tuple[str, str, str]
) -> None:
    (cgroups / "cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    assert host_memory() == FREE
    write_group(cgroups / folder, names, 3 * 10**9, 10**9)
    assert container_memory() == [2 * 10**9]
    assert host_memory() == 2 * 10**9
    (cgroups / folder / "memory.stat").write_text(f"anon 5\n{names[2]} 400\nslab 7\n")
    assert host_memory() == 2 * 10**9 + 400
    write_group(cgroups / folder, names, 10**9, 2 * 10**9)
    assert host_memory() == 0


def test_the_lowest_of_several_limits_counts(cgroups: Path) -> None:
    (cgroups / "cgroup").write_text("0::/a/b\n")
    write_group(cgroups / "a/b", V2, "max", 10)
    write_group(cgroups / "a", V2, 5000, 1000)
    write_group(cgroups, V2, 4500, 1000)
    assert container_memory() == [4000, 3500]
    assert host_memory() == 3500


@pytest.mark.parametrize(("names", "limit"), [(V2, "max"), (V1, 2**63 - 4096)])
def test_a_group_without_a_limit(cgroups: Path, names: tuple[str, str, str], limit: object) -> None:
    (cgroups / "cgroup").write_text("0::/\n4:memory:/\n")
    write_group(cgroups if names is V2 else cgroups / "memory", names, limit, 10)
    assert host_memory() == FREE


def test_there_is_no_limit_on_other_systems(cgroups: Path) -> None:
    assert container_memory() == []
    assert host_memory() == FREE


def test_memory_of_this_process_grows_by_what_it_takes() -> None:
    size = 64 * 2**20
    # Pages of their own: memory that was taken and freed before would not count again.
    with mmap.mmap(-1, size) as taken:
        before = process_memory()
        taken.write(os.urandom(2**20) * 64)
        assert process_memory() - before > 0.9 * size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GB", 8e9), ("8 gib", 2**33), ("500 MB", 5e8), ("1.5k", 1500), (4096, 4096), (1e9, 1e9)],
)
def test_sizes_are_read(text: str | float, expected: float) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("bad", ["much", "8 GBB", "1.2.3GB", ".", "", 0, -1, True, None, "0GB"])
def test_bad_sizes_are_refused(bad: object) -> None:
    with pytest.raises(InputError, match="memory_budget: expected bytes or text"):
        parse_bytes(bad)
