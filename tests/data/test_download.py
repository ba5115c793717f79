"""Fetching from a local server: checksums, the cache, broken connections, no network at all."""

import hashlib
import io
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import dipkit.data.datasets
import dipkit.data.download
from dipkit.data.datasets import fetch_qm9
from dipkit.data.download import Remote, fetch
from dipkit.exceptions import DownloadError, MissingDependencyError

pytest.importorskip("pooch", reason="pooch is not installed (extra data)")

CONTENT = bytes(range(256)) * 1000


class Server(ThreadingHTTPServer):
    """Serves files by name, and breaks off some answers."""

    daemon_threads = True
    files: dict[str, bytes]
    #: Bytes after which each of the next answers breaks off; None for the whole.
    cuts: list[int | None]
    asked: list[str]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def remote(self, name: str, content: bytes | None = None) -> Remote:
        digest = hashlib.md5(self.files[name] if content is None else content).hexdigest()
        return Remote(name, self.url(name), f"md5:{digest}")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.asked.append(name)
        content = self.server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.files, server.cuts, server.asked = {"data.bin": CONTENT}, [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        path = fetch(server.remote("data.bin"), tmp_path / "new" / "cache")
        assert path.read_bytes() == CONTENT
    assert server.asked == ["data.bin"]
    assert [file.name for file in path.parent.iterdir()] == ["data.bin"]


def test_a_broken_connection_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000]
    with pytest.raises(DownloadError, match=r"data.bin: .*Try again"):
        fetch(server.remote("data.bin"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert fetch(server.remote("data.bin"), tmp_path).read_bytes() == CONTENT


def test_a_bar_on_a_terminal(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fetch(server.remote("data.bin"), tmp_path / "first")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fetch(server.remote("data.bin"), tmp_path / "second")
    assert "100%" in capsys.readouterr().err


def test_a_wrong_checksum(server: Server, tmp_path: Path) -> None:
    remote = server.remote("data.bin", b"something else")
    with pytest.raises(DownloadError, match=r"data.bin: .*hash.*save it as .*data.bin \(md5:"):
        fetch(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"damaged")
    assert fetch(server.remote("data.bin"), tmp_path).read_bytes() == CONTENT


def test_no_such_file(server: Server, tmp_path: Path) -> None:
    remote = Remote("gone", server.url("gone"), "md5:0")
    with pytest.raises(DownloadError, match=r"gone: could not be fetched from http.* 404"):
        fetch(remote, tmp_path)


def test_without_a_network(tmp_path: Path) -> None:
    remote = Remote("data.bin", "http://127.0.0.1:1/data.bin", "md5:0")
    with pytest.raises(DownloadError, match=r"another machine and save it as .*data.bin"):
        fetch(remote, tmp_path)
    # Put there by hand, it needs no network.
    (tmp_path / "data.bin").write_bytes(CONTENT)
    digest = hashlib.md5(CONTENT).hexdigest()
    assert fetch(Remote("data.bin", remote.url, f"md5:{digest}"), tmp_path).exists()


def test_a_cache_that_cannot_be_made(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"data.bin: .*Error"):
        fetch(server.remote("data.bin"), tmp_path / "file" / "cache")


def test_pooch_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingDependencyError, match=r"dipkit\[data\]"):
        fetch(Remote("data.bin", "http://127.0.0.1:1/", "md5:0"), tmp_path)


# QM9, in a stand-in of three molecules

UNCHARACTERIZED = """  Inconsistent molecules
 Index  GDB17  B3LYP
    21  CC=O  CCO  CCO
     3  O  [OH2]  [OH2]
2 compounds
"""


def raw(index: int) -> str:
    """One raw file of QM9 with made-up numbers."""
    properties = "\t".join(["0.0"] * 3 + ["1.8511"] + ["0.0"] * 11)
    return (
        f"3\ngdb {index}\t{properties}\t\n"
        "O\t-0.0343604951\t0.9775395708\t0.0076015923\t-0.589706\n"
        "H\t0.0647664923\t0.0205721989\t0.0015346341\t0.294853\n"
        "H\t0.8717903737\t1.3007924048\t0.0006931336\t0.294853\n"
        "1671.4222\t3803.6305\t3907.698\nO\tO\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
    )


@pytest.fixture
def qm9(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as archive:
        for index in (4, 3, 2):
            member = tarfile.TarInfo(f"dsgdb9nsd_{index:06d}.xyz")
            member.size = len(raw(index))
            archive.addfile(member, io.BytesIO(raw(index).encode()))
    for attribute, name, content in (
        ("QM9_ARCHIVE", "dsgdb9nsd.xyz.tar.bz2", packed.getvalue()),
        ("QM9_UNCHARACTERIZED", "uncharacterized.txt", UNCHARACTERIZED.encode()),
    ):
        server.files[name] = content
        monkeypatch.setattr(dipkit.data.datasets, attribute, server.remote(name))
    return server


def test_qm9(qm9: Server, tmp_path: Path) -> None:
    molecules = fetch_qm9(tmp_path)
    assert molecules.names.tolist() == ["gdb_000002", "gdb_000004"]
    assert molecules.dipole_magnitude.tolist() == [1.8511] * 2
    assert molecules.charges[:3].tolist() == [-0.589706, 0.294853, 0.294853]
    asked = len(qm9.asked)
    assert fetch_qm9(str(tmp_path), uncharacterized=True).names.tolist() == [
        "gdb_000002",
        "gdb_000003",
        "gdb_000004",
    ]
    assert len(qm9.asked) == asked


def test_qm9_is_read_again_where_the_archive_is_newer(
    qm9: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_qm9(tmp_path)
    read: list[Path] = []
    original: Callable[..., Any] = dipkit.data.datasets.read
    monkeypatch.setattr(
        dipkit.data.datasets, "read", lambda path: read.append(path) or original(path)
    )
    fetch_qm9(tmp_path)
    assert [path.suffix for path in read] == [".npz"]
    (tmp_path / "qm9-1.npz").unlink()
    fetch_qm9(tmp_path)
    assert [path.suffix for path in read] == [".npz", ".bz2", ".npz"]


def test_the_real_addresses_are_complete() -> None:
    for remote in (dipkit.data.datasets.QM9_ARCHIVE, dipkit.data.datasets.QM9_UNCHARACTERIZED):
        assert remote.url.startswith("https://")
        algorithm, digest = remote.checksum.split(":")
        assert (algorithm, len(digest)) == ("md5", 32)
