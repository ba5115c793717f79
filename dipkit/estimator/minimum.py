"""Last step of `DipoleKernelRidge.fit` and `partial_fit`: minimise the objective of the statistics.

What was learned is returned as a mapping of fitted attributes, which the estimator stores at once:
a fit that fails leaves the estimator as it was. Which statistics there are is in `fit.py`.

With a baseline the model is the mean of two minima, of an objective without atomic dipoles and of
one with them (`averaged_models`): their errors differ, and the mean of their coefficients is a
model like each of them, with nothing more to store or to predict.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from ..learning.auxiliary_term import auxiliary_penalty
from ..learning.basis import Basis
from ..learning.charge_discrepancy import absorb, absorbs
from ..learning.compensation import BOND_STIFFNESS
from ..learning.direction_term import accumulate_direction
from ..learning.initial_charges import charge_start, random_start
from ..learning.labels import FitLabels
from ..learning.objective import JointObjective
from ..learning.quadratic_term import QuadraticTerm, SingleTerms
from ..learning.reweighted import solve_annealed
from ..learning.solve_result import SolveResult, Status
from ..support.backend import Array, Backend
from ..support.blas_threads import threads_for
from .auxiliary import resolve_errors
from .defaults import (
    MEAN_STD_ALPHA,
    averaged_models,
    has_prior,
    resolve_alpha,
    resolve_annealing,
    resolve_charge_weight,
    resolve_direction_weight,
    resolve_quadrupole_weight,
    resolve_start,
)
from .fitted_parts import smallest_type
from .parameters import RandomStart
from .settings import Settings
from .std_calibration import calibrate_std
from .training_data import FitStatistics

__all__ = ["learn"]

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]


def learn(settings: Settings, statistics: FitStatistics) -> dict[str, Any]:
    """Minimise the objective of these statistics.

    Parameters
    ----------
    settings : Settings
    statistics : FitStatistics

    Returns
    -------
    dict
        Fitted attributes of the estimator, by name. Arrays are on the host.
    """
    labels, basis = statistics.labels, statistics.basis
    alpha = resolve_alpha(settings.alpha, labels)
    models = averaged_models(settings.basis.atomic_dipoles, labels)
    # One BLAS thread for small matrices: as fast, and the same bits with any number of threads.
    with threads_for(max(statistics.rows.shape)):
        objective, result = _minimum(settings, statistics, models[0].alpha_factor * alpha)
        if len(models) > 1:
            assert models[1].atomic_dipoles == 0
            less = statistics.without_dipoles()
            _, second = _minimum(settings, less, models[1].alpha_factor * alpha)
            result = _mean(result, second, basis.n_columns, basis.backend)
            objective = objective.with_alpha(MEAN_STD_ALPHA * alpha)
        learned = _basis_attributes(basis, result.weights)
        learned |= _std_attributes(settings, statistics, objective, result)
    _warn_of_the_end(result, alpha, settings.solver.max_iter)
    learned |= _solution_attributes(result, labels)
    learned |= {
        "kernel_": settings.kernel,
        "alpha_": alpha,
        "charge_weight_": _charge_weight(settings, labels),
        "baseline_factor_": statistics.origin.baseline_factor,
        "baseline_charges_": labels.molecules.baseline_charges is not None,
        "descriptor_charges_": labels.molecules.descriptor_charges is not None,
        "memory_plan_": statistics.origin.memory_plan,
        "features_made_by_": statistics.origin.features_made_by,
        "precision_": "double" if statistics.origin.precise else "single",
    }
    return learned


def _minimum(
    settings: Settings, statistics: FitStatistics, alpha: float
) -> tuple[JointObjective, SolveResult]:
    """Minimise the objective of the statistics with one ridge penalty."""
    start = resolve_start(settings.start, statistics.labels)
    known = {"charges": statistics.charges, "electronegativity": statistics.guess}
    objective = _objective(settings, statistics, alpha)
    factors = resolve_annealing(settings.solver.annealing, start, statistics.labels)
    return objective, _solve(settings, objective, known.get(start), start, factors)


def _mean(first: SolveResult, second: SolveResult, n_columns: int, backend: Backend) -> SolveResult:
    """Average two minima; the second has fewer columns, and is zero in the others.

    Iterations are those of both; objective and history are those of the first.
    """
    weights = backend.zeros(n_columns)
    for result in (first, second):
        weights[: result.weights.shape[0]] += result.weights / 2
    both = {first.status, second.status}
    return replace(
        first,
        weights=weights,
        status=Status.CONVERGED if both == {Status.CONVERGED} else Status.MAX_ITER,
        n_iter=first.n_iter + second.n_iter,
        n_factorizations=first.n_factorizations + second.n_factorizations,
    )


def _charge_weight(settings: Settings, labels: FitLabels) -> float:
    discrepancy = settings.charge_discrepancy
    return resolve_charge_weight(settings.charge_weight, labels, discrepancy)


def _objective(settings: Settings, statistics: FitStatistics, alpha: float) -> JointObjective:
    """Joint objective of the statistics, with all its terms."""
    labels, backend = statistics.labels, statistics.basis.backend
    charge_weight = _charge_weight(settings, labels)
    charges = statistics.charges if charge_weight > 0 else None
    if charges is not None and absorbs(settings.charge_discrepancy):
        charges = absorb(charges, charge_weight, settings.charge_discrepancy, backend)
    direction_weight = resolve_direction_weight(settings.baseline, labels)
    dipoles = statistics.rows, statistics.constant, labels.target
    pull = accumulate_direction(*dipoles, backend) if direction_weight > 0 else None
    return JointObjective(
        *dipoles,
        terms=[
            (charges, charge_weight),
            (pull, direction_weight),
            (
                statistics.quadrupoles,
                resolve_quadrupole_weight(settings.quadrupole_weight, labels),
            ),
        ],
        alpha=alpha,
        loss=settings.loss,
        backend=backend,
        penalty=_penalty(settings, statistics),
        gram=_known_gram(statistics),
    )


def _known_gram(statistics: FitStatistics) -> tuple[FloatArray, Array] | None:
    """Return the Gram matrix of the molecules with an auxiliary dipole, and their weights."""
    auxiliary = statistics.auxiliary
    # A call of partial_fit may have had none.
    if auxiliary is None or len(auxiliary.weights) != len(statistics.constant):
        return None
    return auxiliary.weights, auxiliary.term.gram


def _penalty(settings: Settings, statistics: FitStatistics) -> SingleTerms | None:
    """Return the part of the ridge penalty that comes from auxiliary dipoles."""
    if settings.auxiliary is None or statistics.auxiliary is None:
        return None
    errors = resolve_errors(settings.auxiliary, statistics.auxiliary.source)
    backend = statistics.basis.backend
    penalty = auxiliary_penalty(statistics.auxiliary.term, *errors, backend)
    return SingleTerms([(penalty, 1.0)], int(penalty.rhs.shape[0]), backend)


def _solve(
    settings: Settings,
    objective: JointObjective,
    charges: QuadraticTerm | None,
    start: str,
    factors: Sequence[float],
) -> SolveResult:
    """Iterate from one start, or from random ones and keep the lowest objective."""
    solver = settings.solver
    if start == "zero":
        weights = [objective.prior]
    elif charges is None:
        n = settings.start.n_restarts if isinstance(settings.start, RandomStart) else 1
        rng = settings.generator(1)
        weights = [random_start(objective, rng) for _ in range(n)]
    else:
        weights = [charge_start(charges, objective.backend)]
        if has_prior(settings.start):
            objective = objective.with_prior(weights[0])
    results = [
        solve_annealed(objective, w, factors, solver.max_iter, solver.tol, solver.memory)
        for w in weights
    ]
    return min(results, key=lambda candidate: candidate.objective)


def _warn_of_the_end(result: SolveResult, alpha: float, max_iter: int) -> None:
    """Log how the iterations ended; warn where they did not converge."""
    logger.info("%d iterations: %s", result.n_iter, result.status.value)
    if result.status is not Status.CONVERGED:
        warnings.warn(
            f"{result.status.value} (max_iter={max_iter}, alpha={alpha:g})",
            ConvergenceWarning,
            stacklevel=4,
        )


def _basis_attributes(basis: Basis, weights: Array) -> dict[str, Any]:
    """Environments and their coefficients, on the host: a laptop loads a model fitted on a GPU."""
    to_host, elements = basis.backend.to_host, list(basis.elements.values())
    dual = basis.dual(weights)
    counts = [element.whitening.shape[0] for element in elements]
    numbers = np.array([element.number for element in elements])
    dipoles = basis.dipole_dual(weights) if basis.dipole_scale > 0 else (None, None)
    return {
        "elements_": numbers,
        "inducing_numbers_": np.repeat(numbers, counts),
        "inducing_features_": [
            smallest_type(np.concatenate([to_host(part) for part in parts]))
            for parts in zip(*(element.environments for element in elements), strict=True)
        ],
        "scale_weights_": np.array(basis.weights),
        "bond_coef_": basis.bond_dual(weights),
        "stiffness_": (basis.compensation.stiffness, BOND_STIFFNESS),
        "dual_coef_": np.concatenate([dual[number][0] for number in numbers.tolist()]),
        "intercept_": np.array([dual[number][1] for number in numbers.tolist()]),
        "atomic_dipole_coef_": dipoles[0],
        "atomic_dipole_intercept_": dipoles[1],
    }


def _std_attributes(
    settings: Settings, statistics: FitStatistics, objective: JointObjective, result: SolveResult
) -> dict[str, Any]:
    """Compute what standard deviations need, where molecules were kept for them."""
    if not len(statistics.sample.places):
        return {}
    sample, basis = statistics.sample, statistics.basis
    std = calibrate_std(objective, result.weights, basis, sample, settings.generator(3))
    return dict(std.attributes())


def _solution_attributes(result: SolveResult, labels: FitLabels) -> dict[str, Any]:
    """How the iterations ended, and counts of the labels."""
    return {
        "objective_": result.objective,
        "history_": np.array(result.history),
        "n_iter_": result.n_iter,
        "n_factorizations_": result.n_factorizations,
        "converged_": result.status is Status.CONVERGED,
        "status_": result.status.value,
        "label_summary_": labels.summary(),
    }
