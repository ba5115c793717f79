"""Readers and writers: what is written is read back, and bad files give errors with the reason."""

import io
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dipkit.data.formats.ase_atoms import from_atoms, to_atoms
from dipkit.data.io import as_molecules, read, write
from dipkit.data.molecules import Molecules
from dipkit.exceptions import FileFormatError, InputError
from dipkit.support.files import atomic_write
from dipkit.units import DEBYE_PER_E_ANGSTROM

SUFFIXES = (".xyz", ".extxyz", ".db", ".json", ".npz")

# A raw file of QM9 with made-up numbers, one of them in the archive's odd notation.
RAW_WATER = (
    "3\n"
    "gdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002"
    "\t0.021375\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t\n"
    "O\t-0.0343604951\t 0.9775395708\t 7.602*^-3\t-0.589706\n"
    "H\t 0.0647664923\t 0.0205721989\t 0.0015346341\t 0.294853\n"
    "H\t 0.8717903737\t 1.3007924048\t 6.9*^-6\t 0.294853\n"
)
RAW_TAIL = "1671.4222\t3803.6305\t3907.698\nO\tO\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"


def some_molecules() -> Molecules:
    """Three molecules: all labels, charge and baseline; no vector; nothing but geometry."""
    ion, water, neon = molecule("OH"), molecule("H2O"), Atoms("Ne")
    molecules = from_atoms([ion, water, neon])
    return molecules.replace(
        names=["hydroxide", "water", "neon"],
        total_charge=[-1.0, 0.0, 0.0],
        dipole_magnitude=[np.nan, 1.8511, np.nan],
        dipole_vector=[[0.1, 0.2, 1.3], [np.nan] * 3, [np.nan] * 3],
        charges=[-1.25, 0.25, -0.589706, 0.294853, 0.294853, np.nan],
        baseline_dipole=[[0.1, 0.2, 1.4], [0.0, 0.0, 2.1], [np.nan] * 3],
        baseline_charges=[-1.5, 0.5, -0.8, 0.4, 0.4, np.nan],
        descriptor_charges=[-1.3, 0.3, np.nan, np.nan, np.nan, np.nan],
    )


def assert_close(one: Molecules, other: Molecules) -> None:
    """Equal within the eight decimals of an XYZ file."""
    for name in ("numbers", "offsets", "names"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in (
        "positions",
        "total_charge",
        "dipole_magnitude",
        "dipole_vector",
        "charges",
        "baseline_dipole",
        "baseline_charges",
        "descriptor_charges",
    ):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_allclose(left, right, atol=1e-7, rtol=1e-7, err_msg=name)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("which", [slice(None), slice(0, 1), slice(1, 2), slice(2, 3)])
def test_round_trip(tmp_path: Path, suffix: str, which: slice) -> None:
    molecules = some_molecules()[which]
    if which.start == 2:
        molecules = molecules.replace(baseline_dipole=None, baseline_charges=None)
    if which.start in (1, 2):
        molecules = molecules.replace(descriptor_charges=None)
    file = tmp_path / f"molecules{suffix}"
    write(file, molecules)
    assert_close(read(file), molecules)
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]
    unlabelled = read(str(file), labels=False)
    assert not (unlabelled.has_magnitude | unlabelled.has_charges | unlabelled.has_vector).any()
    np.testing.assert_array_equal(unlabelled.total_charge, molecules.total_charge)


