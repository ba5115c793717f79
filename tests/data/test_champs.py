"""The CSV files of CHAMPS, in samples of their format."""

from pathlib import Path

import numpy as np
import pytest

from dipkit.data.io import read
from dipkit.exceptions import FileFormatError, InputError

STRUCTURES = """molecule_name,atom_index,atom,x,y,z
dsgdb9nsd_000002,0,N,-0.0404,1.0241,0.0626
dsgdb9nsd_000002,1,H,0.0173,0.0125,-0.0274
dsgdb9nsd_000002,2,H,0.9158,1.3587,-0.0288
dsgdb9nsd_000002,3,H,-0.5203,1.3435,-0.7755
dsgdb9nsd_000003,0,O,-0.0344,0.9775,0.0076
dsgdb9nsd_000003,1,H,0.0648,0.0206,0.0015
dsgdb9nsd_000003,2,H,0.8718,1.3008,0.0007
"""
DIPOLES = """molecule_name,X,Y,Z
dsgdb9nsd_000002,-0.0002,0.0,1.6256
dsgdb9nsd_000099,0.0,0.0,1.0
"""
CHARGES = """molecule_name,atom_index,mulliken_charge
dsgdb9nsd_000003,0,-0.6
dsgdb9nsd_000003,2,0.3
dsgdb9nsd_000003,1,0.3
"""


def champs(folder: Path, **changes: str) -> Path:
    texts = {"structures": STRUCTURES, "dipole_moments": DIPOLES, "mulliken_charges": CHARGES}
    for name, text in (texts | changes).items():
        if text:
            (folder / f"{name}.csv").write_text(text)
    return folder


def test_a_folder_and_its_structures(tmp_path: Path) -> None:
    champs(tmp_path)
    for path in (tmp_path, tmp_path / "structures.csv"):
        molecules = read(path)
        assert molecules.names.tolist() == ["dsgdb9nsd_000002", "dsgdb9nsd_000003"]
        assert molecules.numbers.tolist() == [7, 1, 1, 1, 8, 1, 1]
        assert molecules.positions[5].tolist() == [0.0648, 0.0206, 0.0015]
        np.testing.assert_allclose(molecules.dipole_magnitude, [1.6256, np.nan], atol=1e-6)
        # Vectors refer to other axes than the coordinates.
        assert not molecules.has_vector.any()
        assert molecules.has_charges.tolist() == [False, True]
        assert molecules.charges[4:].tolist() == [-0.6, 0.3, 0.3]
        assert molecules.source_keys == ("dipole", "mulliken")
    bare = read(tmp_path, labels=False)
    assert not (bare.has_magnitude | bare.has_charges).any()


def test_without_labels(tmp_path: Path) -> None:
    molecules = read(champs(tmp_path, dipole_moments="", mulliken_charges=""))
    assert not molecules.has_magnitude.any()
    assert molecules.source_keys == ()
    with pytest.raises(InputError, match="keys present: none"):
        read(tmp_path, dipole_key="dipole")


def test_columns_in_another_order(tmp_path: Path) -> None:
    turned = "\n".join(",".join(reversed(line.split(","))) for line in STRUCTURES.split())
    assert read(champs(tmp_path, structures=turned + "\n")).natoms.tolist() == [4, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structures": STRUCTURES.replace("atom_index", "i")}, "line 1: columns atom_index are"),
        ({"structures": STRUCTURES.replace(",1,H,0.0648", ",2,H,0.0648")}, "line 7: expected atom"),
        ({"structures": STRUCTURES.replace(",O,", ",Q,")}, "line 6: 'Q' is no element"),
        ({"structures": STRUCTURES.replace("0.0076", "")}, "line 6: expected a finite number"),
        ({"structures": STRUCTURES[:-12]}, "line 8: expected 6 columns, got 5"),
        ({"dipole_moments": DIPOLES.replace("1.6256", "inf")}, "line 2: expected a finite"),
        ({"mulliken_charges": CHARGES.replace(",2,", ",1,")}, "line 4: .* got one more for atom 1"),
        ({"mulliken_charges": CHARGES.replace(",2,", ",3,")}, "line 3: .* got one more for atom 3"),
        ({"mulliken_charges": CHARGES.replace(",2,", ",1.5,")}, "line 3: .* more for atom 1.5"),
        (
            {"mulliken_charges": CHARGES.replace("dsgdb9nsd_000003,1,0.3\n", "")},
            "000003 has charges of 2 atoms",
        ),
        ({"mulliken_charges": CHARGES.replace("-0.6", "-0.9")}, "sum to -0.3 e"),
    ],
)
def test_damaged_files(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(champs(tmp_path, **changes))


def test_an_empty_file(tmp_path: Path) -> None:
    champs(tmp_path)
    (tmp_path / "structures.csv").write_text("")
    with pytest.raises(FileFormatError, match="empty"):
        read(tmp_path)
