"""Comments of XYZ frames: entries are kept as ASE reads them, words are no labels."""

import io
from pathlib import Path

import ase.io
import pytest
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dipkit.data.formats.xyz_text import entries_of
from dipkit.data.io import as_molecules, read
from dipkit.exceptions import InputError

WATER = "O 0.0 0.0 0.117\nH 0.0 0.757 -0.468\nH 0.0 -0.757 -0.468\n"


@pytest.mark.parametrize(
    "comment",
    [
        "water, charge 0, dipole from experiment",
        "charge 0 multiplicity 1",
        "dipole moment from experiment",
        "mu charges mulliken total_charge q name",
        "stress virial Lattice pbc",
        "don't use: charge 1",
        'a "quoted charge = 1" word',
        "charge= dipole=",
        "",
    ],
)
@pytest.mark.parametrize("entry", ["", " E = -76.4 mine='a b'"])
def test_words_are_no_labels(tmp_path: Path, comment: str, entry: str) -> None:
    file = tmp_path / "water.xyz"
    file.write_text(f"3\n{comment}{entry}\n{WATER}")
    molecules = read(file)
    assert not (molecules.has_magnitude | molecules.has_vector | molecules.has_charges).any()
    assert molecules.total_charge.tolist() == [0.0]
    assert molecules.names.tolist() == ["water"]
    assert set(molecules.source_keys) == ({"E", "mine"} if entry else set())


def test_words_are_no_labels_of_atoms_that_ase_read() -> None:
    text = f"3\nwater charge mulliken mu name\n{WATER}"
    molecules = as_molecules(ase.io.read(io.StringIO(text), format="extxyz"))
    assert not molecules.has_magnitude.any()
    assert molecules.source_keys == ()
    assert molecules.names.tolist() == ["0"]


@pytest.mark.parametrize("words", ["from experiment, ", "it's water; "])
def test_entries_among_words_count(tmp_path: Path, words: str) -> None:
    file = tmp_path / "water.xyz"
    file.write_text(f"3\n{words}mu = 1.85 charge=0 debye\n{WATER}")
    assert read(file).dipole_magnitude.tolist() == [1.85]


@pytest.mark.parametrize("entry", ["mu=large", "mu=n/a", "charge=neutral", "mulliken='a b c'"])
def test_text_under_a_key_of_labels_is_an_error(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "water.xyz"
    file.write_text(f"3\n{entry}\n{WATER}")
    with pytest.raises(
        InputError, match=rf"water.xyz, line 1: molecule 0 .*'{entry.split('=')[0]}' holds"
    ):
        read(file)


values = st.one_of(
    st.integers(-9, 9),
    st.floats(-9, 9),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8),
    st.lists(st.floats(-9, 9), min_size=2, max_size=4),
)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_:.]{0,8}", fullmatch=True), values))
@settings(max_examples=20, deadline=None)
def test_what_ase_writes_is_kept(entries: dict[str, object]) -> None:
    line = key_val_dict_to_str(entries)
    found = key_val_str_to_dict(line)
    assume(set(found) == set(entries))  # ASE loses some quotes and backslashes itself
    assert str(key_val_str_to_dict(entries_of(line))) == str(found)
