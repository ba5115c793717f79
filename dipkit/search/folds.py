"""Cross-validation over a grid of (alpha, lambda) for one setting of everything else.

One basis serves all folds: inducing environments are chosen among all molecules, without a look
at any label. The weights of a fold stay out of what the environments of its held-out molecules add
to those of the others, lest a sharp kernel look better than it is for molecules it has not seen.
The dipole rows D (3N, r) hold the predictions of every molecule, mu = mu0 + D w, and sums over the
molecules of a fold are those over all less those over the held-out ones: the whole grid costs each
kernel value once. All folds and all lambdas advance together (`learning/lockstep.py`) while alpha
falls, each minimum starting the next.
Symbols: N molecules, k folds, grid of n_alphas x n_weights, errors |mu| - m in debye.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..estimator.baseline_molecules import prepare_labels
from ..estimator.defaults import (
    has_prior,
    is_double,
    resolve_direction_weight,
    resolve_quadrupole_weight,
    resolve_start,
)
from ..estimator.memory_plan import default_n_inducing, require_memory
from ..estimator.parameters import RandomStart
from ..estimator.regression import DipoleKernelRidge
from ..estimator.settings import Settings
from ..exceptions import InputError
from ..learning.accumulate import accumulate
from ..learning.basis import Basis, build_basis
from ..learning.charge_discrepancy import AbsorbedCharges, absorbs
from ..learning.charge_labels import ChargeLabels
from ..learning.dipole_gram import directed_gram, weighted_gram
from ..learning.direction_term import accumulate_direction
from ..learning.inducing import choose_atoms
from ..learning.initial_charges import charge_start, start_charges
from ..learning.labels import FitLabels, read_labels
from ..learning.lockstep import Factors, FoldedTerm, LockstepObjective, solve_in_step
from ..learning.multipoles import constant_dipoles
from ..learning.objective import DipoleTarget, across_shares
from ..learning.quadratic_term import QuadraticTerm, TermSum
from ..learning.solvers import STAGE_PASSES, STAGE_TOL
from ..support.backend import get_backend
from ..support.blas_threads import count_threads, in_order, threads_for
from ..support.validation import check_number
from .folded_quadrupoles import folded_quadrupoles, folded_sum

FloatArray = NDArray[np.float64]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]

# Passes on the grid end sooner than those of a fit, or where a few slow lines hold up the others:
# a grid ranks its points, and the best one is fitted in full afterwards.
GRID_TOL = 5e-4
GRID_PASSES = 25
# The matrix of a loss that is not squared is that of the squared one, and leads there slowly.
SLOW_PASSES = 100
# Two neighbouring alphas share a factorisation, in between, where they are no farther apart.
SHARED_RATIO = 4.0
# Penalty on barred directions in a fold's own matrix, relative to its largest diagonal element.
BARRED = 1e3


def cross_validate_grid(
    described: Molecules,
    y: Any = None,
    *,
    alphas: Sequence[float],
    charge_weights: Sequence[float] = (0.0,),
    folds: Sequence[Fold],
    ridge: DipoleKernelRidge | None = None,
    charges: Any = None,
    sample_weight: Any = None,
    tol: float = GRID_TOL,
) -> FloatArray:
    """Mean absolute held-out error of each fold at each point of the grid.

    Parameters
    ----------
    described : Molecules
        From a `SOAPTransformer`.
    y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
        None takes the labels of the molecules; those without one are never scored.
    alphas, charge_weights : sequence of float
        The grid; their order does not matter.
    folds : sequence of (train, test)
        Indices, as ``KFold(5).split(described)`` gives them.
    ridge : DipoleKernelRidge, default=None
        All other parameters.
    charges, sample_weight : array-like, default=None
        As in `DipoleKernelRidge.fit`.
    tol : float, default=5e-4
        Of the passes.

    Returns
    -------
    ndarray of shape (n_folds, n_alphas, n_weights), debye
        NaN where the normal matrix could not be factored.

    Examples
    --------
    >>> from sklearn.model_selection import KFold
    >>> from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.search.folds import cross_validate_grid
    >>> described = SOAPTransformer().fit_transform(load_organics()[:30])
    >>> folds = list(KFold(3).split(described))
    >>> ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=50))
    >>> cross_validate_grid(described, alphas=[1e-3, 1e-4], folds=folds, ridge=ridge).shape
    (3, 2, 1)
    """
    labels = read_labels(described, y, charges, sample_weight)
    ridge = DipoleKernelRidge() if ridge is None else ridge
    problem = FoldedProblem(labels, ridge, folds, alphas, charge_weights)
    return np.array([np.abs(errors).mean(axis=-1) for errors in problem.held_out_errors(tol)])


class FoldedProblem:
    """Rows of all molecules, and the charge statistics of those held out of each fold.

    Parameters
    ----------
    labels : FitLabels
        Of described molecules.
    ridge : DipoleKernelRidge
        Its alpha and charge weight are not read.
    folds : sequence of (train, test)
    alphas, charge_weights : sequence of float
    """

    def __init__(
        self,
        labels: FitLabels,
        ridge: DipoleKernelRidge,
        folds: Sequence[Fold],
        alphas: Sequence[float],
        charge_weights: Sequence[float],
    ):
        settings = Settings.of(ridge)
        _check(labels, settings, alphas, charge_weights)
        # Held-out molecules take part in the one scale of a baseline, as they do in the basis.
        labels, _ = prepare_labels(labels, settings.baseline, n_jobs=settings.n_jobs)
        self.direction_weight = resolve_direction_weight(settings.baseline, labels)
        self.quadrupole_weight = resolve_quadrupole_weight(settings.quadrupole_weight, labels)
        self.alphas, self.charge_weights = np.array(alphas), np.array(charge_weights)
        self.settings, self.labels, self.folds = settings, labels, list(folds)
        self.loss = settings.loss
        molecules, target = labels.molecules, labels.target
        lengths = np.linalg.norm(target.vectors, axis=1)
        self.magnitudes = np.where(np.isnan(lengths), target.magnitudes, lengths)
        self.labelled = np.where(np.isnan(self.magnitudes), 0.0, target.weights)
        self.weights = self._training_weights()
        self.basis, self.owners = _choose_basis(molecules, settings)
        sets = self._charge_sets()
        # Charges, dipoles and factors of every fold.
        kinds = len(sets) + 1 + (self.direction_weight > 0) + (self.quadrupole_weight > 0)
        n_matrices = kinds * (len(folds) + 1) + len(folds) * len(charge_weights) + 4
        if absorbs(settings.charge_discrepancy):  # a factor and a matrix of each fold and lambda
            n_matrices += 2 * len(folds) * len(charge_weights) + 1
        r = self.basis.n_columns
        each = r / self.basis.n_charge_columns
        require_memory(len(molecules), r, self.basis.backend, n_matrices, each)
        self.constant = constant_dipoles(molecules)
        self.barred = self._each(self._barred, range(len(self.folds)))
        self._accumulate(sets)
        self.term = self.charges[-1]
        if absorbs(settings.charge_discrepancy):
            self.term = AbsorbedCharges(self.term, settings.charge_discrepancy, self.basis.backend)
        self.direction = self._direction() if self.direction_weight > 0 else None
        if self.quadrupole_weight > 0:
            self._add_quadrupoles()
        self._sum_dipoles()

    def held_out_errors(self, tol: float = GRID_TOL, passes: int | None = None) -> list[FloatArray]:
        """Errors |mu| - m of the molecules held out of each fold, at each point of the grid.

        Parameters
        ----------
        tol : float, default=5e-4
            Of the passes.
        passes : int, default=None
            At most, at each alpha; None is 25 for the squared loss and 100 for others.

        Returns
        -------
        list of ndarray of shape (n_alphas, n_weights, n_scored), debye
            One for each fold, of its held-out molecules with a label (and a baseline, where the
            model has one). NaN where the normal matrix could not be factored.
        """
        shape = len(self.alphas), len(self.charge_weights)
        scored = self.scored()
        errors = [np.full((*shape, len(test)), np.nan) for test in scored]
        if passes is None:
            passes = GRID_PASSES if self.loss.constant_weight else SLOW_PASSES
        for i, points, magnitudes in self._walk(tol, passes):
            for magnitude, (j, k) in zip(magnitudes, points, strict=True):
                errors[k][i, j] = (magnitude - self.magnitudes)[scored[k]]
        return errors

    def scored(self) -> list[NDArray[np.intp]]:
        """Molecules held out of each fold that have a label, and a baseline where there is one."""
        return [test[~np.isnan(self.magnitudes[test])] for _, test in self.folds]

    def _walk(self, tol: float, passes: int) -> Iterator[tuple[int, NDArray[np.intp], FloatArray]]:
        """Yield, while alpha falls, its index, (lambda, fold) of each line, and all |mu|."""
        points = np.indices((len(self.charge_weights), len(self.folds))).reshape(2, -1).T
        objective, take = self._objective(points), self.basis.backend.take
        start = self._starts(objective)
        if has_prior(self.settings.start):
            objective = objective.with_prior(take(start, points[:, 1]))
        W = take(self._annealed(objective, start), points[:, 1])
        order = np.argsort(self.alphas, kind="stable")[::-1]
        for shared in _shared(self.alphas[order]):
            between = float(np.exp(np.log(self.alphas[order[shared]]).mean()))
            factors = self._factor(objective, between, W)
            if not factors.good.any():
                return  # a weaker ridge fails as well
            if not factors.good.all():
                kept = np.flatnonzero(factors.good)
                objective, W, points = objective.take(kept), take(W, kept), points[kept]
            for i in order[shared]:
                at_alpha = objective.with_alpha(float(self.alphas[i]))
                W = self._solve(at_alpha, factors, W, tol, passes)
                mu = self.basis.backend.to_host(at_alpha.products(W)[0]) + self.constant
                yield int(i), points, np.linalg.norm(mu, axis=-1)

    def _annealed(self, objective: LockstepObjective, W: Any) -> Any:
        """Follow the minimum of each fold (k, r) down to the strongest alpha of the grid.

        Under so strong a penalty lambda hardly matters: its largest value stands for all.
        """
        largest = np.flatnonzero(objective.charge_weight == self.charge_weights.max())
        objective = objective.take(largest[: len(self.folds)])
        init = resolve_start(self.settings.start, self.labels)
        for factor in () if init == "zero" else self.settings.solver.annealing:
            at_stage = objective.with_alpha(factor * float(self.alphas.max()))
            factors = self._factor(at_stage, at_stage.alpha, W)
            if not factors.good.all():
                break  # nor could a weaker ridge be factored: the walk says so
            W = self._solve(at_stage, factors, W, STAGE_TOL, STAGE_PASSES)
        return W

    def _solve(
        self, objective: LockstepObjective, factors: Factors, W: Any, tol: float, limit: int
    ) -> Any:
        """Minimise, a share of the lines on each thread: too narrow for the threads of BLAS."""
        limit = min(self.settings.solver.max_iter, limit)

        def solve(lines: NDArray[np.intp]) -> Any:
            some = objective.take(lines)
            start = backend.take(W, lines)
            return solve_in_step(some, factors, start, tol, limit, self.settings.solver.memory)

        backend, every = self.basis.backend, np.arange(W.shape[0])
        shares = [every]
        if backend.on_host:
            shares = np.array_split(every, min(count_threads(), len(every)))
        return backend.xp.concat(self._each(solve, shares))

    def _each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Apply a function to each item, on threads of their own where BLAS would have some."""
        n_threads = min(count_threads(), len(items)) if self.basis.backend.on_host else 1
        return list(in_order(function, items, n_threads))

    def _factor(self, objective: LockstepObjective, alpha: float, W: Any) -> Factors:
        """Factor the matrices of the lines, all with the directions that dipoles have at W."""
        total, backend = self.dipole_total, self.basis.backend
        if self.directed:
            along = objective.directions(W), (1 - self.across) * self.labelled
            total = backend.xp.asarray(total, copy=True)
            directed_gram(self.rows, *along, backend, out=total)

        def matrix(fold: int | None, charge_weight: float) -> Any:
            return self._normal_matrix(total, fold, charge_weight, alpha)

        lines = objective.fold, objective.charge_weight
        return Factors(backend, matrix, *lines, own=self.own_factors)

    def _normal_matrix(
        self, total: Any, fold: int | None, charge_weight: float, alpha: float
    ) -> Any:
        """Return the normal matrix of a fold: of all molecules less those held out; or of all."""
        if fold is None:
            matrix = total / float(self.labelled.sum())
        else:
            weight = float(self.weights[fold].sum())
            matrix = (total - self.dipole_held[fold]) / weight
        if charge_weight > 0:
            matrix += self.term.matrix(fold, charge_weight)
        if self.direction is not None:
            matrix += self.direction.matrix(fold, self.direction_weight)
        self.basis.backend.diagonal(matrix)[...] += alpha
        return matrix if fold is None else self._without_barred(matrix, fold)

    def _without_barred(self, matrix: Any, fold: int) -> Any:
        """Add a penalty, in place, that holds the barred directions of a fold at zero."""
        directions, backend = self.barred[fold], self.basis.backend
        size = BARRED * float(backend.xp.max(backend.diagonal(matrix)))
        matrix += (size * directions) @ directions.T
        return matrix

    def _objective(self, points: NDArray[np.intp]) -> LockstepObjective:
        return LockstepObjective(
            self.rows,
            self.constant,
            self.labels.target,
            self.weights,
            self.term,
            fold=points[:, 1],
            charge_weight=self.charge_weights[points[:, 0]],
            loss=self.loss,
            backend=self.basis.backend,
            barred=self.barred,
            direction=self.direction,
            direction_weight=self.direction_weight,
        )

    def _direction(self) -> FoldedTerm:
        """Sum the pull towards the baseline's directions, of all molecules and of each fold."""
        target, backend = self.labels.target, self.basis.backend

        def pull(weights: FloatArray) -> QuadraticTerm:
            some = DipoleTarget(target.magnitudes, target.vectors, weights)
            return accumulate_direction(self.rows, self.constant, some, backend)

        return FoldedTerm(pull(self.labelled), [pull(weights) for weights in self.weights])

    def _add_quadrupoles(self) -> None:
        """Put the term of the quadrupoles beside the pull towards the baseline's directions."""
        weights = self.labels.target.weights
        out = [np.delete(np.arange(len(weights)), train) for train, _ in self.folds]
        terms = [(folded_quadrupoles(self.labels, self.basis, out), self.quadrupole_weight)]
        if self.direction is not None:
            terms.append((self.direction, self.direction_weight))
        self.direction, self.direction_weight = folded_sum(terms), 1.0

    def _starts(self, objective: LockstepObjective) -> Any:
        """Return starting weights of each fold (k, r), from the charges of its training part."""
        backend = self.basis.backend

        def start(k: int) -> Any:
            part = self.charges[0].training[k]
            if part.weight <= 0:
                raise InputError(
                    f"cv: fold {k} trains on no molecule with charges to start from. Use "
                    'init="electronegativity", or fewer folds.'
                )
            gram = self._without_barred(backend.xp.asarray(part.gram, copy=True), k)
            return charge_start(replace(part, gram=gram), backend)

        starts = self._each(start, range(len(self.folds)))
        # The first k lines are the folds, in order.
        return objective.take(np.arange(len(starts))).allowed(backend.xp.stack(starts))

    def _barred(self, k: int) -> Any:
        """Directions (r, m) that only environments of molecules outside a fold's training part add.

        With whitening W = V L^-1/2 of an element, its environments have basis functions
        K W = V L^1/2. What those of the training part do not reach, up to the eigenvalue cut, would
        not be in a basis of their own.
        """
        backend, columns = self.basis.backend, []
        for number, element in self.basis.elements.items():
            whitening = backend.to_host(element.whitening)
            inside = np.isin(self.owners[number], self.folds[k][0])
            functions = (whitening / (whitening * whitening).sum(axis=0))[inside]
            columns.append(self._idle(functions, element.columns))
            leading = functions[:, : element.n_leading]
            columns += [self._idle(leading, run) for run in element.dipole_columns]
        return backend.asarray(np.concatenate(columns, axis=1))

    def _idle(self, functions: FloatArray, columns: slice) -> FloatArray:
        """Directions of these columns (r, m), the constant aside, that functions do not reach."""
        values, vectors = scipy.linalg.eigh(functions.T @ functions, driver="evd")
        idle = values <= self.settings.basis.eigenvalue_cut * values[-1:]
        block = np.zeros((self.basis.n_columns, int(idle.sum())))
        block[columns.start : columns.stop - 1] = vectors[:, idle]
        return block

    def _training_weights(self) -> FloatArray:
        """Weights s_A (k, N), zero for molecules held out of a fold and for those without label."""
        weights = np.zeros((len(self.folds), len(self.labelled)))
        for k, (train, _) in enumerate(self.folds):
            weights[k, train] = self.labelled[train]
            if not weights[k].any():
                raise InputError(
                    f"cv: fold {k} trains on no molecule with a dipole label and weight."
                )
        return weights

    def _accumulate(self, sets: Sequence[ChargeLabels]) -> None:
        """Sum over groups of molecules that are left out of the same folds: each is seen once."""
        molecules, backend, r = self.labels.molecules, self.basis.backend, self.basis.n_columns
        out = np.ones((len(molecules), len(self.folds)), dtype=bool)
        for k, (train, _) in enumerate(self.folds):
            out[train, k] = False
        self.rows = backend.empty((3 * len(molecules), r))
        zero = functools.partial(TermSum, r, backend)
        totals = [zero() for _ in sets]
        held = [[zero() for _ in self.folds] for _ in sets]
        patterns, group_of = np.unique(out, axis=0, return_inverse=True)
        for group, pattern in enumerate(patterns):
            members = np.flatnonzero(group_of.ravel() == group)
            atoms = molecules.atom_index(members)
            parts = [ChargeLabels(part.charges[atoms], part.weights[members]) for part in sets]
            rows, sums = accumulate(molecules[members], self.basis, parts, self.settings.n_jobs)
            backend.put(self.rows, (3 * members[:, None] + np.arange(3)).ravel(), rows)
            for total, parts_held, part in zip(totals, held, sums, strict=True):
                for target in (total, *itertools.compress(parts_held, pattern)):
                    target.add(part)
        self.charges = []
        for total, parts_held in zip(totals, held, strict=True):
            whole = total.finish()
            # One by one: matrices are large.
            training = [whole - parts_held.pop(0).finish() for _ in self.folds]
            self.charges.append(FoldedTerm(whole, training))

    def _sum_dipoles(self) -> None:
        """Gram matrices of the dipole rows: of all molecules and, where folds need them, of each.

        With magnitudes, passes are several whichever the matrix, and one for all folds does, with
        directions as in a fit. A vector makes the problem of a fold quadratic: with its own matrix
        one pass solves it.
        """
        vectors = ~np.isnan(self.labels.target.vectors[:, 0])
        self.own_factors = bool(vectors.mean() > 0.5)
        self.directed = not self.own_factors and self.settings.solver.memory > 0
        self.across = across_shares(self.labels.target) if self.directed else 1.0
        backend, training = self.basis.backend, self.weights > 0
        self.dipole_total = weighted_gram(self.rows, self.across * self.labelled, backend)
        self.dipole_held = []
        if self.own_factors:
            self.dipole_held = [
                weighted_gram(self.rows, np.where(inside, 0.0, self.labelled), backend)
                for inside in training
            ]

    def _charge_sets(self) -> list[ChargeLabels]:
        """Charges of the start, and those of the objective where they are others."""
        labels, weights = self.labels, self.labels.target.weights
        start = start_charges(
            labels.molecules, labels.charges, resolve_start(self.settings.start, labels)
        )
        assert start is not None  # a random start was refused
        distinct = [start]
        if labels.has_charges and start is not labels.charges:
            distinct.append(labels.charges)
        return [ChargeLabels.of(part, labels.molecules, weights) for part in distinct]


