"""What the host prepares of a piece of molecules, before a device sums over it.

Sparse maps, and the matrices of compensation along bonds, depend on the geometries alone. Threads
of the host prepare them for the next pieces while a GPU computes. Sums over a piece are in
`accumulate.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.sparse_rows import SparseRows
from .basis import Basis
from .charge_maps import sum_map
from .columns import RowMaps, arms_of_dipoles
from .compensation import Spreads
from .segment_map import SegmentMap

__all__ = ["ElementPiece", "Piece", "prepare"]


class ElementPiece(NamedTuple):
    """Atoms of one element in a piece."""

    number: int
    atoms: NDArray[np.intp]
    """(n_e,) positions among the atoms of the piece, ascending."""
    owners: NDArray[np.int64]
    """(n_e,) molecule of each."""
    maps: RowMaps
    sums: SegmentMap
    """(N, n_e), see `sum_map`."""


class Piece(NamedTuple):
    """Some molecules, and what the host knows of them."""

    molecules: Molecules
    elements: list[ElementPiece]
    charges: SparseRows | None
    """Compensation of charges, s (1 - M); None where it is even, or not needed."""
    bonds: SparseRows | None
    """Compensation of bond charges; None without them, or where it is not needed."""


def prepare(molecules: Molecules, basis: Basis, with_charges: bool) -> Piece:
    """Prepare the maps of some molecules.

    Parameters
    ----------
    molecules : Molecules
    basis : Basis
    with_charges : bool
        Whether sums over charges are wanted, besides the rows of dipoles.
    """
    even, along = basis.compensation, basis.bonds
    # Both have the stiffness of bond charges, if any: the matrices are computed once.
    spreads: dict[float, Spreads] = {
        how.stiffness: how.spreads(molecules)
        for how in (even, along)
        if how is not None and not how.is_even
    }
    arms = arms_of_dipoles(molecules, basis, spreads)
    elements = []
    for number in molecules.elements.tolist():
        atoms = np.flatnonzero(molecules.numbers == number)
        owners = molecules.molecule_index[atoms]
        maps, sums = arms.maps(atoms, molecules), sum_map(owners, len(molecules))
        elements.append(ElementPiece(number, atoms, owners, maps, sums))
    charges, bonds = (
        None
        if how is None or how.is_even or not with_charges
        else how.rows(molecules, spreads[how.stiffness])
        for how in (even, along)
    )
    return Piece(molecules, elements, charges, bonds)
