"""Quadrupole labels in a cross-validation: the term of all molecules, and of those of a fold.

Symbols: k folds; each term a sum over molecules with a weight of its own, see
`learning/quadrupole_term.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..learning.basis import Basis
from ..learning.labels import FitLabels
from ..learning.lockstep import FoldedTerm
from ..learning.quadratic_term import QuadraticTerm, WeightedTerm, weighted_sum
from ..learning.quadrupole_term import accumulate_quadrupoles

__all__ = ["folded_quadrupoles", "folded_sum"]


def folded_quadrupoles(
    labels: FitLabels, basis: Basis, out: Sequence[NDArray[np.intp]]
) -> FoldedTerm:
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
    FoldedTerm

    Raises
    ------
    InputError
        If a fold trains on no quadrupole.
    """
    weights = labels.target.weights
    total = accumulate_quadrupoles(labels, basis)
    training = []
    for k, left_out in enumerate(out):
        of_fold = np.zeros(len(weights))
        of_fold[left_out] = weights[left_out]
        training.append(total - accumulate_quadrupoles(labels, basis, of_fold))
        if not (labels.molecules.has_quadrupole & (weights > of_fold)).any():
            raise InputError(
                f"cv: fold {k} trains on no molecule with a quadrupole. Use fewer folds, or "
                "quadrupole_weight=0."
            )
    return FoldedTerm(total, training)


def folded_sum(terms: Sequence[tuple[FoldedTerm, float]]) -> FoldedTerm:
    """Put several terms, each a mean over the training molecules times a weight, into one.

    Parameters
    ----------
    terms : sequence of (FoldedTerm, float)
        Each with its weight.

    Returns
    -------
    FoldedTerm
        To be used with weight 1 in every fold.
    """
    folds: list[int | None] = [None, *range(len(terms[0][0].training))]
    total, *training = (_summed([(part.of(k), weight) for part, weight in terms]) for k in folds)
    return FoldedTerm(total, training)


def _summed(terms: Sequence[WeightedTerm]) -> QuadraticTerm:
    """Sum of terms, in which the weight of each is included."""
    term, weight = weighted_sum(terms)
    assert term is not None
    return replace(term, weight=term.weight / weight)