def _shared(falling: FloatArray) -> Iterator[NDArray[np.intp]]:
    """Yield positions of one or two neighbouring alphas that share a factorisation."""
    start = 0
    while start < len(falling):
        two = start + 1 < len(falling) and falling[start] <= SHARED_RATIO * falling[start + 1]
        yield np.arange(start, start + 1 + two)
        start += 1 + two


def _check(
    labels: FitLabels,
    settings: Settings,
    alphas: Sequence[float],
    charge_weights: Sequence[float],
) -> None:
    if isinstance(settings.start, RandomStart):
        raise InputError('init: a grid follows one start; "random" has none. Use "auto".')
    for alpha in alphas:
        check_number("alpha", alpha, above=0.0)
    for weight in charge_weights:
        check_number("charge_weight", weight, above=None)
    if max(charge_weights) > 0 and not labels.has_charges:
        raise InputError("charge_weight: above 0 it needs charge labels; there are none.")


def _choose_basis(
    molecules: Molecules, settings: Settings
) -> tuple[Basis, dict[int, NDArray[np.intp]]]:
    """Choose the basis of a fit to all molecules, and say by element whose environments it has."""
    assert molecules.features is not None, "described molecules expected"
    rng = settings.generator()
    kernel = settings.kernel
    backend = get_backend(settings.device)
    budget = settings.memory_budget
    dipoles = float(settings.basis.atomic_dipoles)
    precise = is_double(settings.basis.precision, len(molecules))
    n_inducing = settings.basis.n_inducing or default_n_inducing(
        molecules, backend, budget, with_dipoles=dipoles > 0, precise=precise
    )
    chosen = choose_atoms(molecules, n_inducing, kernel, rng, backend, precise)
    environments = {number: scales for number, (_, scales) in chosen.items()}
    owners = {number: molecules.molecule_index[atoms] for number, (atoms, _) in chosen.items()}
    weights, cut = molecules.features.weights, settings.basis.eigenvalue_cut
    with threads_for(n_inducing):
        return build_basis(environments, kernel, weights, cut, backend, dipoles, precise), owners
