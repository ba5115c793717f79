"""Charge rows of coupled columns: after compensation along bonds an atom sees its neighbours (24).

With even compensation the charge rows C = P Phi are block-sparse by element, but for the mean over
each molecule. Along bonds they are products of the matrix s (1 - M) with raw basis functions, for
the bond charges and, if the model has no even compensation, for all charges. Both sum to zero in a
molecule, so that the Gram matrix with block-sparse columns needs no mean:
(P Phi)^T c C = Phi^T c C for weights c that are the same on all atoms of a molecule.

Symbols: n atoms of some molecules, r_c coupled columns; C (n, r_c); weights c_A, charges p (n,) in
e. `accumulate.py` adds these sums to the term of the charges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array
from .basis import Basis, ElementBasis
from .charge_labels import ChargeLabels
from .pieces import Piece

__all__ = ["ChargeSums", "CoupledCharges", "GramBlock"]


class GramBlock(NamedTuple):
    """Two sets of columns, equal or disjoint, and their block of a symmetric Gram matrix."""

    one: slice
    two: slice
    values: Array


# Columns and their part of the right-hand side.
RhsBlock = tuple[slice, Array]
# What some molecules add to the term of one set of labels.
ChargeSums = tuple[list[GramBlock], list[RhsBlock]]


class CoupledCharges:
    """Collects the basis functions of some molecules, then sums over their charge rows.

    Parameters
    ----------
    piece : Piece
        The molecules, prepared with charges.
    basis : Basis
    """

    def __init__(self, piece: Piece, basis: Basis):
        self.piece, self.basis = piece, basis
        self.columns = basis.coupled_columns
        width = self.columns.stop - self.columns.start
        self._raw = basis.backend.zeros((piece.molecules.n_atoms, width))
        self._even: list[tuple[slice, NDArray[np.intp], Array]] = []

    def put(self, phi: Array, element: ElementBasis, atoms: NDArray[np.intp]) -> None:
        """Take the basis functions (n_e, r_e) of the atoms of one element."""
        backend = self.basis.backend
        if self.basis.compensation.is_even:
            self._even.append((element.columns, atoms, phi))
        else:
            backend.put(self._raw[:, self._own(element.columns)], atoms, phi)
        if element.bond_columns is not None:
            own = self._own(element.bond_columns)
            backend.put(self._raw[:, own], atoms, phi[:, : element.n_bond])

    def _own(self, columns: slice) -> slice:
        return slice(columns.start - self.columns.start, columns.stop - self.columns.start)

    def rows(self) -> Array:
        """Return C (n, r_c) of the coupled columns."""
        backend, n = self.basis.backend, self.basis.n_charge_columns - self.columns.start
        rows = backend.empty(self._raw.shape)
        if self.piece.charges is not None:
            rows[:, :n] = self.piece.charges.on(backend) @ self._raw[:, :n]
        if self.piece.bonds is not None:
            rows[:, n:] = self.piece.bonds.on(backend) @ self._raw[:, n:]
        return rows

    def add(self, sums: ChargeSums, label: ChargeLabels, rows: Array) -> None:
        """Add the sums over charge rows, from `rows`, for one set of labels."""
        backend, (grams, rhs) = self.basis.backend, sums
        of_atoms = label.weights[self.piece.molecules.molecule_index]
        scaled = backend.asarray(np.sqrt(of_atoms))[:, None] * rows
        grams.append(GramBlock(self.columns, self.columns, backend.gram(scaled)))
        rhs.append((self.columns, backend.asarray(of_atoms * label.charges) @ rows))
        for columns, atoms, phi in self._even:
            weighted = backend.asarray(of_atoms[atoms])[:, None] * backend.take(rows, atoms)
            grams.append(GramBlock(columns, self.columns, phi.T @ weighted))
