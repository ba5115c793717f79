"""Cross-validation over a grid of (alpha, lambda) for one setting of everything else.

One basis serves all folds: inducing environments are chosen among all molecules, without a look
at any label. Then the dipole rows D (3N, r) hold the predictions of every molecule, mu = mu0 + D w,
and the normal matrix of a fold is the sum over all molecules less that over the held-out ones: a
whole grid costs each kernel value once. Directions that no penalty on the grid lets a weight into
are dropped first. Along the grid alpha falls, each minimum starting the next.
Symbols: N molecules, k folds, grid of n_alphas x n_weights, errors |mu| - m in debye.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from ._backend import get_backend
from ._baseline import baseline_of, prepare_labels
from ._direction import with_direction
from ._fit_labels import FitLabels, read_labels
from ._parameters import check_number
from ._settings import check_settings, resolve_direction_weight, resolve_init
from .design import constant_dipoles
from .exceptions import InputError
from .inducing import build_basis, choose_environments
from .kernels import PowerKernel
from .molecules import Molecules
from .objective import DipoleTarget, JointObjective, make_loss
from .regression import DipoleKernelRidge
from .solvers import FactorizationError, SolveResult, solve_annealed, solve_reweighted
from .starts import START_ALPHA, charge_start, start_charges
from .statistics import (
    ChargeLabels,
    ChargeStatistics,
    accumulate,
    default_n_inducing,
    require_memory,
)

FloatArray = NDArray[np.float64]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]

# Passes on the grid end sooner than those of a fit: errors were up to 3 % off on 200 molecules
# with magnitudes alone, the best point the same, in half the time.
GRID_TOL = 1e-4
# Directions of the normal matrix below this share of the smallest alpha are dropped: the ridge
# holds their weights at the prior. On 200 molecules that is nearly half of all, and mean errors
# changed by less than 1 %.
NEGLIGIBLE = 3e-2


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
    tol : float, default=1e-4
        Of the passes.

    Returns
    -------
    ndarray of shape (n_folds, n_alphas, n_weights), debye
        NaN where the normal matrix could not be factored.

    Examples
    --------
    >>> from sklearn.model_selection import KFold
    >>> from dipkit import DipoleKernelRidge, SOAPTransformer
    >>> from dipkit.datasets import load_organics
    >>> from dipkit.folds import cross_validate_grid
    >>> described = SOAPTransformer().fit_transform(load_organics()[:30])
    >>> folds = list(KFold(3).split(described))
    >>> ridge = DipoleKernelRidge(n_inducing=50)
    >>> cross_validate_grid(described, alphas=[1e-3, 1e-4], folds=folds, ridge=ridge).shape
    (3, 2, 1)
    """
    labels = read_labels(described, y, charges, sample_weight)
    ridge = DipoleKernelRidge() if ridge is None else ridge
    problem = FoldedProblem(labels, ridge, folds, alphas, charge_weights)
    scores = []
    for k, (_, test) in enumerate(folds):
        errors = problem.held_out_errors(k, tol)
        scores.append(np.abs(errors[..., ~np.isnan(problem.magnitudes[test])]).mean(axis=-1))
    return np.array(scores)


