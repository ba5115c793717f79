"""Options of readers: words that are checked, labels left unread, notes that travel."""

import pytest
from ase.build import molecule

from dipkit.data.io import as_molecules
from dipkit.data.molecules import Molecules
from dipkit.data.read_notes import ReadNotes
from dipkit.data.read_options import ReadOptions
from dipkit.exceptions import InputError


@pytest.mark.parametrize("argument", ["dipole_unit", "length_unit"])
def test_unknown_units_are_refused(argument: str) -> None:
    with pytest.raises(InputError, match=rf"{argument}: expected one of auto, .*got 'furlong'"):
        ReadOptions(**{argument: "furlong"})


def test_none_leaves_one_label_unread() -> None:
    atoms = molecule("H2O")
    atoms.info = {"mu": 1.85, "charges": [-0.6, 0.3, 0.3]}
    no_charges = as_molecules(atoms, charges_key="none")
    assert no_charges.has_magnitude.all()
    assert not no_charges.has_charges.any()
    no_dipole = as_molecules(atoms, dipole_key="none")
    assert no_dipole.has_charges.all()
    assert not no_dipole.has_magnitude.any()


def test_notes_are_kept_and_joined() -> None:
    one = Molecules([2], [[0, 0, 0]], [0, 1], notes=ReadNotes(("a", "b")))
    two = Molecules([2], [[0, 0, 0]], [0, 1], notes=ReadNotes(("b", "c")))
    assert one[[0, 0]].notes == one.notes
    joined = Molecules.concatenate([one, two])
    assert joined.notes.assumed == ("a", "b", "c")
    assert joined.summary().as_dict()["assumed"] == ("a", "b", "c")
