"""Number of atoms that are computed at once: blocks of all molecules, pieces of a block.

A *block* is a series of molecules whose sums are in memory at once. A *piece* is the
part of a block that one thread computes at a time. The division itself is `ragged_index.cut`; how
much memory a fit needs is not here.
"""

from __future__ import annotations

from ..support.backend import Backend

# Atoms of one block.
BLOCK_ATOMS = 16_384
# Atoms of one piece on the host, also where descriptors are computed on demand. The number is large
# enough for fast matrix products, and small enough for the allocator to reuse freed memory.
PIECE_ATOMS = 1344
# Atoms of one piece on a GPU, which needs more atoms for full use.
DEVICE_PIECE_ATOMS = 8192


# Pieces of a small prediction on the host, and the least number of their atoms.
SMALL_PIECES, SMALL_PIECE_ATOMS = 8, 128


def piece_atoms(backend: Backend) -> int:
    """Return the number of atoms of one piece on this device."""
    return PIECE_ATOMS if backend.on_host else DEVICE_PIECE_ATOMS


def prediction_piece_atoms(n_atoms: int, backend: Backend) -> int:
    """Return the number of atoms of one piece of a prediction.

    A small prediction is divided as well, so that all threads have a part in it. The number of
    threads has no influence: rounding depends on the division.
    """
    if not backend.on_host:
        return DEVICE_PIECE_ATOMS
    return min(PIECE_ATOMS, max(SMALL_PIECE_ATOMS, -(-n_atoms // SMALL_PIECES)))