class FoldedProblem:
    """Rows of all molecules, and what their sums are without those held out of each fold.

    Parameters
    ----------
    labels : FitLabels
        Of described molecules.
    ridge : DipoleKernelRidge
        Its alpha and charge weight are not read.
    folds : sequence of (train, test)
    alphas, charge_weights : sequence of float
    negligible : float, default=0.03
        Share of the smallest alpha below which directions are dropped; 0 keeps all.
    """

    def __init__(
        self,
        labels: FitLabels,
        ridge: DipoleKernelRidge,
        folds: Sequence[Fold],
        alphas: Sequence[float],
        charge_weights: Sequence[float],
        negligible: float = NEGLIGIBLE,
    ):
        if ridge.init == "random":
            raise InputError('init: a grid follows one start; "random" has none. Use "auto".')
        for alpha in alphas:
            check_number("alpha", alpha, above=0.0)
        for weight in charge_weights:
            check_number("charge_weight", weight, above=None)
        if max(charge_weights) > 0 and not labels.has_charges:
            raise InputError("charge_weight: above 0 it needs charge labels; there are none.")
        check_settings(ridge)
        # Held-out molecules take part in the one scale of a baseline, as they do in the basis.
        labels, _ = prepare_labels(labels, baseline_of(ridge))
        self.alphas, self.charge_weights = np.array(alphas), np.array(charge_weights)
        self.ridge, self.labels, self.folds = ridge, labels, list(folds)
        self.loss = make_loss(ridge.loss, ridge.huber_threshold)
        molecules = labels.molecules
        vectors, magnitudes = labels.target.vectors, labels.target.magnitudes
        self.magnitudes = np.where(
            np.isnan(vectors[:, 0]), magnitudes, np.linalg.norm(vectors, axis=1)
        )
        self.basis = _choose_basis(molecules, ridge)
        require_memory(len(molecules), (len(folds) + 1) * self.basis.n_columns, self.basis.backend)
        self.constant = constant_dipoles(molecules)
        self._accumulate()
        if negligible > 0:
            self._reduce(negligible)

    def held_out_errors(self, k: int, tol: float = GRID_TOL) -> FloatArray:
        """Errors |mu| - m of the molecules held out of fold k, at each point of the grid.

        Returns
        -------
        ndarray of shape (n_alphas, n_weights, n_test), debye
            NaN where there is no label, or the normal matrix could not be factored.
        """
        test = self.folds[k][1]
        errors = np.full((len(self.alphas), len(self.charge_weights), len(test)), np.nan)
        for i, j, mu in self._walk(k, tol):
            errors[i, j] = np.linalg.norm(mu[test], axis=1) - self.magnitudes[test]
        return errors

    def _walk(self, k: int, tol: float) -> Iterator[tuple[int, int, FloatArray]]:
        """Yield both indices and all dipoles of each point, from strong penalties to weak ones."""
        ridge = self.ridge
        charges = [a - b for a, b in zip(self._total, self._held[k], strict=True)]
        matrix = self._dipole_matrix(self._training_weights(k))
        strong: Any = None
        for j in np.argsort(self.charge_weights, kind="stable")[::-1]:
            charge_weight = float(self.charge_weights[j])
            objective = self._objective(k, matrix, charges[-1], charge_weight)
            start = charge_start(objective, charges[0])
            if ridge.prior == "start":
                objective = objective.with_prior(start)
            weights = start if strong is None else strong
            for step, i in enumerate(np.argsort(self.alphas, kind="stable")[::-1]):
                # Only the first point of all is annealed: the others have a minimum nearby.
                factors = ridge.annealing if strong is None else ()
                at_alpha = objective.with_alpha(float(self.alphas[i]))
                try:
                    weights = self._solve(at_alpha, weights, factors, tol).weights
                except FactorizationError:
                    break  # a weaker ridge fails as well
                strong = weights if step == 0 else strong
                mu = at_alpha.dipoles(at_alpha.at(weights))
                yield int(i), int(j), self.basis.backend.to_host(mu)

    def _solve(
        self, objective: JointObjective, start: Any, factors: Sequence[float], tol: float
    ) -> SolveResult:
        limits = (self.ridge.max_iter, tol, self.ridge.acceleration)
        if len(factors):
            return solve_annealed(objective, start, factors, *limits)
        return solve_reweighted(objective, start, *limits)

    def _training_weights(self, k: int) -> FloatArray:
        """Weights s_A, zero for molecules held out of fold k and for those without a label."""
        weights = np.zeros(len(self.magnitudes))
        train = self.folds[k][0]
        weights[train] = np.where(
            np.isnan(self.magnitudes[train]), 0.0, self.labels.target.weights[train]
        )
        if not weights.any():
            raise InputError(f"cv: fold {k} trains on no molecule with a dipole label and weight.")
        return weights

    def _dipole_matrix(self, weights: FloatArray) -> Any:
        """Return sum_A s_A D_A^T D_A with the weights divided by their sum."""
        xp = self.basis.backend.xp
        share = np.repeat(np.sqrt(weights / weights.sum()), 3)
        scaled = xp.asarray(share[share > 0])[:, None] * self.rows[xp.asarray(share > 0)]
        return scaled.T @ scaled

    def _objective(
        self, k: int, matrix: Any, charges: ChargeStatistics, charge_weight: float
    ) -> JointObjective:
        """Objective over all rows, the weight of the held-out ones being zero."""
        labels = self.labels.target
        target = DipoleTarget(labels.magnitudes, labels.vectors, self._training_weights(k))
        backend = self.basis.backend
        kappa = resolve_direction_weight(self.ridge.direction_weight, self.labels)
        term, term_weight = with_direction(
            charges, charge_weight, self.rows, self.constant, target, kappa, backend
        )
        return JointObjective(
            self.rows,
            self.constant,
            target,
            term,
            alpha=1.0,
            charge_weight=term_weight,
            loss=self.loss,
            backend=self.basis.backend,
            dipole_matrix=matrix,
        )

    def _accumulate(self) -> None:
        """Sum over groups of molecules that are left out of the same folds: each is seen once."""
        molecules, backend, r = self.labels.molecules, self.basis.backend, self.basis.n_columns
        xp = backend.xp
        out = np.ones((len(molecules), len(self.folds)), dtype=bool)
        for k, (train, _) in enumerate(self.folds):
            out[train, k] = False
        sets = self._charge_sets()

        def zero() -> list[ChargeStatistics]:
            return [ChargeStatistics.zero(r, backend) for _ in sets]

        self.rows = xp.empty((3 * len(molecules), r))
        self._total, self._held = zero(), [zero() for _ in self.folds]
        patterns, group_of = np.unique(out, axis=0, return_inverse=True)
        for group, pattern in enumerate(patterns):
            members = np.flatnonzero(group_of.ravel() == group)
            atoms = molecules.atom_index(members)
            parts = [ChargeLabels(part.charges[atoms], part.weights[members]) for part in sets]
            rows, sums = accumulate(molecules[members], self.basis, parts, self.ridge.n_jobs)
            self.rows[(3 * members[:, None] + np.arange(3)).ravel()] = rows
            for target in (self._total, *(self._held[k] for k in np.flatnonzero(pattern))):
                for mine, part in zip(target, sums, strict=True):
                    mine += part

    def _reduce(self, negligible: float) -> None:
        """Turn to the directions that can move a weight under the smallest alpha."""
        backend, alpha = self.basis.backend, float(self.alphas.min())
        weights = np.where(np.isnan(self.magnitudes), 0.0, self.labels.target.weights)
        start, term = self._total[0], self._total[-1]
        matrix = self._dipole_matrix(weights)
        matrix += term.gram * (self.charge_weights.max() / term.weight)
        # The start is fitted under a penalty of its own.
        matrix += start.gram * (alpha / START_ALPHA / start.weight)
        values, vectors = scipy.linalg.eigh(backend.to_host(matrix), driver="evd")
        turn = backend.asarray(np.ascontiguousarray(vectors[:, values > negligible * alpha]))
        self.rows = self.rows @ turn
        for part in (*self._total, *(part for held in self._held for part in held)):
            part.gram, part.moment = turn.T @ (part.gram @ turn), turn.T @ part.moment

    def _charge_sets(self) -> list[ChargeLabels]:
        """Charges of the start, and those of the objective where they are others."""
        labels, weights = self.labels, self.labels.target.weights
        start = start_charges(
            labels.molecules, labels.charges, resolve_init(self.ridge.init, labels)
        )
        assert start is not None  # a random start was refused
        distinct = [start]
        if labels.has_charges and start is not labels.charges:
            distinct.append(labels.charges)
        return [ChargeLabels.of(part, labels.molecules, weights) for part in distinct]


def _choose_basis(molecules: Molecules, ridge: DipoleKernelRidge) -> Any:
    """Choose the basis that a fit to all molecules would take."""
    assert molecules.features is not None, "described molecules expected"
    rng = np.random.default_rng(check_random_state(ridge.random_state or 0).randint(2**31))
    kernel = PowerKernel() if ridge.kernel is None else clone(ridge.kernel)
    kernel.check()
    n_inducing = ridge.n_inducing or default_n_inducing(molecules)
    environments = choose_environments(molecules, n_inducing, kernel, rng)
    weights, backend = molecules.features.weights, get_backend(ridge.device)
    return build_basis(environments, kernel, weights, ridge.eigenvalue_cut, backend)
