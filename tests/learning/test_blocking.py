"""Number of atoms that are computed at once."""

from dipkit.learning.blocking import (
    DEVICE_PIECE_ATOMS,
    PIECE_ATOMS,
    SMALL_PIECE_ATOMS,
    piece_atoms,
    prediction_piece_atoms,
)
from dipkit.support.backend import NUMPY, Backend


def test_a_device_takes_more_atoms_at_a_time() -> None:
    assert piece_atoms(NUMPY) == PIECE_ATOMS < DEVICE_PIECE_ATOMS
    assert piece_atoms(Backend("cupy", None, None)) == DEVICE_PIECE_ATOMS


def test_small_predictions_are_divided_as_well() -> None:
    sizes = {n: prediction_piece_atoms(n, NUMPY) for n in (1, 500, 4000, 10**6)}
    assert sizes == {1: SMALL_PIECE_ATOMS, 500: SMALL_PIECE_ATOMS, 4000: 500, 10**6: PIECE_ATOMS}
    assert prediction_piece_atoms(1, Backend("cupy", None, None)) == DEVICE_PIECE_ATOMS
