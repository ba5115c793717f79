"""Standard deviations of predicted magnitudes, from the posterior of the linearised model.

Near the solution the magnitude of a molecule is linear in the weights, with gradient
g_A = D_A^T u_A, u_A the direction of its dipole; the curvature of J is H = sum_A s_A g_A g_A^T +
(charge term) + alpha. Equations (9) and (10) of the theory page:

    std_A^2 = s^2 (g_A^T H^-1 g_A / N + nu_A / (N alpha) + b)

The first term is what the labels leave open within the basis, kept as `N_SAMPLES` draws from it.
nu_A is the part of the kernel that the basis does not hold, which grows far from the inducing
environments. s makes the errors of training molecules, each left out, as wide as told.

Symbols: N labelled molecules, dipole rows D (3 N, r) in debye / e, S samples. How predictions
are made is in `regression.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._backend import Backend
from .design import molecule_sums
from .exceptions import InputError
from .inducing import Basis
from .molecules import Molecules
from .objective import ROWS_AT_ONCE, JointObjective
from .solvers import FactorizationError
from .units import DEBYE_PER_E_ANGSTROM

FloatArray = NDArray[np.float64]

# Draws that stand for the covariance: the standard deviation is off by 1/16 of itself.
N_SAMPLES = 128
# Training molecules whose left-out errors set the scale; more would cost more than a third of fit.
N_CALIBRATION = 300
# b: variance of a label that no further data would explain, in units of s^2.
NOISE_FLOOR = 0.1
# One standard deviation and 1.96 of them hold these shares of a normal distribution.
SHARES, WIDTHS = (0.6827, 0.95), (1.0, 1.96)


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
        Charge that an environment unlike all inducing ones may deviate by.
    floor : float, debye
        Standard deviation of the best known magnitude.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    whitening: list[NDArray[np.float32]]
    novelty: float
    floor: float

    def store(self, model: Any) -> None:
        """Make these the fitted attributes ``std_*_`` of an estimator."""
        model.std_coef_, model.std_intercept_ = self.coefficients, self.intercepts
        model.std_whitening_ = self.whitening
        model.std_novelty_, model.std_floor_ = self.novelty, self.floor


def fit_spread(
    objective: JointObjective,
    weights: Any,
    basis: Basis,
    molecules: Molecules,
    rng: np.random.Generator,
) -> Spread:
    """Draw from the posterior at the solution and set its scale by errors of left-out molecules.

    Parameters
    ----------
    objective : JointObjective
    weights : array of shape (r,)
        Its minimum.
    basis : Basis
    molecules : Molecules
        The training molecules, described.
    rng : numpy.random.Generator
        Draws the samples, and the molecules to calibrate with where there are many.

    Returns
    -------
    Spread

    Raises
    ------
    FactorizationError
        If the curvature cannot be factored.
    """
    backend = objective.backend
    mu = objective.dipoles(objective.at(weights))
    labelled = backend.to_host(objective.weights) > 0
    n_labelled = int(labelled.sum())
    try:
        factor = backend.factor(_curvature(objective, mu))
    except np.linalg.LinAlgError as error:
        raise FactorizationError(
            f"alpha: the curvature at the solution cannot be factored ({error}). Raise alpha."
        ) from error
    normal = backend.asarray(rng.standard_normal((len(weights), N_SAMPLES)))
    samples = backend.solve_transposed(factor, normal) / np.sqrt(n_labelled * N_SAMPLES)

    usable = np.flatnonzero(labelled & (molecules.natoms > 1))
    if len(usable) > N_CALIBRATION:
        usable = np.sort(rng.choice(usable, N_CALIBRATION, replace=False))
    errors, variances = _left_out(objective, mu, factor, usable, n_labelled)
    some = molecules[usable]
    novelty = _novelty(some, basis)
    arms = directed_arms(some, backend.to_host(mu)[usable])
    variances += molecule_sums(arms**2 * novelty, some.offsets) / (n_labelled * objective.alpha)
    scale = _scale(errors, np.sqrt(variances + NOISE_FLOOR))
    coefficients, intercepts = basis.dual_of_many(scale * samples)
    return Spread(
        coefficients=coefficients,
        intercepts=intercepts,
        whitening=[
            backend.to_host(element.whitening).astype(np.float32)
            for element in basis.elements.values()
        ],
        novelty=float(scale / np.sqrt(n_labelled * objective.alpha)),
        floor=float(scale * np.sqrt(NOISE_FLOOR)),
    )


class PredictedSpread:
    """Gathers what a block of molecules says of its standard deviations, element by element.

    Parameters
    ----------
    model : DipoleKernelRidge
        Fitted.
    backend : Backend

    Raises
    ------
    InputError
        If the model was saved by a version that kept no standard deviations.
    """

    def __init__(self, model: Any, backend: Backend) -> None:
        if not hasattr(model, "std_coef_"):
            raise InputError(
                "return_std: this model was fitted by an older dipkit, which kept nothing to tell "
                "standard deviations from. Fit it again, or predict without them."
            )
        self.backend, self.novelty_charge = backend, float(model.std_novelty_)
        self.floor, self.n_samples = float(model.std_floor_), model.std_coef_.shape[1]
        self.elements = {}
        for place, number in enumerate(model.elements_.tolist()):
            mine = model.inducing_numbers_ == number
            arrays = (
                model.std_coef_[mine],
                model.std_intercept_[place],
                model.std_whitening_[place].astype(np.float64),
            )
            self.elements[number] = [backend.asarray(array) for array in arrays]
        self.parts: list[tuple[NDArray[np.intp], FloatArray, FloatArray]] = []

    def add(self, number: int, atoms: NDArray[np.intp], k: Any) -> None:
        """Take the kernel (n_e, M_e) of the block's atoms of one element."""
        coefficients, constants, whitening = self.elements[number]
        to_host = self.backend.to_host
        share = residual_kernel(to_host(k @ whitening))
        drawn = to_host(k @ coefficients + constants)
        self.parts.append((atoms, drawn, self.novelty_charge * np.sqrt(share)))

    def finish(self, block: Molecules, dipoles: FloatArray) -> FloatArray:
        """Return the standard deviations of the block (n_molecules,), debye, and forget it (9).

        Single atoms, which have no dipole whatever their charge, have none.
        """
        samples = np.empty((block.n_atoms, self.n_samples))
        novelty = np.empty(block.n_atoms)
        for atoms, drawn, charge in self.parts:
            samples[atoms], novelty[atoms] = drawn, charge
        self.parts = []
        arms = directed_arms(block, dipoles)
        drawn = molecule_sums(arms[:, None] * samples, block.offsets)
        variance = (drawn**2).sum(axis=1) + self.floor**2
        variance += molecule_sums((arms * novelty) ** 2, block.offsets)
        std: FloatArray = np.where(block.natoms > 1, np.sqrt(variance), 0.0)
        return std


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


