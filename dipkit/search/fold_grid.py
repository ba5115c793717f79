"""Cross-validation over a grid of (alpha, lambda) for one setting of everything else.

All folds and all lambdas advance together (`learning/reweighted.py`) while alpha falls, and each
minimum is the start of the next. Data that all problems share are in `fold_problem.py`.

Symbols: N molecules, k folds, grid of n_alphas x n_weights, problems b = 1..B, one for each pair
(lambda, fold), errors |mu| - m in debye.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from ..data.molecules import Molecules
from ..estimator.auxiliary import read_auxiliary
from ..estimator.defaults import (
    AveragedModel,
    averaged_models,
    has_prior,
    resolve_annealing,
)
from ..estimator.parameters import RandomStart
from ..estimator.regression import DipoleKernelRidge
from ..estimator.settings import Settings
from ..exceptions import InputError
from ..learning.labels import FitLabels, read_labels
from ..learning.normal_matrices import SharedFactors
from ..learning.objective import JointObjective
from ..learning.reweighted import STAGE_ITERATIONS, STAGE_TOL, minimise
from ..support.backend import Array
from ..support.blas_threads import count_threads
from ..support.validation import check_number
from .fold_labels import Fold, FoldLabels
from .fold_matrices import Key
from .fold_problem import FoldedProblem

__all__ = ["Fold", "FoldGrid", "cross_validate_grid"]

FloatArray = NDArray[np.float64]
Indices = NDArray[np.intp]

# Iterations on the grid end sooner than those of a fit, so that a few slow problems do not delay
# the others: a grid ranks its points, and the best one is fitted in full afterwards.
GRID_TOL = 5e-4
GRID_ITERATIONS = 25
# Other losses use the matrix of the squared loss here, so that they converge slowly.
SLOW_ITERATIONS = 100
# Two neighbouring alphas share a factorisation, made between them, if their ratio is at most this.
SHARED_RATIO = 4.0


def cross_validate_grid(
    described: Molecules,
    y: ArrayLike | None = None,
    *,
    alphas: Sequence[float],
    charge_weights: Sequence[float] = (0.0,),
    folds: Sequence[Fold],
    ridge: DipoleKernelRidge | None = None,
    charges: ArrayLike | Sequence[ArrayLike] | None = None,
    sample_weight: ArrayLike | None = None,
    tol: float = GRID_TOL,
) -> FloatArray:
    """Compute the mean absolute held-out error of each fold at each point of the grid.

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
        Iterations end where the next one would lower the objective by less than this share.

    Returns
    -------
    ndarray of shape (n_folds, n_alphas, n_weights), debye
        NaN where the normal matrix could not be factored.

    Examples
    --------
    >>> from sklearn.model_selection import KFold
    >>> from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.search import cross_validate_grid
    >>> described = SOAPTransformer().fit_transform(load_organics()[:30])
    >>> folds = list(KFold(3).split(described))
    >>> ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=50))
    >>> cross_validate_grid(described, alphas=[1e-3, 1e-4], folds=folds, ridge=ridge).shape
    (3, 2, 1)
    """
    labels = read_labels(described, y, charges, sample_weight)
    ridge = DipoleKernelRidge() if ridge is None else ridge
    grid = FoldGrid(labels, ridge, folds, alphas, charge_weights)
    return np.array([np.abs(errors).mean(axis=-1) for errors in grid.held_out_errors(tol)])


class FoldGrid:
    """A grid of penalties over folds.

    Parameters
    ----------
    labels : FitLabels
        Of molecules with descriptors.
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
        self.settings = Settings.of(ridge)
        _check(labels, self.settings, alphas, charge_weights)
        self.alphas, self.charge_weights = np.array(alphas), np.array(charge_weights)
        baseline, n_jobs = self.settings.baseline, self.settings.n_jobs
        self._auxiliary = read_auxiliary(self.settings.auxiliary, baseline, labels, n_jobs)
        self.labels, self.folds = FoldLabels.of(labels, baseline, folds, n_jobs), list(folds)
        scale = self.settings.basis.atomic_dipoles
        #: The models whose dipoles are averaged, and the problem of the first.
        self.models = averaged_models(scale, self.labels.whole)
        self.problem = self._problem_of(self.models[0])

    def scored(self) -> list[Indices]:
        """Molecules held out of each fold that have a label, and a baseline where there is one."""
        known = ~np.isnan(self.labels.magnitudes)
        return [test[known[test]] for _, test in self.folds]

    def held_out_errors(
        self, tol: float = GRID_TOL, max_iter: int | None = None
    ) -> list[FloatArray]:
        """Errors |mu| - m of the molecules held out of each fold, at each point of the grid.

        Parameters
        ----------
        tol : float, default=5e-4
            Iterations end where the next one would lower the objective by less than this share.
        max_iter : int, default=None
            Iterations at most, at each alpha; None is 25 for the squared loss and 100 for others.

        Returns
        -------
        list of ndarray of shape (n_alphas, n_weights, n_scored), debye
            One for each fold, of its held-out molecules with a label (and a baseline, where the
            model has one). NaN where the normal matrix could not be factored.
        """
        if max_iter is None:
            squared = self.settings.loss.constant_weight
            max_iter = GRID_ITERATIONS if squared else SLOW_ITERATIONS
        scored, magnitudes = self.scored(), self.labels.magnitudes
        shape = len(self.alphas), len(self.charge_weights)
        dipoles = [np.zeros((*shape, len(test), 3)) for test in scored]
        for model in self.models:
            problem = self.problem if model is self.models[0] else self._problem_of(model)
            path = _Path(problem, model.alpha_factor * self.alphas, self.charge_weights)
            for sums, found in zip(dipoles, path.held_out(scored, tol, max_iter), strict=True):
                sums += found / len(self.models)
        lengths = (np.linalg.norm(mu, axis=-1) for mu in dipoles)
        return [mu - magnitudes[test] for mu, test in zip(lengths, scored, strict=True)]

    def _problem_of(self, model: AveragedModel) -> FoldedProblem:
        basis = clone(self.settings.basis).set_params(atomic_dipoles=model.atomic_dipoles)
        settings = replace(self.settings, basis=basis)
        n_weights = len(self.charge_weights)
        return FoldedProblem(self.labels, settings, self.folds, self._auxiliary, n_weights)


