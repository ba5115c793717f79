"""Standard deviations of predicted magnitudes: draws from the posterior, and their scale.

Near the minimum the model is linear in its weights (`linearised.py`), with gradient
g_A = D_A^T u_A of a magnitude and curvature H. Equations (12) and (13) of the theory page:

    std_A^2 = s^2 (g_A^T H^-1 g_A / N + nu_A / (N alpha) + b v)

The first term is the uncertainty of the weights, kept as `N_SAMPLES` draws from the posterior. nu_A
is the part of the kernel that the basis does not represent. It grows far from the inducing
environments, up to a ceiling: the standard deviation of a charge is at most the typical size of the
predicted charges. v is the variance of the typical label. The scale s comes from the errors of
training molecules, each left out of the fit.

Symbols: N labelled molecules, r weights, S draws. What a model keeps, and how a prediction uses it,
is in `std_prediction.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..learning.basis import BIAS, Basis
from ..learning.charge_maps import molecule_sums
from ..learning.compensation import Compensation
from ..learning.normal_matrices import FactorizationError
from ..learning.objective import DipoleTarget, JointObjective
from ..support.backend import Array
from .linearised import LinearisedObjective
from .memory_forecast import N_SAMPLES, SPREAD_MOLECULES
from .std_prediction import StdModel, directed_arms, residual_kernel

FloatArray = NDArray[np.float64]

# Training molecules whose left-out errors set the scale, and those of them whose kernel is computed
# again for that. With more molecules, fit would take more than a tenth longer.
N_CALIBRATION, N_NOVELTY = SPREAD_MOLECULES
# b: share of the variance of a label that more data would not explain.
NOISE_FLOOR = 0.1
# Shares of a normal distribution within one standard deviation and within 1.96 of them. The scale
# is the mean of the scales that give each of these shares, with these weights.
SHARES, WIDTHS, SHARE_WEIGHTS = (0.6827, 0.95), (1.0, 1.96), (2 / 3, 1 / 3)
# Errors by (13) are of first order. With few labels, leaving one out changes the solution by more:
# the variance of the errors grows by this number over the number of labels.
FIRST_ORDER_LOSS = 20.0


@dataclass(frozen=True)
class CalibrationSample:
    """Labelled molecules whose errors set the scale; the first of them have descriptors.

    Each molecule has a random key, and the molecules with the lowest keys are taken. The samples of
    two parts can thus be joined to a sample of the whole.

    Parameters
    ----------
    places : ndarray of shape (k,)
        Indices of the molecules, in order of their keys.
    keys : ndarray of shape (k,)
    described : Molecules
        The molecules of the first places, at most k.
    """

    places: NDArray[np.intp]
    keys: FloatArray
    described: Molecules

    @classmethod
    def of(
        cls, molecules: Molecules, target: DipoleTarget, rng: np.random.Generator
    ) -> CalibrationSample:
        """Take a sample. Single atoms are left out: their dipole is zero for any weights.

        Parameters
        ----------
        molecules : Molecules
            Described.
        target : DipoleTarget
            Labels of these molecules.
        rng : numpy.random.Generator
        """
        labelled = ~(np.isnan(target.magnitudes) & np.isnan(target.vectors[:, 0]))
        usable = np.flatnonzero(labelled & (target.weights > 0) & (molecules.natoms > 1))
        keys = rng.random(len(usable))
        order = np.argsort(keys)[:N_CALIBRATION]
        some = usable[order][: _n_described(len(order))]
        return cls(usable[order], keys[order], molecules[some])

    def joined(self, other: CalibrationSample, n_before: int) -> CalibrationSample:
        """Return a sample of the molecules of both parts.

        Parameters
        ----------
        other : CalibrationSample
            Its places count from the first molecule of its own part.
        n_before : int
            Molecules of the part of this sample.
        """
        places = np.concatenate([self.places, other.places + n_before])
        keys = np.concatenate([self.keys, other.keys])
        has = np.concatenate(
            [np.arange(len(part.places)) < len(part.described) for part in (self, other)]
        )
        # Molecules with descriptors go first: a part of few molecules describes a third of them.
        with_descriptors = np.flatnonzero(has)[np.argsort(keys[has])][:N_NOVELTY]
        rest = np.setdiff1d(np.arange(len(keys)), with_descriptors)
        rest = rest[np.argsort(keys[rest])][: N_CALIBRATION - len(with_descriptors)]
        order = np.concatenate([with_descriptors, rest])
        described = Molecules.concatenate([self.described, other.described])
        place = np.cumsum(has) - 1
        return CalibrationSample(places[order], keys[order], described[place[with_descriptors]])


def _n_described(k: int) -> int:
    return min(N_NOVELTY, -(-k // 3))


def calibrate_std(
    objective: JointObjective,
    weights: Array,
    basis: Basis,
    sample: CalibrationSample,
    rng: np.random.Generator,
) -> StdModel:
    """Draw from the posterior at the solution and set its scale by errors of left-out molecules.

    Parameters
    ----------
    objective : JointObjective
    weights : array of shape (r,)
        Its minimum.
    basis : Basis
    sample : CalibrationSample
        Some of its molecules; one at least.
    rng : numpy.random.Generator
        Draws from the posterior.

    Returns
    -------
    StdModel

    Raises
    ------
    FactorizationError
        If the curvature cannot be factored.
    """
    backend, linear = objective.backend, LinearisedObjective(objective, weights)
    try:
        factor = backend.factor(_with_constants(linear.curvature(), objective.alpha, basis))
    except np.linalg.LinAlgError as error:
        raise FactorizationError(
            f"alpha: the curvature at the solution cannot be factored ({error}). Raise alpha."
        ) from error
    normal = backend.asarray(rng.standard_normal((weights.shape[0], N_SAMPLES)))
    samples = backend.solve_transposed(factor, normal) / math.sqrt(linear.n_labelled * N_SAMPLES)
    novelty, charges = _environments(sample.described, basis, weights)
    scale = _std_scale(linear, factor, sample, novelty, basis.compensation)
    coefficients, intercepts = basis.dual_of_many(scale * samples)
    dipoles = basis.dipole_dual(scale * samples) if basis.dipole_scale > 0 else (None, None)
    return StdModel(
        coefficients=coefficients,
        intercepts=intercepts,
        cut=basis.eigenvalue_cut,
        novelty=basis.compensation.scale * scale / math.sqrt(linear.n_labelled * objective.alpha),
        ceiling=float(np.sqrt(np.mean(charges**2))),
        floor=scale * math.sqrt(NOISE_FLOOR * linear.label_variance),
        bond_coefficients=basis.bond_dual(scale * samples),
        dipole_coefficients=dipoles[0],
        dipole_intercepts=dipoles[1],
    )


def _with_constants(matrix: Array, alpha: float, basis: Basis) -> Array:
    """Penalise the constants of the elements like any other weight; changes the matrix.

    The fit hardly penalises constants: without this the constant of an element that occurs once or
    twice would have a standard deviation of several e.
    """
    for element in basis.elements.values():
        for columns in (element.columns, *element.dipole_columns):  # bonds have no constant
            constant = columns.stop - 1
            matrix[constant, constant] += alpha * (BIAS**2 - 1)
    return matrix


def _std_scale(
    linear: LinearisedObjective,
    factor: Array,
    sample: CalibrationSample,
    novelty: FloatArray,
    compensation: Compensation,
) -> float:
    """Scale s of the standard deviations.

    Parameters
    ----------
    linear : LinearisedObjective
    factor : array
        Of its curvature.
    sample : CalibrationSample
    novelty : ndarray of shape (n_atoms,)
        Residual kernel of the atoms that have descriptors.
    compensation : Compensation
    """
    errors, variances = linear.left_out(factor, sample.places)
    variances = variances + NOISE_FLOOR * linear.label_variance
    described, n = sample.described, len(sample.described)
    arms = directed_arms(described, linear.directions[sample.places[:n]], compensation)
    beyond = molecule_sums(arms**2 * novelty, described.offsets)
    beyond /= linear.n_labelled * linear.objective.alpha
    scale = _needed_scale(errors, np.sqrt(variances))
    # The novelty is known for some of the molecules: they give the ratio of the scales with and
    # without novelty.
    without = _needed_scale(errors[:n], np.sqrt(variances[:n]))
    if without > 0:
        scale *= _needed_scale(errors[:n], np.sqrt(variances[:n] + beyond)) / without
    return scale * math.sqrt(1 + FIRST_ORDER_LOSS / linear.n_labelled)


def _needed_scale(errors: FloatArray, widths: FloatArray) -> float:
    """Scale of the widths that comes nearest to both shares of the errors.

    Errors have heavier tails than a normal distribution: where 68 % are below one width, 95 % are
    below more than 1.96 widths. The scale is a geometric mean of the two scales that each share
    needs.
    """
    needed = np.quantile(errors / widths, SHARES) / np.array(WIDTHS)
    return float(np.prod(needed ** np.array(SHARE_WEIGHTS)))


def _environments(
    molecules: Molecules, basis: Basis, weights: Array
) -> tuple[FloatArray, FloatArray]:
    """Residual kernel of each atom, and the charge that the model gives it, e."""
    assert molecules.features is not None
    backend, to_host = basis.backend, basis.backend.to_host
    scales = molecules.features.on(backend)
    novelty, raw = np.empty(molecules.n_atoms), np.zeros((molecules.n_atoms, 2))
    for number in molecules.elements.tolist():
        atoms = np.flatnonzero(molecules.numbers == number)
        phi = basis.basis_functions(number, (backend.take(x, atoms) for x in scales))
        novelty[atoms] = residual_kernel(to_host(phi[:, :-1]))
        element = basis.elements[number]
        raw[atoms, 0] = to_host(phi @ weights[element.columns])
        if element.bond_columns is not None:
            raw[atoms, 1] = to_host(phi[:, : element.n_bond] @ weights[element.bond_columns])
    charges = basis.compensation.apply(raw[:, 0], molecules)
    if basis.bonds is not None:
        charges += basis.bonds.apply(raw[:, 1], molecules)
    return novelty, charges
