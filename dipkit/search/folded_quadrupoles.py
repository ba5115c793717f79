"""Quadrupole labels in a cross-validation: the term of all molecules, and of those of a fold.

Symbols: k folds; each term a sum over molecules with a weight of its own, see
`learning/quadrupole_term.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..learning.basis import Basis
from ..learning.labels import FitLabels
from ..learning.lockstep import FoldedCharges
from ..learning.quadrupole_term import normalised, quadrupole_statistics
from ..learning.statistics import ChargeStatistics

__all__ = ["folded_quadrupoles", "folded_sum"]


def folded_quadrupoles(
    labels: FitLabels, basis: Basis, out: Sequence[NDArray[np.intp]]
) -> FoldedCharges:
    """Sum the term over all molecules, and over those that each fold trains on.

    Parameters
    ----------
    labels : FitLabels
        Its molecules are described.
    basis : Basis
    out : sequence of ndarray of int
        Molecules that each fold does not train on.

    Returns
    -------
    FoldedCharges

    Raises
    ------
    InputError
        If a fold trains on no quadrupole.
    """
    weights = labels.target.weights
    total = quadrupole_statistics(labels, basis)
    training = []
    for k, left_out in enumerate(out):
        of_fold = np.zeros(len(weights))
        of_fold[left_out] = weights[left_out]
        training.append(total - quadrupole_statistics(labels, basis, of_fold))
        if not (labels.molecules.has_quadrupole & (weights > of_fold)).any():
            raise InputError(
                f"cv: fold {k} trains on no molecule with a quadrupole. Use fewer folds, or "
                "quadrupole_weight=0."
            )
    return FoldedCharges(total, training)


def folded_sum(terms: Sequence[tuple[FoldedCharges, float]]) -> FoldedCharges:
    """Put several terms, each a mean over the training molecules times a weight, into one.

    Parameters
    ----------
    terms : sequence of (FoldedCharges, float)
        Each with its weight.

    Returns
    -------
    FoldedCharges
        Of weight 1 in every fold.
    """
    folds: list[int | None] = [None, *range(len(terms[0][0].training))]
    total, *training = (
        _summed([normalised(part.of(k), weight) for part, weight in terms]) for k in folds
    )
    return FoldedCharges(total, training)


def _summed(parts: Sequence[ChargeStatistics]) -> ChargeStatistics:
    """Sum of terms of weight 1, of weight 1 itself."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    total.weight = 1.0
    return total
