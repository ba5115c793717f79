"""Dipoles of single atoms beside their charges: where they point, and what predicts them (21).

An atom has the dipole s sum_e y_ie h_ie along h_ie = sum_j c(r_ij) (r_j - r_i), over the other
atoms of element e in its molecule; c falls from 1 to 0 at a cutoff, as a cosine. Each amplitude
y_ie is a kernel expansion in the environments that the charges use, kept to the leading directions
of their basis. So dipoles stay linear in the weights, and no kernel value is added. Symbols: n
atoms, N molecules, E elements of a model, vectors h (n, E, 3) in angstrom, amplitudes s y (n, E)
in e, dipoles of atoms (n, 3) in debye.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.backend import Backend
from ..support.ragged_index import pairs
from ..units import DEBYE_PER_E_ANGSTROM
from .charge_maps import molecule_sums, quadrupoles, require_made_of_charges

__all__ = [
    "CUTOFF",
    "SHARE",
    "PredictedDipoles",
    "atomic_quadrupoles",
    "count_leading",
    "dipole_arms",
    "has_atomic_dipoles",
    "neighbour_vectors",
    "quadrupoles_of_atoms",
    "require_same_scale",
    "summed_derivatives",
    "vector_derivatives",
]

FloatArray = NDArray[np.float64]

# Atoms at this distance, angstrom, no longer count in the vectors.
CUTOFF = 5.0
# Share of the whitened directions that amplitudes are made of, for each element around: more cost
# as much as in charges, and gained nothing.
SHARE = 0.05


def count_leading(n_directions: int) -> int:
    """Whitened directions of an element, largest eigenvalue first, for each of its amplitudes."""
    return int(np.ceil(SHARE * n_directions))


def neighbour_vectors(molecules: Molecules, elements: Sequence[int]) -> FloatArray:
    """Sum the vectors to an atom's neighbours, closer ones with more weight: h of (21).

    Parameters
    ----------
    molecules : Molecules
    elements : sequence of int
        Atomic numbers, ascending.

    Returns
    -------
    ndarray of shape (n_atoms, E, 3), angstrom
        One for the neighbours of each element. They turn with a molecule, and do not change when
        it moves.
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
    """Return the dipoles that amplitudes y of 1 on each atom make (n_atoms, E, 3), debye / e."""
    return scale * DEBYE_PER_E_ANGSTROM * neighbour_vectors(molecules, elements)