tricky_names = st.one_of(
    st.sampled_from(["1", "1e5", "T", "true", "nan", "", " ", "a b", "1 2", "_JSON 1", "a,b", "é"]),
    st.sampled_from(['"', "'", "\\", "a\\n", "a\nb", "a=b", "{x}", "[1]", "\x85", "#", "\t"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)


@pytest.mark.filterwarnings("ignore:positions")  # random geometries have no bonds
@pytest.mark.parametrize("suffix", [".xyz", ".db", ".json", ".npz"])
@given(names=st.lists(tricky_names, min_size=1, max_size=3), seed=st.integers(0, 2**31))
@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_round_trip_of_any_name_and_geometry(
    tmp_path: Path, suffix: str, names: list[str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n_atoms = 2 * len(names)
    molecules = Molecules(
        numbers=rng.integers(1, 119, n_atoms),
        positions=np.arange(n_atoms)[:, None] * 3.0 + rng.normal(size=(n_atoms, 3)) * 0.5,
        offsets=np.arange(len(names) + 1) * 2,
        names=names,
        dipole_vector=rng.normal(size=(len(names), 3)),
        charges=np.tile([0.3, -0.3], len(names)) * np.repeat(rng.normal(size=len(names)), 2),
    )
    file = tmp_path / f"molecules{suffix}"
    write(file, molecules)
    assert_close(read(file), molecules)


def test_atoms_round_trip_and_ase_units() -> None:
    molecules = some_molecules()
    frames = to_atoms(molecules)
    assert_close(from_atoms(frames), molecules)
    vector = frames[0].get_dipole_moment() * DEBYE_PER_E_ANGSTROM
    np.testing.assert_allclose(vector, molecules.dipole_vector[0])
    np.testing.assert_array_equal(frames[1].get_charges(), molecules.charges[2:5])
    assert frames[2].calc is None


def test_debye_agrees_with_ase() -> None:
    assert pytest.approx(1 / ase.units.Debye, rel=1e-6) == DEBYE_PER_E_ANGSTROM


def test_as_molecules_takes_every_form(tmp_path: Path) -> None:
    frames = [molecule("H2O"), molecule("NH3")]
    molecules = as_molecules(frames)
    assert as_molecules(molecules) is molecules
    assert_close(as_molecules(tuple(frames)), molecules)
    assert_close(as_molecules(frames[0]), molecules[:1])
    assert_close(as_molecules(list(molecules)), molecules)
    objects = np.empty(2, dtype=object)
    objects[:] = frames
    assert_close(as_molecules(objects), molecules)
    write(tmp_path / "m.xyz", molecules)
    assert_close(as_molecules(tmp_path / "m.xyz"), molecules)
    assert_close(as_molecules(str(tmp_path / "m.xyz")), molecules)


def test_reading_changes_no_atoms() -> None:
    atoms = labelled(dipole_debye=1.85)
    info, positions = dict(atoms.info), atoms.positions.copy()
    molecules = as_molecules(atoms)
    assert atoms.info == info
    atoms.positions += 1.0
    np.testing.assert_array_equal(molecules.positions, positions)


def labelled(**info: Any) -> Atoms:
    atoms = molecule("H2O")
    atoms.info.update(info)
    return atoms


MULLIKEN = np.array([-0.6, 0.3, 0.3])


@pytest.mark.parametrize("key", ["dipole_debye", "mu", "mu_debye"])
def test_magnitude_keys(key: str) -> None:
    molecules = as_molecules([labelled(**{key: 1.85}), labelled()])
    np.testing.assert_array_equal(molecules.dipole_magnitude, [1.85, np.nan])
    assert molecules.source_keys == (key,)


@pytest.mark.parametrize("key", ["mulliken", "mulliken_charges", "charges"])
def test_charges_keys(key: str) -> None:
    atoms = labelled()
    atoms.new_array(key, MULLIKEN)
    np.testing.assert_array_equal(as_molecules(atoms).charges, MULLIKEN)


def test_results_of_a_calculator_count_while_they_belong_to_the_geometry() -> None:
    atoms = labelled(charge=0)
    atoms.calc = SinglePointCalculator(atoms, dipole=[0.0, 0.0, 0.4], charges=MULLIKEN)
    molecules = as_molecules(atoms)
    expected = [[0.0, 0.0, 0.4 * DEBYE_PER_E_ANGSTROM]]
    np.testing.assert_allclose(molecules.dipole_vector, expected)
    np.testing.assert_allclose(molecules.dipole_magnitude, expected[0][2])
    np.testing.assert_array_equal(molecules.charges, MULLIKEN)
    atoms.rotate(90, "x")
    assert not as_molecules(atoms).has_vector.any()


def test_a_named_key_replaces_the_usual_ones() -> None:
    atoms = labelled(mu=9.0, mine=1.85, three=[0.0, 0.0, 0.5], none=None)
    atoms.new_array("hirshfeld", MULLIKEN)
    named = as_molecules(atoms, dipole_key="mine", charges_key="hirshfeld")
    assert named.dipole_magnitude.tolist() == [1.85]
    np.testing.assert_array_equal(named.charges, MULLIKEN)
    vector = as_molecules(atoms, dipole_key="three").dipole_vector
    np.testing.assert_allclose(vector, [[0.0, 0.0, 0.5 * DEBYE_PER_E_ANGSTROM]])
    with pytest.raises(InputError, match=r"dipole_key='no': found in no molecule; keys present"):
        as_molecules(atoms, dipole_key="no")
    with pytest.raises(InputError, match=r"charges_key='esp'.*hirshfeld"):
        as_molecules([atoms, atoms], charges_key="esp")


def test_one_number_under_dipole(tmp_path: Path) -> None:
    """ASE moves even a scalar `dipole` into the results of a calculator."""
    file = tmp_path / "scalar.xyz"
    file.write_text('1\ndipole=1.85 pbc="F F F"\nH 0 0 0\n')
    assert read(file, dipole_key="dipole").dipole_magnitude.tolist() == [1.85]
    with pytest.raises(InputError, match=r"scalar.xyz, line 1: .* dipole_key='dipole'"):
        read(file)
    assert not read(file, labels=False).has_magnitude.any()
    assert as_molecules(labelled(dipole=9.0, mu=1.85)).dipole_magnitude.tolist() == [1.85]


def test_npz_keys(tmp_path: Path) -> None:
    file = tmp_path / "flat.npz"
    water = molecule("H2O")
    flat = {"natoms": [3], "numbers": water.numbers, "positions": water.positions, "gdb": [3]}
    np.savez(file, **flat, mine=[1.85], dipole=[[0.0, 0.0, 0.5]], esp=MULLIKEN)
    molecules = read(file)
    assert molecules.names.tolist() == ["gdb_000003"]
    np.testing.assert_allclose(molecules.dipole_magnitude, 0.5 * DEBYE_PER_E_ANGSTROM)
    assert "esp" in molecules.source_keys
    named = read(file, dipole_key="mine", charges_key="esp")
    assert named.dipole_magnitude.tolist() == [1.85]
    assert not named.has_vector.any()
    np.testing.assert_array_equal(named.charges, MULLIKEN)
    np.savez(file, **flat, dipole=[1.85])
    with pytest.raises(InputError, match=r"dipole_key='dipole'"):
        read(file)
    assert read(file, dipole_key="dipole").dipole_magnitude.tolist() == [1.85]


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (labelled(mu=float("nan")), "molecule 0 .* 'mu' holds NaN"),
        (labelled(mu=float("inf")), "NaN or infinity"),
        (labelled(mu="large"), "'mu' holds 'large': expected numbers"),
        (labelled(mu=False), "expected numbers"),
        (labelled(mu=[1.0, 2.0, 3.0]), "'mu' holds 3 numbers: expected 1"),
        (labelled(mu=-1.0), "at least 0 debye"),
        (labelled(charge=float("nan")), "'charge' holds NaN"),
        (labelled(charges=[0.1, 0.2]), "'charges' holds 2 numbers: expected 3"),
        (labelled(charges=[0.1, 0.2, 0.3]), "sum to 0.6 e"),
        (labelled(charges=[0.1, float("nan"), -0.1]), "'charges' holds NaN"),
        (labelled(dipole=[0.0, 0.0, 0.5], mu=1.0, name="wet"), "'wet'.* 1 and .vector. = 2.4016"),
        (Atoms("H", pbc=True, cell=[5, 5, 5]), "periodic systems are not supported"),
        (Atoms("H", pbc=[True, False, False], cell=[5, 5, 5]), "atoms.pbc = False"),
        (Atoms("H", positions=[[0.0, 0.0, np.nan]]), "positions: expected finite"),
        (Atoms("H2"), "all coordinates of molecule 0 .* are zero"),
        (Atoms("H2", [[1.5, 0, 0]] * 2), "molecule 0 .* are the same, .1.5, 0.0, 0.0."),
        (Atoms("H3", [[0, 0, 0]] * 2 + [[0, 0, 1]]), "atoms 0 and 1 of molecule 0"),
        (Atoms(), "molecule 0 is empty"),
        (Atoms("X"), "atomic numbers 1 to 118"),
    ],
)
def test_bad_atoms(atoms: Atoms, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_molecules([atoms])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([], "empty list"),
        (3, "got int"),
        ([molecule("H2O"), "water"], "got str at position 1"),
        (molecule("H2O").positions, "got ndarray"),
    ],
)
def test_not_molecules(x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_molecules(x)


def test_keys_with_molecules_are_an_error() -> None:
    with pytest.raises(InputError, match=r"dipole_key: keys and units are for files"):
        as_molecules(some_molecules(), dipole_key="mu")


# QM9 raw files


@pytest.mark.parametrize("text", [RAW_WATER, RAW_WATER + RAW_TAIL, RAW_WATER + "\n\n"])
def test_raw_qm9_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dsgdb9nsd_000003.xyz"
    file.write_text(text)
    water = read(file)
    assert water.names.tolist() == ["gdb_000003"]
    assert water.numbers.tolist() == [8, 1, 1]
    np.testing.assert_array_equal(water.positions[:, 2], [7.602e-3, 0.0015346341, 6.9e-6])
    assert water.dipole_magnitude.tolist() == [1.8511]
    assert water.charges.tolist() == [-0.589706, 0.294853, 0.294853]
    assert water.source_keys == ("mu", "mulliken")
    assert read(file, dipole_key="mu", charges_key="mulliken").has_charges.all()
    assert not read(file, labels=False).has_magnitude.any()
    with pytest.raises(InputError, match="keys present: mu, mulliken"):
        read(file, dipole_key="alpha")


RAW_LINES = (RAW_WATER + RAW_TAIL).splitlines(keepends=True)


@pytest.mark.parametrize(
    ("lines", "line"), [(2, 3), (3, 4), (4, 5), (6, 6), (7, 7)], ids=lambda value: str(value)
)
def test_raw_qm9_file_cut_between_lines(tmp_path: Path, lines: int, line: int) -> None:
    file = tmp_path / "cut.xyz"
    file.write_text("".join(RAW_LINES[:lines]))
    with pytest.raises(FileFormatError, match=f"cut.xyz, line {line}: .*cut"):
        read(file)


@pytest.mark.parametrize("cut", range(50, len(RAW_WATER) - 2))
def test_raw_qm9_file_cut_anywhere_before_the_last_digit(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "cut.xyz"
    file.write_text(RAW_WATER[:cut])
    with pytest.raises(FileFormatError, match=r"cut.xyz, line"):
        read(file)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("3\n", "three\n", 1),
        ("3\n", "0\n", 1),
        ("gdb 3", "gdb x", 2),
        ("1.8511", "nan", 2),
        ("1.8511", "1.85x", 2),
        ("O\t", "Q\t", 3),
        ("0.0205721989", "", 4),
        ("0.0205721989", "inf", 4),
        ("-0.589706", "-0.5", 5),
        ("6.9*^-6\t 0.294853\n", "6.9*^-6\t 0.294853\nH 1 2 3 0\n", 6),
    ],
)
def test_damaged_raw_qm9_file(tmp_path: Path, old: str, new: str, line: int) -> None:
    file = tmp_path / "damaged.xyz"
    file.write_text(RAW_WATER.replace(old, new, 1))
    with pytest.raises(FileFormatError, match=f"damaged.xyz, line {line}:"):
        read(file)


def raw_archive(path: Path, mode: str = "w:bz2", **texts: str) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(f"folder/{name}.xyz")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(".tar", "w"), (".tar.bz2", "w:bz2"), (".tar.gz", "w:gz"), (".tgz", "w:gz")],
)
def test_raw_qm9_archives_are_ordered_by_index(tmp_path: Path, suffix: str, mode: str) -> None:
    first = RAW_WATER.replace("gdb 3", "gdb 2")
    archive = raw_archive(tmp_path / f"raw{suffix}", mode, b=RAW_WATER + RAW_TAIL, a=first)
    assert read(archive).names.tolist() == ["gdb_000002", "gdb_000003"]


