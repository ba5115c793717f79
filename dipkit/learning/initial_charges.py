"""Starts of the solver: charges guessed from electronegativities, a fit to charges, random weights.

|mu| is the same for q and -q, and the objective is not convex: the start decides which minimum is
found. A start is a ridge fit of the model's charges to given charges: reference charges where there
are any, else guessed ones. Random starts are for comparison. Symbols: weights w (r,); N molecules
with n atoms; dipoles mu (N, 3) and magnitudes m (N,) in debye. The iterations that follow are in
`reweighted.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.backend import Array, Backend
from ..support.ragged_index import of_one_size
from .normal_matrices import FactorizationError
from .objective import JointObjective
from .quadratic_term import QuadraticTerm

FloatArray = NDArray[np.float64]

# Ridge penalty of the fit to the starting charges, e^2. It is large, so that the fit is smooth: the
# fit is also the prior, which decides about molecules far from the training molecules.
START_ALPHA = 1e-4

# Pauling electronegativities (CRC Handbook of Chemistry and Physics) of main-group elements.
ELECTRONEGATIVITY = {
    1: 2.20, 3: 0.98, 4: 1.57, 5: 2.04, 6: 2.55, 7: 3.04, 8: 3.44, 9: 3.98, 11: 0.93, 12: 1.31,
    13: 1.61, 14: 1.90, 15: 2.19, 16: 2.58, 17: 3.16, 19: 0.82, 20: 1.00, 30: 1.65, 31: 1.81,
    32: 2.01, 33: 2.18, 34: 2.55, 35: 2.96, 49: 1.78, 50: 1.96, 51: 2.05, 52: 2.10, 53: 2.66,
}  # fmt: skip
# Charge that a bond transfers per unit of electronegativity difference, e.
TRANSFER = 0.15
# Two atoms are bonded if their distance is less than this factor times the sum of covalent radii.
BOND_REACH = 1.25
# Pairs of atoms whose distances are in memory at once.
PAIRS_AT_ONCE = 10_000_000


def electronegativity_charges(molecules: Molecules) -> FloatArray:
    """Guess charges: in each bond, the more electronegative atom gets the more negative charge.

    Parameters
    ----------
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_atoms,), e
        They sum to the total charge of each molecule. Elements without an entry in the table
        count as carbon.
    """
    from ase.data import covalent_radii

    chi = np.array([ELECTRONEGATIVITY.get(z, ELECTRONEGATIVITY[6]) for z in range(119)])
    charges = (molecules.total_charge / molecules.natoms)[molecules.molecule_index]
    for atoms in of_one_size(molecules.offsets, PAIRS_AT_ONCE):
        numbers, positions = molecules.numbers[atoms], molecules.positions[atoms]
        distance = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
        radii = covalent_radii[numbers]
        bonded = distance < BOND_REACH * (radii[:, :, None] + radii[:, None])
        pull = chi[numbers][:, None] - chi[numbers][:, :, None]
        charges[atoms] += TRANSFER * (bonded * pull).sum(axis=-1)
    return charges


def start_charges(molecules: Molecules, charges: FloatArray, init: str) -> FloatArray | None:
    """Return the charges that the start is fitted to.

    Parameters
    ----------
    molecules : Molecules
        Prepared: where they carry baseline charges, these are subtracted from the guess, because
        the model learns the difference.
    charges : ndarray of shape (n_atoms,), e
        Labels; NaN where missing.
    init : {"charges", "electronegativity", "zero", "random"}

    Returns
    -------
    ndarray of shape (n_atoms,), e, or None
        None for random starts, which are not fitted to charges.
    """
    if init == "random":
        return None
    if init == "zero":
        return np.zeros(molecules.n_atoms)
    if init == "charges":
        return charges
    guess = electronegativity_charges(molecules)
    return guess if molecules.baseline_charges is None else guess - molecules.baseline_charges


def charge_start(term: QuadraticTerm, backend: Backend) -> Array:
    """Fit the model's charges to the starting charges.

    Parameters
    ----------
    term : QuadraticTerm
        Charge term of the starting charges.
    backend : Backend

    Returns
    -------
    array of shape (r,)
    """
    matrix = term.gram / term.weight
    backend.diagonal(matrix)[...] += START_ALPHA
    try:
        return backend.solve(backend.factor(matrix), term.rhs / term.weight)
    except np.linalg.LinAlgError as error:
        raise FactorizationError(
            f"eigenvalue_cut: the fit to the starting charges failed ({error}). Raise the cut."
        ) from error


def random_start(objective: JointObjective, rng: np.random.Generator) -> Array:
    """Draw weights from a normal distribution, scaled to fit the dipole labels.

    Parameters
    ----------
    objective : JointObjective
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (r,)
    """
    w = objective.backend.asarray(rng.standard_normal(objective.rows.shape[1]))
    return w * magnitude_scale(objective, w)


def magnitude_scale(objective: JointObjective, w: Array) -> float:
    """Find the factor t >= 0 for which t w fits the dipole labels best.

    The targets are those at w: for magnitudes m, vectors of length m along the dipoles of w.

    Parameters
    ----------
    objective : JointObjective
    w : array of shape (r,)

    Returns
    -------
    float
        1 for weights whose dipoles are zero or not finite.
    """
    xp = objective.backend.xp
    mu = objective.at(w).dipole_change[0, ...]
    weights = objective.weights[0, :, None]
    square = float(xp.sum(weights * mu * mu))
    if not (math.isfinite(square) and square > 0):
        return 1.0
    overlap = float(xp.sum(weights * mu * objective.target_vectors(mu)))
    return max(overlap / square, 0.0)
