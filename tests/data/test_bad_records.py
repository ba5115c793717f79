"""Bad records of each format are counted; with `skip_invalid` the others are read."""

import gzip
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.db import connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dipkit
from dipkit import as_molecules, read
from dipkit.data.io import read_parts
from dipkit.exceptions import FileFormatError, InputError

GOOD = "3\nname={}\nO 0 0 0.117\nH 0 0.757 -0.468\nH 0 -0.757 -0.468\n"
BAD_FRAMES = {
    "an atom line is missing": "3\nname=x\nO 0 0 0.117\nH 0 0.757 -0.468\n",
    "an atom line too many": "3\nname=x\nO 0 0 0.1\nH 0 0.757 -0.4\nH 0 -0.757 -0.4\nH 0 0 9\n",
    "no number": "2\nname=x\nO 0 0 0\nH 0 zero 1\n",
    "no element": "2\nname=x\nO 0 0 0\nXq 0 0 1\n",
    "a cut line": "2\nname=x\nO 0 0 0\nH 0\n",
    "no count": "two\nname=x\nO 0 0 0\nH 0 0 1\n",
    "count of zero": "0\nname=x\n",
    "coincident atoms": "2\nname=x\nO 0 0 0\nO 0 0 0.01\n",
    "not finite": "2\nname=x\nO 0 0 0\nO 0 0 nan\n",
    "text for a number": "1\nname=x charge=much\nO 0 0 0\n",
    "charges that contradict the total charge": (
        "1\nname=x Properties=species:S:1:pos:R:3:mulliken:R:1\nO 0 0 0 1.0\n"
    ),
    "a huge count": "1000000\nname=x\nO 0 0 0\n",
}


def left_out(path, **options):
    """Read with a warning; return molecules."""
    with pytest.warns(UserWarning, match="left out"):
        return read(path, skip_invalid=True, **options)


@pytest.mark.parametrize("kind", BAD_FRAMES)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_bad_frame_anywhere_loses_no_other(tmp_path, kind, place) -> None:
    frames = [GOOD.format(name) for name in "abc"]
    frames.insert(place, BAD_FRAMES[kind])
    path = tmp_path / "in.xyz"
    path.write_text("".join(frames))
    with pytest.raises(InputError, match=r"1 of 4 records is bad"):
        read(path)
    found = left_out(path)
    assert found.names.tolist() == ["a", "b", "c"]
    assert [one.row for one in found.notes.bad] == [place]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(kinds=st.lists(st.sampled_from([None, *BAD_FRAMES]), min_size=1, max_size=6))
def test_any_mixture_of_frames_keeps_the_good_ones(tmp_path, kinds) -> None:
    names = [f"m{index}" for index, kind in enumerate(kinds) if kind is None]
    path = tmp_path / "in.xyz"
    path.write_text(
        "".join(
            GOOD.format(f"m{index}") if kind is None else BAD_FRAMES[kind]
            for index, kind in enumerate(kinds)
        )
    )
    if not names:
        with pytest.raises(InputError):
            read(path, skip_invalid=True)
        return
    found = left_out(path) if None in kinds and len(names) < len(kinds) else read(path)
    assert found.names.tolist() == names


@pytest.mark.parametrize("n", [1, 2, 10])
def test_parts_have_the_bad_records_among_them(tmp_path, n) -> None:
    frames = [GOOD.format("a"), BAD_FRAMES["no number"], GOOD.format("b")]
    frames += [BAD_FRAMES["coincident atoms"], GOOD.format("c")]
    (tmp_path / "in.xyz").write_text("".join(frames))
    parts = list(read_parts(tmp_path / "in.xyz", n, skip_invalid=True))
    assert [name for part in parts for name in part.names] == ["a", "b", "c"]
    assert [one.row for part in parts for one in part.notes.bad] == [1, 3]
    dipkit.write(tmp_path / "in.npz", left_out(tmp_path / "in.xyz"))
    arrays = dict(np.load(tmp_path / "in.npz"))
    arrays["positions"][4] = arrays["positions"][3]
    np.savez(tmp_path / "in.npz", **arrays)
    parts = list(read_parts(tmp_path / "in.npz", n, skip_invalid=True))
    assert [name for part in parts for name in part.names] == ["a", "c"]
    assert [one.row for part in parts for one in part.notes.bad] == [1]


SDF = """{name}
  made-up 3D

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1170 O   0  0
    0.0000    0.7570   -0.4680 {symbol}   0  0
    0.0000   -0.7570   -0.4680 H   0  0
  1  2  1  0
  1  3  1  0
M  END
"""