def test_bad_raw_qm9_archives(tmp_path: Path) -> None:
    good = raw_archive(tmp_path / "good.tar.bz2", **{f"m{k}": RAW_WATER for k in range(99)})
    cut = tmp_path / "cut.tar.bz2"
    cut.write_bytes(good.read_bytes()[:-40])
    with pytest.raises(FileFormatError, match=r"cut.tar.bz2: damaged or cut"):
        read(cut)
    foreign = tmp_path / "foreign.tar"
    foreign.write_bytes(b"no archive" * 100)
    with pytest.raises(FileFormatError, match=r"foreign.tar: damaged or cut"):
        read(foreign)
    with pytest.raises(FileFormatError, match="no molecules inside: expected XYZ files or SD"):
        read(raw_archive(tmp_path / "empty.tar"))
    broken = raw_archive(tmp_path / "broken.tar.bz2", one=RAW_WATER, two=RAW_WATER[:250])
    with pytest.raises(FileFormatError, match=r"broken.tar.bz2, two.xyz, line"):
        read(broken)
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        FileFormatError, match="folder: no molecules inside: expected XYZ files, SD files, or"
    ):
        read(tmp_path / "folder")


def test_real_qm9_archive_equals_folder_equals_pool(tmp_path: Path, shared_data: Path) -> None:
    archive = shared_data / "qm9" / "raw_sample.xyz.tar.bz2"
    if not archive.exists():
        pytest.skip(f"no {archive}")
    streamed = read(archive)
    assert len(streamed) == 200
    assert streamed.has_charges.all()
    assert streamed.has_magnitude.all()
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    folder = next(tmp_path.rglob("*.xyz")).parent
    assert_close(read(folder), streamed)
    one = next(folder.glob(f"*{streamed.names[0][4:]}.xyz"))
    assert_close(read(one), streamed[:1])
    write(tmp_path / "m.xyz", streamed)
    assert_close(read(tmp_path / "m.xyz"), streamed)


