"""Number of atoms that are computed at once."""

from dipkit.learning.blocking import DEVICE_PIECE_ATOMS, PIECE_ATOMS, piece_atoms
from dipkit.support.backend import NUMPY, Backend


def test_a_device_takes_more_atoms_at_a_time() -> None:
    assert piece_atoms(NUMPY) == PIECE_ATOMS < DEVICE_PIECE_ATOMS
    assert piece_atoms(Backend("cupy", None, None)) == DEVICE_PIECE_ATOMS
