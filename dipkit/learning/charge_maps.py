"""Linear maps of atomic charges: molecule sums, the projector P, maps of one element's atoms.

Symbols: molecules A = 1..N, atoms i = 1..n, n_e of them of element e, offsets (N + 1,), positions
r_i (n, 3) in angstrom, charges q_i (n,) and total charges Q_A (N,) in e. Numbers in parentheses are
equations of the theory page. Dipoles and quadrupoles of given charges are in `multipoles.py`; what
the charges are made of (kernels, weights) is in `basis.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from .segment_map import SegmentMap

FloatArray = NDArray[np.float64]


def molecule_sums(values: FloatArray, offsets: NDArray[np.int64]) -> FloatArray:
    """Sum over the atoms of each molecule.

    Parameters
    ----------
    values : ndarray of shape (n_atoms, ...)
    offsets : ndarray of shape (n_molecules + 1,)
        No molecule is empty.

    Returns
    -------
    ndarray of shape (n_molecules, ...)
    """
    if len(offsets) == 1:
        return np.zeros((0, *values.shape[1:]))
    sums: FloatArray = np.add.reduceat(values, offsets[:-1], axis=0)
    return sums


def project(values: FloatArray, molecules: Molecules) -> FloatArray:
    """Apply the projector P of (2): subtract the mean over each molecule.

    Parameters
    ----------
    values : ndarray of shape (n_atoms,) or (n_atoms, k)
    molecules : Molecules

    Returns
    -------
    ndarray of the same shape
    """
    sums = molecule_sums(values, molecules.offsets)
    means = (sums.T / molecules.natoms).T
    projected: FloatArray = values - means[molecules.molecule_index]
    return projected


def conserve_charge(charges: FloatArray, molecules: Molecules) -> FloatArray:
    """Apply P and add Q_A / n_A, so that charges sum to the total charge (1).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_atoms,), e
    """
    return project(charges, molecules) + even_charges(molecules)


def even_charges(molecules: Molecules) -> FloatArray:
    """Divide each total charge evenly among the atoms of the molecule: Q_A / n_A.

    Parameters
    ----------
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_atoms,), e
    """
    even: FloatArray = (molecules.total_charge / molecules.natoms)[molecules.molecule_index]
    return even


def constant_charges(molecules: Molecules) -> FloatArray:
    """Return the part of the charges that does not depend on the weights.

    Parameters
    ----------
    molecules : Molecules
        Prepared: they carry a baseline only where the model has one.

    Returns
    -------
    ndarray of shape (n_atoms,), e
        q_b of (9) where the molecules carry baseline charges, else Q_A / n_A of (1).
    """
    charges = molecules.baseline_charges
    return even_charges(molecules) if charges is None else charges


def sum_map(index: NDArray[np.int64], n_molecules: int) -> SegmentMap:
    """Map raw charges of some atoms (n_e,) to their sum in each molecule (n_molecules,).

    Parameters
    ----------
    index : ndarray of shape (n_e,)
        Molecule of each atom, ascending.
    n_molecules : int
    """
    return moment_map(np.ones((len(index), 1)), index, n_molecules)


def moment_map(arms: FloatArray, index: NDArray[np.int64], n_molecules: int) -> SegmentMap:
    """Map raw charges of some atoms to k components of a moment of each molecule.

    Parameters
    ----------
    arms : ndarray of shape (n_e, k)
        Contribution of a charge of 1 on each atom to each component.
    index : ndarray of shape (n_e,)
        Molecule of each atom, ascending.
    n_molecules : int
    """
    pointer = np.searchsorted(index, np.arange(n_molecules + 1)).astype(np.int32)
    return SegmentMap(arms, pointer)
