"""Numeric keys and the likely label among them."""

import numpy as np
import pytest
from ase.build import molecule

from dipkit.data.io import as_molecules, read
from dipkit.data.label_hints import NumericKeys, hint
from dipkit.data.label_keys import missing_labels_error

VECTOR, ATOMS = "3 numbers", "1 for each atom"


@pytest.mark.parametrize("key", ["dipole_moment", "REF_dipole", "dft_dipole", "DIPOLE", "Mu_ref"])
def test_likely_dipoles(key: str) -> None:
    found = hint("dipole", {"energy": "1 number", "forces": "3 for each atom", key: VECTOR})
    assert f"--dipole {key} (dipole_key={key!r})" in found


@pytest.mark.parametrize(
    "key", ["partial_charges", "hirshfeld_charges", "atom.dprop.PartialCharge", "q", "RESP"]
)
def test_likely_charges(key: str) -> None:
    found = hint("charges", {"energy": "1 number", "masses": ATOMS, key: ATOMS})
    assert f"--charges {key} (charges_key={key!r})" in found


def test_no_likely_key() -> None:
    assert hint("dipole", {"energy": "1 number", "quadrupole_moment": "numbers"}) == ""
    assert hint("charges", {"total_charge": "1 number"}) == ""


def test_keys_with_blanks_are_quoted() -> None:
    assert "--dipole 'my dipole' " in hint("dipole", {"my dipole": VECTOR})


def test_dipoles_of_atoms_are_told() -> None:
    atoms = molecule("C2H6")
    atoms.info = {"atomic_dipoles": np.zeros((8, 3))}
    molecules = as_molecules(atoms)
    assert "these are dipoles of atoms" in str(molecules.summary().hints)
    atoms.info = {"dipole": np.ones((8, 3))}
    with pytest.raises(Exception, match=r"24 numbers.*dipoles of atoms, not the dipole of the mol"):
        as_molecules(atoms)


def test_other_molecules_decide_what_three_numbers_are() -> None:
    keys = NumericKeys.empty()
    keys.see({"q": [0.1, 0.2, -0.3], "p": [0, 0, 1.0], "word": "text"}, 3)
    keys.see({"q": [0.1, -0.1], "p": [0, 0, 1.0]}, 2)
    assert keys.result() == {"q": ATOMS, "p": VECTOR}


def test_hints_of_files_and_in_errors(tmp_path) -> None:
    atoms = molecule("NH3")
    np.savez(
        tmp_path / "a.npz",
        natoms=[4],
        numbers=atoms.numbers,
        positions=atoms.positions,
        REF_dipole=np.ones((1, 3)),
        hirshfeld_charges=np.zeros(4),
    )
    summary = read(tmp_path / "a.npz").summary()
    assert "--dipole REF_dipole" in summary.hints[0]
    assert "--charges hirshfeld_charges" in summary.hints[1]
    assert summary.numeric_keys == {"REF_dipole": VECTOR, "hirshfeld_charges": ATOMS}
    error = str(missing_labels_error("dipole", ("REF_dipole",), summary.numeric_keys))
    assert "with numbers: REF_dipole (3 numbers)" in error
    assert "--dipole REF_dipole" in error


def test_components_under_three_keys_are_no_magnitudes() -> None:
    numeric = dict.fromkeys(("dipole_x", "dipole_y", "dipole_z", "energy"), "1 number")
    assert "components of a vector" in hint("dipole", numeric)
    assert "--dipole mu_total" in hint("dipole", numeric | {"mu_total": "1 number"})


def test_momenta_and_moments_of_inertia_are_no_dipoles() -> None:
    others = {
        "momenta": "3 for each atom",
        "angular_momentum": VECTOR,
        "moments_of_inertia": VECTOR,
    }
    assert hint("dipole", others) == ""
    assert "'moment'" in hint("dipole", others | {"moment": VECTOR})
