"""Sums over the training part of every fold, each molecule seen once where that is possible.

Symbols: N molecules, folds k, dipole rows D (3 N, r) in debye / e. The terms are used in
`fold_problem.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..estimator.auxiliary import Errors
from ..exceptions import InputError
from ..learning.accumulate import accumulate
from ..learning.auxiliary_term import auxiliary_penalty, auxiliary_term
from ..learning.basis import Basis
from ..learning.charge_labels import ChargeLabels
from ..learning.direction_term import accumulate_direction
from ..learning.objective import DipoleTarget
from ..learning.quadratic_term import QuadraticTerm, TermSum
from ..learning.quadrupole_term import accumulate_quadrupoles
from ..support.backend import Array, Backend
from .fold_labels import Fold, FoldLabels
from .fold_terms import FoldedTerm

__all__ = ["accumulate_folds", "fold_directions", "fold_penalty", "fold_quadrupoles"]

FloatArray = NDArray[np.float64]


def accumulate_folds(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    folds: Sequence[Fold],
    n_jobs: int | None = None,
) -> tuple[Array, list[FoldedTerm]]:
    """Compute the dipole rows of all molecules, and the charge terms of all folds.

    Sums are over groups of molecules that are left out of the same folds, each molecule once.

    Parameters
    ----------
    molecules : Molecules
        With descriptors.
    basis : Basis
    labels : sequence of ChargeLabels
    folds : sequence of (train, test)
    n_jobs : int, default=None

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    terms : list of FoldedTerm
        One for each set of labels.
    """
    backend, r = basis.backend, basis.n_columns
    out = np.ones((len(molecules), len(folds)), dtype=bool)
    for k, (train, _) in enumerate(folds):
        out[train, k] = False
    rows = backend.empty((3 * len(molecules), r))
    totals = [TermSum(r, backend) for _ in labels]
    left_out = [[TermSum(r, backend) for _ in folds] for _ in labels]
    patterns, group_of = np.unique(out, axis=0, return_inverse=True)
    for group, pattern in enumerate(patterns):
        members = np.flatnonzero(group_of.ravel() == group)
        atoms = molecules.atom_index(members)
        parts = [ChargeLabels(part.charges[atoms], part.weights[members]) for part in labels]
        some, terms = accumulate(molecules[members], basis, parts, n_jobs)
        backend.put(rows, (3 * members[:, None] + np.arange(3)).ravel(), some)
        for total, sums, term in zip(totals, left_out, terms, strict=True):
            for growing in (total, *itertools.compress(sums, pattern)):
                growing.add(term)
    return rows, [_differences(total, sums) for total, sums in zip(totals, left_out, strict=True)]


def _differences(total: TermSum, left_out: list[TermSum]) -> FoldedTerm:
    """Subtract the sum that each fold leaves out, fold by fold, because matrices are large."""
    whole = total.finish()
    training = []
    while left_out:
        training.append(whole - left_out.pop(0).finish())
    return FoldedTerm(whole, training)


def fold_quadrupoles(labels: FoldLabels, basis: Basis, folds: Sequence[Fold]) -> FoldedTerm:
    """Sum the quadrupole term over all molecules, and over those that each fold trains on.

    Parameters
    ----------
    labels : FoldLabels
        Its molecules have descriptors.
    basis : Basis
    folds : sequence of (train, test)

    Raises
    ------
    InputError
        If a fold trains on no quadrupole.
    """
    weights, known = labels.raw.target.weights, labels.raw.molecules.has_quadrupole
    total, training = accumulate_quadrupoles(labels.whole, basis), []
    for k, (train, _) in enumerate(folds):
        inside = np.zeros_like(weights)
        inside[train] = weights[train]
        if not (known & (inside > 0)).any():
            raise InputError(
                f"cv: fold {k} trains on no molecule with a quadrupole. Use fewer folds, or "
                "quadrupole_weight=0."
            )
        if labels.has_baseline:  # the labels differ from fold to fold
            training.append(accumulate_quadrupoles(labels.in_fold(k), basis, inside))
        else:
            training.append(total - accumulate_quadrupoles(labels.raw, basis, weights - inside))
    return FoldedTerm(total, training)


def fold_directions(
    rows: Array,
    constants: Sequence[FloatArray],
    target: DipoleTarget,
    weights: FloatArray,
    backend: Backend,
) -> FoldedTerm:
    """Sum the direction term, of all molecules and of the training part of each fold.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
    constants : sequence of ndarray of shape (n_molecules, 3), debye
        Scaled baseline dipoles: with the factor of all molecules, then those of each fold.
    target : DipoleTarget
    weights : ndarray of shape (k, n_molecules)
        s_A of each fold.
    backend : Backend
    """
    total, *training = (
        accumulate_direction(
            rows, constant, DipoleTarget(target.magnitudes, target.vectors, some), backend
        )
        for constant, some in zip(constants, (target.weights, *weights), strict=True)
    )
    return FoldedTerm(total, training)


def fold_penalty(
    rows: Array,
    constant: FloatArray,
    auxiliary: FloatArray,
    copies: FloatArray,
    folds: Sequence[Fold],
    errors: Errors,
    backend: Backend,
) -> FoldedTerm:
    """Penalty of the auxiliary dipoles of all molecules, and of those that each fold trains on.

    Auxiliary dipoles of held-out molecules would help to predict these, and are not there for the
    molecules that a model is made for.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
    constant : ndarray of shape (n_molecules, 3), debye
    auxiliary : ndarray of shape (n_molecules, 3), debye
        NaN where there is none.
    copies : ndarray of shape (n_molecules,)
        Numbers of copies that the molecules stand for.
    folds : sequence of (train, test)
    errors : Errors
    backend : Backend
    """

    def sum_over(weights: FloatArray) -> QuadraticTerm:
        return auxiliary_term(rows, constant, auxiliary, weights, backend)

    total, training = sum_over(copies), []
    for train, _ in folds:
        left_out = copies.copy()
        left_out[train] = 0.0
        training.append(auxiliary_penalty(total - sum_over(left_out), *errors, backend))
    return FoldedTerm(auxiliary_penalty(total, *errors, backend), training)
