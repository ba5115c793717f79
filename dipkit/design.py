"""Linear maps from charges to dipoles, and the maps' pieces for one block of molecules.

Symbols: molecules A = 1..N, atoms i = 1..n, offsets (N+1,), positions r_i (n, 3) in angstrom,
charges q_i in e, dipoles mu_A (N, 3) in debye. Equations are those of the theory page.
What the charges are made of (kernels, weights) is not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._backend import NUMPY, Backend
from .molecules import Molecules
from .units import DEBYE_PER_E_ANGSTROM

FloatArray = NDArray[np.float64]


def molecule_sums(values: FloatArray, offsets: NDArray[np.int64]) -> FloatArray:
    """Sum over the atoms of each molecule: shape (n, ...) to (N, ...)."""
    if len(offsets) == 1:
        return np.zeros((0, *values.shape[1:]))
    sums: FloatArray = np.add.reduceat(values, offsets[:-1], axis=0)
    return sums


def centred(values: FloatArray, molecules: Molecules) -> FloatArray:
    """Apply the projector P: take the mean over each molecule's atoms away (2).

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
    result: FloatArray = values - means[molecules.molecule_index]
    return result


def conserve_charge(charges: FloatArray, molecules: Molecules) -> FloatArray:
    """Apply the projector P and add Q_A / n_A, so that charges sum to the total charge (2).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_atoms,), e
    """
    excess = molecule_sums(charges, molecules.offsets) - molecules.total_charge
    conserved: FloatArray = charges - (excess / molecules.natoms)[molecules.molecule_index]
    return conserved


def dipoles(charges: FloatArray, molecules: Molecules) -> FloatArray:
    """Dipole vectors of atomic charges about the centres of mass (3).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3), debye
    """
    arms = molecules.positions - molecules.centers_of_mass()[molecules.molecule_index]
    moments = molecule_sums(charges[:, None] * arms, molecules.offsets)
    return DEBYE_PER_E_ANGSTROM * moments


def quadrupoles(charges: FloatArray, molecules: Molecules) -> FloatArray:
    """Traceless quadrupole moments of atomic charges about the centres of mass (11).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3, 3), debye*angstrom
        Buckingham's convention, sum_i q_i (3 r r^T - r^2 1) / 2: symmetric, without trace.
    """
    arms = molecules.positions - molecules.centers_of_mass()[molecules.molecule_index]
    products = arms[:, :, None] * arms[:, None]
    second = molecule_sums(charges[:, None, None] * products, molecules.offsets)
    trace = np.trace(second, axis1=1, axis2=2)
    moments: FloatArray = 1.5 * second - 0.5 * trace[:, None, None] * np.eye(3)
    return DEBYE_PER_E_ANGSTROM * moments


def constant_dipoles(molecules: Molecules) -> FloatArray:
    """Dipoles of the total charge spread evenly over the atoms: the part of (3) without weights.

    Returns
    -------
    ndarray of shape (n_molecules, 3), debye
        Zero for neutral molecules.
    """
    even = molecules.total_charge / molecules.natoms
    return dipoles(even[molecules.molecule_index], molecules)


@dataclass(frozen=True)
class ElementBlock:
    """The atoms of one element within a block of molecules, and their linear maps.

    Parameters
    ----------
    number : int
        Atomic number.
    atoms : ndarray of shape (n_e,)
        Positions of these atoms among all atoms of the block.
    moment : sparse array of shape (3 N, n_e), debye / e
        Maps raw charges of these atoms to dipole components, the projector P included.
    member : sparse array of shape (N, n_e)
        Maps raw charges of these atoms to their sums in each molecule.
    """

    number: int
    atoms: NDArray[np.intp]
    moment: Any
    member: Any


def element_blocks(molecules: Molecules, backend: Backend = NUMPY) -> Iterator[ElementBlock]:
    """Yield the atoms of each element with their maps.

    P moves onto the positions: sum_i (q_i - mean q)(r_i - c) = sum_i q_i (r_i - r_mean), so that
    arms are measured from the centroid of each molecule.
    """
    index = molecules.molecule_index
    centroid = molecule_sums(molecules.positions, molecules.offsets) / molecules.natoms[:, None]
    arms = DEBYE_PER_E_ANGSTROM * (molecules.positions - centroid[index])
    for number in molecules.elements:
        atoms = np.flatnonzero(molecules.numbers == number)
        yield ElementBlock(
            number=int(number),
            atoms=atoms,
            moment=_moment_map(arms[atoms], index[atoms], len(molecules), backend),
            member=_member_map(index[atoms], len(molecules), backend),
        )


def _member_map(index: NDArray[np.int64], n_molecules: int, backend: Backend) -> Any:
    pointer = np.searchsorted(index, np.arange(n_molecules + 1)).astype(np.int32)
    columns = np.arange(len(index), dtype=np.int32)
    return backend.csr(np.ones(len(index)), columns, pointer, (n_molecules, len(index)))


def _moment_map(
    arms: FloatArray, index: NDArray[np.int64], n_molecules: int, backend: Backend
) -> Any:
    """Rows 3 A + c hold the arms along axis c of the atoms of molecule A."""
    starts = np.searchsorted(index, np.arange(n_molecules + 1))
    counts = np.repeat(np.diff(starts), 3)
    pointer = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    # Each atom enters three rows: sort (molecule, axis, atom) to find the order of entries.
    axis = np.tile(np.arange(3), len(index))
    atom = np.repeat(np.arange(len(index)), 3)
    order = np.lexsort((atom, axis, np.repeat(index, 3)))
    values = arms.ravel()[order]
    columns = atom[order].astype(np.int32)
    return backend.csr(values, columns, pointer, (3 * n_molecules, len(index)))
