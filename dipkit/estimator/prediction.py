"""Predictions of `DipoleKernelRidge`: charges and dipoles of molecules, piece by piece.

Symbols: n_e atoms of one element, M_e environments, E elements; charges in e, dipoles in debye. The
public methods are in `predictor.py`, standard deviations in `std_prediction.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..data.molecules import Molecules
from ..descriptors.requirements import require_described, require_known
from ..learning.atomic_dipoles import PredictedDipoles
from ..learning.blocking import prediction_piece_atoms
from ..learning.charge_maps import constant_charges, molecule_sums
from ..learning.multipoles import constant_dipoles, dipoles
from ..support.backend import Array, Backend, get_backend
from ..support.blas_threads import count_threads, in_order
from ..support.ragged_index import cut
from .baseline import baseline_of_fitted
from .baseline_molecules import prepare_molecules
from .fitted_parts import compensations, has_atomic_dipoles, raw_coefficients
from .prepared import element_rows, prepared_environments
from .std_prediction import DrawnCharges, StdPredictor

if TYPE_CHECKING:
    from .predictor import DipolePredictor

FloatArray = NDArray[np.float64]
# Of one element: descriptors of its inducing environments, one array per scale, their coefficients
# (M_e, k), k = 2 with bond charges, and its constant.
ElementCoefficients = tuple[list[Array], Array, float]


class Predicted(NamedTuple):
    """Predictions for molecules.

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
    dipole : ndarray of shape (n_molecules, 3), debye
    std : ndarray of shape (n_molecules,), debye, or None
        Standard deviations of the magnitudes, if requested.
    atomic_dipoles : ndarray of shape (n_atoms, 3), debye
        Zero where the model has none.
    amplitudes : ndarray of shape (n_atoms, E), e
        Amplitudes of the atomic dipoles times their scale (21); E = 0 where there are none.
    raw : ndarray of shape (n_atoms, k), e
        Raw charges before compensation (24); k = 2 with bond charges, else 1.
    """

    charges: FloatArray
    dipole: FloatArray
    std: FloatArray | None
    atomic_dipoles: FloatArray
    amplitudes: FloatArray
    raw: FloatArray


def predict_blocks(model: DipolePredictor, X: Molecules, with_std: bool = False) -> Predicted:
    """Predict charges and dipoles, piece by piece.

    Parameters
    ----------
    model : DipoleKernelRidge
        Fitted.
    X : Molecules
        Described.
    with_std : bool, default=False
        Whether to compute standard deviations of the magnitudes as well.

    Returns
    -------
    Predicted
        NaN for molecules whose baseline failed.

    Raises
    ------
    InputError
        If `X` is not described or holds elements unseen in fit, or if standard deviations are
        requested and the model has none.
    """
    check_is_fitted(model)
    # Models of earlier versions have no charges of a second method.
    with_second = getattr(model, "descriptor_charges_", False)
    molecules, known = prepare_molecules(
        require_described(X),
        baseline_of_fitted(model.baseline, with_second),
        model.baseline_factor_,
        model.baseline_charges_,
        with_second,
        model.n_jobs,
    )
    widths = [scale.shape[1] for scale in model.inducing_features_]
    require_known(molecules, model.elements_, widths, getattr(model, "features_made_by_", None))
    backend = get_backend(model.device)
    predictor = StdPredictor(model, backend) if with_std else None
    coefficients = _coefficients(model, backend)
    maps = compensations(model)
    of_atoms = PredictedDipoles(_dipole_parts(model), backend)

    def predict(part: slice) -> tuple[FloatArray, ...]:
        piece = molecules[part]
        raw, amplitudes, drawn = _raw_charges(
            model, piece, coefficients, of_atoms, backend, predictor
        )
        parts = [how.apply(one, piece) for how, one in zip(maps, raw.T, strict=True)]
        correction = np.sum(parts, axis=0)
        atomic = of_atoms.dipoles(piece, amplitudes)
        dipole = dipoles(correction, piece) + constant_dipoles(piece)
        dipole += molecule_sums(atomic, piece.offsets)
        std = np.empty(len(piece)) if predictor is None else predictor.std(piece, dipole, drawn)
        return correction + constant_charges(piece), dipole, std, atomic, amplitudes, raw

    size = prediction_piece_atoms(molecules.n_atoms, backend)
    n, pieces = len(molecules), cut(molecules.offsets, size)
    charges, dipole, std = np.empty(molecules.n_atoms), np.empty((n, 3)), np.empty(n)
    atomic = np.empty((molecules.n_atoms, 3))
    amplitudes = np.empty((molecules.n_atoms, len(of_atoms.elements)))
    raw = np.empty((molecules.n_atoms, len(maps)))
    n_threads = min(count_threads(), len(pieces)) if backend.on_host else 1
    for part, found in zip(pieces, in_order(predict, pieces, n_threads), strict=True):
        atoms = slice(*molecules.offsets[[part.start, part.stop]].tolist())
        charges[atoms], dipole[part], std[part] = found[:3]
        atomic[atoms], amplitudes[atoms], raw[atoms] = found[3:]
    unknown = ~known[molecules.molecule_index]
    charges[unknown] = atomic[unknown] = std[~known] = np.nan
    return Predicted(charges, dipole, std if with_std else None, atomic, amplitudes, raw)


def _dipole_parts(model: DipolePredictor) -> dict[int, tuple[FloatArray, FloatArray]]:
    """By element: coefficients and constants of its atomic dipoles; empty without them."""
    if not has_atomic_dipoles(model):
        return {}
    return {
        number: (model.atomic_dipole_coef_[model.inducing_numbers_ == number], constants)
        for number, constants in zip(
            model.elements_.tolist(), model.atomic_dipole_intercept_, strict=True
        )
    }


def _coefficients(model: DipolePredictor, backend: Backend) -> dict[int, ElementCoefficients]:
    """Collect environments and coefficients of the charges, by atomic number."""
    environments, raw = prepared_environments(model, backend), raw_coefficients(model)
    return {
        number: (environments[number], backend.asarray(raw[element_rows(model, number)]), intercept)
        for number, intercept in zip(
            model.elements_.tolist(), model.intercept_.tolist(), strict=True
        )
    }


def _raw_charges(
    model: DipolePredictor,
    piece: Molecules,
    coefficients: dict[int, ElementCoefficients],
    of_atoms: PredictedDipoles,
    backend: Backend,
    predictor: StdPredictor | None,
) -> tuple[FloatArray, FloatArray, list[DrawnCharges]]:
    """Raw charges (n_atoms, k) and amplitudes (n_atoms, E), e; draws where there is a predictor.

    Raw charges are those before their compensation: k = 2 with bond charges, else 1.
    """
    assert piece.features is not None
    scales, drawn = piece.features.on(backend), []
    charges = np.empty((piece.n_atoms, len(compensations(model))))
    amplitudes = np.empty((piece.n_atoms, len(of_atoms.elements)))
    for number in piece.elements.tolist():
        atoms = np.flatnonzero(piece.numbers == number)
        features, coefficient, intercept = coefficients[number]
        x = (backend.take(scale, atoms) for scale in scales)
        k = model.kernel_(x, features, model.scale_weights_.tolist(), backend)
        charges[atoms] = backend.to_host(k @ coefficient)
        charges[atoms, 0] += intercept
        amplitudes[atoms] = of_atoms.amplitudes(number, k)
        if predictor is not None:
            drawn.append(predictor.draw(number, atoms, k))
    return charges, amplitudes, drawn
