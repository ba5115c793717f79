"""Columns of rows: what the basis functions of atoms add to the moments of molecules.

A row is a component of a moment of a molecule: of its dipole (k = 3) or quadrupole (k = 5). *Arms*
are what charges and amplitudes of 1 on an atom add to the components. Symbols: N molecules, n
atoms, n_e of them of one element with basis functions phi (n_e, r_e), E elements of a model; rows
(k N, r). The basis functions are in `basis.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.backend import Array, Backend
from ..units import DEBYE_PER_E_ANGSTROM
from .atomic_dipoles import dipole_arms
from .basis import Basis, ElementBasis
from .charge_maps import moment_map
from .compensation import Spreads
from .segment_map import SegmentMap

__all__ = ["Arms", "RowMaps", "arms_of_dipoles", "fill_columns"]

FloatArray = NDArray[np.float64]


class RowMaps(NamedTuple):
    """Maps (k N, n_e) from basis functions of the atoms of one element to rows."""

    charges: SegmentMap
    bonds: SegmentMap | None
    """None without bond charges."""
    dipoles: tuple[SegmentMap, ...]
    """One for the neighbours of each element; none without atomic dipoles."""


class Arms(NamedTuple):
    """What charges and amplitudes of 1 on each atom add to k components of a moment."""

    charges: FloatArray
    """(n_atoms, k), after compensation."""
    bonds: FloatArray | None
    """(n_atoms, k), of bond charges; None without them."""
    dipoles: FloatArray
    """(n_atoms, E, k), of the amplitudes of atomic dipoles; E = 0 without them."""

    def maps(self, atoms: NDArray[np.intp], molecules: Molecules) -> RowMaps:
        """Return the maps of some atoms, ascending, to the rows of their molecules."""
        owners, n = molecules.molecule_index[atoms], len(molecules)
        bonds = None if self.bonds is None else self.bonds[atoms]
        sides = np.moveaxis(self.dipoles[atoms], 1, 0)
        return RowMaps(
            moment_map(self.charges[atoms], owners, n),
            None if bonds is None else moment_map(bonds, owners, n),
            tuple(moment_map(side, owners, n) for side in sides),
        )


def arms_of_dipoles(
    molecules: Molecules, basis: Basis, spreads: Mapping[float, Spreads] | None = None
) -> Arms:
    """Return the arms of the dipoles of molecules, k = 3, debye / e.

    `spreads` are those of `Compensation.spreads` by stiffness, where they are known.
    """
    positions, known = DEBYE_PER_E_ANGSTROM * molecules.positions, spreads or {}
    even, along = basis.compensation, basis.bonds
    return Arms(
        even.apply(positions, molecules, known.get(even.stiffness)),
        None if along is None else along.apply(positions, molecules, known.get(along.stiffness)),
        dipole_arms(molecules, basis.dipole_elements, basis.dipole_scale),
    )


def fill_columns(
    rows: Array, maps: RowMaps, phi: Array, element: ElementBasis, backend: Backend
) -> None:
    """Write all columns of one element.

    Parameters
    ----------
    rows : array of shape (k N, r)
        Rows of some molecules; written to.
    maps : RowMaps
        Of the atoms of the element.
    phi : array of shape (n_e, r_e)
        From `Basis.basis_functions`.
    element : ElementBasis
    backend : Backend
        Holds rows and basis functions.
    """
    maps.charges.write(phi, rows[:, element.columns], backend)
    if maps.bonds is not None and element.bond_columns is not None:
        maps.bonds.write(phi[:, : element.n_bond], rows[:, element.bond_columns], backend)
    for run, moment in zip(element.dipole_columns, maps.dipoles, strict=True):
        constant = run.stop - 1
        moment.write(phi[:, : element.n_leading], rows[:, run.start : constant], backend)
        moment.write(phi[:, -1:], rows[:, constant : constant + 1], backend)