class _Path:
    """The minima of one model, in all folds, along the grid.

    Parameters
    ----------
    problem : FoldedProblem
    alphas, charge_weights : ndarray
    """

    def __init__(self, problem: FoldedProblem, alphas: FloatArray, charge_weights: FloatArray):
        self.problem, self.settings = problem, problem.settings
        self.alphas, self.charge_weights = alphas, charge_weights

    def held_out(self, scored: Sequence[Indices], tol: float, max_iter: int) -> list[FloatArray]:
        """Return dipoles (n_alphas, n_weights, n_scored, 3) of some molecules of each fold, debye.

        NaN where the normal matrix could not be factored.
        """
        shape = len(self.alphas), len(self.charge_weights)
        dipoles = [np.full((*shape, len(test), 3), np.nan) for test in scored]
        for i, points, mu in self._follow(tol, max_iter):
            for each, (j, k) in zip(mu, points, strict=True):
                dipoles[k][i, j] = each[scored[k]]
        return dipoles

    def _follow(
        self, tol: float, max_iter: int
    ) -> Iterator[tuple[int, NDArray[np.intp], FloatArray]]:
        """Follow the minima while alpha falls.

        Yields
        ------
        index : int
            Of the alpha.
        points : ndarray of shape (B, 2)
            Index of lambda, and fold, of each problem.
        dipoles : ndarray of shape (B, n_molecules, 3), debye
        """
        problem, take = self.problem, self.problem.backend.take
        n_folds, n_weights = len(problem.folds), len(self.charge_weights)
        points = np.indices((n_weights, n_folds)).reshape(2, -1).T
        objective = problem.objective(points[:, 1], self.charge_weights[points[:, 0]])
        start = problem.starts()
        if has_prior(self.settings.start):
            objective = objective.with_prior(take(start, points[:, 1]))
        W = take(self._annealed(objective, points, start), points[:, 1])
        order = np.argsort(self.alphas, kind="stable")[::-1]
        for shared in _shared(self.alphas[order]):
            between = float(np.exp(np.log(self.alphas[order[shared]]).mean()))
            factors = self._factors(objective.with_alpha(between), points, W)
            if not factors.good.any():
                return  # a smaller alpha would fail as well
            if not factors.good.all():
                kept = np.flatnonzero(factors.good)
                objective, W, points = objective.take(kept), take(W, kept), points[kept]
                factors = factors.take(kept)
            for i in order[shared]:
                at_alpha = objective.with_alpha(float(self.alphas[i]))
                W = self._minimise(at_alpha, factors, W, tol, max_iter)
                mu = at_alpha.dipoles(at_alpha.at(W))
                yield int(i), points, problem.backend.to_host(mu)

    def _annealed(self, objective: JointObjective, points: NDArray[np.intp], W: Array) -> Array:
        """Follow the minimum of each fold (k, r) down to the strongest alpha of the grid.

        Under such a strong penalty lambda hardly matters: its largest value is used for all.
        """
        largest = np.flatnonzero(points[:, 0] == self.charge_weights.argmax())
        objective, points = objective.take(largest), points[largest]
        annealing, problem = self.settings.solver.annealing, self.problem
        share = 1 - 1 / max(len(problem.folds), 2)
        factors = resolve_annealing(annealing, problem.start, problem.labels, share)
        for factor in factors:
            at_stage = objective.with_alpha(factor * float(self.alphas.max()))
            matrices = self._factors(at_stage, points, W)
            if not matrices.good.all():
                break  # a smaller alpha would fail as well; the grid is NaN then
            W = self._minimise(at_stage, matrices, W, STAGE_TOL, STAGE_ITERATIONS)
        return W

    def _factors(
        self, objective: JointObjective, points: NDArray[np.intp], W: Array
    ) -> SharedFactors[Key]:
        weights = self.charge_weights[points[:, 0]]
        return self.problem.matrices.factors(objective, W, points[:, 1], weights)

    def _minimise(
        self,
        objective: JointObjective,
        factors: SharedFactors[Key],
        W: Array,
        tol: float,
        limit: int,
    ) -> Array:
        """Minimise, a share of the problems on each thread: BLAS threads need larger matrices."""
        solver, backend = self.settings.solver, self.problem.backend
        limit = min(solver.max_iter, limit)

        def solve(some: Indices) -> Array:
            start = backend.take(W, some)
            found = minimise(
                objective.take(some), factors.take(some), start, limit, tol, solver.memory
            )
            return found.weights

        every = np.arange(W.shape[0])
        shares = [every]
        if backend.on_host:
            shares = np.array_split(every, min(count_threads(), len(every)))
        return backend.xp.concat(self.problem.each(solve, shares))


def _shared(falling: FloatArray) -> Iterator[Indices]:
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
    """Refuse a grid that cannot be computed."""
    if isinstance(settings.start, RandomStart):
        raise InputError('start: a grid needs one start, and "random" draws many. Use "auto".')
    for alpha in alphas:
        check_number("alpha", alpha, above=0.0)
    for weight in charge_weights:
        check_number("charge_weight", weight, above=None)
    if max(charge_weights) > 0 and not labels.has_charges:
        raise InputError(
            "charge_weight: values above 0 need charge labels, and there are none. Give charges=, "
            "or use 0."
        )
