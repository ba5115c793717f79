"""Standard deviations of predicted magnitudes, from the posterior of the linearised model.

Near the solution the magnitude of a molecule is linear in the weights, with gradient
g_A = D_A^T u_A, u_A the direction of its dipole; the curvature of J is H = sum_A s_A g_A g_A^T +
(charge term) + alpha. Equations (12) and (13) of the theory page:

    std_A^2 = s^2 (g_A^T H^-1 g_A / N + nu_A / (N alpha) + b)

The first term is what the labels leave open within the basis, kept as `N_SAMPLES` draws from it.
nu_A is the part of the kernel that the basis does not hold, which grows far from the inducing
environments, up to a ceiling: the charge of no atom is less certain than the charges that the model
gives are large. s makes the errors of training molecules, each left out, as wide as told.

Symbols: N labelled molecules, dipole rows D (3 N, r) in debye / e, S samples. What is kept
and how it is used is in `std_prediction.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..learning.charge_maps import molecule_sums, project
from ..learning.dipole_gram import directed_gram, weighted_gram
from ..learning.inducing import BIAS, Basis
from ..learning.objective import DipoleTarget, JointObjective
from ..learning.solvers import FactorizationError
from .memory_forecast import N_SAMPLES, SPREAD_MOLECULES
from .std_prediction import Spread, directed_arms, directions, residual_kernel

FloatArray = NDArray[np.float64]

# Training molecules whose left-out errors set the scale, and those of them whose kernel is computed
# anew for that: with more, fit would take more than a tenth longer.
N_CALIBRATION, N_NOVELTY = SPREAD_MOLECULES
# b: variance of a label that no further data would explain, in units of s^2.
NOISE_FLOOR = 0.1
# One standard deviation and 1.96 of them hold these shares of a normal distribution. The scale is
# the mean of what either would need, with these weights.
SHARES, WIDTHS, SHARE_WEIGHTS = (0.6827, 0.95), (1.0, 1.96), (2 / 3, 1 / 3)
# Errors by (13) are of first order: from few labels, a solution without one would move further.
# Their variance grows by this over the number of labels.
FIRST_ORDER_LOSS = 20.0


@dataclass(frozen=True)
class CalibrationSample:
    """Labelled molecules whose errors set the scale; the first of them with descriptors.

    Molecules have random keys, and those of the lowest are taken: so samples of parts make one of
    the whole.

    Parameters
    ----------
    places : ndarray of shape (k,)
        Which molecules, in order of their keys.
    keys : ndarray of shape (k,)
    described : Molecules
        At most k: those of the first places.
    """

    places: NDArray[np.intp]
    keys: FloatArray
    described: Molecules

    @classmethod
    def of(
        cls, molecules: Molecules, target: DipoleTarget, rng: np.random.Generator
    ) -> CalibrationSample:
        """Take a sample; single atoms tell nothing.

        Parameters
        ----------
        molecules : Molecules
            Described.
        target : DipoleTarget
            Of these molecules.
        rng : numpy.random.Generator
        """
        labelled = ~(np.isnan(target.magnitudes) & np.isnan(target.vectors[:, 0]))
        usable = np.flatnonzero(labelled & (target.weights > 0) & (molecules.natoms > 1))
        keys = rng.random(len(usable))
        order = np.argsort(keys)[:N_CALIBRATION]
        some = usable[order][: _n_described(len(order))]
        return cls(usable[order], keys[order], molecules[some])

    def joined(self, other: CalibrationSample, n_before: int) -> CalibrationSample:
        """Return a sample of the molecules of both, where so many come before the other's."""
        places = np.concatenate([self.places, other.places + n_before])
        keys = np.concatenate([self.keys, other.keys])
        has = np.concatenate(
            [np.arange(len(part.places)) < len(part.described) for part in (self, other)]
        )
        # Those with descriptors go first: a part of few molecules describes a third of them.
        with_descriptors = np.flatnonzero(has)[np.argsort(keys[has])][:N_NOVELTY]
        rest = np.setdiff1d(np.arange(len(keys)), with_descriptors)
        rest = rest[np.argsort(keys[rest])][: N_CALIBRATION - len(with_descriptors)]
        order = np.concatenate([with_descriptors, rest])
        described = Molecules.concatenate([self.described, other.described])
        place = np.cumsum(has) - 1
        return CalibrationSample(places[order], keys[order], described[place[with_descriptors]])


