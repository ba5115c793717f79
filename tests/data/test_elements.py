"""Symbols of elements mean the same in every format, and errors name the file, line and word."""

from pathlib import Path

import numpy as np
import pytest
from ase.data import chemical_symbols

from dipkit.data.elements import read_element
from dipkit.data.io import read
from dipkit.exceptions import FileFormatError, InputError

HCL = (("Cl", 0.0, 0.0, 0.0), ("H", 0.0, 0.0, 1.28))


def sd_record(title: str, *atoms: tuple[str, float, float, float]) -> str:
    lines = [title, "  prog            3D", "", f"{len(atoms):3d}  0  0  0  0  0999 V2000"]
    lines += [f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:<3} 0  0" for symbol, x, y, z in atoms]
    return "\n".join([*lines, "M  END", "$$$$", ""])


def write_pair(folder: Path, kind: str, heavy: str, light: str) -> Path:
    """A molecule of two atoms, whose first symbol is in line 3 (xyz), 5 (sdf), 2 (csv), 3 (qm9)."""
    if kind == "xyz":
        file, text = folder / "m.xyz", f"2\n\n{heavy} 0 0 0\n{light} 0 0 1.28\n"
    elif kind == "columns":
        comment = "Properties=pos:R:3:species:S:1"
        file, text = folder / "m.xyz", f"2\n{comment}\n0 0 0 {heavy}\n0 0 1.28 {light}\n"
    elif kind == "sdf":
        file = folder / "m.sdf"
        text = sd_record("m", (heavy, 0, 0, 0), (light, 0, 0, 1.28))
    elif kind == "csv":
        file = folder / "structures.csv"
        text = "molecule_name,atom_index,atom,x,y,z\n"
        text += f"m,0,{heavy},0,0,0\nm,1,{light},0,0,1.28\n"
    else:
        file = folder / "m.xyz"
        header = "gdb 1 " + " ".join(["1.0"] * 15)
        text = f"2\n{header}\n{heavy} 0 0 0 -0.2\n{light} 0 0 1.28 0.2\n"
    file.write_text(text)
    return file


KINDS = {"xyz": 3, "columns": 3, "sdf": 5, "csv": 2, "qm9": 3}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("light", ["H", "D", "T", "h", "1", "d"])
@pytest.mark.parametrize("heavy", ["Cl", "CL", "cl", "17", "Cl1"])
def test_every_format_takes_every_spelling(
    tmp_path: Path, kind: str, heavy: str, light: str
) -> None:
    molecules = read(write_pair(tmp_path, kind, heavy[:3], light))
    assert molecules.numbers.tolist() == [17, 1]
    np.testing.assert_allclose(molecules.positions[1], [0, 0, 1.28])


@pytest.mark.parametrize(("kind", "line"), KINDS.items())
@pytest.mark.parametrize("word", ["Q", "X", "Bq", "0", "119", "CD1", "-1", "*"])
def test_errors_name_file_line_and_word(tmp_path: Path, kind: str, line: int, word: str) -> None:
    file = write_pair(tmp_path, kind, word, "H")
    with pytest.raises(FileFormatError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}, line {line}: {word!r} is no element")


@pytest.mark.parametrize(("z", "symbol"), list(enumerate(chemical_symbols))[1:])
def test_every_element(z: int, symbol: str) -> None:
    for word in (symbol, symbol.upper(), symbol.lower(), f" {symbol} ", f"{symbol}12", str(z)):
        assert read_element(word, "here") == z


def test_a_line_of_atoms_without_a_symbol_says_so(tmp_path: Path) -> None:
    file = tmp_path / "m.sdf"
    file.write_text(sd_record("m", ("", 0, 0, 0)))
    with pytest.raises(FileFormatError, match=r"m.sdf, line 5: expected x, y, z and symbol"):
        read(file)


# Names


def test_one_molecule_has_the_name_of_its_file(tmp_path: Path) -> None:
    for name in ("argon", "hcl"):
        (tmp_path / f"{name}.sdf").write_text(sd_record("", *HCL))
    (tmp_path / "titled.sdf").write_text(sd_record("own name", *HCL) + sd_record("", *HCL))
    assert read(tmp_path).names.tolist() == ["argon", "hcl", "own name", "titled_1"]


def test_names_of_xyz_frames(tmp_path: Path) -> None:
    frame = "2\nname words\nCl 0 0 0\nH 0 0 1.28\n"
    (tmp_path / "hcl.xyz").write_text(frame)
    assert read(tmp_path / "hcl.xyz").names.tolist() == ["hcl"]
    (tmp_path / "set.v2.xyz").write_text(frame + frame.replace("name words", "name=x") + frame)
    assert read(tmp_path / "set.v2.xyz").names.tolist() == ["set.v2_0", "x", "set.v2_2"]


def test_names_of_arrays(tmp_path: Path) -> None:
    arrays = {"numbers": [17, 1] * 2, "positions": [[0, 0, 0], [0, 0, 1.28]] * 2}
    np.savez(tmp_path / "flat.npz", natoms=[2, 2], **arrays)
    assert read(tmp_path / "flat.npz").names.tolist() == ["flat_0", "flat_1"]


# Geometries that are none


def test_a_bad_file_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "argon.sdf").write_text(sd_record("", ("Ar", 0, 0, 0)))
    (tmp_path / "hcl.sdf").write_text(sd_record("", ("H", 0, 0, 0), ("Cl", 0, 0, 0)))
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'hcl.sdf'}, line 1: positions: all coordinates of ")
    assert "molecule 1 ('hcl') are zero" in text


def test_the_line_of_a_bad_record_is_named(tmp_path: Path) -> None:
    file = tmp_path / "m.sdf"
    file.write_text(sd_record("good", *HCL) + sd_record("bad", ("H", 0, 0, 0), ("H", 0, 0, 0.01)))
    with pytest.raises(InputError, match=rf"^{file}, line 9: positions: atoms 0 and 1 .*'bad'"):
        read(file)
