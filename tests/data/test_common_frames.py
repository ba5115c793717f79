"""Frames read without ASE's reader are those of ASE, to the last bit and type."""

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io.extxyz import key_val_dict_to_str
from hypothesis import given, settings
from hypothesis import strategies as st

from dipkit.data.formats.common_frames import common_frame
from dipkit.data.formats.xyz_files import _by_ase

PLAIN = ["O 0.0 0.0 0.117\n", "H 0.0 0.757 -0.468\n", "H 0.0 -0.757 -4.68e-1\n"]
CHARGES = ["O 0 0 0.117 -0.8 1\n", "H 0 .757 -0.468 0.4 2\n", "H 0 -0.757 -0.468 0.4 3.5\r\n"]
WITH_CHARGES = "Properties=species:S:1:pos:R:3:charge:R:1:mine:R:1"


def by_ase(comment: str, atoms: list[str]) -> Atoms:
    return _by_ase(f"{len(atoms)}\n", [comment, *atoms], "file", 1)


def same(one: Any, two: Any) -> bool:
    """Whether values are equal, NaN included, and of the same type."""
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    kinds = [getattr(value, "dtype", type(value)) for value in (one, two)]
    return kinds[0] == kinds[1] and type(one) is type(two) and bool(np.all(one == two))


def assert_same(found: Atoms, expected: Atoms) -> None:
    assert same(found.info, expected.info)
    assert set(found.arrays) == set(expected.arrays)
    for name, values in expected.arrays.items():
        assert same(found.arrays[name], values), name
    assert found.pbc.tolist() == expected.pbc.tolist()
    assert not found.cell.any()
    assert not found.constraints
    results = [getattr(frame.calc, "results", {}) for frame in (found, expected)]
    assert same(*results)


@pytest.mark.parametrize(
    "comment",
    [
        "\n",
        "water from experiment\n",
        "gas phase, charge=-1 it's cold mu = 1.85\n",
        "name=water charge=0 multiplicity=1\r\n",
        'name="two words" pbc="F F F" dipole="0.1 0.2 3e-1" energy=-76.4 free_energy=1\n',
        "Properties=species:S:1:pos:R:3 quadrupole=\"1 2 3 4 5 6 7 8 9\" counts='1' gap=7\n",
        'counts="1 2 3" mixed="1 2.5" flags="T F" yes=T no=False words="a, b" x=1,2,3\n',
        "key=1 key=2.0 dipole=3 predicted_by=model energy=large\n",
        "formula=H2O uuid=gdb_1 name=3ab smiles=O big=123456789012345678\n",
    ],
)
def test_comments(comment: str) -> None:
    expected = by_ase(comment, PLAIN)
    found = common_frame(comment, PLAIN)
    if "counts='1'" in comment:  # single quotes are left to ASE
        assert found is None
        found = common_frame(comment.replace("'", ""), PLAIN)
    if "smiles" in comment:  # 3ab begins as a number does
        assert found is None
        return
    assert found is not None
    assert_same(found, expected)


@pytest.mark.parametrize(
    "columns",
    [
        WITH_CHARGES,
        "Properties=species:S:1:pos:R:3:two:R:2",
        "Properties=species:S:1:pos:R:3:charges:R:1:energies:R:1",
        "Properties=pos:R:3:species:S:1:two:R:2",
    ],
)
def test_columns(columns: str) -> None:
    atoms = CHARGES
    if ":3:species" in columns:
        words = [line.split() for line in CHARGES]
        atoms = [" ".join([*word[1:4], word[0], *word[4:]]) + "\n" for word in words]
    found = common_frame(f"{columns} name=a\n", atoms)
    assert found is not None
    assert_same(found, by_ase(f"{columns} name=a\n", atoms))


@pytest.mark.parametrize(
    ("comment", "atoms"),
    [
        ("\n", [*PLAIN[:2], "H 0.0 0.0\n"]),
        ("\n", [*PLAIN[:2], "H 0.0 0.0 1.2.3\n"]),
        ("\n", [*PLAIN[:2], "Qq 0.0 0.0 1.2\n"]),
        ("\n", [*PLAIN[:2], "h 0.0 0.0 1.2\n"]),
        ("\n", [*PLAIN[:2], "H 0.0 0.0 1.2 note\n"]),
        ("\n", [*PLAIN[:2], "\n"]),
        ("Properties=species:S:1:pos:R:3\n", CHARGES),
        ("Properties=species:S:1:pos:R:3:charge:R:3\n", CHARGES),
        ("Properties=species:S:1:pos:R:3:Z:I:1:mine:R:1\n", CHARGES),
        ("Properties=species:S:1:pos:R:3:mass:R:1:masses:R:1\n", CHARGES),
        ("Properties=species:S:1:pos:R:3:a:R:1:a:R:1\n", CHARGES),
        ("Properties=species:S:1:pos:R:3:charge:R:1:charges:R:1\n", CHARGES),
        ("Properties=species:S:1:pos:R:3:a:R:0:b:R:2\n", CHARGES),
        ("Properties=pos:R:3:species:S:1:a:R:2\n", CHARGES),
        ("properties=a Properties=species:S:1:pos:R:3 xProperties=b\n", PLAIN),
        (f"{WITH_CHARGES} {WITH_CHARGES}\n", CHARGES),
        ('Lattice="9 0 0 0 9 0 0 0 9"\n', PLAIN),
        ("virial='1 2 3 4 5 6 7 8 9' stress=1\n", PLAIN),
        ('uid=1 name="a\\"b"\n', PLAIN),
        ('empty="" name=a\n', PLAIN),
        ("list=[1 2 3] name=a\n", PLAIN),
        ("a=b=c\n", PLAIN),
        ("value=nan other=-inf\n", PLAIN),
        ("value=1_000\n", PLAIN),
        ('tree="_JSON [1, 2]"\n', PLAIN),
        ("'a b'=3\n", PLAIN),
        ("big=1234567890123456789012\n", PLAIN),
        ("big=1234567890123456789\n", PLAIN),
        ("mixed=1,a\n", PLAIN),
        ("dipole=large\n", PLAIN),
        ('pbc="1 2"\n', PLAIN),
    ],
)
def test_other_frames_are_left_to_ase(comment: str, atoms: list[str]) -> None:
    assert common_frame(comment, atoms) is None


words = st.one_of(
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.booleans(),
    st.sampled_from(["T", "F", "true", "nan", "Infinity", "1e5", "1e400", "-.5", "5.", "1d3", "_"]),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8),
    st.lists(st.one_of(st.floats(-9, 9), st.integers(-9, 9)), min_size=2, max_size=4),
)
keys = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_:.]{0,8}", fullmatch=True),
    st.sampled_from(["energy", "dipole", "charge", "stress", "pbc", "uid", "magmom", "mu"]),
)


@given(st.dictionaries(keys, words, max_size=4), st.booleans())
@settings(max_examples=150)
def test_entries_that_ase_writes(entries: dict[str, object], with_charges: bool) -> None:
    comment = f"{key_val_dict_to_str(entries)}\n"
    if with_charges:
        comment = f"{WITH_CHARGES} {comment}"
    assert_equal_or_left(comment, CHARGES if with_charges else PLAIN)


@given(st.text(st.sampled_from("ab1.5eE+-=,; \"'[]{}\\TF_:"), max_size=24))
@settings(max_examples=200)
def test_any_comment(comment: str) -> None:
    assert_equal_or_left(f"{comment}\n", PLAIN)


def assert_equal_or_left(comment: str, atoms: list[str]) -> None:
    if (found := common_frame(comment, atoms)) is not None:
        assert_same(found, by_ase(comment, atoms))
