"""Archives and compressed files: whole, of a bounded size, and with no claims that are not kept."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dipkit.data.formats import unpacking
from dipkit.data.io import read, read_parts
from dipkit.exceptions import FileFormatError, InputError

WATER = b"3\n\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n"
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def tar(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, content in enumerate(contents):
            member = tarfile.TarInfo(f"{number}.xyz")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(suffix: str, content: bytes) -> Path:
        path = tmp_path / f"set{suffix}"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("suffix", PACK)
def test_whole_archives_are_read(suffix: str, file: Callable[[str, bytes], Path]) -> None:
    assert len(read(file(suffix, PACK[suffix](tar(WATER, WATER, WATER))))) == 3


@pytest.mark.parametrize("suffix", PACK)
def test_no_cut_archive_loses_molecules(suffix: str, file: Callable[[str, bytes], Path]) -> None:
    whole = PACK[suffix](tar(WATER, WATER, WATER))
    blocks = tarfile.BLOCKSIZE
    # Of a plain archive, the padding with zeros behind the mark of the end may be lost.
    places = range(1, 6 * blocks + 1, 64) if suffix == ".tar" else range(1, len(whole), 5)
    for place in places:
        with pytest.raises(FileFormatError, match=f"set{suffix}"):
            read(file(suffix, whole[:place]))


def test_an_archive_cut_inside_gzip_is_refused(file: Callable[[str, bytes], Path]) -> None:
    inner = tar(WATER, WATER, WATER)[: 4 * tarfile.BLOCKSIZE]  # between two members
    with pytest.raises(FileFormatError, match="mark at the end of the archive is missing"):
        read(file(".tar.gz", gzip.compress(inner)))


def test_a_damaged_header_is_no_end(file: Callable[[str, bytes], Path]) -> None:
    content = bytearray(tar(WATER, WATER, WATER))
    content[2 * tarfile.BLOCKSIZE + 150] ^= 1  # of the second member
    with pytest.raises(FileFormatError, match="damaged or cut: a header is wrong"):
        read(file(".tar", bytes(content)))


def test_joined_archives_are_refused(file: Callable[[str, bytes], Path]) -> None:
    with pytest.raises(FileFormatError, match="more data follow the mark of the end"):
        read(file(".tar", tar(WATER) + tar(WATER)))


@pytest.mark.parametrize("name", ["big.bin", "0.xyz"])
@pytest.mark.parametrize("size", [2**63 - 1, 2**40, -1])
def test_members_that_claim_any_size(
    name: str, size: int, file: Callable[[str, bytes], Path]
) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    header = member.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(FileFormatError, match=r"set\.tar\.gz"):
        read(file(".tar.gz", gzip.compress(header)))


def test_long_names_that_claim_any_size(file: Callable[[str, bytes], Path]) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**33
    content = gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1_000_000))
    with pytest.raises(FileFormatError, match="a name or a comment claims"):
        read(file(".tar.gz", content))


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.xyz", content)
    return buffer.getvalue()


def arrays(n: int) -> bytes:
    buffer = io.BytesIO()
    water = {"natoms": np.array([3]), "numbers": np.array([8, 1, 1])}
    positions = np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
    np.savez_compressed(buffer, **water, positions=positions, mu=np.ones(1), other=np.zeros(n))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".xyz.gz", gzip.compress),
        (".zip", zipped),
        *((s, lambda c, s=s: PACK[s](tar(c))) for s in (".tar.gz", ".tar.xz")),
    ],
)
def test_what_a_file_unpacks_to_is_bounded(
    suffix: str,
    pack: Callable[[bytes], bytes],
    file: Callable[[str, bytes], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unpacking, "FREE_BYTES", 1000)
    path = file(suffix, pack(WATER * 5000))
    with pytest.raises(FileFormatError, match=r"(unpacks to|holds) more .*--max-unpacked"):
        read(path)
    assert len(read(path, max_unpacked="1MB")) == 5000
    assert sum(map(len, read_parts(path, 1000, max_unpacked=1e6))) == 5000
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        read(path, max_unpacked=1000)
    with pytest.raises(InputError, match="max_unpacked: expected bytes"):
        read(path, max_unpacked="much")


def test_arrays_that_are_not_needed_are_not_read(file: Callable[[str, bytes], Path]) -> None:
    path = file(".npz", arrays(1_000_000))
    assert read(path, max_unpacked=10_000).dipole_magnitude.tolist() == [1.0]
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        read(path, max_unpacked=10_000, dipole_key="other")


@pytest.mark.parametrize("shape", ["(3000000000,)", "(2, )", "(-3,)", "(3, 1000000000)"])
def test_headers_of_arrays_claim_what_is_there(
    shape: str, file: Callable[[str, bytes], Path]
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(arrays(3))) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "numbers.npy":
                content = content.replace(b"(3,), }".ljust(24), f"{shape}, }}".encode().ljust(24))
            new.writestr(name, content)
    with pytest.raises(FileFormatError, match=r"set\.npz: cannot be read: ValueError: numbers.npy"):
        read(file(".npz", buffer.getvalue()))


def test_sums_of_atoms_are_checked_before_memory_is_taken(
    file: Callable[[str, bytes], Path],
) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        natoms=np.array([2**62, 2**62, 2**62, 2**62 + 3]),
        numbers=np.array([8, 1, 1]),
        positions=np.eye(3),
        mulliken=np.zeros(3),
        has_charges=np.ones(4, bool),
    )
    with pytest.raises(InputError, match="natoms: expected numbers that add up to the 3 atoms"):
        read(file(".npz", buffer.getvalue()))


@pytest.mark.parametrize("suffix", [".xyz.gz", ".tar.gz"])
def test_many_small_molecules_in_few_bytes(
    suffix: str, file: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes many times its text in memory."""
    frames = b"1\n\nH 0 0 0\n" * 1000
    path = file(suffix, gzip.compress(frames if suffix == ".xyz.gz" else tar(frames)))
    monkeypatch.setattr(unpacking, "FREE_BYTES", 200_000)
    with pytest.raises(FileFormatError, match=r"more than \d+ molecules.*--max-unpacked"):
        read(path)
    assert len(read(path, max_unpacked="1MB")) == 1000
