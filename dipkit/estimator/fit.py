"""Steps of `DipoleKernelRidge.fit` and `partial_fit`: choose a basis, sum over molecules, minimise.

Nothing here sees the estimator. Its parameters come as `Settings`, and what was learned is returned
as a mapping of fitted attributes, which the estimator stores at once: a fit that fails leaves the
estimator as it was.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from ..descriptors.requirements import require_known
from ..learning.auxiliary_term import auxiliary_penalty
from ..learning.basis import Basis
from ..learning.charge_discrepancy import absorb, absorbs
from ..learning.compensation import BOND_STIFFNESS
from ..learning.direction_term import accumulate_direction
from ..learning.inducing import choose_environments
from ..learning.initial_charges import charge_start, random_start
from ..learning.labels import FitLabels
from ..learning.objective import JointObjective
from ..learning.quadratic_term import QuadraticTerm, SingleTerms
from ..learning.quadrupole_term import MORE_MATRICES, require_quadrupoles
from ..learning.reweighted import solve_annealed
from ..learning.solve_result import SolveResult, Status
from ..support.backend import Array, get_backend
from ..support.blas_threads import threads_for
from ..support.scratch_rows import ScratchRows
from .auxiliary import SourcedDipoles, resolve_errors
from .baseline_molecules import require_same_baseline
from .defaults import (
    has_prior,
    is_double,
    resolve_alpha,
    resolve_atomic_dipoles,
    resolve_charge_weight,
    resolve_direction_weight,
    resolve_quadrupole_weight,
    resolve_start,
    wants_quadrupoles,
)
from .fitted_parts import smallest_type
from .memory_plan import N_MATRICES, default_n_inducing, plan_fit, plan_more
from .parameters import RandomStart
from .settings import Settings
from .std_calibration import calibrate_std
from .training_data import (
    FitStatistics,
    Origin,
    basis_of,
    gather,
    join_labels,
    require_same_basis,
)

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]


def first_statistics(
    settings: Settings,
    labels: FitLabels,
    baseline_factor: float,
    for_partial_fit: bool,
    auxiliary: SourcedDipoles | None = None,
) -> FitStatistics:
    """Choose inducing environments and compute the statistics.

    Parameters
    ----------
    settings : Settings
    labels : FitLabels
        Prepared for the baseline.
    baseline_factor : float
    for_partial_fit : bool
        Whether later calls may need statistics that this one does not.
    auxiliary : SourcedDipoles, default=None
    """
    molecules, backend = labels.molecules, get_backend(settings.device)
    parameters = settings.basis
    start = resolve_start(settings.start, labels)
    charge_weight = resolve_charge_weight(
        settings.charge_weight, labels, settings.charge_discrepancy
    )
    quadrupoles = wants_quadrupoles(settings.quadrupole_weight, labels, for_partial_fit)
    n_matrices = _count_matrices(settings, quadrupoles, auxiliary is not None)
    precise = is_double(parameters.precision, len(molecules), backend)
    dipoles = resolve_atomic_dipoles(parameters.atomic_dipoles, labels)
    kinds = dipoles > 0, precise, parameters.bond_charges > 0
    asked = backend, settings.memory_budget, n_matrices, *kinds
    n_inducing = parameters.n_inducing or default_n_inducing(molecules, *asked)
    plan = plan_fit(molecules, min(n_inducing, molecules.n_atoms), *asked)
    environments = choose_environments(
        molecules, n_inducing, settings.kernel, settings.generator(), backend, precise
    )
    assert molecules.features is not None
    with threads_for(n_inducing):
        basis = basis_of(
            environments, molecules.features.weights, settings, backend, precise, dipoles
        )
    return gather(
        labels,
        basis,
        settings.generator(2),
        with_charges=start == "charges"
        or charge_weight > 0
        or (for_partial_fit and labels.has_charges),
        with_guess=start == "electronegativity",
        with_quadrupoles=quadrupoles,
        on_disk=plan.rows_on_disk,
        n_jobs=settings.n_jobs,
        origin=Origin(
            clone(parameters),
            plan.as_dict(),
            baseline_factor,
            molecules.features.made_by,
            precise,
        ),
        auxiliary=auxiliary,
    )


def more_statistics(
    settings: Settings,
    before: FitStatistics,
    labels: FitLabels,
    auxiliary: SourcedDipoles | None = None,
) -> FitStatistics:
    """Add the statistics of more molecules to those of earlier calls; `before` is not changed."""
    molecules = labels.molecules
    require_same_baseline(before.labels.molecules, molecules)
    basis, origin = before.basis, before.origin
    require_same_basis(origin.basis_parameters, settings.basis)
    scales = next(iter(basis.elements.values())).environments
    widths = [scale.shape[1] for scale in scales]
    require_known(molecules, np.array(list(basis.elements)), widths, origin.features_made_by)
    start = resolve_start(settings.start, join_labels(before.labels, labels))
    if settings.quadrupole_weight > 0:
        require_quadrupoles(before.quadrupoles, before.labels)
    quadrupoles = wants_quadrupoles(settings.quadrupole_weight, labels, for_partial_fit=True)
    plan = plan_more(
        molecules,
        len(before.constant),
        sum(element.whitening.shape[0] for element in basis.elements.values()),
        basis.n_columns,
        basis.backend,
        settings.memory_budget,
        _count_matrices(settings, quadrupoles, auxiliary is not None),
        origin.precise,
        on_disk=isinstance(before.rows, ScratchRows),
    )
    more = gather(
        labels,
        basis,
        settings.generator(2, len(before.constant)),
        with_charges=labels.has_charges,
        with_guess=start == "electronegativity",
        with_quadrupoles=quadrupoles,
        on_disk=plan.rows_on_disk,
        n_jobs=settings.n_jobs,
        auxiliary=auxiliary,
    )
    joined = before.joined(more, plan.rows_on_disk)
    return replace(joined, origin=replace(origin, memory_plan=plan.as_dict()))


def _count_matrices(settings: Settings, quadrupoles: bool, auxiliary: bool) -> int:
    """Matrices of shape (r, r) that are in memory at once."""
    # One more for the charge term after a charge discrepancy is eliminated, two for auxiliary
    # dipoles.
    more = int(absorbs(settings.charge_discrepancy)) + quadrupoles * MORE_MATRICES + 2 * auxiliary
    return N_MATRICES + more


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
    labels = statistics.labels
    charge_weight = resolve_charge_weight(
        settings.charge_weight, labels, settings.charge_discrepancy
    )
    start = resolve_start(settings.start, labels)
    known = {"charges": statistics.charges, "electronegativity": statistics.guess}
    # One BLAS thread for small matrices: as fast, and the same bits with any number of threads.
    with threads_for(max(statistics.rows.shape)):
        objective = _objective(settings, statistics, charge_weight)
        result = _solve(settings, objective, known.get(start), start)
        learned = _basis_attributes(statistics.basis, result.weights)
        learned |= _std_attributes(settings, statistics, objective, result)
    learned |= _solution_attributes(result, labels)
    learned |= {
        "kernel_": settings.kernel,
        "alpha_": objective.alpha,
        "charge_weight_": charge_weight,
        "baseline_factor_": statistics.origin.baseline_factor,
        "baseline_charges_": labels.molecules.baseline_charges is not None,
        "descriptor_charges_": labels.molecules.descriptor_charges is not None,
        "memory_plan_": statistics.origin.memory_plan,
        "features_made_by_": statistics.origin.features_made_by,
        "precision_": "double" if statistics.origin.precise else "single",
    }
    return learned


def _objective(
    settings: Settings, statistics: FitStatistics, charge_weight: float
) -> JointObjective:
    """Joint objective of the statistics, with all its terms."""
    labels, backend = statistics.labels, statistics.basis.backend
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
        alpha=resolve_alpha(settings.alpha, labels),
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
    return SingleTerms([(penalty, 1.0)], statistics.basis.n_columns, backend)


def _solve(
    settings: Settings, objective: JointObjective, charges: QuadraticTerm | None, start: str
) -> SolveResult:
    """Iterate from one start, or from random ones and keep the lowest objective."""
    solver = settings.solver
    # Under a strong penalty the minimum is a correction of zero, and this start is zero already.
    factors = () if start == "zero" else solver.annealing
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
    result = min(results, key=lambda candidate: candidate.objective)
    logger.info("%d iterations: %s", result.n_iter, result.status.value)
    if result.status is not Status.CONVERGED:
        warnings.warn(
            f"{result.status.value} (max_iter={solver.max_iter}, alpha={objective.alpha:g})",
            ConvergenceWarning,
            stacklevel=4,
        )
    return result


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
