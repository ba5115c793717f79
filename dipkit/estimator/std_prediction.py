"""Arrays that a fitted model keeps for standard deviations, and their computation (12).

Symbols: n atoms, M inducing environments, E elements, S draws; charges in e, dipoles in debye. The
draws and their scale are made in `std_calibration.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..learning.atomic_dipoles import dipole_arms
from ..learning.charge_maps import molecule_sums
from ..support.backend import Array, Backend
from ..units import DEBYE_PER_E_ANGSTROM
from .linearised import unit_vectors

if TYPE_CHECKING:
    from .predictor import DipolePredictor

FloatArray = NDArray[np.float64]
# Atoms of one element, draws of their charges (n_e, S) or, with atomic dipoles, of charges and
# amplitudes (n_e, S + E S), and the standard deviations of the charges that the basis does not hold
# (n_e,), e.
DrawnCharges = tuple[NDArray[np.intp], FloatArray, FloatArray]

# A dipole shorter than this, debye, has no direction: an error along any axis makes it longer.
MIN_DIRECTED_DIPOLE = 0.01


@dataclass(frozen=True)
class StdModel:
    """Arrays that `predict` needs for standard deviations, on the host.

    Parameters
    ----------
    coefficients : ndarray of shape (M, S), e
        Kernel coefficients of the draws, which have mean zero, divided by the root of S.
    intercepts : ndarray of shape (E, S), e
        Constant charges of the draws.
    whitening : list of ndarray of shape (M_e, r_e), float32
        One array for each element.
    novelty : float, e
        Standard deviation of the charge of an environment unlike all inducing ones.
    ceiling : float, e
        Upper limit of that standard deviation.
    floor : float, debye
        Standard deviation of the most certain magnitude.
    dipole_coefficients : ndarray of shape (M, E, S), e, default=None
        Kernel coefficients of the draws of atomic dipoles, where the model has some.
    dipole_intercepts : ndarray of shape (E, E, S), e, default=None
        Constant amplitudes of the draws.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    whitening: list[NDArray[np.float32]]
    novelty: float
    ceiling: float
    floor: float
    dipole_coefficients: FloatArray | None = None
    dipole_intercepts: FloatArray | None = None

    def attributes(self) -> dict[str, Any]:
        """Return the fitted attributes ``std_*_`` of an estimator, by name."""
        return {
            "std_coef_": self.coefficients,
            "std_intercept_": self.intercepts,
            "std_whitening_": self.whitening,
            "std_novelty_": self.novelty,
            "std_ceiling_": self.ceiling,
            "std_floor_": self.floor,
            "std_dipole_coef_": self.dipole_coefficients,
            "std_dipole_intercept_": self.dipole_intercepts,
        }


def clear_std(model: DipolePredictor) -> None:
    """Delete the fitted attributes ``std_*_`` of an estimator, where there are any."""
    for name in [name for name in vars(model) if name.startswith("std_")]:
        delattr(model, name)