def _n_described(k: int) -> int:
    return min(N_NOVELTY, -(-k // 3))


def fit_spread(
    objective: JointObjective,
    weights: Any,
    basis: Basis,
    sample: CalibrationSample,
    rng: np.random.Generator,
) -> Spread:
    """Draw from the posterior at the solution and set its scale by errors of left-out molecules.

    Parameters
    ----------
    objective : JointObjective
    weights : array of shape (r,)
        Its minimum.
    basis : Basis
    sample : CalibrationSample
        Of its molecules; one at least.
    rng : numpy.random.Generator
        Draws from the posterior.

    Returns
    -------
    Spread

    Raises
    ------
    FactorizationError
        If the curvature cannot be factored.
    """
    backend, n_labelled = objective.backend, _count_labelled(objective)
    mu = objective.dipoles(objective.at(weights))
    try:
        factor = backend.factor(_with_constants(_curvature(objective, mu), objective.alpha, basis))
    except np.linalg.LinAlgError as error:
        raise FactorizationError(
            f"alpha: the curvature at the solution cannot be factored ({error}). Raise alpha."
        ) from error
    normal = backend.asarray(rng.standard_normal((weights.shape[0], N_SAMPLES)))
    samples = backend.solve_transposed(factor, normal) / math.sqrt(n_labelled * N_SAMPLES)
    left_out = _left_out(objective, mu, factor, sample.places, n_labelled)
    scale, ceiling = _calibrate(objective, mu, sample, left_out, basis, weights)
    coefficients, intercepts = basis.dual_of_many(scale * samples)
    dipoles = basis.dipole_dual(scale * samples) if basis.dipole_scale > 0 else (None, None)
    return Spread(
        coefficients=coefficients,
        intercepts=intercepts,
        whitening=[
            backend.to_host(element.whitening).astype(np.float32)
            for element in basis.elements.values()
        ],
        novelty=float(scale / np.sqrt(n_labelled * objective.alpha)),
        ceiling=ceiling,
        floor=float(scale * np.sqrt(NOISE_FLOOR)),
        dipole_coefficients=dipoles[0],
        dipole_intercepts=dipoles[1],
    )


def _count_labelled(objective: JointObjective) -> int:
    return int(objective.backend.xp.count_nonzero(objective.weights))


def _curvature(objective: JointObjective, mu: Any) -> Any:
    """H (r, r): each magnitude holds one direction, each vector all three."""
    backend, has_vector = objective.backend, objective.has_vector[:, 0]
    unit = backend.asarray(directions(backend.to_host(mu)))
    along = backend.xp.where(has_vector, 0.0, objective.weights)
    matrix = directed_gram(objective.rows, unit, along, backend)
    if bool(backend.xp.any(has_vector)):
        matrix += weighted_gram(objective.rows, objective.weights - along, backend)
    if objective.charges is not None:
        matrix += objective.charge_scale * objective.charges.gram
    backend.diagonal(matrix)[...] += objective.alpha
    return matrix


def _with_constants(matrix: Any, alpha: float, basis: Basis) -> Any:
    """Hold the constants of the elements like any other weight; changes the matrix.

    The penalty hardly touches them, so that the constant of an element seen once or twice would
    be uncertain by several e.
    """
    for element in basis.elements.values():
        for columns in (element.columns, *element.dipole_columns):
            constant = columns.stop - 1
            matrix[constant, constant] += alpha * (BIAS**2 - 1)
    return matrix


def _left_out(
    objective: JointObjective, mu: Any, factor: Any, chosen: NDArray[np.intp], n_labelled: int
) -> tuple[FloatArray, FloatArray]:
    """Errors and variances of the magnitudes of some molecules, each without its own label (13).

    With T = s_A D_A H^-1 D_A^T and U = u u^T (or 1 for a vector), leaving A out moves its dipole
    by (1 - T U)^-1 T U (mu - target).
    """
    backend = objective.backend
    to_host, xp = backend.to_host, backend.xp
    # [:, :] is a plain view, whether the rows are in memory or in a file.
    rows = backend.take(objective.rows[:, :], (3 * chosen[:, None] + np.arange(3)).ravel())
    solved = xp.reshape(backend.solve(factor, rows.T).T, (len(chosen), 3, -1))
    hat = xp.reshape(rows, solved.shape) @ xp.permute_dims(solved, (0, 2, 1))
    share = to_host(objective.weights)[chosen]
    hat = to_host(hat) * share[:, None, None]
    residual = to_host(mu - objective.target_vectors(mu))[chosen]
    unit = directions(to_host(mu)[chosen])
    held = np.where(
        to_host(objective.has_vector)[chosen, :, None],
        np.eye(3),
        unit[:, :, None] * unit[:, None],
    )
    free = np.linalg.solve(np.eye(3) - hat @ held, hat)
    error = residual + np.einsum("acd,ad->ac", free, np.einsum("acd,ad->ac", held, residual))
    variance = np.einsum("ac,acd,ad->a", unit, free, unit) / (share * n_labelled)
    return np.abs((unit * error).sum(axis=1)), np.maximum(variance, 0.0)


def _calibrate(
    objective: JointObjective,
    mu: Any,
    sample: CalibrationSample,
    left_out: tuple[FloatArray, FloatArray],
    basis: Basis,
    weights: Any,
) -> tuple[float, float]:
    """Scale of the standard deviations, and ceiling of the novelty's charge, e.

    The novelty is computed for some of the molecules: they tell how much smaller the scale is
    where it is counted than where it is not.
    """
    errors, variances = left_out
    scale = _scale(errors, np.sqrt(variances + NOISE_FLOOR))
    some, part = slice(len(sample.described)), sample.described
    novelty, charges = _environments(part, basis, weights)
    arms = directed_arms(part, directions(objective.backend.to_host(mu)[sample.places[some]]))
    n_labelled = _count_labelled(objective)
    beyond = molecule_sums(arms**2 * novelty, part.offsets) / (n_labelled * objective.alpha)
    without = _scale(errors[some], np.sqrt(variances[some] + NOISE_FLOOR))
    counted = _scale(errors[some], np.sqrt(variances[some] + beyond + NOISE_FLOOR))
    if without > 0:
        scale *= counted / without
    scale *= float(np.sqrt(1 + FIRST_ORDER_LOSS / n_labelled))
    return scale, float(np.sqrt(np.mean(charges**2)))


def _scale(errors: FloatArray, widths: FloatArray) -> float:
    """Scale by which the widths hold both shares of the errors as nearly as one number can.

    Errors have heavier tails than a normal distribution: what holds 68 % with one width needs
    more than 1.96 of them for 95 %. The scale is a geometric mean of what either would need.
    """
    needed = np.quantile(errors / widths, SHARES) / np.array(WIDTHS)
    return float(np.prod(needed ** np.array(SHARE_WEIGHTS)))


def _environments(
    molecules: Molecules, basis: Basis, weights: Any
) -> tuple[FloatArray, FloatArray]:
    """Residual kernel of each atom, and the charge P Phi w that the model gives it, e."""
    assert molecules.features is not None
    backend, to_host = basis.backend, basis.backend.to_host
    scales = molecules.features.on(backend)
    novelty, charges = np.empty(molecules.n_atoms), np.empty(molecules.n_atoms)
    for number in molecules.elements.tolist():
        atoms = np.flatnonzero(molecules.numbers == number)
        phi = basis.evaluate(number, (backend.take(x, atoms) for x in scales))
        novelty[atoms] = residual_kernel(to_host(phi[:, :-1]))
        charges[atoms] = to_host(phi @ weights[basis.elements[number].columns])
    return novelty, project(charges, molecules)
