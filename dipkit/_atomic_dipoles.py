"""Dipoles of single atoms beside their charges: where they point, and what predicts them (21).

An atom has the dipole s y_i h_i along h_i = sum_j f(r_ij) (r_j - r_i), over the other atoms of its
molecule; f falls from 1 to 0 at a cutoff, as a cosine. The amplitude y_i is a kernel expansion in
the environments that the charges use, kept to the leading directions of their basis. So dipoles
stay linear in the weights, and no kernel value is added. Symbols: n atoms, N molecules, vectors
h (n, 3) in angstrom, amplitudes s y (n,) in e, dipoles of atoms (n, 3) in debye.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._backend import Backend
from ._ragged import pairs
from .design import molecule_sums, quadrupoles, require_made_of_charges
from .exceptions import InputError
from .molecules import Molecules
from .units import DEBYE_PER_E_ANGSTROM

__all__ = [
    "CUTOFF",
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
CUTOFF = 3.5
# Share of the whitened directions that amplitudes are made of; each costs as much as in charges.
SHARE = 0.25


def count_leading(n_directions: int) -> int:
    """Whitened directions of an element, largest eigenvalue first, that amplitudes are made of."""
    return int(np.ceil(SHARE * n_directions))


def neighbour_vectors(molecules: Molecules) -> FloatArray:
    """Sum the vectors to an atom's neighbours, closer ones with more weight: h of (21).

    Parameters
    ----------
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_atoms, 3), angstrom
        They turn with a molecule, and do not change when it moves.
    """
    center, neighbour = pairs(molecules.offsets)
    apart = molecules.positions[neighbour] - molecules.positions[center]
    weights = _falloff(np.linalg.norm(apart, axis=1))
    starts = np.searchsorted(center, np.arange(molecules.n_atoms))
    vectors: FloatArray = np.add.reduceat(weights[:, None] * apart, starts, axis=0)
    return vectors


def dipole_arms(molecules: Molecules, scale: float) -> FloatArray:
    """Return the dipoles that an amplitude y of 1 on each atom makes (n_atoms, 3), debye / e."""
    return scale * DEBYE_PER_E_ANGSTROM * neighbour_vectors(molecules)


def vector_derivatives(positions: FloatArray) -> FloatArray:
    """Derive the vectors of one molecule by its positions.

    Parameters
    ----------
    positions : ndarray of shape (n, 3), angstrom

    Returns
    -------
    ndarray of shape (n, n, 3, 3)
        ``[i, j, b, c]`` is that of component c of the vector of atom i by coordinate b of atom j.
    """
    apart = positions[None] - positions[:, None]
    r = np.linalg.norm(apart, axis=-1)
    inside = np.minimum(r, CUTOFF)
    slope = -np.pi / (2 * CUTOFF) * np.sin(np.pi * inside / CUTOFF)
    slope /= np.where(r > 0, r, 1.0)
    products = apart[..., :, None] * apart[..., None, :]
    found: FloatArray = _falloff(r)[..., None, None] * np.eye(3) + slope[..., None, None] * products
    own = np.arange(len(positions))
    found[own, own] = 0.0
    found[own, own] = -found.sum(axis=1)
    return found


def summed_derivatives(one: Molecules, amplitudes: FloatArray, moved: FloatArray) -> FloatArray:
    """Derive the sum of the atomic dipoles of one molecule by its positions (23).

    Parameters
    ----------
    one : Molecules
        A single one.
    amplitudes : ndarray of shape (n,), e
    moved : ndarray of shape (n, n, 3), e / angstrom
        Derivatives of the amplitudes: ``[i, j, b]`` by coordinate b of atom j.

    Returns
    -------
    ndarray of shape (n, 3, 3), debye / angstrom
        ``[j, b, c]`` is that of component c by coordinate b of atom j.
    """
    found = np.einsum("ijb,ic->jbc", moved, neighbour_vectors(one))
    found += np.einsum("i,ijbc->jbc", amplitudes, vector_derivatives(one.positions))
    derivatives: FloatArray = DEBYE_PER_E_ANGSTROM * found
    return derivatives


def _falloff(distance: FloatArray) -> FloatArray:
    """f(r): 1 at no distance, 0 from the cutoff on, smooth."""
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
        self.elements: dict[int, tuple[Any, float]] = {}
        if not has_atomic_dipoles(model):
            return
        constants = model.atomic_dipole_intercept_.tolist()
        for number, constant in zip(model.elements_.tolist(), constants, strict=True):
            mine = model.atomic_dipole_coef_[model.inducing_numbers_ == number]
            self.elements[number] = backend.asarray(mine), constant

    def amplitudes(self, number: int, k: Any) -> FloatArray | float:
        """Return s y (n_e,), e, of atoms of one element with this kernel (n_e, M_e)."""
        if not self.elements:
            return 0.0
        coefficients, constant = self.elements[number]
        amplitudes: FloatArray = self.backend.to_host(k @ coefficients) + constant
        return amplitudes

    def dipoles(self, molecules: Molecules, amplitudes: FloatArray) -> FloatArray:
        """Return the dipoles of the atoms with these amplitudes (n_atoms, 3), debye."""
        if not self.elements:
            return np.zeros((molecules.n_atoms, 3))
        return DEBYE_PER_E_ANGSTROM * amplitudes[:, None] * neighbour_vectors(molecules)