def test_real_qm9_pool(shared_data: Path) -> None:
    pool_file = shared_data / "qm9" / "pool.npz"
    if not pool_file.exists():
        pytest.skip(f"no {pool_file}")
    pool = read(pool_file)
    assert len(pool) == 125_645
    assert pool.n_atoms == 2_266_070
    assert pool.has_charges.all()
    assert pool.has_magnitude.all()
    streamed = read(shared_data / "qm9" / "raw_sample.xyz.tar.bz2")
    _, in_pool, in_sample = np.intersect1d(pool.names, streamed.names, return_indices=True)
    assert len(in_pool)
    ours, theirs = streamed[in_sample], pool[in_pool]
    np.testing.assert_array_equal(ours.numbers, theirs.numbers)
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-6)
    np.testing.assert_allclose(ours.charges, theirs.charges, atol=1e-6)
    np.testing.assert_allclose(ours.dipole_magnitude, theirs.dipole_magnitude, atol=1e-6)


# Bad files


def test_missing_empty_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent.xyz: no such file"):
        read(tmp_path / "absent.xyz")
    for suffix in (*SUFFIXES, ".tar.bz2"):
        (tmp_path / f"empty{suffix}").touch()
        with pytest.raises(FileFormatError, match=f"empty{suffix}: the file is empty"):
            read(tmp_path / f"empty{suffix}")
    (tmp_path / "blank.xyz").write_text("\n\n")
    with pytest.raises(FileFormatError, match=r"blank.xyz: no molecules inside"):
        read(tmp_path / "blank.xyz")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FileFormatError, match=r"unknown suffix '.txt'. Readable: .xyz"):
        read(tmp_path / "notes.txt")
    with pytest.raises(FileFormatError, match=r"unknown suffix '.cif'. Writable: .xyz"):
        write(tmp_path / "out.cif", some_molecules())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"hello world\nthis is no molecule\n", b"\xff\xfe\x00\x81" * 9]
)
def test_foreign_content(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"foreign{suffix}"
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=f"foreign{suffix}"):
        read(file)


