"""Linear maps of atomic charges: molecule sums, the projector P, maps of one element's atoms.

Symbols: molecules A = 1..N, atoms i = 1..n, n_e of them of element e, offsets (N + 1,), positions
r_i (n, 3) in angstrom, charges q_i (n,) and total charges Q_A (N,) in e. Numbers in parentheses are
equations of the theory page. Dipoles and quadrupoles of given charges are in `multipoles.py`; what
the charges are made of (kernels, weights) is in `basis.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.backend import NUMPY, Array, Backend
from ..units import DEBYE_PER_E_ANGSTROM

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


@dataclass(frozen=True)
class ElementBlock:
    """The atoms of one element in some molecules, and the linear maps of their charges.

    Parameters
    ----------
    number : int
        Atomic number.
    atoms : ndarray of shape (n_e,)
        Positions of these atoms among all atoms of the molecules.
    to_dipole : sparse array of shape (3 n_molecules, n_e), debye / e
        Maps raw charges of these atoms to dipole components; their compensation is included.
    to_sum : sparse array of shape (n_molecules, n_e)
        Maps raw charges of these atoms to their sum in each molecule.
    """

    number: int
    atoms: NDArray[np.intp]
    to_dipole: Array
    to_sum: Array


def element_blocks(
    molecules: Molecules, backend: Backend = NUMPY, arms: FloatArray | None = None
) -> Iterator[ElementBlock]:
    """Yield the atoms of each element with their maps.

    Parameters
    ----------
    molecules : Molecules
    backend : Backend
        Holds the maps.
    arms : ndarray of shape (n_atoms, 3), default=None
        Dipole of a raw charge of 1 on each atom, debye / e. None is that after P of (2).

    Yields
    ------
    ElementBlock
        In the order of atomic numbers.
    """
    index = molecules.molecule_index
    if arms is None:
        # P acts on the positions: sum_i (q_i - mean q)(r_i - c) = sum_i q_i (r_i - mean r).
        arms = DEBYE_PER_E_ANGSTROM * project(molecules.positions, molecules)
    for number in molecules.elements:
        atoms = np.flatnonzero(molecules.numbers == number)
        yield ElementBlock(
            number=int(number),
            atoms=atoms,
            to_dipole=moment_map(arms[atoms], index[atoms], len(molecules), backend),
            to_sum=sum_map(index[atoms], len(molecules), backend),
        )


def sum_map(index: NDArray[np.int64], n_molecules: int, backend: Backend) -> Array:
    """Map raw charges of some atoms (n_e,) to their sum in each molecule (n_molecules,).

    Parameters
    ----------
    index : ndarray of shape (n_e,)
        Molecule of each atom, ascending.
    n_molecules : int
    backend : Backend
        Holds the map, a sparse array.
    """
    pointer = np.searchsorted(index, np.arange(n_molecules + 1)).astype(np.int32)
    columns = np.arange(len(index), dtype=np.int32)
    return backend.csr(np.ones(len(index)), columns, pointer, (n_molecules, len(index)))


def moment_map(
    arms: FloatArray, index: NDArray[np.int64], n_molecules: int, backend: Backend
) -> Array:
    """Map raw charges of some atoms to k components of a moment of each molecule.

    Parameters
    ----------
    arms : ndarray of shape (n_e, k)
        Contribution of a charge of 1 on each atom to each component.
    index : ndarray of shape (n_e,)
        Molecule of each atom, ascending.
    n_molecules : int
    backend : Backend
        Holds the map.

    Returns
    -------
    sparse array of shape (k n_molecules, n_e)
        Row k A + c holds component c of the arms of the atoms of molecule A.
    """
    k = arms.shape[1]
    starts = np.searchsorted(index, np.arange(n_molecules + 1))
    counts = np.repeat(np.diff(starts), k)
    pointer = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    # Each atom has an entry in k rows: the order of entries is (molecule, component, atom).
    axis = np.tile(np.arange(k), len(index))
    atom = np.repeat(np.arange(len(index)), k)
    order = np.lexsort((atom, axis, np.repeat(index, k)))
    values = arms.ravel()[order]
    columns = atom[order].astype(np.int32)
    return backend.csr(values, columns, pointer, (k * n_molecules, len(index)))
