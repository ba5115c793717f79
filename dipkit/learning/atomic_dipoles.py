"""Dipoles of single atoms in addition to their charges: directions and amplitudes (21).

An atom i has the dipole s sum_e y_ie h_ie along h_ie = sum_j c(r_ij) (r_j - r_i), over the other
atoms j of element e in its molecule. The falloff c is a cosine from 1 at distance 0 to 0 at the
cutoff. Each amplitude y_ie is a kernel expansion in the environments that the charges use,
restricted to the leading directions of their basis. So dipoles stay linear in the weights, and no
further kernel value is computed.

Symbols: n atoms, n_e of them of element e, M_e environments of that element, E elements of a model;
vectors h (n, E, 3) in angstrom, amplitudes s y (n, E) in e, dipoles of atoms (n, 3) in debye.
Numbers in parentheses are equations of the theory page. Columns and coefficients of the amplitudes
are in `basis.py`, quadrupoles of atomic dipoles in `multipoles.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.backend import Array, Backend
from ..support.ragged_index import pairs
from ..units import DEBYE_PER_E_ANGSTROM

__all__ = [
    "CUTOFF",
    "SHARE",
    "PredictedDipoles",
    "count_leading",
    "dipole_arms",
    "neighbour_vectors",
    "summed_derivatives",
    "vector_derivatives",
]

FloatArray = NDArray[np.float64]

# Neighbours from this distance on, angstrom, do not count in the vectors.
CUTOFF = 5.0
# Share of the whitened directions in the amplitudes, for each element of the neighbours. As many
# directions as in the charges gained nothing.
SHARE = 0.05


def count_leading(n_directions: int) -> int:
    """Count the whitened directions in each amplitude: the first ones, of largest eigenvalue."""
    return int(np.ceil(SHARE * n_directions))


def neighbour_vectors(molecules: Molecules, elements: Sequence[int]) -> FloatArray:
    """Sum the vectors from each atom to its neighbours, with falloff: h of (21).

    Parameters
    ----------
    molecules : Molecules
    elements : sequence of int
        Atomic numbers of the neighbours, ascending. Neighbours of other elements are left out.

    Returns
    -------
    ndarray of shape (n_atoms, E, 3), angstrom
        One vector for the neighbours of each element. Vectors rotate with the molecule, and do not
        change with a translation.
    """
    if not elements:
        return np.zeros((molecules.n_atoms, 0, 3))
    center, neighbour = pairs(molecules.offsets)
    known = np.isin(molecules.numbers[neighbour], elements)
    center, neighbour = center[known], neighbour[known]
    apart = molecules.positions[neighbour] - molecules.positions[center]
    terms = _falloff(np.linalg.norm(apart, axis=1))[:, None] * apart
    shape = molecules.n_atoms, len(elements)
    place = center * shape[1] + np.searchsorted(elements, molecules.numbers[neighbour])
    sums = [np.bincount(place, term, shape[0] * shape[1]).reshape(shape) for term in terms.T]
    return np.stack(sums, axis=-1)


def dipole_arms(molecules: Molecules, elements: Sequence[int], scale: float) -> FloatArray:
    """Compute the dipole of each atom for an amplitude y of 1.

    Parameters
    ----------
    molecules : Molecules
    elements : sequence of int
        Atomic numbers of the neighbours, ascending.
    scale : float
        s of (21).

    Returns
    -------
    ndarray of shape (n_atoms, E, 3), debye / e
    """
    return scale * DEBYE_PER_E_ANGSTROM * neighbour_vectors(molecules, elements)


def vector_derivatives(one: Molecules, elements: Sequence[int]) -> FloatArray:
    """Compute the derivatives of the vectors of one molecule with respect to its positions.

    Parameters
    ----------
    one : Molecules
        A single molecule of n atoms.
    elements : sequence of int
        Atomic numbers of the neighbours, ascending.

    Returns
    -------
    ndarray of shape (n, n, E, 3, 3)
        ``[i, j, e, b, c]``: component c of the vector of atom i to its neighbours of element e,
        with respect to coordinate b of atom j.
    """
    positions = one.positions
    apart = positions[None] - positions[:, None]
    r = np.linalg.norm(apart, axis=-1)
    inside = np.minimum(r, CUTOFF)
    slope = -np.pi / (2 * CUTOFF) * np.sin(np.pi * inside / CUTOFF)
    slope /= np.where(r > 0, r, 1.0)
    products = apart[..., :, None] * apart[..., None, :]
    term = _falloff(r)[..., None, None] * np.eye(3) + slope[..., None, None] * products
    is_element = one.numbers[:, None] == np.asarray(elements)
    derivatives: FloatArray = term[:, :, None] * is_element[:, :, None, None]
    # A translation changes nothing: an atom's own term is minus the sum of the others.
    own = np.arange(len(positions))
    derivatives[own, own] = 0.0
    derivatives[own, own] = -derivatives.sum(axis=1)
    return derivatives


def summed_derivatives(
    one: Molecules, elements: Sequence[int], amplitudes: FloatArray
) -> FloatArray:
    """Differentiate the sum of the atomic dipoles of one molecule, amplitudes held constant (23).

    Parameters
    ----------
    one : Molecules
        A single molecule of n atoms.
    elements : sequence of int
        Atomic numbers of the neighbours, ascending.
    amplitudes : ndarray of shape (n, E), e
        s y of (21).

    Returns
    -------
    ndarray of shape (n, 3, 3), debye / angstrom
        ``[j, b, c]``: component c of the sum with respect to coordinate b of atom j.
    """
    moved = np.einsum("ie,ijebc->jbc", amplitudes, vector_derivatives(one, elements))
    derivatives: FloatArray = DEBYE_PER_E_ANGSTROM * moved
    return derivatives


def _falloff(distance: FloatArray) -> FloatArray:
    """Smooth falloff c(r), from 1 at distance 0 to 0 at the cutoff and beyond."""
    weights: FloatArray = 0.5 * (1 + np.cos(np.pi * np.minimum(distance, CUTOFF) / CUTOFF))
    return weights


class PredictedDipoles:
    """Atomic dipoles of a fitted model, from the kernel values of atoms.

    Parameters
    ----------
    parts : mapping
        By atomic number, ascending: coefficients (M_e, E) and constants (E,) of the amplitudes, e,
        with their scale included. Empty for a model without atomic dipoles.
    backend : Backend
        Holds the kernel values.
    """

    def __init__(
        self, parts: Mapping[int, tuple[FloatArray, FloatArray]], backend: Backend
    ) -> None:
        self.backend = backend
        self.elements = list(parts)
        self._parts = {
            number: (backend.asarray(coefficients), constants)
            for number, (coefficients, constants) in parts.items()
        }

    def amplitudes(self, number: int, k: Array) -> FloatArray:
        """Compute the amplitudes s y of atoms of one element.

        Parameters
        ----------
        number : int
            Atomic number.
        k : array of shape (n_e, M_e)
            Kernel values of the atoms and the environments of the element.

        Returns
        -------
        ndarray of shape (n_e, E), e
            E = 0 for a model without atomic dipoles.
        """
        if not self.elements:
            return np.zeros((k.shape[0], 0))
        coefficients, constants = self._parts[number]
        amplitudes: FloatArray = self.backend.to_host(k @ coefficients) + constants
        return amplitudes

    def dipoles(self, molecules: Molecules, amplitudes: FloatArray) -> FloatArray:
        """Compute the dipoles of atoms from their amplitudes.

        Parameters
        ----------
        molecules : Molecules
        amplitudes : ndarray of shape (n_atoms, E), e
            From `amplitudes`.

        Returns
        -------
        ndarray of shape (n_atoms, 3), debye
            Zero for a model without atomic dipoles.
        """
        vectors = neighbour_vectors(molecules, self.elements)
        dipoles: FloatArray = DEBYE_PER_E_ANGSTROM * np.einsum("ie,iec->ic", amplitudes, vectors)
        return dipoles
