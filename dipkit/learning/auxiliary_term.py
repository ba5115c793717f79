"""Auxiliary dipoles: cheap dipole vectors of some molecules, as a change of the ridge penalty.

A magnitude does not give the direction of its dipole; a cheap vector nearly does. Auxiliary dipoles
a (3 N_a,) of molecules, with or without a label, are dipoles of the model plus two errors: a second
function with the same kernel, which absorbs their systematic error, and noise. With rows D and
K = D D^T of these molecules, the ridge penalty becomes

    alpha (|w - w0|^2 + (D w - y)^T (beta K + sigma^2)^-1 (D w - y)),    y = a - mu0

which is min over d of alpha (|w - w0|^2 + |D w - y + D d|^2 / sigma^2 + |d|^2 / beta): the charge
discrepancy of equation (20) with the rows D in place of C. In the language of Gaussian processes
beta is the variance of the second function in units of that of the model. Symbols: beta without
unit, sigma in debye. Sources of these dipoles are in `dipkit.estimator.auxiliary`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..support.backend import Array, Backend
from .charge_discrepancy import absorb
from .dipole_gram import weighted_gram
from .quadratic_term import QuadraticTerm

__all__ = ["auxiliary_penalty", "auxiliary_term"]

FloatArray = NDArray[np.float64]


def auxiliary_term(
    rows: Array,
    constant: FloatArray,
    auxiliary: FloatArray,
    weights: FloatArray,
    backend: Backend,
) -> QuadraticTerm:
    """Sum |D w - y|^2 over molecules with an auxiliary dipole.

    Parameters
    ----------
    rows : array of shape (3 n_molecules, r), debye / e
    constant : ndarray of shape (n_molecules, 3), debye
        mu0, the part of the dipoles without weights.
    auxiliary : ndarray of shape (n_molecules, 3), debye
        NaN where there is none.
    weights : ndarray of shape (n_molecules,)
        Sample weights: the number of copies of each molecule.
    backend : Backend

    Returns
    -------
    QuadraticTerm
        Its weight is the weighted number of molecules with an auxiliary dipole.
    """
    used = np.where(np.isnan(auxiliary[:, 0]), 0.0, weights)
    y = np.nan_to_num(auxiliary - constant)
    gram = weighted_gram(rows, backend.asarray(used), backend)
    rhs = backend.asarray((used[:, None] * y).ravel()) @ rows
    return QuadraticTerm(gram, rhs, float(used @ (y * y).sum(axis=1)), float(used.sum()))


def auxiliary_penalty(
    term: QuadraticTerm, discrepancy: float, noise: float, backend: Backend
) -> QuadraticTerm:
    """Return the penalty in units of alpha, the second function eliminated.

    Parameters
    ----------
    term : QuadraticTerm
        From `auxiliary_term`.
    discrepancy : float
        beta > 0.
    noise : float, debye
        sigma > 0.
    backend : Backend

    Returns
    -------
    QuadraticTerm
        Its weight is sigma^2: with weight 1 in an objective it is the penalty. The weight is 0
        without any auxiliary dipole.

    Raises
    ------
    FactorizationError
        If the discrepancy is smaller than the rounding errors of the Gram matrix.
    """
    if not term.weight > 0:
        return term
    absorbed = absorb(term, term.weight / noise**2, 1 / discrepancy, backend)
    return QuadraticTerm(absorbed.gram, absorbed.rhs, absorbed.constant, noise**2)