@pytest.mark.parametrize("suffix", [".npz", ".db", ".json", ".xyz"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_cut_files(tmp_path: Path, suffix: str, keep: float) -> None:
    file = tmp_path / f"cut{suffix}"
    write(file, some_molecules())
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(FileFormatError, match=f"cut{suffix}"):
        read(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n\nH 0 0 0\n", "line 4: the file ends within a frame of 2 atoms"),
        ("1\n\nH 0 0 0\nx\n\nH 0 0 0\n", "line 4: expected the number of atoms .* got 'x'"),
        ("1\n\nH 0 0 0\n\n\n1\n\nH 0 zero 0\n", "line 6: cannot be read"),
        ("1\n\nQq 0 0 0\n", "line 3: 'Qq' is no element"),
        ("1\n\nH 0 0\n", "line 1: cannot be read"),
        ("0\n\n", "line 1: expected the number of atoms"),
    ],
)
def test_bad_xyz(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.xyz"
    file.write_text(text)
    with pytest.raises(FileFormatError, match=f"bad.xyz, {message}"):
        read(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('1\nLattice="5 0 0 0 5 0 0 0 5"\nH 0 0 0\n', "periodic systems are not supported"),
        ("1\nmu=nan\nH 0 0 0\n", "'mu' holds NaN"),
        ("1\nmu=-1.0\nH 0 0 0\n", "at least 0 debye"),
        ("1\n\nH 0 0 nan\n", "positions: expected finite"),
        ("2\n\nH 0 0 0\nH 0 0 0.05\n", "0.05 angstrom apart"),
        ("1\nProperties=species:S:1:pos:R:3:mulliken:R:1\nH 0 0 0 1\n", "sum to 1 e"),
    ],
)
def test_bad_molecules_in_a_file_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.xyz"
    file.write_text("1\nname=good\nHe 0 0 0\n" + text)
    with pytest.raises(InputError, match=f"bad.xyz, line 4: .*{message}") as caught:
        read(file)
    assert "molecule 1" in str(caught.value)


def test_blank_lines_between_frames_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "gaps.xyz"
    file.write_text("1\n\nH 0 0 0\n\n1\nfree words here\nHe 0 0 0\n\n")
    assert read(file).numbers.tolist() == [1, 2]


def flat_water(**changes: Any) -> dict[str, Any]:
    water = molecule("H2O")
    flat = {"natoms": [3], "numbers": water.numbers, "positions": water.positions}
    flat |= {"dipole_debye": [1.85], "mulliken": MULLIKEN} | changes
    return {key: value for key, value in flat.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": None}, "arrays positions are missing; present: natoms, numbers"),
        ({"natoms": [2]}, "last 3"),
        ({"natoms": [3.0]}, "natoms: expected whole numbers"),
        ({"natoms": [3, 0]}, "molecule 1 is empty"),
        ({"dipole_debye": [np.nan]}, "NaN in row 0.*has_magnitude"),
        ({"dipole_debye": [-1.0]}, "at least 0 debye"),
        ({"dipole_debye": [1.0, 2.0]}, "dipole_magnitude: expected shape"),
        ({"dipole_debye": ["big"]}, "dipole_magnitude: expected values of type float64"),
        ({"mulliken": [0.1, -0.1]}, "charges: expected shape"),
        ({"mulliken": [np.nan] * 3}, "charges: NaN"),
        ({"mulliken": [0.2, 0.0, 0.0]}, "sum to 0.2 e"),
        ({"has_charges": [True, True]}, "has_charges: expected shape"),
        ({"has_magnitude": [True, True]}, "expected 1 marks"),
        ({"charge": [1.0]}, "expected its total charge 1 e"),
        ({"name": np.array(["a", None], dtype=object)}, "pickled objects"),
    ],
)
def test_bad_npz(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **flat_water(**changes))
    with pytest.raises(InputError, match=f"bad.npz: .*{message}"):
        read(tmp_path / "bad.npz")


