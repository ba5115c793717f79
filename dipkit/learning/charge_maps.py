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

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.backend import NUMPY, Backend
from ..units import DEBYE_PER_E_ANGSTROM

FloatArray = NDArray[np.float64]

# Dipoles closer to those of the charges than this, debye, are made of them.
MADE_OF_CHARGES = 1e-6


def molecule_sums(values: FloatArray, offsets: NDArray[np.int64]) -> FloatArray:
    """Sum over the atoms of each molecule: shape (n, ...) to (N, ...)."""
    if len(offsets) == 1:
        return np.zeros((0, *values.shape[1:]))
    sums: FloatArray = np.add.reduceat(values, offsets[:-1], axis=0)
    return sums


def project(values: FloatArray, molecules: Molecules) -> FloatArray:
    """Apply the projector P of (2): take away the mean over each molecule.

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
    """Traceless quadrupole moments of atomic charges about the centres of mass (14).

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


def require_made_of_charges(dipole: FloatArray, charges: FloatArray, molecules: Molecules) -> None:
    """Refuse higher moments of charges that do not make the dipoles.

    Parameters
    ----------
    dipole : ndarray of shape (n_molecules, 3), debye
        NaN where the baseline failed: these molecules are passed over.
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Raises
    ------
    InputError
        If charges and dipoles differ: a baseline may hold more than charges.
    """
    off = np.abs(dipoles(charges, molecules) - dipole)
    # Molecules whose baseline failed are NaN, and say nothing about the others.
    off = off[~np.isnan(dipole)].max(initial=0.0)
    if not off < MADE_OF_CHARGES:
        raise InputError(
            "quadrupole: the predicted dipoles are not those of the predicted charges (they differ "
            f"by up to {off:.2g} debye), since the model's baseline holds more than charges; "
            "quadrupoles of the charges alone would leave that out. Use a model without a baseline."
        )


def even_charges(molecules: Molecules) -> FloatArray:
    """Total charges spread evenly over the atoms (n_atoms,), e."""
    even: FloatArray = (molecules.total_charge / molecules.natoms)[molecules.molecule_index]
    return even


def even_dipoles(molecules: Molecules) -> FloatArray:
    """Dipoles of the evenly spread charges (n_molecules, 3), debye; zero for neutral molecules."""
    return dipoles(even_charges(molecules), molecules)


def constant_dipoles(molecules: Molecules) -> FloatArray:
    """Part of the dipoles without weights: that of (3), or mu_b of (9) with a baseline.

    Parameters
    ----------
    molecules : Molecules
        Prepared: they carry a baseline only where the model has one.

    Returns
    -------
    ndarray of shape (n_molecules, 3), debye
    """
    dipole = molecules.baseline_dipole
    return even_dipoles(molecules) if dipole is None else dipole


def constant_charges(molecules: Molecules) -> FloatArray:
    """Part of the charges without weights: Q/n of (1), or q_b of (9) with baseline charges.

    Parameters
    ----------
    molecules : Molecules
        Prepared, as for `constant_dipoles`.

    Returns
    -------
    ndarray of shape (n_atoms,), e
    """
    charges = molecules.baseline_charges
    return even_charges(molecules) if charges is None else charges


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
            moment=moment_map(arms[atoms], index[atoms], len(molecules), backend),
            member=_member_map(index[atoms], len(molecules), backend),
        )


def _member_map(index: NDArray[np.int64], n_molecules: int, backend: Backend) -> Any:
    pointer = np.searchsorted(index, np.arange(n_molecules + 1)).astype(np.int32)
    columns = np.arange(len(index), dtype=np.int32)
    return backend.csr(np.ones(len(index)), columns, pointer, (n_molecules, len(index)))


def moment_map(
    arms: FloatArray, index: NDArray[np.int64], n_molecules: int, backend: Backend
) -> Any:
    """Map raw charges of some atoms to k components of moments of their molecules.

    Parameters
    ----------
    arms : ndarray of shape (n_e, k)
        What a charge on each atom adds to each component.
    index : ndarray of shape (n_e,)
        Molecule of each atom, ascending.
    n_molecules : int
    backend : Backend

    Returns
    -------
    sparse array of shape (k n_molecules, n_e)
        Rows k A + c hold component c of the arms of the atoms of molecule A.
    """
    k = arms.shape[1]
    starts = np.searchsorted(index, np.arange(n_molecules + 1))
    counts = np.repeat(np.diff(starts), k)
    pointer = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    # Each atom enters k rows: sort (molecule, component, atom) to find the order of entries.
    axis = np.tile(np.arange(k), len(index))
    atom = np.repeat(np.arange(len(index)), k)
    order = np.lexsort((atom, axis, np.repeat(index, k)))
    values = arms.ravel()[order]
    columns = atom[order].astype(np.int32)
    return backend.csr(values, columns, pointer, (k * n_molecules, len(index)))