@pytest.mark.parametrize("suffix", [".sdf", ".sdf.gz"])
def test_sd_files(tmp_path, suffix) -> None:
    end = "$$$$\n"
    records = [
        SDF.format(name="a", symbol="H") + end,
        SDF.format(name="x", symbol="Xq") + end,
        SDF.format(name="b", symbol="H") + end,
        SDF.format(name="y", symbol="H"),  # no end mark: two molecules in one record
        SDF.format(name="z", symbol="H") + end,
        SDF.format(name="c", symbol="H") + end,
    ]
    path = tmp_path / f"in{suffix}"
    text = "".join(records).encode()
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    with pytest.raises(FileFormatError, match="2 of 5 records are bad"):
        read(path)
    found = left_out(path)
    assert found.names.tolist() == ["a", "b", "c"]
    assert [one.row for one in found.notes.bad] == [1, 3]


def test_a_cut_sd_file_keeps_what_was_whole(tmp_path) -> None:
    path = tmp_path / "in.sdf"
    path.write_text(
        SDF.format(name="a", symbol="H")
        + "$$$$\n"
        + SDF.format(name="b", symbol="H")
        + "> <mu>\n1.8"
    )
    assert left_out(path).names.tolist() == ["a"]


def test_a_damaged_row_of_a_database(tmp_path) -> None:
    path = tmp_path / "in.db"
    with connect(path) as database:
        for name in "abcd":
            database.write(molecule("H2O"), data={"name": name})
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE systems SET positions = ? WHERE id = 2", (b"12345",))
    raw.close()
    with pytest.raises(FileFormatError, match="1 of 4 records is bad"):
        read(path)
    assert left_out(path).names.tolist() == ["a", "c", "d"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_of_a_folder_or_an_archive(tmp_path, packed) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.xyz").write_text(GOOD.format("a"))
    (folder / "b.xyz").write_bytes(b"\xff\xfe\x00")
    (folder / "c.xyz").write_text(GOOD.format("c"))
    path = folder
    if packed:
        path = tmp_path / "all.tar"
        with tarfile.open(path, "w") as archive:
            for name in "abc":
                archive.add(folder / f"{name}.xyz", f"{name}.xyz")
    with pytest.raises(FileFormatError, match=r"b.xyz: expected text, got binary data"):
        read(path)
    assert left_out(path).names.tolist() == ["a", "c"]


def test_a_cut_gzip_file_keeps_whole_frames(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frames = [GOOD.format(f"m{number}-{rng.integers(10**9)}") for number in range(3000)]
    whole = gzip.compress("".join(frames).encode())
    (tmp_path / "in.xyz.gz").write_bytes(whole[: len(whole) // 2])
    found = left_out(tmp_path / "in.xyz.gz")
    assert 500 < len(found) < 2500
    assert found.names[-1] == frames[len(found) - 1].split("name=")[1].split("\n")[0]


def test_lists_of_atoms() -> None:
    periodic = molecule("CH4", vacuum=3.0)
    periodic.pbc = True
    twice = Atoms("O2", [[0, 0, 0], [0, 0, 0.01]])
    frames = [molecule("H2O"), periodic, molecule("NH3"), twice]
    with pytest.raises(InputError, match="2 of 4 records are bad"):
        as_molecules(frames)
    with pytest.warns(UserWarning, match="2 of 4 records are bad.* left out"):
        found = as_molecules(frames, skip_invalid=True)
    assert found.natoms.tolist() == [3, 4]


def test_arrays_that_do_not_fit_together_are_an_error(tmp_path) -> None:
    np.savez(tmp_path / "in.npz", natoms=[1, 1], numbers=[1, 1], positions=np.ones((3, 3)))
    with pytest.raises(InputError, match="positions"):
        read(tmp_path / "in.npz", skip_invalid=True)


def test_info_says_what_was_left_out(tmp_path) -> None:
    (tmp_path / "in.xyz").write_text(GOOD.format("a") + BAD_FRAMES["no number"])
    assert any(
        "1 of 2 records are bad" in line for line in left_out(tmp_path / "in.xyz").notes.assumed
    )


def test_a_healthy_file_gives_no_warning(tmp_path: Path) -> None:
    (tmp_path / "in.xyz").write_text(GOOD.format("a") + GOOD.format("b"))
    assert read(tmp_path / "in.xyz", skip_invalid=True).notes.bad == ()