def vector_derivatives(one: Molecules, elements: Sequence[int]) -> FloatArray:
    """Derive the vectors of one molecule by its positions.

    Parameters
    ----------
    one : Molecules
        A single one.
    elements : sequence of int
        Atomic numbers, ascending.

    Returns
    -------
    ndarray of shape (n, n, E, 3, 3)
        ``[i, j, e, b, c]`` is that of component c of the vector of atom i to its neighbours of
        element e by coordinate b of atom j.
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
    found: FloatArray = term[:, :, None] * is_element[:, :, None, None]
    own = np.arange(len(positions))
    found[own, own] = 0.0
    found[own, own] = -found.sum(axis=1)
    return found


def summed_derivatives(
    one: Molecules, elements: Sequence[int], amplitudes: FloatArray, moved: FloatArray
) -> FloatArray:
    """Derive the sum of the atomic dipoles of one molecule by its positions (23).

    Parameters
    ----------
    one : Molecules
        A single one.
    elements : sequence of int
        Atomic numbers, ascending.
    amplitudes : ndarray of shape (n, E), e
    moved : ndarray of shape (E, n, n, 3), e / angstrom
        Derivatives of the amplitudes: ``[e, i, j, b]`` by coordinate b of atom j.

    Returns
    -------
    ndarray of shape (n, 3, 3), debye / angstrom
        ``[j, b, c]`` is that of component c by coordinate b of atom j.
    """
    found = np.einsum("eijb,iec->jbc", moved, neighbour_vectors(one, elements))
    found += np.einsum("ie,ijebc->jbc", amplitudes, vector_derivatives(one, elements))
    derivatives: FloatArray = DEBYE_PER_E_ANGSTROM * found
    return derivatives


def _falloff(distance: FloatArray) -> FloatArray:
    """c(r): 1 at no distance, 0 from the cutoff on, smooth."""
    weights: FloatArray = 0.5 * (1 + np.cos(np.pi * np.minimum(distance, CUTOFF) / CUTOFF))
    return weights


def atomic_quadrupoles(dipoles: FloatArray, molecules: Molecules) -> FloatArray:
    """Traceless quadrupole moments of atomic dipoles about the centres of mass (22).

    Parameters
    ----------
    dipoles : ndarray of shape (n_atoms, 3), debye
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3, 3), debye*angstrom
        Buckingham's convention, sum_i (3 p r^T + 3 r p^T - 2 p.r 1) / 2.
    """
    arms = molecules.positions - molecules.centers_of_mass()[molecules.molecule_index]
    products = molecule_sums(dipoles[:, :, None] * arms[:, None], molecules.offsets)
    trace = np.trace(products, axis1=1, axis2=2)
    both = products + products.transpose(0, 2, 1)
    moments: FloatArray = 1.5 * both - trace[:, None, None] * np.eye(3)
    return moments


def quadrupoles_of_atoms(
    charges: FloatArray, atomic_dipoles: FloatArray, dipole: FloatArray, molecules: Molecules
) -> FloatArray:
    """Quadrupoles of atoms that carry charges and dipoles, (14) and (22).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    atomic_dipoles : ndarray of shape (n_atoms, 3), debye
    dipole : ndarray of shape (n_molecules, 3), debye
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3, 3), debye*angstrom

    Raises
    ------
    InputError
        If the atoms do not make the dipoles: a baseline may hold more than charges.
    """
    rest = dipole - molecule_sums(atomic_dipoles, molecules.offsets)
    require_made_of_charges(rest, charges, molecules)
    return quadrupoles(charges, molecules) + atomic_quadrupoles(atomic_dipoles, molecules)


def require_same_scale(before: float, now: float) -> None:
    """Refuse to go on with another scale of atomic dipoles than that of the molecules before.

    Parameters
    ----------
    before, now : float

    Raises
    ------
    InputError
    """
    if before != now:
        raise InputError(
            f"atomic_dipoles: the calls of partial_fit before used {before:g}, got {now:g}. Keep "
            "the scale, or fit anew."
        )


def has_atomic_dipoles(model: Any) -> bool:
    """Tell whether a fitted model has atomic dipoles; older ones do not know of them."""
    return getattr(model, "atomic_dipole_coef_", None) is not None


class PredictedDipoles:
    """Tells atomic dipoles from the kernel of the atoms, element by element.

    Parameters
    ----------
    model : DipoleKernelRidge
        Fitted; without atomic dipoles all of them are zero.
    backend : Backend
    """

    def __init__(self, model: Any, backend: Backend) -> None:
        self.backend = backend
        self.elements: list[int] = []
        self._parts: dict[int, tuple[Any, FloatArray]] = {}
        if not has_atomic_dipoles(model):
            return
        self.elements = model.elements_.tolist()
        for number, constants in zip(self.elements, model.atomic_dipole_intercept_, strict=True):
            mine = model.atomic_dipole_coef_[model.inducing_numbers_ == number]
            self._parts[number] = backend.asarray(mine), constants

    def amplitudes(self, number: int, k: Any) -> FloatArray:
        """Return s y (n_e, E), e, of atoms of one element with this kernel (n_e, M_e)."""
        if not self.elements:
            return np.zeros((k.shape[0], 0))
        coefficients, constants = self._parts[number]
        amplitudes: FloatArray = self.backend.to_host(k @ coefficients) + constants
        return amplitudes

    def dipoles(self, molecules: Molecules, amplitudes: FloatArray) -> FloatArray:
        """Return the dipoles of the atoms with these amplitudes (n_atoms, 3), debye."""
        vectors = neighbour_vectors(molecules, self.elements)
        dipoles: FloatArray = DEBYE_PER_E_ANGSTROM * np.einsum("ie,iec->ic", amplitudes, vectors)
        return dipoles
