"""Compensation of charges: where in its molecule the opposite of an atom's charge goes (24).

Raw charges a become charges q = s (1 - M) a, which sum to zero. With the Laplacian L of the bond
graph of the molecule and a stiffness t,

    M = (1 + t L)^-1,    L_ii = sum_j g_ij,    L_ij = -g_ij,
    g_ij = 1 / (1 + exp(40 (r_ij / (R_i + R_j) - 1.25)))

with covalent radii R. The rows of M sum to 1: what an atom takes is given by the atoms around it,
the nearer along bonds the more. With t to infinity M is the mean over the molecule (over each of
its fragments), and 1 - M the projector P of (2), which spreads the opposite charge evenly. That is
wrong for large molecules. M is symmetric, so that the dipole of raw charges is sum_i a_i h_i with
the arms h = s (1 - M) r.

Symbols: n atoms, positions r_i (n, 3) in angstrom, raw charges a_i (n,) and charges q_i in e.
Numbers in parentheses are equations of the theory page. The raw charges are made in `basis.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.special import expit

from ..data.molecules import Molecules
from ..support.backend import Array, Backend
from ..support.ragged_index import of_one_size
from ..support.sparse_rows import SparseRows
from .charge_maps import project

__all__ = [
    "ALONG_BONDS",
    "BOND_STIFFNESS",
    "EVEN",
    "Compensation",
    "Spreads",
    "count_bond_directions",
]

FloatArray = NDArray[np.float64]
# Atoms (m, n) and matrices M (m, n, n) of molecules of one size, for each size.
Spreads: TypeAlias = list[tuple[NDArray[np.intp], FloatArray]]

# Bonds end where the distance is this multiple of the sum of the radii, within 1 / STEEPNESS of it.
BOND_REACH = 1.25
STEEPNESS = 40.0
# Stiffness t of bond charges, which are compensated a few bonds away.
BOND_STIFFNESS = 4.0
# Share of the whitened directions that bond charges have.
BOND_SHARE = 0.1
# Pairs of atoms whose bonds are in memory at once.
PAIRS_AT_ONCE = 1_000_000


def count_bond_directions(n_directions: int) -> int:
    """Count the whitened directions of bond charges: the first ones, of largest eigenvalue."""
    return math.ceil(BOND_SHARE * n_directions)


@dataclass(frozen=True)
class Compensation:
    """The map s (1 - M) from raw charges to charges.

    Parameters
    ----------
    stiffness : float, default=inf
        t; infinity spreads the opposite charge evenly over the molecule.
    scale : float, default=1.0
        s.
    """

    stiffness: float = math.inf
    scale: float = 1.0

    @property
    def is_even(self) -> bool:
        """Whether the map is P: the opposite charge is spread evenly."""
        return math.isinf(self.stiffness)

    def apply(
        self, values: FloatArray, molecules: Molecules, spreads: Spreads | None = None
    ) -> FloatArray:
        """Compute s (1 - M) times some values of the atoms.

        Parameters
        ----------
        values : ndarray of shape (n_atoms,) or (n_atoms, k)
            Raw charges give charges, positions give the arms of raw charges.
        molecules : Molecules
        spreads : list, default=None
            From `spreads`, where they are used more than once.

        Returns
        -------
        ndarray of the same shape
        """
        if self.is_even:
            return self.scale * project(values, molecules)
        columns = values if values.ndim > 1 else values[:, None]
        found = np.empty(columns.shape)
        for atoms, spread in self.spreads(molecules) if spreads is None else spreads:
            some = columns[atoms]
            found[atoms] = some - spread @ some
        return self.scale * found.reshape(values.shape)

    def matrix(self, molecules: Molecules, backend: Backend) -> Array:
        """Return s (1 - M) as a sparse matrix (n_atoms, n_atoms), one block for each molecule.

        Parameters
        ----------
        molecules : Molecules
        backend : Backend
            Holds the matrix.
        """
        return self.rows(molecules).on(backend)

    def rows(self, molecules: Molecules, spreads: Spreads | None = None) -> SparseRows:
        """Return s (1 - M) as a sparse matrix of the host, from `spreads` where they are known."""
        natoms, n = molecules.natoms, molecules.n_atoms
        pointer = np.concatenate(([0], np.cumsum(np.repeat(natoms, natoms)))).astype(np.int32)
        values, columns = np.empty(pointer[-1]), np.empty(pointer[-1], dtype=np.int32)
        for atoms, spread in self.spreads(molecules) if spreads is None else spreads:
            size = atoms.shape[1]
            places = pointer[atoms][:, :, None] + np.arange(size)
            values[places] = self.scale * (np.eye(size) - spread)
            columns[places] = atoms[:, None, :]
        return SparseRows(values, columns, pointer, (n, n))

    def derivatives(self, one: Molecules, raw: FloatArray) -> FloatArray:
        """Differentiate s (1 - M) a of one molecule with respect to its positions, a held constant.

        Parameters
        ----------
        one : Molecules
            A single molecule of n atoms.
        raw : ndarray of shape (n,), e
            a.

        Returns
        -------
        ndarray of shape (n, n, 3), e / angstrom
            ``[i, j, b]``: charge of atom i with respect to coordinate b of atom j. Zero for even
            compensation.
        """
        n = one.n_atoms
        if self.is_even:
            return np.zeros((n, n, 3))
        spread = self._spread(one.numbers[None], one.positions[None])[0]
        # d(-M) = t M dL M, and row i of dL v is the sum over j of dg_ij (v_i - v_j).
        v = spread @ raw
        terms = _bond_slopes(one.numbers, one.positions) * (v[:, None] - v[None])[..., None]
        change = -terms  # [i, j]: row i with respect to the position of j
        change[np.arange(n), np.arange(n)] = terms.sum(axis=1)
        moved = (spread @ change.reshape(n, -1)).reshape(n, n, 3)
        derivatives: FloatArray = self.scale * self.stiffness * moved
        return derivatives

    def spreads(self, molecules: Molecules) -> Spreads:
        """Return atoms (m, n) and matrices M (m, n, n) of molecules of one size, for each size."""
        return [
            (atoms, self._spread(molecules.numbers[atoms], molecules.positions[atoms]))
            for atoms in of_one_size(molecules.offsets, PAIRS_AT_ONCE)
        ]

    def _spread(self, numbers: NDArray[np.int64], positions: FloatArray) -> FloatArray:
        """Compute M (m, n, n) of molecules of one size."""
        n = numbers.shape[1]
        if self.is_even:
            return np.full((len(numbers), n, n), 1 / n)
        systems = np.eye(n) + self.stiffness * _laplacians(numbers, positions)
        return np.asarray(np.linalg.inv(systems), dtype=np.float64)


EVEN = Compensation()
# In place of even compensation, for molecules larger than those of the training: errors grow less
# with the size. The scale makes arms as long as those of even compensation in molecules of QM9.
ALONG_BONDS = Compensation(BOND_STIFFNESS, 2.1)


def _bond_orders(numbers: NDArray[np.int64], distance: FloatArray) -> FloatArray:
    """Compute g (..., n, n), zero between an atom and itself."""
    radii = covalent_radii[numbers]
    reach = radii[..., :, None] + radii[..., None, :]
    orders: FloatArray = expit(-STEEPNESS * (distance / reach - BOND_REACH))
    own = np.arange(numbers.shape[-1])
    orders[..., own, own] = 0.0
    return orders


def _laplacians(numbers: NDArray[np.int64], positions: FloatArray) -> FloatArray:
    """Compute L (m, n, n) of molecules of one size."""
    distance = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    laplacians = -_bond_orders(numbers, distance)
    own = np.arange(numbers.shape[-1])
    laplacians[:, own, own] = -laplacians.sum(axis=-1)
    return laplacians


def _bond_slopes(numbers: NDArray[np.int64], positions: FloatArray) -> FloatArray:
    """Differentiate g_ij with respect to the position of atom i (n, n, 3), per angstrom."""
    apart = positions[:, None] - positions[None]
    distance = np.linalg.norm(apart, axis=-1)
    radii = covalent_radii[numbers]
    reach = radii[:, None] + radii[None]
    g = _bond_orders(numbers, distance)
    slope = -STEEPNESS / reach * g * (1 - g)
    slopes: FloatArray = (slope / np.where(distance > 0, distance, 1.0))[..., None] * apart
    return slopes
