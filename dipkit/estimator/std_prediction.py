"""What a fitted model keeps to tell standard deviations, and how a prediction tells them (12).

Symbols: n atoms, M inducing environments, S draws; charges in e, dipoles in debye. How the draws
and their scale come about is in `std_calibration.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..learning.atomic_dipoles import dipole_arms
from ..learning.charge_maps import molecule_sums
from ..support.backend import Backend
from ..units import DEBYE_PER_E_ANGSTROM

FloatArray = NDArray[np.float64]
# Atoms of one element, draws of their charges (n_e, S) or, with atomic dipoles, of charges and
# amplitudes (n_e, S + E S), and the charge of their novelty (n_e,), e.
DrawnCharges = tuple[NDArray[np.intp], FloatArray, FloatArray]

# A dipole shorter than this, debye, has no direction: an error along any axis lengthens it.
MIN_DIRECTED_DIPOLE = 0.01


@dataclass(frozen=True)
class Spread:
    """What `predict` needs for standard deviations; all of it on the host.

    Parameters
    ----------
    coefficients : ndarray of shape (M, S), e
        Kernel coefficients of the draws, of mean zero, divided by the root of S.
    intercepts : ndarray of shape (n_elements, S), e
        Their constants.
    whitening : list of ndarray of shape (M_e, r_e), float32
        For each element.
    novelty : float, e
        Charge that an environment unlike all inducing ones may deviate by, by the kernel.
    ceiling : float, e
        What that charge is limited to.
    floor : float, debye
        Standard deviation of the best known magnitude.
    dipole_coefficients : ndarray of shape (M, E, S), e, default=None
        Kernel coefficients of the draws' atomic dipoles, where the model has some.
    dipole_intercepts : ndarray of shape (n_elements, E, S), e, default=None
    """

    coefficients: FloatArray
    intercepts: FloatArray
    whitening: list[NDArray[np.float32]]
    novelty: float
    ceiling: float
    floor: float
    dipole_coefficients: FloatArray | None = None
    dipole_intercepts: FloatArray | None = None

    def store(self, model: Any) -> None:
        """Make these the fitted attributes ``std_*_`` of an estimator."""
        model.std_coef_, model.std_intercept_ = self.coefficients, self.intercepts
        model.std_whitening_ = self.whitening
        model.std_novelty_, model.std_ceiling_ = self.novelty, self.ceiling
        model.std_floor_ = self.floor
        model.std_dipole_coef_ = self.dipole_coefficients
        model.std_dipole_intercept_ = self.dipole_intercepts


def clear_spread(model: Any) -> None:
    """Take the fitted attributes ``std_*_`` away from an estimator, where there are any."""
    for name in [name for name in vars(model) if name.startswith("std_")]:
        delattr(model, name)


class PredictedSpread:
    """Tells standard deviations from the kernel of the atoms, element by element.

    Parameters
    ----------
    model : DipoleKernelRidge
        Fitted.
    backend : Backend

    Raises
    ------
    InputError
        If the model keeps no standard deviations.
    """

    def __init__(self, model: Any, backend: Backend) -> None:
        if not hasattr(model, "std_coef_"):
            raise InputError(
                "return_std: this model was fitted by an older dipkit, or to the dipoles of single "
                "atoms alone, and keeps nothing to tell standard deviations from. Fit it to "
                "molecules, or predict without them."
            )
        self.backend, self.floor = backend, float(model.std_floor_)
        self.novelty, self.ceiling = float(model.std_novelty_), float(model.std_ceiling_)
        self.n_samples = model.std_coef_.shape[1]
        self.elements = {}
        coefficients, intercepts = _drawn(model)
        for place, number in enumerate(model.elements_.tolist()):
            mine = model.inducing_numbers_ == number
            arrays = (
                coefficients[mine],
                intercepts[place],
                model.std_whitening_[place].astype(np.float64),
            )
            self.elements[number] = [backend.asarray(array) for array in arrays]
        self.around = [] if len(coefficients.T) == self.n_samples else model.elements_.tolist()

    def draw(self, number: int, atoms: NDArray[np.intp], k: Any) -> DrawnCharges:
        """Draw charges, and amplitudes, of atoms of one element from their kernel (n_e, M_e)."""
        coefficients, constants, whitening = self.elements[number]
        to_host = self.backend.to_host
        novelty = self.novelty * np.sqrt(residual_kernel(to_host(k @ whitening)))
        drawn = to_host(k @ coefficients + constants)
        return atoms, drawn, np.minimum(novelty, self.ceiling)

    def std(
        self, block: Molecules, dipoles: FloatArray, drawn: Iterable[DrawnCharges]
    ) -> FloatArray:
        """Return the standard deviations of some molecules (n_molecules,), debye (12).

        Single atoms, which have no dipole whatever their charge, have none.

        Parameters
        ----------
        block : Molecules
        dipoles : ndarray of shape (n_molecules, 3), debye
        drawn : iterable of DrawnCharges
            Of all elements of these molecules.
        """
        parts = list(drawn)
        values = np.empty((block.n_atoms, parts[0][1].shape[1]))
        novelty = np.empty(block.n_atoms)
        for atoms, of_atoms, charge in parts:
            values[atoms], novelty[atoms] = of_atoms, charge
        samples, amplitudes = values[:, : self.n_samples], values[:, self.n_samples :]
        amplitudes = amplitudes.reshape(block.n_atoms, len(self.around), self.n_samples)
        variance = _variance(block, directions(dipoles), samples, novelty, self.around, amplitudes)
        short = np.linalg.norm(dipoles, axis=1) < MIN_DIRECTED_DIPOLE
        if short.any():
            axes = [np.tile(axis, (len(block), 1)) for axis in np.eye(3)]
            every = sum(
                _variance(block, axis, samples, novelty, self.around, amplitudes) for axis in axes
            )
            variance = np.where(short, every, variance)
        std: FloatArray = np.where(block.natoms > 1, np.sqrt(variance + self.floor**2), 0.0)
        return std


def _drawn(model: Any) -> tuple[FloatArray, FloatArray]:
    """Coefficients and constants of the draws; those of atomic dipoles beside those of charges."""
    dipoles = getattr(model, "std_dipole_coef_", None)
    if dipoles is None:
        return model.std_coef_, model.std_intercept_
    flat, constants = (
        part.reshape(len(part), -1) for part in (dipoles, model.std_dipole_intercept_)
    )
    coefficients = np.concatenate([model.std_coef_, flat], axis=1)
    return coefficients, np.concatenate([model.std_intercept_, constants], axis=1)


def _variance(
    block: Molecules,
    unit: FloatArray,
    samples: FloatArray,
    novelty: FloatArray,
    around: Sequence[int],
    amplitudes: FloatArray,
) -> FloatArray:
    """Variance of the dipoles along unit vectors (n_molecules, 3), debye^2."""
    arms = directed_arms(block, unit)
    drawn = molecule_sums(arms[:, None] * samples, block.offsets)
    if around:
        arms_of_dipoles = dipole_arms(block, around, 1.0)
        along = (arms_of_dipoles * unit[block.molecule_index][:, None]).sum(axis=-1)
        drawn += molecule_sums(np.einsum("ie,ies->is", along, amplitudes), block.offsets)
    variance: FloatArray = (drawn**2).sum(axis=1)
    return variance + molecule_sums((arms * novelty) ** 2, block.offsets)


def residual_kernel(phi: Any) -> FloatArray:
    """k(x, x) - phi(x) . phi(x), the share of environments that the basis does not hold.

    Parameters
    ----------
    phi : ndarray of shape (n, r)
        Whitened kernel values, without the constant column.

    Returns
    -------
    ndarray of shape (n,)
        From 0, at inducing environments, to 1.
    """
    share: FloatArray = np.clip(1.0 - np.einsum("ij,ij->i", phi, phi), 0.0, 1.0)
    return share


def directed_arms(molecules: Molecules, unit: FloatArray) -> FloatArray:
    """Derive the dipoles along unit vectors by the raw charges: arms from the centroid.

    Parameters
    ----------
    molecules : Molecules
    unit : ndarray of shape (n_molecules, 3)

    Returns
    -------
    ndarray of shape (n_atoms,), debye / e
    """
    index = molecules.molecule_index
    centroid = molecule_sums(molecules.positions, molecules.offsets) / molecules.natoms[:, None]
    arms = (molecules.positions - centroid[index]) * unit[index]
    directed: FloatArray = DEBYE_PER_E_ANGSTROM * arms.sum(axis=1)
    return directed


def directions(dipoles: FloatArray) -> FloatArray:
    """Return unit vectors along the dipoles (n_molecules, 3); along z where there is none."""
    norm = np.linalg.norm(dipoles, axis=1, keepdims=True)
    safe = np.where(norm > 0, norm, 1.0)
    return np.where(norm > 0, dipoles / safe, np.array([0.0, 0.0, 1.0]))
