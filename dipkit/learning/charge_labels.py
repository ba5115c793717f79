"""Charges to learn from, in the form that the charge term needs.

Symbols: N molecules with n atoms, charges p (n,) in e, weights c_A (N,); P subtracts the mean of
each molecule. Checks of labels are not here (`labels.py`), nor are their sums (`accumulate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from .charge_maps import molecule_sums

__all__ = ["ChargeLabels"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ChargeLabels:
    """Charges to learn from, ready for the charge term.

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
        P p: the mean of each molecule taken out; 0 where there is no label.
    weights : ndarray of shape (n_molecules,)
        c_A: 0 where there is no label.
    """

    charges: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, charges: FloatArray, molecules: Molecules, weights: FloatArray) -> ChargeLabels:
        """Centre charges and give molecules without any (NaN) no weight.

        Parameters
        ----------
        charges : ndarray of shape (n_atoms,), e
        molecules : Molecules
        weights : ndarray of shape (n_molecules,)
        """
        has = ~np.isnan(charges[molecules.offsets[:-1]])
        means = molecule_sums(charges, molecules.offsets) / molecules.natoms
        centred = charges - means[molecules.molecule_index]
        known = has[molecules.molecule_index]
        return cls(np.where(known, centred, 0.0), np.where(has, weights, 0.0))

    def block(self, molecules: Molecules, rows: slice) -> ChargeLabels:
        """Labels of some neighbouring molecules."""
        atoms = slice(molecules.offsets[rows.start], molecules.offsets[rows.stop])
        return ChargeLabels(self.charges[atoms], self.weights[rows])
