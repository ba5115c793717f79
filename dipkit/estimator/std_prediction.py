"""Arrays that a fitted model keeps for standard deviations, and their computation (12).

Symbols: n atoms, M inducing environments, E elements, S draws; charges in e, dipoles in debye. The
draws and their scale are made in `std_calibration.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..learning.atomic_dipoles import dipole_arms
from ..learning.charge_maps import molecule_sums
from ..learning.compensation import Compensation
from ..learning.whitening import is_triangular, triangular_whitening, whiten_triangular
from ..support.backend import Array, Backend
from ..support.blas_threads import threads_for
from ..units import DEBYE_PER_E_ANGSTROM
from .fitted_parts import compensations, has_atomic_dipoles
from .linearised import unit_vectors

if TYPE_CHECKING:
    from .predictor import DipolePredictor

FloatArray = NDArray[np.float64]
# Atoms of one element; draws (n_e, k S) of their raw charges, with k = 2 for bond charges, followed
# by (n_e, E S) of the amplitudes of atomic dipoles; standard deviations of the charges that the
# basis does not hold (n_e,), e.
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
    cut : float
        Share of the largest eigenvalue below which the basis has no directions. Whitenings are
        computed again from the environments: they would take more than half of a model file.
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
    bond_coefficients : ndarray of shape (M, S), e, default=None
        Kernel coefficients of the draws of bond charges, where the model has some.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    cut: float
    novelty: float
    ceiling: float
    floor: float
    dipole_coefficients: FloatArray | None = None
    dipole_intercepts: FloatArray | None = None
    bond_coefficients: FloatArray | None = None

    def attributes(self) -> dict[str, Any]:
        """Return the fitted attributes ``std_*_`` of an estimator, by name."""
        return {
            "std_coef_": _single(self.coefficients),
            "std_intercept_": self.intercepts,
            "std_cut_": self.cut,
            "std_novelty_": self.novelty,
            "std_ceiling_": self.ceiling,
            "std_floor_": self.floor,
            "std_dipole_coef_": _single(self.dipole_coefficients),
            "std_dipole_intercept_": self.dipole_intercepts,
            "std_bond_coef_": _single(self.bond_coefficients),
        }


def _single(array: FloatArray | None) -> NDArray[np.float32] | None:
    """Round draws to single precision: with fewer digits, sums of both signs would be wrong."""
    return None if array is None else array.astype(np.float32)


def clear_std(model: DipolePredictor) -> None:
    """Delete the fitted attributes ``std_*_`` of an estimator, where there are any."""
    for name in [name for name in vars(model) if name.startswith(("std_", "_std_"))]:
        delattr(model, name)


def whitenings(model: DipolePredictor) -> list[FloatArray]:
    """Return the whitening (M_e, r_e) of each element; computed once for a fitted model."""
    stored = getattr(model, "std_whitening_", None) or getattr(model, "_std_whitening", None)
    if stored is None:
        weights, stored = model.scale_weights_.tolist(), []
        for number in model.elements_.tolist():
            mine = model.inducing_numbers_ == number
            z = [scale[mine].astype(np.float64) for scale in model.inducing_features_]
            with threads_for(len(z[0])):
                matrix = model.kernel_(z, z, weights)
                stored.append(triangular_whitening(matrix, model.std_cut_))
        model._std_whitening = stored
    return [part.astype(np.float64, copy=False) for part in stored]


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
        self.triangular: set[int] = set()
        coefficients, intercepts = _coefficients_of_draws(model)
        of_elements = whitenings(model)
        for place, number in enumerate(model.elements_.tolist()):
            mine = model.inducing_numbers_ == number
            arrays = (
                coefficients[mine].astype(np.float64),
                intercepts[place],
                of_elements[place],
            )
            self.elements[number] = [backend.asarray(array) for array in arrays]
            if backend.on_host and is_triangular(of_elements[place]):
                self.triangular.add(number)
        self.compensations = compensations(model)
        self.dipole_elements = model.elements_.tolist() if has_atomic_dipoles(model) else []

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
        # A triangular product costs half.
        triangular = number in self.triangular and k.dtype == np.float64
        phi = whiten_triangular(k, whitening) if triangular else to_host(k @ whitening)
        novelty = self.novelty * np.sqrt(residual_kernel(phi))
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
        drawn_of = values.reshape(piece.n_atoms, -1, self.n_samples)
        found = partial(_variance, piece, self._arms(piece), drawn_of, novelty)
        variance = found(unit_vectors(dipoles))
        short = np.linalg.norm(dipoles, axis=1) < MIN_DIRECTED_DIPOLE
        if short.any():
            axes = [np.tile(axis, (len(piece), 1)) for axis in np.eye(3)]
            along_axes = sum(found(axis) for axis in axes)
            variance = np.where(short, along_axes, variance)
        std: FloatArray = np.where(piece.natoms > 1, np.sqrt(variance + self.floor**2), 0.0)
        return std

    def _arms(self, piece: Molecules) -> FloatArray:
        """Return dipoles (n_atoms, k, 3) of raw charges and amplitudes of 1 e, debye / e."""
        arms = [how.apply(piece.positions, piece) for how in self.compensations]
        vectors = dipole_arms(piece, self.dipole_elements, 1.0)
        return np.concatenate([DEBYE_PER_E_ANGSTROM * np.stack(arms, axis=1), vectors], axis=1)


def _coefficients_of_draws(model: DipolePredictor) -> tuple[FloatArray, FloatArray]:
    """Coefficients (M, k S + E S) and constants (E, k S + E S): raw charges, atomic dipoles."""
    coefficients, constants = [model.std_coef_], [model.std_intercept_]
    # Models of old files lack the attributes of bond charges and of atomic dipoles.
    bonds = getattr(model, "std_bond_coef_", None)
    if bonds is not None:
        coefficients.append(bonds)
        constants.append(np.zeros_like(model.std_intercept_))
    dipoles = getattr(model, "std_dipole_coef_", None)
    if dipoles is not None:
        coefficients.append(dipoles.reshape(len(dipoles), -1))
        constants.append(model.std_dipole_intercept_.reshape(len(model.std_intercept_), -1))
    return np.concatenate(coefficients, axis=1), np.concatenate(constants, axis=1)


def _variance(
    piece: Molecules,
    arms: FloatArray,
    drawn: FloatArray,
    novelty: FloatArray,
    unit: FloatArray,
) -> FloatArray:
    """Variance of the dipoles along unit vectors (n_molecules, 3), debye^2.

    Parameters
    ----------
    piece : Molecules
    arms : ndarray of shape (n_atoms, k, 3), debye / e
        Dipoles of charges and amplitudes of 1; the first ones are those of the raw charges.
    drawn : ndarray of shape (n_atoms, k, S), e
        Draws of these charges and amplitudes.
    novelty : ndarray of shape (n_atoms,), e
    unit : ndarray of shape (n_molecules, 3)
    """
    along = (arms * unit[piece.molecule_index][:, None]).sum(axis=-1)
    dipoles = molecule_sums(np.einsum("ik,iks->is", along, drawn), piece.offsets)
    variance: FloatArray = (dipoles**2).sum(axis=1)
    return variance + molecule_sums((along[:, 0] * novelty) ** 2, piece.offsets)


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


def directed_arms(molecules: Molecules, unit: FloatArray, compensation: Compensation) -> FloatArray:
    """Differentiate the dipoles along unit vectors with respect to the raw charges.

    Parameters
    ----------
    molecules : Molecules
    unit : ndarray of shape (n_molecules, 3)
    compensation : Compensation
        Of the raw charges.

    Returns
    -------
    ndarray of shape (n_atoms,), debye / e
    """
    arms = compensation.apply(molecules.positions, molecules) * unit[molecules.molecule_index]
    directed: FloatArray = DEBYE_PER_E_ANGSTROM * arms.sum(axis=1)
    return directed
