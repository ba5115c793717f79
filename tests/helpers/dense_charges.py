"""Charge rows as dense matrices, to compare sums and predictions with."""

import numpy as np

from dipkit.data.molecules import Molecules
from dipkit.learning.basis import Basis
from dipkit.support.backend import NUMPY


def dense_charge_rows(molecules: Molecules, basis: Basis) -> np.ndarray:
    """C (n, r): charges for weights of 1, after compensation; zero for atomic dipoles."""
    assert molecules.features is not None
    charges = np.zeros((molecules.n_atoms, basis.n_columns))
    bonds = np.zeros_like(charges)
    for number, element in basis.elements.items():
        mine = np.flatnonzero(molecules.numbers == number)
        x = [basis.backend.asarray(scale[mine]) for scale in molecules.features.scales]
        phi = basis.backend.to_host(basis.basis_functions(number, x))
        charges[mine, element.columns] = phi
        if element.bond_columns is not None:
            bonds[mine, element.bond_columns] = phi[:, : element.n_bond]
    rows = basis.compensation.matrix(molecules, NUMPY).toarray() @ charges
    if basis.bonds is not None:
        rows += basis.bonds.matrix(molecules, NUMPY).toarray() @ bonds
    return rows
