"""Folders, archives and compressed files of every text format, joined files, trajectories."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory
from helpers.outputs import orca

from dipkit.data.formats import text_sources
from dipkit.data.io import read, read_parts
from dipkit.data.molecules import Molecules
from dipkit.exceptions import FileFormatError, InputError
from dipkit.units import DEBYE_PER_E_ANGSTROM

PLAIN = "3\nwater from a crystal\nO 0 0 0.117\nH 0 0.757 -0.468\nH 0 -0.757 -0.468\n"
EXTENDED = '2\nname=fluoride mu=1.8 pbc="F F F"\nF 0 0 0\nH 0 0 0.92\n'
HEADER = "gdb {}\t" + "\t".join(["1.0"] * 3 + ["1.85"] + ["0.1"] * 11) + "\n"
RAW_ATOMS = (
    "O\t0.0\t0.0\t0.117\t-0.59\nH\t0.0\t0.757\t-0.468\t0.295\nH\t0.0\t-0.757\t-0.468\t0.295\n"
)
TAIL = "1671.0\t3803.0\t3907.0\nO\tO\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
SD = (
    "{}\n  made-up 3D\n\n"
    "  2  0  0  0  0  0  0  0  0  0999 V2000\n"
    "    0.0000    0.0000    0.0000 F   0  0\n"
    "    0.0000    0.0000    0.9200 H   0  0\n"
    "M  END\n$$$$\n"
)


def raw(index: int, tail: str = TAIL) -> str:
    return "3\n" + HEADER.format(index) + RAW_ATOMS + tail


def write_tar(path: Path, texts: dict[str, str]) -> None:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def write_zip(path: Path, texts: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)


def write_folder(path: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)


CONTAINERS = [("set.tar", write_tar), ("set.tgz", write_tar), ("set.zip", write_zip)]
CONTAINERS += [("set", write_folder)]


def test_a_folder_of_plain_files_is_named_by_them(tmp_path: Path) -> None:
    write_folder(tmp_path, {"water.xyz": PLAIN, "hf.xyz": "2\n\nF 0 0 0\nH 0 0 0.92\n"})
    molecules = read(tmp_path)
    assert molecules.names.tolist() == ["hf", "water"]
    assert molecules.natoms.tolist() == [2, 3]


@pytest.mark.parametrize(("name", "write"), CONTAINERS)
def test_plain_extended_and_raw_side_by_side(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, str]], None]
) -> None:
    texts = {"a.xyz": PLAIN + PLAIN, "b.extxyz": EXTENDED, "c/d.xyz": raw(7), "._a.xyz": "junk"}
    write(tmp_path / name, texts)
    molecules = read(tmp_path / name)
    assert molecules.names.tolist() == ["a_0", "a_1", "fluoride", "gdb_000007"]
    np.testing.assert_array_equal(molecules.dipole_magnitude, [np.nan, np.nan, 1.8, 1.85])
    assert molecules.has_charges.tolist() == [False, False, False, True]
    parts = list(read_parts(tmp_path / name, 3))
    assert [len(part) for part in parts] == [3, 1]


@pytest.mark.parametrize(("name", "write"), CONTAINERS)
def test_raw_files_alone_are_ordered_by_index(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, str]], None]
) -> None:
    write(tmp_path / name, {"a.xyz": raw(9) + raw(4), "b.xyz": raw(6, tail="")})
    assert read(tmp_path / name).names.tolist() == ["gdb_000004", "gdb_000006", "gdb_000009"]


@pytest.mark.parametrize(("name", "write"), CONTAINERS)
def test_sd_files_in_folders_and_archives(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, str]], None]
) -> None:
    write(tmp_path / name, {"a.sdf": SD.format("first") + SD.format(""), "b.mol": SD.format("")})
    assert read(tmp_path / name).names.tolist() == ["first", "a_1", "b"]


@pytest.mark.parametrize("tail", [TAIL, "", TAIL + "\n\n", "\n"])
def test_joined_raw_files(tmp_path: Path, tail: str) -> None:
    file = tmp_path / "two.xyz"
    file.write_text(raw(5, tail) + raw(3, tail))
    molecules = read(file)
    assert molecules.names.tolist() == ["gdb_000005", "gdb_000003"]
    assert molecules.natoms.tolist() == [3, 3]
    assert molecules.dipole_magnitude.tolist() == [1.85, 1.85]
    assert molecules.charges.tolist() == [-0.59, 0.295, 0.295] * 2


@pytest.mark.parametrize("lines", [1, 2])
def test_joined_raw_files_with_a_cut_frame(tmp_path: Path, lines: int) -> None:
    tail = "".join(TAIL.splitlines(keepends=True)[:lines])
    (tmp_path / "two.xyz").write_text(raw(5, tail) + raw(3))
    with pytest.raises(FileFormatError, match=rf"two.xyz, line {5 + lines}: expected nothing or"):
        read(tmp_path / "two.xyz")


def test_frames_of_all_kinds_in_one_file_are_streamed(tmp_path: Path) -> None:
    file = tmp_path / "set.xyz.gz"
    with gzip.open(file, "wt") as handle:
        handle.write(PLAIN + "\n" + raw(5) + EXTENDED + raw(3))
    names = ["set_0", "gdb_000005", "fluoride", "gdb_000003"]
    assert read(file).names.tolist() == names
    parts = list(read_parts(file, 3))
    assert [part.names.tolist() for part in parts] == [names[:3], names[3:]]
    assert not Molecules.concatenate(parts).has_magnitude.any()


def test_named_keys_and_units_of_mixed_files(tmp_path: Path) -> None:
    (tmp_path / "set.xyz").write_text(raw(5) + EXTENDED.replace("mu=", "mine="))
    assert read(tmp_path / "set.xyz", dipole_key="mine").has_magnitude.tolist() == [False, True]
    assert read(tmp_path / "set.xyz", dipole_key="mu").has_magnitude.tolist() == [True, False]
    assert read(tmp_path / "set.xyz", charges_key="none").has_charges.tolist() == [False, False]
    assert read(tmp_path / "set.xyz", total_charge=1, charges_key="none").total_charge[0] == 1
    with pytest.raises(InputError, match="raw QM9 files are in debye by definition"):
        read(tmp_path / "set.xyz", dipole_unit="au")


def test_compressed_sd_file(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "drugs.sdf.gz", "wt") as handle:
        handle.write(SD.format("") * 2)
    assert read(tmp_path / "drugs.sdf.gz").names.tolist() == ["drugs_0", "drugs_1"]
    assert [len(part) for part in read_parts(tmp_path / "drugs.sdf.gz", 1)] == [1, 1]


@pytest.mark.parametrize("name", ["a.xyz.gz", "a.sdf.gz", "a.zip", "a.tar.gz"])
def test_damaged_compressed_files(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    texts = {f"m{index}.xyz": PLAIN.replace("0.117", f"0.117{index}") for index in range(50)}
    if name.endswith("zip"):
        write_zip(file, texts)
    elif name.endswith("tar.gz"):
        write_tar(file, texts)
    else:
        file.write_bytes(gzip.compress("".join(texts.values()).encode()))
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(FileFormatError, match=rf"{name}.*damaged or cut"):
        read(file)
    file.write_bytes(b"something else entirely")
    with pytest.raises(FileFormatError, match=rf"{name}.*damaged or cut"):
        read(file)


def test_errors_name_the_member(tmp_path: Path) -> None:
    write_zip(tmp_path / "set.zip", {"good.xyz": PLAIN, "deep/bad.xyz": PLAIN[:40]})
    with pytest.raises(FileFormatError, match=r"set.zip, bad.xyz, line \d"):
        read(tmp_path / "set.zip")
    write_folder(tmp_path / "set", {"good.xyz": PLAIN, "bad.xyz": "1\nmu=-1.0\nHe 0 0 1\n"})
    with pytest.raises(InputError, match=r"set/bad.xyz, line 1: .*at least 0 debye"):
        read(tmp_path / "set")


@pytest.mark.parametrize(("name", "write"), CONTAINERS)
def test_several_formats_side_by_side_are_refused(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, str]], None]
) -> None:
    write(tmp_path / name, {"a.xyz": PLAIN, "b.sdf": SD.format("")})
    with pytest.raises(FileFormatError, match="1 XYZ and 1 SD files"):
        read(tmp_path / name)


def test_outputs_beside_their_geometries_are_refused(tmp_path: Path) -> None:
    texts = {"job.xyz": PLAIN, "job.out": orca(molecule("H2O"), (0, 0, 0.7))}
    write_folder(tmp_path, texts)
    with pytest.raises(FileFormatError, match="1 output and 1 XYZ files"):
        read(tmp_path)
    (tmp_path / "job.out").write_text("the job began\n")
    assert read(tmp_path).names.tolist() == ["job"]


@pytest.mark.parametrize(("name", "write"), CONTAINERS)
def test_nothing_inside(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, str]], None]
) -> None:
    (tmp_path / name).mkdir() if write is write_folder else None
    write(tmp_path / name, {"readme.txt": "nothing here"})
    with pytest.raises(FileFormatError, match="no molecules inside: expected XYZ files"):
        read(tmp_path / name)


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_sources, "_LONGEST_LINE", 1000)
    for name in ("zeros.xyz.gz", "zeros.sdf.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"0" * 100_000))
        with pytest.raises(FileFormatError, match=r"a line has more than 1,000 characters"):
            read(tmp_path / name)


def test_trajectory(tmp_path: Path) -> None:
    file = tmp_path / "run.traj"
    with Trajectory(file, "w") as frames:
        for length in (0.9, 1.0):
            atoms = molecule("HF")
            atoms.set_distance(0, 1, length)
            atoms.calc = SinglePointCalculator(atoms, dipole=[0.0, 0.0, 0.4])
            frames.write(atoms)
    molecules = read(file)
    assert molecules.names.tolist() == ["run_0", "run_1"]
    np.testing.assert_allclose(molecules.dipole_magnitude, 0.4 * DEBYE_PER_E_ANGSTROM)
    assert [len(part) for part in read_parts(file, 1)] == [1, 1]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(FileFormatError, match="no trajectory of ASE that can be read"):
        read(file)
    file.write_bytes(b"not a trajectory")
    with pytest.raises(FileFormatError, match="no trajectory of ASE that can be read"):
        read(file)
