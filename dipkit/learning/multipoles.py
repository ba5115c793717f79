"""Dipoles and quadrupoles of molecules whose atoms carry charges, and perhaps dipoles.

Symbols: N molecules A, n atoms i, positions r_i (n, 3) in angstrom, centres of mass c_A (N, 3),
charges q_i (n,) in e, dipoles of atoms p_i (n, 3) in debye; dipoles mu_A (N, 3) in debye and
quadrupoles Theta_A (N, 3, 3) in debye*angstrom. Numbers in parentheses are equations of the theory
page. Maps that fits apply to the columns of a basis are in `charge_maps.py`; the directions and
columns of atomic dipoles are in `atomic_dipoles.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..units import DEBYE_PER_E_ANGSTROM
from .charge_maps import even_charges, molecule_sums

FloatArray = NDArray[np.float64]

# Largest difference, debye, at which a dipole counts as that of the charges.
MADE_OF_CHARGES = 1e-6


def dipoles(charges: FloatArray, molecules: Molecules) -> FloatArray:
    """Compute the dipoles of atomic charges with respect to the centres of mass (3).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3), debye
    """
    moments = molecule_sums(charges[:, None] * _arms(molecules), molecules.offsets)
    return DEBYE_PER_E_ANGSTROM * moments


def even_dipoles(molecules: Molecules) -> FloatArray:
    """Compute the dipoles of the evenly divided total charges; zero for neutral molecules.

    Parameters
    ----------
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3), debye
    """
    return dipoles(even_charges(molecules), molecules)


def constant_dipoles(molecules: Molecules) -> FloatArray:
    """Return the part of the dipoles that does not depend on the weights.

    Parameters
    ----------
    molecules : Molecules
        Prepared: they carry a baseline only where the model has one.

    Returns
    -------
    ndarray of shape (n_molecules, 3), debye
        mu_b of (9) where the molecules carry baseline dipoles, else mu_Q of (3).
    """
    dipole = molecules.baseline_dipole
    return even_dipoles(molecules) if dipole is None else dipole


def quadrupoles(charges: FloatArray, molecules: Molecules) -> FloatArray:
    """Compute the quadrupoles of atomic charges with respect to the centres of mass (14).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3, 3), debye*angstrom
        Buckingham's convention, sum_i q_i (3 r r^T - r^2 1) / 2: symmetric, without trace.
    """
    arms = _arms(molecules)
    products = arms[:, :, None] * arms[:, None]
    second = molecule_sums(charges[:, None, None] * products, molecules.offsets)
    trace = np.trace(second, axis1=1, axis2=2)
    moments: FloatArray = 1.5 * second - 0.5 * trace[:, None, None] * np.eye(3)
    return DEBYE_PER_E_ANGSTROM * moments


def atomic_quadrupoles(atomic_dipoles: FloatArray, molecules: Molecules) -> FloatArray:
    """Compute the quadrupoles of atomic dipoles with respect to the centres of mass (22).

    Parameters
    ----------
    atomic_dipoles : ndarray of shape (n_atoms, 3), debye
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3, 3), debye*angstrom
        Buckingham's convention, sum_i (3 p r^T + 3 r p^T - 2 p.r 1) / 2: symmetric, without trace.
    """
    products = atomic_dipoles[:, :, None] * _arms(molecules)[:, None]
    sums = molecule_sums(products, molecules.offsets)
    trace = np.trace(sums, axis1=1, axis2=2)
    both = sums + sums.transpose(0, 2, 1)
    moments: FloatArray = 1.5 * both - trace[:, None, None] * np.eye(3)
    return moments


def quadrupoles_of_atoms(
    charges: FloatArray, atomic_dipoles: FloatArray, dipole: FloatArray, molecules: Molecules
) -> FloatArray:
    """Compute the quadrupoles of atoms that carry charges and dipoles, (14) and (22).

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    atomic_dipoles : ndarray of shape (n_atoms, 3), debye
    dipole : ndarray of shape (n_molecules, 3), debye
        Of the molecules, as predicted.
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_molecules, 3, 3), debye*angstrom

    Raises
    ------
    InputError
        If charges and dipoles of the atoms do not make the dipoles of the molecules.
    """
    rest = dipole - molecule_sums(atomic_dipoles, molecules.offsets)
    require_made_of_charges(rest, charges, molecules)
    return quadrupoles(charges, molecules) + atomic_quadrupoles(atomic_dipoles, molecules)


def require_made_of_charges(dipole: FloatArray, charges: FloatArray, molecules: Molecules) -> None:
    """Refuse dipoles that are not those of the charges.

    A baseline may hold more than charges. Then quadrupoles of the charges alone would be wrong.

    Parameters
    ----------
    dipole : ndarray of shape (n_molecules, 3), debye
        NaN where the baseline failed: these molecules are left out.
    charges : ndarray of shape (n_atoms,), e
    molecules : Molecules

    Raises
    ------
    InputError
        If charges and dipoles differ.
    """
    difference = np.abs(dipoles(charges, molecules) - dipole)[~np.isnan(dipole)]
    largest = difference.max(initial=0.0)
    # Written so that NaN of the charges is refused too.
    if not largest < MADE_OF_CHARGES:
        raise InputError(
            "quadrupole: expected dipoles that the predicted charges make, with the atomic dipoles "
            f"of the model if it has some, got a difference of up to {largest:.2g} debye. The "
            "model's baseline holds more than charges, and quadrupoles would leave that out. Use a "
            "model without a baseline."
        )


def _arms(molecules: Molecules) -> FloatArray:
    """Positions with respect to the centre of mass of the molecule (n_atoms, 3), angstrom."""
    arms: FloatArray = molecules.positions - molecules.centers_of_mass()[molecules.molecule_index]
    return arms
