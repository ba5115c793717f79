"""SD files, molfiles, and the properties of QMugs in them, on samples written here.

No original file of QMugs was at hand: the samples follow its description.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dipkit.data.io import read
from dipkit.exceptions import FileFormatError, InputError
from dipkit.units import DEBYE_PER_E_ANGSTROM

WATER = (("O", 0.0, 0.0, 0.1173), ("H", 0.0, 0.7572, -0.4692), ("H", 0.0, -0.7572, -0.4692))
QMUGS = {
    "CHEMBL_ID": "CHEMBL1098659",
    "CONF_ID": "conf_00",
    "GFN2:DIPOLE": "0.0|0.0|-2.3|2.3",
    "DFT:DIPOLE": "1.2|0.0|-1.6|2.0",
    "GFN2:MULLIKEN_CHARGES": "-0.56|0.28|0.28",
    "DFT:MULLIKEN_CHARGES": "-0.6|0.3|0.3",
    "DFT:TOTAL_ENERGY": "-76.4",
}


def record(
    atoms: Sequence[tuple[str, float, float, float]] = WATER,
    title: str = "water",
    items: dict[str, str] | None = None,
    properties: str = "",
    code: int = 0,
    mark: str = "3D",
) -> str:
    """One record, bonds from the first atom to all others."""
    lines = [title, f"  made-up 0101010101{mark}", ""]
    lines.append(f"{len(atoms):3d}{len(atoms) - 1:3d}  0  0  0  0  0  0  0  0999 V2000")
    for place, (symbol, *xyz) in enumerate(atoms):
        position = "".join(f"{x:10.4f}" for x in xyz)
        lines.append(f"{position} {symbol:<3} 0{code if place == 0 else 0:3d}  0  0  0  0")
    lines += [f"  1{other + 2:3d}  1  0" for other in range(len(atoms) - 1)]
    lines += [*properties.splitlines(), "M  END"]
    for tag, value in (items or {}).items():
        lines += [f">  <{tag}>  (1) ", value, ""]
    return "\n".join([*lines, "$$$$", ""])


def sdf(folder: Path, *records: str, name: str = "molecules.sdf") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(records))
    return file


def test_geometry_and_names(tmp_path: Path) -> None:
    molecules = read(sdf(tmp_path, record(), record(title="", atoms=WATER[:2]), record()))
    assert molecules.names.tolist() == ["water", "molecules_1", "water"]
    assert molecules.natoms.tolist() == [3, 2, 3]
    assert molecules.numbers[:3].tolist() == [8, 1, 1]
    np.testing.assert_allclose(molecules.positions[:3], [atom[1:] for atom in WATER])
    assert not molecules.has_magnitude.any()
    assert molecules.total_charge.tolist() == [0, 0, 0]


def test_qmugs(tmp_path: Path) -> None:
    file = sdf(tmp_path, record(items=QMUGS))
    molecules = read(file)
    assert molecules.names.tolist() == ["CHEMBL1098659_conf_00"]
    assert molecules.dipole_magnitude.tolist() == [2.0]
    # The components refer to axes of their own.
    assert not molecules.has_vector.any()
    assert molecules.charges.tolist() == [-0.6, 0.3, 0.3]
    assert "DFT:TOTAL_ENERGY" in molecules.source_keys
    cheap = read(file, dipole_key="GFN2:DIPOLE", charges_key="GFN2:MULLIKEN_CHARGES")
    assert cheap.dipole_magnitude.tolist() == [2.3]
    assert cheap.charges.tolist() == [-0.56, 0.28, 0.28]
    bare = read(file, labels=False)
    assert not bare.has_magnitude.any()
    assert not bare.has_charges.any()
    with pytest.raises(InputError, match=r"dipole_key='mu2': .* keys present: CHEMBL_ID"):
        read(file, dipole_key="mu2")


def test_a_folder_with_one_below_for_each_molecule(tmp_path: Path) -> None:
    for conformer in ("conf_01", "conf_00"):
        items = QMUGS | {"CONF_ID": conformer}
        sdf(tmp_path, record(items=items), name=f"CHEMBL1098659/{conformer}.sdf")
    sdf(tmp_path, record(items=QMUGS | {"CHEMBL_ID": "CHEMBL2"}), name="CHEMBL2/conf_00.sdf")
    assert read(tmp_path).names.tolist() == [
        "CHEMBL1098659_conf_00",
        "CHEMBL1098659_conf_01",
        "CHEMBL2_conf_00",
    ]


def test_usual_keys_go_first_and_any_separator_does(tmp_path: Path) -> None:
    items = QMUGS | {"dipole_debye": "1.85", "mulliken": "-0.8, 0.4\n0.4"}
    molecules = read(sdf(tmp_path, record(items=items)))
    assert molecules.dipole_magnitude.tolist() == [1.85]
    assert molecules.charges.tolist() == [-0.8, 0.4, 0.4]


def test_a_named_vector_is_in_ase_units(tmp_path: Path) -> None:
    file = sdf(tmp_path, record(items={"three": "0.0 0.0 0.5"}))
    vector = read(file, dipole_key="three").dipole_vector
    np.testing.assert_allclose(vector, [[0.0, 0.0, 0.5 * DEBYE_PER_E_ANGSTROM]])


@pytest.mark.parametrize(
    ("settings", "charge"),
    [
        ({}, 0),
        ({"properties": "M  CHG  1   1   1"}, 1),
        ({"properties": "M  CHG  2   1   1   2  -1"}, 0),
        ({"properties": "M  CHG  1   1  -2\nM  CHG  1   2   1"}, -1),
        ({"code": 3}, 1),
        ({"code": 5}, -1),
        ({"code": 4}, 0),  # a radical
        ({"code": 5, "properties": "M  CHG  1   1   1"}, 1),
        ({"code": 5, "properties": "M  RAD  1   1   2"}, 0),
        ({"code": 5, "items": {"charge": "-1"}}, -1),
        ({"items": {"PUBCHEM_TOTAL_CHARGE": "2"}}, 2),
    ],
)
def test_total_charge(tmp_path: Path, settings: dict[str, object], charge: int) -> None:
    file = sdf(tmp_path, record(**settings))  # type: ignore[arg-type]
    assert read(file, labels=False).total_charge.tolist() == [charge]


def test_many_atoms_and_deuterium(tmp_path: Path) -> None:
    """Counts of three digits touch each other."""
    chain = [("D" if k % 2 else "C", 1.1 * k, 0.0, -12.3456) for k in range(120)]
    molecules = read(sdf(tmp_path, record(chain)))
    assert molecules.natoms.tolist() == [120]
    assert molecules.numbers[:2].tolist() == [6, 1]


def test_a_molfile_needs_no_end_mark(tmp_path: Path) -> None:
    file = sdf(tmp_path, record().replace("$$$$\n", ""), name="water.mol")
    assert read(file).natoms.tolist() == [3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (record()[:140], r"line 6: expected x, y, z and symbol"),
        (record().split("M  END")[0], r"line 1 .*cut"),
        (record(items=QMUGS).replace("$$$$", ""), r"\$\$\$\$ is missing.*cut"),
        (record(), None),
        (record().replace("M  END\n", ""), "cut"),
        (record().replace("V2000", "V3000"), "V3000"),
        (record(mark="2D"), "two dimensions"),
        (record().replace("  3  2  0", "  0  0  0"), "numbers of atoms and bonds"),
        (record().replace(" O  ", " Q  "), "line 5: 'Q' is no element"),
        (record().replace("0.7572", "0.7x72", 1), "x, y, z and symbol"),
        (record(items={"mu": "1.0 2.0 2.0"}), "'mu' holds 3 numbers: expected 1, a magnitude"),
        (record(items={"mu": "nan"}), "<mu> holds 1 numbers: expected 1 or 3 or 4, finite"),
        (record(items={"mu": "large"}), "<mu> holds 'large'"),
        (record(items=QMUGS | {"DFT:DIPOLE": "1|0|0|2"}), "fourth number"),
        (record(items=QMUGS | {"DFT:MULLIKEN_CHARGES": "-0.3|0.3"}), "2 numbers: expected 3"),
        (record(items=QMUGS | {"DFT:MULLIKEN_CHARGES": "-0.9|0.3|0.3"}), "sum to -0.3 e"),
        ("just text\n", "numbers of atoms and bonds"),
    ],
    ids=lambda value: None if value is None else str(value)[:20].replace("\n", " "),
)
def test_damaged_records(tmp_path: Path, text: str, message: str | None) -> None:
    file = sdf(tmp_path, text)
    if message is None:
        assert len(read(file)) == 1
        return
    with pytest.raises(InputError, match=rf"molecules.sdf.*{message}"):
        read(file)


def test_errors_name_the_line_of_a_bad_record(tmp_path: Path) -> None:
    good = record()
    file = sdf(tmp_path, good, good, record(mark="2D"))
    line = 2 * len(good.splitlines()) + 1
    with pytest.raises(FileFormatError, match=rf"molecules.sdf, line {line} \(start"):
        read(file)


def test_binary_data(tmp_path: Path) -> None:
    file = tmp_path / "binary.sdf"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="binary data"):
        read(file)