def directed_arms(molecules: Molecules, dipoles: FloatArray) -> FloatArray:
    """Derive the magnitudes by the raw charges: arms from the centroid along the dipole.

    Parameters
    ----------
    molecules : Molecules
    dipoles : ndarray of shape (n_molecules, 3), debye

    Returns
    -------
    ndarray of shape (n_atoms,), debye / e
    """
    index = molecules.molecule_index
    centroid = molecule_sums(molecules.positions, molecules.offsets) / molecules.natoms[:, None]
    arms = (molecules.positions - centroid[index]) * directions(dipoles)[index]
    directed: FloatArray = DEBYE_PER_E_ANGSTROM * arms.sum(axis=1)
    return directed


def directions(dipoles: FloatArray) -> FloatArray:
    """Return unit vectors along the dipoles (n_molecules, 3); along z where there is none."""
    norm = np.linalg.norm(dipoles, axis=1, keepdims=True)
    safe = np.where(norm > 0, norm, 1.0)
    return np.where(norm > 0, dipoles / safe, np.array([0.0, 0.0, 1.0]))


def _curvature(objective: JointObjective, mu: Any) -> Any:
    """H (r, r): each magnitude holds one direction, each vector all three."""
    xp, rows = objective.backend.xp, objective.rows
    unit = objective.backend.asarray(directions(objective.backend.to_host(mu)))
    root = xp.sqrt(objective.weights)
    has_vector = objective.has_vector[:, 0]
    matrix = xp.zeros((rows.shape[1],) * 2)
    step = ROWS_AT_ONCE // 3
    for start in range(0, len(root), step):
        run = slice(start, start + step)
        block = rows[3 * start : 3 * (start + step)].reshape(-1, 3, rows.shape[1])
        block = block * root[run, None, None]
        vector = has_vector[run]
        directed = xp.einsum("ac,acr->ar", unit[run][~vector], block[~vector])
        matrix += directed.T @ directed
        if bool(vector.any()):
            whole = block[vector].reshape(-1, rows.shape[1])
            matrix += whole.T @ whole
    if objective.charges is not None:
        matrix += objective.charge_scale * objective.charges.gram
    xp.einsum("ii->i", matrix)[...] += objective.alpha
    return matrix


def _left_out(
    objective: JointObjective, mu: Any, factor: Any, chosen: NDArray[np.intp], n_labelled: int
) -> tuple[FloatArray, FloatArray]:
    """Errors and variances of the magnitudes of some molecules, each without its own label (10).

    With T = s_A D_A H^-1 D_A^T and U = u u^T (or 1 for a vector), leaving A out moves its dipole
    by (1 - T U)^-1 T U (mu - target).
    """
    backend = objective.backend
    to_host, xp = backend.to_host, backend.xp
    atoms = xp.asarray((3 * chosen[:, None] + np.arange(3)).ravel())
    rows = objective.rows[atoms]
    solved = backend.solve(factor, rows.T)
    k = len(chosen)
    hat = xp.einsum("acr,rad->acd", rows.reshape(k, 3, -1), solved.reshape(-1, k, 3))
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


def _scale(errors: FloatArray, widths: FloatArray) -> float:
    """Scale by which the widths hold both shares of the errors as nearly as one number can.

    Errors have heavier tails than a normal distribution: what holds 68 % with one width needs
    more than 1.96 of them for 95 %. The scale is the geometric mean of what either would need.
    """
    needed = np.quantile(errors / widths, SHARES) / np.array(WIDTHS)
    return float(np.sqrt(needed.prod()))


def _novelty(molecules: Molecules, basis: Basis) -> FloatArray:
    """Residual kernel of each atom (n_atoms,)."""
    assert molecules.features is not None
    scales = molecules.features.scales
    novelty = np.empty(molecules.n_atoms)
    for number in molecules.elements.tolist():
        atoms = np.flatnonzero(molecules.numbers == number)
        phi = basis.evaluate(number, [scale[atoms] for scale in scales])
        novelty[atoms] = residual_kernel(basis.backend.to_host(phi[:, :-1]))
    return novelty
