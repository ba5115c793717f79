"""Labels of the folds: each fold has the baseline of a fit to its training part.

The factor b of a baseline is fitted to labels. In a fold it must be fitted to the training labels
only, or the held-out labels would enter the prediction. Symbols: N molecules, n atoms, folds k with
factors b_k; charges p, baseline charges q0 in e; P subtracts the mean of each molecule. The factor
of one fit is in `dipkit.estimator.baseline_factor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..estimator.baseline import Baseline
from ..estimator.baseline_factor import fit_baseline_factor
from ..estimator.baseline_molecules import attach_labels, prepare_labels, scale_labels
from ..learning.charge_labels import ChargeLabels
from ..learning.labels import FitLabels
from ..learning.objective import DipoleTarget
from .fold_terms import FoldedTerm

__all__ = ["ChargeSet", "Fold", "FoldLabels"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]


@dataclass(frozen=True)
class FoldLabels:
    """Labels of all molecules, with the baseline of each fold.

    Parameters
    ----------
    raw : FitLabels
        With the baseline as it was calculated.
    whole : FitLabels
        With the baseline times the factor that fits all labels.
    factor : float
        That factor.
    factors : ndarray of shape (k,)
        b_k, fitted to the training labels of each fold.
    """

    raw: FitLabels
    whole: FitLabels
    factor: float
    factors: FloatArray

    @classmethod
    def of(
        cls,
        labels: FitLabels,
        baseline: Baseline | None,
        folds: Sequence[Fold],
        n_jobs: int | None = None,
    ) -> FoldLabels:
        """Attach the baseline to all molecules, and fit its factor in each fold.

        Parameters
        ----------
        labels : FitLabels
        baseline : Baseline or None
        folds : sequence of (train, test)
        n_jobs : int, default=None
        """
        if baseline is None:
            whole, _ = prepare_labels(labels, None)
            return cls(whole, whole, 1.0, np.ones(len(folds)))
        raw = attach_labels(labels, baseline, n_jobs)
        factor = fit_baseline_factor(raw)
        factors = [fit_baseline_factor(_training(raw, train)) for train, _ in folds]
        return cls(raw, scale_labels(raw, factor), factor, np.array(factors))

    @property
    def magnitudes(self) -> FloatArray:
        """Lengths of the dipole labels (N,), debye; NaN where there is none."""
        target = self.whole.target
        lengths = np.linalg.norm(target.vectors, axis=1)
        return np.where(np.isnan(lengths), target.magnitudes, lengths)

    @property
    def has_baseline(self) -> bool:
        """Whether there is a baseline, so that the labels of folds differ."""
        return self.raw.molecules.baseline_dipole is not None

    def in_fold(self, fold: int) -> FitLabels:
        """Labels of all molecules with the baseline of a fold."""
        return scale_labels(self.raw, float(self.factors[fold])) if self.has_baseline else self.raw

    def molecules_in_fold(self, fold: int) -> Molecules:
        """All molecules, without descriptors, with the baseline of a fold."""
        bare = replace(self.raw, molecules=self.raw.molecules.replace(features=None))
        return replace(self, raw=bare).in_fold(fold).molecules


def _training(labels: FitLabels, train: Indices) -> FitLabels:
    """Labels with weight 0 outside the training part."""
    target = labels.target
    weights = np.zeros_like(target.weights)
    weights[train] = target.weights[train]
    return replace(labels, target=DipoleTarget(target.magnitudes, target.vectors, weights))


class ChargeSet:
    """Charges of one kind; a fold learns P (p - b_k q0).

    The term of a fold is linear and quadratic in b_k, so that sums over p and over q0 give the
    terms of all folds.

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
        p; NaN where there is none.
    labels : FoldLabels
    minus_baseline : bool
        Whether b_k q0 is subtracted, where the baseline has charges.
    """

    def __init__(self, charges: FloatArray, labels: FoldLabels, minus_baseline: bool = True):
        molecules, weights = labels.raw.molecules, labels.raw.target.weights
        self._labels, self._molecules = labels, molecules
        #: Labels to sum over: p, and q0 where it is needed.
        self.parts = [ChargeLabels.of(charges, molecules, weights)]
        q0 = molecules.baseline_charges
        if minus_baseline and q0 is not None:
            known = np.where(np.isnan(charges), np.nan, q0)
            self.parts.append(ChargeLabels.of(known, molecules, weights))

    def term(self, terms: Sequence[FoldedTerm], folds: Sequence[Fold]) -> FoldedTerm:
        """Combine the terms of the parts.

        Parameters
        ----------
        terms : sequence of FoldedTerm
            One for each of the parts.
        folds : sequence of (train, test)
        """
        if len(self.parts) == 1:
            return terms[0]
        charges, baseline = terms
        every = np.arange(len(self._molecules))
        trains, factors = [every, *(train for train, _ in folds)], self._labels.factors
        total, *training = (
            replace(of_p, rhs=of_p.rhs - b * of_q.rhs, constant=self._constant(b, train))
            for of_p, of_q, b, train in zip(
                (charges.total, *charges.training),
                (baseline.total, *baseline.training),
                (self._labels.factor, *factors.tolist()),
                trains,
                strict=True,
            )
        )
        return FoldedTerm(total, training)

    def _constant(self, factor: float, train: Indices) -> float:
        """Sum of c |P (p - b q0)|^2 over molecules."""
        of_p, of_q = self.parts
        weights = np.zeros_like(of_p.weights)
        weights[train] = of_p.weights[train]
        left = of_p.charges - factor * of_q.charges
        return float(weights[self._molecules.molecule_index] @ left**2)
