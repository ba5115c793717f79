"""Normal modes of a molecule, geometries along them, infrared intensities.

Symbols: n atoms, V vibrations (3n - 6, or 3n - 5 of a linear molecule), normal coordinates Q (V,)
in angstrom * sqrt(dalton), modes dr/dQ (V, n, 3) in 1 / sqrt(dalton), wave numbers in 1/cm.
Equations (18) and (19) of the theory page. Forces come from the ASE calculator of the atoms;
derivatives of dipoles are in `derivatives.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from ase import Atoms, units
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..exceptions import InputError

__all__ = ["NormalModes", "infrared_intensities", "normal_modes", "thermal_geometries"]

FloatArray = NDArray[np.float64]
RandomState: TypeAlias = int | np.random.RandomState | None

# N_A / (12 eps_0 c^2) debye^2 / (angstrom^2 dalton), in km/mol (CODATA 2018).
KM_PER_MOL = 42.25606
# Rigid motions whose singular value is below this share of the largest do not move any atom: the
# rotation of a linear molecule about its axis.
RIGID = 1e-4


@dataclass(frozen=True)
class NormalModes:
    """Harmonic vibrations about a geometry.

    Parameters
    ----------
    atoms : ase.Atoms
        The geometry, without a calculator.
    wave_numbers : ndarray of shape (V,), 1/cm
        Ascending; an imaginary frequency counts as negative.
    vectors : ndarray of shape (V, n, 3), 1 / sqrt(dalton)
        Derivatives of the positions with respect to each normal coordinate.
    """

    atoms: Atoms
    wave_numbers: FloatArray
    vectors: FloatArray


def normal_modes(atoms: Atoms, delta: float = 0.005) -> NormalModes:
    """Find the normal modes from central differences of forces.

    Unlike `ase.vibrations`, this leaves out translations and rotations, and writes no file.

    Parameters
    ----------
    atoms : ase.Atoms
        At a minimum of the energy, with a calculator of forces. Not changed.
    delta : float, default=0.005
        Displacement of each coordinate, angstrom.

    Returns
    -------
    NormalModes

    Raises
    ------
    InputError
        If there is no calculator, or fewer than two atoms.
    """
    if len(atoms) < 2 or atoms.calc is None:
        got = "no calculator" if atoms.calc is None else f"{len(atoms)} atoms"
        raise InputError(
            f"atoms: expected at least two atoms with a calculator of forces, got {got}. Set "
            "atoms.calc, for example to tblite.ase.TBLite()."
        )
    root = np.repeat(np.sqrt(atoms.get_masses()), 3)
    inner = _vibrational_space(atoms)
    matrix = inner.T @ (_hessian(atoms, delta) / np.outer(root, root)) @ inner
    omega2, vectors = np.linalg.eigh(matrix)
    energies = units._hbar * 1e10 / np.sqrt(units._e * units._amu) * np.sqrt(np.abs(omega2))
    modes = (inner @ vectors / root[:, None]).T.reshape(-1, len(atoms), 3)
    bare = atoms.copy()
    return NormalModes(bare, np.sign(omega2) * energies / units.invcm, modes)


def thermal_geometries(
    modes: NormalModes,
    n_geometries: int,
    temperature: float = 300.0,
    random_state: RandomState = None,
    lowest: float = 0.0,
) -> Molecules:
    """Draw geometries from the harmonic oscillators of quantum mechanics (18).

    Parameters
    ----------
    modes : NormalModes
    n_geometries : int
    temperature : float, default=300.0
        Kelvin; at 0 the zero-point motion remains.
    random_state : int, RandomState or None, default=None
    lowest : float, default=0.0
        Vibrations below this wave number, 1/cm, are left out. Rotations about bonds are often
        among them: along a straight line they would stretch other bonds. 200 avoids this.

    Returns
    -------
    Molecules
        Without labels; `dipkit.quantum` calculates them.

    Raises
    ------
    InputError
        If the frequency of one of these vibrations is imaginary or zero, or the temperature is
        negative.
    """
    if not temperature >= 0:
        raise InputError(f"temperature: expected a number >= 0, kelvin, got {temperature!r}.")
    moving = (modes.wave_numbers >= lowest) | (lowest == 0)
    wave_numbers = modes.wave_numbers[moving]
    if not (wave_numbers > 0).all():
        raise InputError(
            f"modes: expected positive wave numbers, the lowest is {wave_numbers.min():.0f} 1/cm. "
            "Relax the atoms with the same calculator first, or leave out low ones: lowest=200."
        )
    rng = check_random_state(random_state)
    width = np.sqrt(_variances(wave_numbers, temperature))
    steps = width * rng.standard_normal((n_geometries, len(width)))
    frames = []
    for moved in np.einsum("gk,kjb->gjb", steps, modes.vectors[moving]):
        frame = modes.atoms.copy()
        frame.positions += moved
        frames.append(frame)
    return as_molecules(frames, labels=False)


def infrared_intensities(derivatives: ArrayLike, vectors: ArrayLike) -> FloatArray:
    """Compute the integrated absorption of each vibration, doubly harmonic (19).

    Parameters
    ----------
    derivatives : array-like of shape (n, 3, 3), debye / angstrom
        From `dipkit.response.dipole_derivatives`, of one molecule.
    vectors : array-like of shape (V, n, 3), 1 / sqrt(dalton)
        ``NormalModes.vectors``, or the modes of ``VibrationsData.get_energies_and_modes`` of ASE.

    Returns
    -------
    ndarray of shape (V,), km/mol

    Raises
    ------
    InputError
        If the shapes do not match.

    Examples
    --------
    A charge of 1 debye / angstrom on a mass of 1 dalton:

    >>> from dipkit.response import infrared_intensities
    >>> infrared_intensities([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]], [[[1, 0, 0]]]).round(2)
    array([42.26])
    """
    moved = np.asarray(derivatives, dtype=np.float64)
    modes = np.asarray(vectors, dtype=np.float64)
    n = len(moved)
    if moved.shape != (n, 3, 3) or modes.shape != (len(modes), n, 3):
        raise InputError(
            "vectors: expected derivatives of shape (n, 3, 3) and vectors of shape (V, n, 3) of "
            f"one molecule, got {moved.shape} and {modes.shape}."
        )
    along = np.einsum("kjb,jbc->kc", modes, moved)
    intensities: FloatArray = KM_PER_MOL * (along**2).sum(axis=1)
    return intensities


def _variances(wave_numbers: FloatArray, temperature: float) -> FloatArray:
    """Variance of each normal coordinate (V,), angstrom^2 * dalton (18)."""
    energy = wave_numbers * units.invcm
    ground = 1e20 * units._hbar**2 / (2 * units._amu * units._e * energy)
    if temperature == 0:
        return np.asarray(ground)
    return np.asarray(ground / np.tanh(energy / (2 * units.kB * temperature)))


def _hessian(atoms: Atoms, delta: float) -> FloatArray:
    """Second derivatives of the energy (3n, 3n), eV / angstrom^2, made symmetric."""
    moved, calculator = atoms.copy(), atoms.calc
    moved.calc = calculator
    columns = []
    for coordinate in range(3 * len(atoms)):
        forces = []
        for step in (delta, -delta):
            positions = atoms.get_positions()
            positions.flat[coordinate] += step
            moved.set_positions(positions, apply_constraint=False)
            forces.append(moved.get_forces(apply_constraint=False).ravel())
        columns.append((forces[1] - forces[0]) / (2 * delta))
    hessian = np.array(columns)
    return (hessian + hessian.T) / 2


def _vibrational_space(atoms: Atoms) -> FloatArray:
    """Return an orthonormal basis (3n, V) of mass-weighted displacements without rigid motions."""
    mass, arms = atoms.get_masses(), atoms.positions - atoms.get_center_of_mass()
    axes = np.eye(3)
    shifts = [np.tile(axis, (len(atoms), 1)) for axis in axes]
    turns = [np.cross(axis, arms) for axis in axes]
    weighted = np.sqrt(mass)[:, None] * np.array([shifts, turns])
    # Translations and rotations are scaled separately. Rotations are not scaled one by one: the
    # rotation about the axis of a linear molecule is noise, and would count as a motion.
    rigid = weighted.reshape(2, 3, -1)
    rigid /= np.linalg.norm(rigid, axis=2).max(axis=1)[:, None, None]
    _, strengths, directions = np.linalg.svd(rigid.reshape(6, -1))
    rank = int((strengths > RIGID * strengths[0]).sum())
    return np.asarray(directions[rank:].T)
