"""Where the passes start: |mu| is blind to the sign of all charges, so the start decides.

A start is a ridge fit of the model's charges to given charges: reference charges where there are
any, else charges guessed from electronegativities. Random starts are there for comparison.
Symbols: weights w (r,), dipoles mu (N, 3) in debye, magnitudes m (N,).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.backend import Backend
from .normal_matrices import FactorizationError
from .objective import JointObjective
from .quadratic_term import QuadraticTerm

FloatArray = NDArray[np.float64]

# Ridge penalty of the fit to the starting charges, e^2. It is smooth on purpose: the fit is also
# the prior that a model falls back to far from its training molecules.
START_ALPHA = 1e-4

# Pauling's electronegativities (CRC Handbook of Chemistry and Physics) of main-group elements.
ELECTRONEGATIVITY = {
    1: 2.20, 3: 0.98, 4: 1.57, 5: 2.04, 6: 2.55, 7: 3.04, 8: 3.44, 9: 3.98, 11: 0.93, 12: 1.31,
    13: 1.61, 14: 1.90, 15: 2.19, 16: 2.58, 17: 3.16, 19: 0.82, 20: 1.00, 30: 1.65, 31: 1.81,
    32: 2.01, 33: 2.18, 34: 2.55, 35: 2.96, 49: 1.78, 50: 1.96, 51: 2.05, 52: 2.10, 53: 2.66,
}  # fmt: skip
# Charge that moves over a bond per unit of electronegativity difference, e.
TRANSFER = 0.15
# Two atoms are bonded if closer than this many times the sum of their covalent radii.
BOND_REACH = 1.25


def electronegativity_charges(molecules: Molecules) -> FloatArray:
    """Guess charges: each bond moves charge towards its more electronegative end.

    Parameters
    ----------
    molecules : Molecules

    Returns
    -------
    ndarray of shape (n_atoms,), e
        Sums to the total charge of each molecule. Elements without an entry in the table count
        as carbon.
    """
    from ase.data import covalent_radii

    chi = np.array([ELECTRONEGATIVITY.get(z, ELECTRONEGATIVITY[6]) for z in range(119)])
    charges = (molecules.total_charge / molecules.natoms)[molecules.molecule_index]
    # Molecules of one size together: all pairs at once, without a loop over molecules.
    for size in np.unique(molecules.natoms):
        members = np.flatnonzero(molecules.natoms == size)
        for part in np.array_split(members, max(len(members) * size**2 // 10**7, 1)):
            atoms = molecules.offsets[part][:, None] + np.arange(size)
            numbers, positions = molecules.numbers[atoms], molecules.positions[atoms]
            distance = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
            radii = covalent_radii[numbers]
            bonded = distance < BOND_REACH * (radii[:, :, None] + radii[:, None])
            pull = chi[numbers][:, None] - chi[numbers][:, :, None]
            charges[atoms] += TRANSFER * (bonded * pull).sum(axis=-1)
    return charges


def start_charges(molecules: Molecules, charges: FloatArray, init: str) -> FloatArray | None:
    """Charges (n_atoms,) to start from, e: the labels, the guess, none, or None if random.

    With a baseline, what the molecules carry of its charges is not to be learned again.
    """
    if init == "random":
        return None
    if init == "zero":
        return np.zeros(molecules.n_atoms)
    if init == "charges":
        return charges
    guess = electronegativity_charges(molecules)
    return guess if molecules.baseline_charges is None else guess - molecules.baseline_charges


def charge_start(term: QuadraticTerm, backend: Backend) -> Any:
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


def random_start(objective: JointObjective, rng: np.random.Generator) -> Any:
    """Draw weights from a normal distribution, scaled to fit the magnitudes.

    Returns
    -------
    array of shape (r,)
    """
    w = objective.backend.asarray(rng.standard_normal(objective.rows.shape[1]))
    return w * magnitude_scale(objective, w)


def magnitude_scale(objective: JointObjective, w: Any) -> float:
    """Factor t >= 0 by which t w fits the labels best, the constant part of the dipoles aside."""
    xp = objective.backend.xp
    mu = objective.at(w).dipole_change[0]
    target = objective.target_vectors(mu)
    weights = objective.weights[0][:, None]
    square = float(xp.sum(weights * mu * mu))
    overlap = float(xp.sum(weights * mu * target))
    return max(overlap / square, 0.0) if math.isfinite(square) and square > 0 else 1.0