def test_single_array_under_npz_suffix(tmp_path: Path) -> None:
    with (tmp_path / "one.npz").open("wb") as handle:
        np.save(handle, np.zeros(3))
    with pytest.raises(FileFormatError, match="not an npz archive"):
        read(tmp_path / "one.npz")


# Writing


def write_half_and_fail(file: Path, error: Exception) -> None:
    with atomic_write(file) as temporary:
        temporary.write_text("half")
        raise error


def test_atomic_write_replaces_only_when_all_went_well(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half_and_fail(file, ZeroDivisionError())
    assert file.read_text() == "old"
    with pytest.raises(InputError, match=r"kept.txt: cannot be written: No space left"):
        write_half_and_fail(file, OSError(28, "No space left on device"))
    assert file.read_text() == "old"
    with atomic_write(file) as temporary:
        temporary.write_text("new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_atomic_write_follows_links(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def fail_with_full_disk(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unwritable_places(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    molecules = some_molecules()
    with pytest.raises(InputError, match="create the folder"):
        write(tmp_path / "absent" / f"m{suffix}", molecules)
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        write(tmp_path / f"folder{suffix}", molecules)
    monkeypatch.setattr(os, "fsync", fail_with_full_disk)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write(tmp_path / f"m{suffix}", molecules)
    assert [entry.name for entry in tmp_path.iterdir()] == [f"folder{suffix}"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is a Linux device")
def test_a_device_is_never_replaced() -> None:
    with pytest.raises(InputError, match="not a regular file"), atomic_write("/dev/full"):
        pass


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write(tmp_path / "m.xyz", some_molecules())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="file size limits of Linux")
@pytest.mark.parametrize("suffix", [".xyz", ".db", ".json", ".npz"])
def test_a_disk_that_fills_up(tmp_path: Path, suffix: str, limit_file_size: Callable) -> None:
    """A real short write: the file size is limited to 1,000 bytes."""
    with limit_file_size(1000), pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / f"m{suffix}", Molecules.concatenate([some_molecules()] * 20))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def limit_file_size() -> Callable:
    import resource
    import signal
    from contextlib import contextmanager

    @contextmanager
    def limited(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limited
