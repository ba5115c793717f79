"""Data that all problems of a grid over folds share: labels, basis, dipole rows, terms.

One basis serves all folds: its inducing environments are chosen among all molecules, without using
any label. The dipole rows D (3 N, r) give the predictions of every molecule, mu = mu0 + D w. Sums
over the training part of a fold are those over all molecules minus those over the held-out ones.
So a whole grid computes each kernel value once. The steps of the grid are in `fold_grid.py`.

Symbols: N molecules, folds k, problems b = 1..B, each of a fold k(b) and with its own lambda.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..estimator.auxiliary import SourcedDipoles, resolve_errors
from ..estimator.defaults import (
    is_double,
    resolve_atomic_dipoles,
    resolve_cut,
    resolve_direction_weight,
    resolve_quadrupole_weight,
    resolve_start,
)
from ..estimator.memory_plan import default_n_inducing, require_memory
from ..estimator.settings import Settings
from ..estimator.training_data import basis_of
from ..exceptions import InputError
from ..learning.basis import Basis
from ..learning.charge_discrepancy import absorbs
from ..learning.inducing import choose_atoms
from ..learning.initial_charges import charge_start, start_charges
from ..learning.labels import FitLabels
from ..learning.multipoles import constant_dipoles
from ..learning.objective import JointObjective
from ..support.backend import Array, get_backend
from ..support.blas_threads import count_threads, in_order, threads_for
from .excluded_directions import find_excluded, hold_at_zero, projection
from .fold_labels import ChargeSet, Fold, FoldLabels
from .fold_matrices import FoldMatrices
from .fold_sums import accumulate_folds, fold_directions, fold_penalty, fold_quadrupoles
from .fold_terms import AbsorbedTerm, FoldedTerm, FoldTerms

__all__ = ["FoldedProblem"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class FoldedProblem:
    """Rows of all molecules, and the terms of the training part of each fold.

    Parameters
    ----------
    fold_labels : FoldLabels
        Of molecules with descriptors.
    settings : Settings
        Its alpha and charge weight are not read.
    folds : sequence of (train, test)
    auxiliary : SourcedDipoles or None
    n_weights : int
        Charge weights lambda of the grid: the number of matrices in memory for each fold.
    """

    def __init__(
        self,
        fold_labels: FoldLabels,
        settings: Settings,
        folds: Sequence[Fold],
        auxiliary: SourcedDipoles | None,
        n_weights: int = 1,
    ):
        self.settings, self.folds, self.fold_labels = settings, list(folds), fold_labels
        self.labels = self.fold_labels.whole
        self.start = resolve_start(settings.start, self.labels)
        self.direction_weight = resolve_direction_weight(settings.baseline, self.labels)
        self.quadrupole_weight = resolve_quadrupole_weight(settings.quadrupole_weight, self.labels)
        self.auxiliary = auxiliary
        self.magnitudes = fold_labels.magnitudes
        self.labelled = np.where(np.isnan(self.magnitudes), 0.0, self.labels.target.weights)
        self.weights = self._training_weights()
        self.basis, self.owners = _choose_basis(self.labels, settings)
        self.backend = self.basis.backend
        charge_sets = self._charge_sets()
        self._require_memory(sum(len(one.parts) for one in charge_sets), n_weights)
        self.constants = self._constants()
        self.excluded = self.each(self._find_excluded, range(len(self.folds)))
        self._sum(charge_sets)
        self.matrices = FoldMatrices(self)

    def objective(self, fold: Indices, charge_weight: FloatArray) -> JointObjective:
        """Objective of the problems of these folds (B,) and charge weights (B,); alpha is 1."""
        backend = self.backend
        terms = [(term, np.full(len(fold), weight)) for term, weight in self.fixed_terms]
        constant = self.constants[0]
        if self.fold_labels.has_baseline:
            constant = np.stack([self.constants[1 + k] for k in fold])
        return JointObjective(
            self.rows,
            constant,
            self.labels.target,
            FoldTerms([(self.charges, charge_weight), *terms], fold, backend),
            alpha=1.0,
            loss=self.settings.loss,
            backend=backend,
            weights=self.weights[fold],
            penalty=self._penalty_of(fold),
            project=projection(self.excluded, fold, backend),
        )

    def _penalty_of(self, fold: Indices) -> FoldTerms | None:
        """Return what the auxiliary dipoles add to the ridge penalty of problems of folds (B,)."""
        if self.penalty is None:
            return None
        return FoldTerms([(self.penalty, np.ones(len(fold)))], fold, self.backend)

    def starts(self) -> Array:
        """Return the start of each fold (k, r), from the charges of its training part."""

        def start(k: int) -> Array:
            term = self.start_term.training[k]
            if term.weight <= 0:
                raise InputError(
                    f"cv: fold {k} trains on no molecule with charges to start from. Use "
                    'start="electronegativity", or fewer folds.'
                )
            gram = self.backend.xp.asarray(term.gram, copy=True)
            gram = hold_at_zero(gram, self.excluded[k], self.backend)
            return charge_start(replace(term, gram=gram), self.backend)

        every = np.arange(len(self.folds))
        starts = self.backend.xp.stack(self.each(start, every.tolist()))
        return projection(self.excluded, every, self.backend)(starts, every)

    def each(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """Apply a function to each item, on as many threads as BLAS may use."""
        n_threads = min(count_threads(), len(items)) if self.backend.on_host else 1
        return list(in_order(function, items, n_threads))

    def _training_weights(self) -> FloatArray:
        """Weights s_A (k, N), zero for molecules held out of a fold and for those without label."""
        weights = np.zeros((len(self.folds), len(self.labelled)))
        for k, (train, _) in enumerate(self.folds):
            weights[k, train] = self.labelled[train]
            if not weights[k].any():
                raise InputError(
                    f"cv: fold {k} trains on no molecule with a dipole label and weight. Use "
                    "fewer folds, or folds that mix the molecules."
                )
        return weights

    def _charge_sets(self) -> list[ChargeSet]:
        """Charges of the start, and those of the objective if they differ."""
        labels = self.fold_labels.raw
        bare = labels.molecules.replace(baseline_charges=None)
        start = start_charges(bare, labels.charges, self.start)
        assert start is not None, "a start with charges expected"
        sets = [ChargeSet(start, self.fold_labels, minus_baseline=self.start != "zero")]
        if labels.has_charges and start is not labels.charges:
            sets.append(ChargeSet(labels.charges, self.fold_labels))
        return sets

    def _require_memory(self, n_sets: int, n_weights: int) -> None:
        """Refuse matrices that would not fit: charges, dipoles and factors of every fold."""
        n_folds = len(self.folds)
        kinds = n_sets + 1 + (self.direction_weight > 0) + (self.quadrupole_weight > 0)
        n_matrices = kinds * (n_folds + 1) + n_folds * n_weights + 4
        if absorbs(self.settings.charge_discrepancy):  # a factor and a matrix of each problem
            n_matrices += 2 * n_folds * n_weights + 1
        if self.auxiliary is not None:
            n_matrices += 2 * (n_folds + 1)
        r = self.basis.n_columns
        each = r / self.basis.n_charge_columns
        require_memory(len(self.labels.molecules), r, self.backend, n_matrices, each)

    def _constants(self) -> list[FloatArray]:
        """Constant parts of the dipoles (N, 3), debye: of all molecules, then of each fold."""
        molecules = [self.labels.molecules.replace(features=None)]
        if self.fold_labels.has_baseline:
            molecules += [self.fold_labels.molecules_in_fold(k) for k in range(len(self.folds))]
        return [constant_dipoles(each) for each in molecules]

    def _find_excluded(self, k: int) -> Array:
        parameters, n = self.settings.basis, len(self.labels.molecules)
        precise = is_double(parameters.precision, n, self.backend)
        cut = resolve_cut(parameters.eigenvalue_cut, precise)
        return find_excluded(self.basis, self.owners, self.folds[k][0], cut)

    def _sum(self, charge_sets: Sequence[ChargeSet]) -> None:
        """Compute the dipole rows and all quadratic terms."""
        parts = [part for one in charge_sets for part in one.parts]
        self.rows, terms = accumulate_folds(
            self.labels.molecules, self.basis, parts, self.folds, self.settings.n_jobs
        )
        combined = []
        for one in charge_sets:
            combined.append(one.term(terms[: len(one.parts)], self.folds))
            terms = terms[len(one.parts) :]
        self.start_term, self.charges = combined[0], combined[-1]
        discrepancy = self.settings.charge_discrepancy
        if absorbs(discrepancy):
            self.charges = AbsorbedTerm(self.charges, discrepancy, self.backend)
        #: Terms whose weight is the same in all problems, with that weight.
        self.fixed_terms: list[tuple[FoldedTerm, float]] = []
        if self.direction_weight > 0:
            pull = fold_directions(
                self.rows, self.constants, self.labels.target, self.weights, self.backend
            )
            self.fixed_terms.append((pull, self.direction_weight))
        if self.quadrupole_weight > 0:
            term = fold_quadrupoles(self.fold_labels, self.basis, self.folds)
            self.fixed_terms.append((term, self.quadrupole_weight))
        #: Penalty of the auxiliary dipoles, in units of alpha.
        self.penalty: FoldedTerm | None = None
        if self.auxiliary is not None and self.settings.auxiliary is not None:
            self.penalty = fold_penalty(
                self.rows,
                self.constants[0],
                self.auxiliary.dipoles,
                self.labels.copies,
                self.folds,
                resolve_errors(self.settings.auxiliary, self.auxiliary.source),
                self.backend,
            )


def _choose_basis(labels: FitLabels, settings: Settings) -> tuple[Basis, dict[int, Indices]]:
    """Choose the basis of a fit to all molecules; return it with the molecules of its atoms."""
    molecules = labels.molecules
    assert molecules.features is not None, "molecules with descriptors expected"
    parameters, kernel, backend = settings.basis, settings.kernel, get_backend(settings.device)
    precise = is_double(parameters.precision, len(molecules), backend)
    dipoles = resolve_atomic_dipoles(parameters.atomic_dipoles, labels)
    n_inducing = parameters.n_inducing or default_n_inducing(
        molecules,
        backend,
        settings.memory_budget,
        with_dipoles=dipoles > 0,
        precise=precise,
        with_bonds=parameters.bond_charges > 0,
    )
    chosen = choose_atoms(molecules, n_inducing, kernel, settings.generator(), backend, precise)
    environments = {number: scales for number, (_, scales) in chosen.items()}
    owners = {number: molecules.molecule_index[atoms] for number, (atoms, _) in chosen.items()}
    with threads_for(n_inducing):
        weights = molecules.features.weights
        return basis_of(environments, weights, settings, backend, precise, dipoles), owners