class StdPredictor:
    """Computes standard deviations from the kernel of the atoms, element by element.

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

    def __init__(self, model: DipolePredictor, backend: Backend) -> None:
        if not hasattr(model, "std_coef_"):
            raise InputError(
                "return_std: expected a model that keeps standard deviations, but this model was "
                "fitted by an older dipkit, or to the dipoles of single atoms alone. Fit it again, "
                "to molecules of two atoms or more, or predict with return_std=False."
            )
        self.backend, self.floor = backend, float(model.std_floor_)
        self.novelty, self.ceiling = float(model.std_novelty_), float(model.std_ceiling_)
        self.n_samples = model.std_coef_.shape[1]
        self.elements: dict[int, list[Array]] = {}
        coefficients, intercepts = _coefficients_of_draws(model)
        for place, number in enumerate(model.elements_.tolist()):
            mine = model.inducing_numbers_ == number
            arrays = (
                coefficients[mine],
                intercepts[place],
                model.std_whitening_[place].astype(np.float64),
            )
            self.elements[number] = [backend.asarray(array) for array in arrays]
        self.dipole_elements = (
            [] if len(coefficients.T) == self.n_samples else model.elements_.tolist()
        )

    def draw(self, number: int, atoms: NDArray[np.intp], k: Array) -> DrawnCharges:
        """Draw charges, and amplitudes, of the atoms of one element.

        Parameters
        ----------
        number : int
            Atomic number.
        atoms : ndarray of shape (n_e,)
            Indices of the atoms.
        k : array of shape (n_e, M_e)
            Their kernel with the inducing environments.
        """
        coefficients, constants, whitening = self.elements[number]
        to_host = self.backend.to_host
        novelty = self.novelty * np.sqrt(residual_kernel(to_host(k @ whitening)))
        drawn = to_host(k @ coefficients + constants)
        return atoms, drawn, np.minimum(novelty, self.ceiling)

    def std(
        self, piece: Molecules, dipoles: FloatArray, drawn: Iterable[DrawnCharges]
    ) -> FloatArray:
        """Return the standard deviations (n_molecules,), debye (12).

        Those of single atoms are 0: their dipole is zero for any charge.

        Parameters
        ----------
        piece : Molecules
        dipoles : ndarray of shape (n_molecules, 3), debye
        drawn : iterable of DrawnCharges
            From `draw`, for all elements of these molecules.
        """
        parts = list(drawn)
        values = np.empty((piece.n_atoms, parts[0][1].shape[1]))
        novelty = np.empty(piece.n_atoms)
        for atoms, of_atoms, unexplained in parts:
            values[atoms], novelty[atoms] = of_atoms, unexplained
        samples, amplitudes = values[:, : self.n_samples], values[:, self.n_samples :]
        amplitudes = amplitudes.reshape(piece.n_atoms, len(self.dipole_elements), self.n_samples)
        variance = _variance(
            piece, unit_vectors(dipoles), samples, novelty, self.dipole_elements, amplitudes
        )
        short = np.linalg.norm(dipoles, axis=1) < MIN_DIRECTED_DIPOLE
        if short.any():
            axes = [np.tile(axis, (len(piece), 1)) for axis in np.eye(3)]
            along_axes = sum(
                _variance(piece, axis, samples, novelty, self.dipole_elements, amplitudes)
                for axis in axes
            )
            variance = np.where(short, along_axes, variance)
        std: FloatArray = np.where(piece.natoms > 1, np.sqrt(variance + self.floor**2), 0.0)
        return std


def _coefficients_of_draws(model: DipolePredictor) -> tuple[FloatArray, FloatArray]:
    """Coefficients (M, S + E S) and constants (E, S + E S): charges, then atomic dipoles."""
    # Models of the first format that kept standard deviations lack this attribute.
    dipoles = getattr(model, "std_dipole_coef_", None)
    if dipoles is None:
        return model.std_coef_, model.std_intercept_
    flat, constants = (
        part.reshape(len(part), -1) for part in (dipoles, model.std_dipole_intercept_)
    )
    coefficients = np.concatenate([model.std_coef_, flat], axis=1)
    return coefficients, np.concatenate([model.std_intercept_, constants], axis=1)


def _variance(
    piece: Molecules,
    unit: FloatArray,
    samples: FloatArray,
    novelty: FloatArray,
    dipole_elements: Sequence[int],
    amplitudes: FloatArray,
) -> FloatArray:
    """Variance of the dipoles along unit vectors (n_molecules, 3), debye^2."""
    arms = directed_arms(piece, unit)
    drawn = molecule_sums(arms[:, None] * samples, piece.offsets)
    if dipole_elements:
        dipole_vectors = dipole_arms(piece, dipole_elements, 1.0)
        along = (dipole_vectors * unit[piece.molecule_index][:, None]).sum(axis=-1)
        drawn += molecule_sums(np.einsum("ie,ies->is", along, amplitudes), piece.offsets)
    variance: FloatArray = (drawn**2).sum(axis=1)
    return variance + molecule_sums((arms * novelty) ** 2, piece.offsets)


def residual_kernel(phi: FloatArray) -> FloatArray:
    """k(x, x) - phi(x) . phi(x), the part of the kernel that the basis does not represent.

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
    """Differentiate the dipoles along unit vectors with respect to the raw charges.

    Raw charges are those before charge conservation, which moves the origin to the centroid.

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
