"""How many atoms are computed at once: blocks of a set, pieces of a block.

A *block* is a run of molecules whose sums over molecules are held at once. A *piece* is the part
of a block that one thread takes at a time.
"""

from __future__ import annotations

from ..support.backend import Backend

# Atoms of one block: its sums over molecules are held.
BLOCK_ATOMS = 16_384
# Atoms that one thread takes at a time, descriptors that are computed for them included: enough for
# matrix products, few enough for memory that was freed to be taken again.
PIECE_ATOMS = 1344
# The same for a GPU, which needs more of them to be busy.
DEVICE_PIECE_ATOMS = 8192


def piece_atoms(backend: Backend) -> int:
    """Atoms whose kernel values are computed at once."""
    return PIECE_ATOMS if backend.on_host else DEVICE_PIECE_ATOMS
