"""What `DipoleKernelRidge.fit` and `partial_fit` do: choose, gather, minimise, store.

`model` is the estimator: its parameters are read, and what is learned is stored in it.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ..descriptors.requirements import require_known
from ..learning.atomic_dipoles import require_same_scale
from ..learning.charge_discrepancy import absorb, absorbs
from ..learning.direction_term import accumulate_direction
from ..learning.inducing import Basis, build_basis, choose_environments
from ..learning.initial_charges import charge_start, random_start
from ..learning.kernels import PowerKernel
from ..learning.labels import FitLabels
from ..learning.objective import JointObjective
from ..learning.quadratic_term import QuadraticTerm
from ..learning.quadrupole_term import MORE_MATRICES, require_quadrupoles
from ..learning.reweighted import SolveResult, Status, solve_annealed
from ..support.backend import get_backend
from ..support.blas_threads import threads_for
from ..support.scratch_rows import ScratchRows
from .baseline import require_same_baseline
from .memory_plan import N_MATRICES, default_n_inducing, parse_bytes, plan_fit
from .parameters import (
    is_double,
    resolve_alpha,
    resolve_charge_weight,
    resolve_direction_weight,
    resolve_init,
    resolve_loss,
    resolve_quadrupole_weight,
    wants_quadrupoles,
)
from .std_calibration import fit_spread
from .std_prediction import clear_spread
from .training_data import FitStatistics, gather, join_labels

logger = logging.getLogger(__name__)


def first_statistics(model: Any, labels: FitLabels, scale: float, keep: bool) -> FitStatistics:
    """Choose inducing environments and compute the statistics; all kinds to be kept."""
    molecules, backend = labels.molecules, get_backend(model.device)
    model.baseline_scale_ = scale
    model.baseline_charges_ = molecules.baseline_charges is not None
    rng = _generator(model)
    init = resolve_init(model.init, labels)
    charge_weight = resolve_charge_weight(model.charge_weight, labels, model.charge_discrepancy)
    model.kernel_ = PowerKernel() if model.kernel is None else clone(model.kernel)
    model.kernel_.check()
    budget = None if model.memory_budget is None else parse_bytes(model.memory_budget)
    quadrupoles = wants_quadrupoles(model.quadrupole_weight, labels, keep)
    # One for the statistics that a charge discrepancy leaves.
    n_matrices = N_MATRICES + absorbs(model.charge_discrepancy) + quadrupoles * MORE_MATRICES
    dipoles = float(model.atomic_dipoles)
    precise = is_double(model.precision, len(molecules))
    asked = backend, budget, n_matrices, dipoles > 0, precise
    n_inducing = model.n_inducing or default_n_inducing(molecules, *asked)
    plan = plan_fit(molecules, min(n_inducing, molecules.n_atoms), *asked)
    model.memory_plan_ = plan.as_dict()
    environments = choose_environments(molecules, n_inducing, model.kernel_, rng, backend, precise)
    assert molecules.features is not None
    weights, cut = molecules.features.weights, model.eigenvalue_cut
    with threads_for(n_inducing):
        basis = build_basis(environments, model.kernel_, weights, cut, backend, dipoles, precise)
    return gather(
        labels,
        basis,
        _generator(model, 2),
        with_charges=init == "charges" or charge_weight > 0 or (keep and labels.has_charges),
        with_guess=init == "electronegativity",
        with_quadrupoles=quadrupoles,
        on_disk=plan.rows_on_disk,
        n_jobs=model.n_jobs,
    )


def more_statistics(model: Any, before: FitStatistics, labels: FitLabels) -> FitStatistics:
    """Statistics of the molecules before and of these."""
    molecules = labels.molecules
    require_same_baseline(before.labels.molecules, molecules)
    require_same_scale(before.basis.dipole_scale, model.atomic_dipoles)
    widths = [scale.shape[1] for scale in model.inducing_features_]
    require_known(molecules, model.elements_, widths)
    init = resolve_init(model.init, join_labels(before.labels, labels))
    if model.quadrupole_weight > 0:
        require_quadrupoles(before.quadrupoles, before.labels)
    on_disk = isinstance(before.rows, ScratchRows)
    more = gather(
        labels,
        before.basis,
        _generator(model, 2, len(before.constant)),
        with_charges=labels.has_charges,
        with_guess=init == "electronegativity",
        with_quadrupoles=wants_quadrupoles(model.quadrupole_weight, labels, keep=True),
        on_disk=on_disk,
        n_jobs=model.n_jobs,
    )
    return before.joined(more, on_disk)


def fit_statistics(model: Any, statistics: FitStatistics) -> None:
    """Minimise the objective of these statistics and store what it gives."""
    labels = statistics.labels
    charge_weight = resolve_charge_weight(model.charge_weight, labels, model.charge_discrepancy)
    model.alpha_ = resolve_alpha(model.alpha, labels)
    charges, backend = statistics.charges if charge_weight > 0 else None, statistics.basis.backend
    if charges is not None and absorbs(model.charge_discrepancy):
        charges = absorb(charges, charge_weight, model.charge_discrepancy, backend)
    dipoles = statistics.rows, statistics.constant, labels.target
    direction_weight = resolve_direction_weight(model.direction_weight, labels)
    pull = accumulate_direction(*dipoles, backend) if direction_weight > 0 else None
    quadrupole_weight = resolve_quadrupole_weight(model.quadrupole_weight, labels)
    objective = JointObjective(
        *dipoles,
        terms=[
            (charges, charge_weight),
            (pull, direction_weight),
            (statistics.quadrupoles, quadrupole_weight),
        ],
        alpha=model.alpha_,
        loss=resolve_loss(model),
        backend=backend,
    )
    init = resolve_init(model.init, labels)
    starts = {"charges": statistics.charges, "electronegativity": statistics.guess}
    with threads_for(max(statistics.rows.shape)):
        result = _solve(model, objective, starts.get(init), init, _generator(model, 1))
    _store(model, result, statistics.basis, labels, charge_weight)
    clear_spread(model)
    if len(statistics.sample.places):
        fit_spread(
            objective,
            result.weights,
            statistics.basis,
            statistics.sample,
            _generator(model, 3),
        ).store(model)


def _generator(model: Any, *stream: int) -> np.random.Generator:
    """Random numbers: of the environments, of random starts (1), of the spread (2 and 3)."""
    seed = check_random_state(model.random_state or 0).randint(2**31)
    return np.random.default_rng([seed, *stream] if stream else seed)


def _solve(
    model: Any,
    objective: JointObjective,
    start: QuadraticTerm | None,
    init: str,
    rng: np.random.Generator,
) -> SolveResult:
    """Iterate from one start, or from random ones and keep the lowest objective."""
    # A strong penalty leads to no correction, where this start is already.
    factors = () if init == "zero" else model.annealing
    if init == "zero":
        weights = [objective.prior]
    elif start is None:
        weights = [random_start(objective, rng) for _ in range(model.n_restarts)]
    else:
        weights = [charge_start(start, objective.backend)]
        if model.prior == "start":
            objective = objective.with_prior(weights[0])
    results = [
        solve_annealed(objective, w, factors, model.max_iter, model.tol, model.acceleration)
        for w in weights
    ]
    result = min(results, key=lambda candidate: candidate.objective)
    logger.info("%d iterations: %s", result.n_iter, result.status.value)
    if result.status is not Status.CONVERGED:
        warnings.warn(
            f"{result.status.value} (max_iter={model.max_iter}, alpha={model.alpha_:g})",
            ConvergenceWarning,
            stacklevel=4,
        )
    return result


def _store(
    model: Any, result: SolveResult, basis: Basis, labels: FitLabels, charge_weight: float
) -> None:
    """Keep host arrays only: a model fitted on a GPU loads on a laptop."""
    to_host, elements = basis.backend.to_host, list(basis.elements.values())
    dual = basis.dual(result.weights)
    counts = [element.whitening.shape[0] for element in elements]
    model.elements_ = np.array([element.number for element in elements])
    model.inducing_numbers_ = np.repeat(model.elements_, counts)
    model.inducing_features_ = [
        np.concatenate([to_host(part) for part in parts]).astype(np.float32, copy=False)
        for parts in zip(*(element.environments for element in elements), strict=True)
    ]
    model.scale_weights_ = np.array(basis.weights)
    model.dual_coef_ = np.concatenate([dual[element.number][0] for element in elements])
    model.intercept_ = np.array([dual[element.number][1] for element in elements])
    model.atomic_dipole_coef_ = model.atomic_dipole_intercept_ = None
    if basis.dipole_scale > 0:
        found = basis.dipole_dual(result.weights)
        model.atomic_dipole_coef_, model.atomic_dipole_intercept_ = found
    model.charge_weight_ = charge_weight
    model.objective_ = result.objective
    model.history_ = np.array(result.history)
    model.n_iter_ = result.n_iter
    model.n_factorizations_ = result.n_factorizations
    model.converged_ = result.status is Status.CONVERGED
    model.status_ = result.status.value
    model.label_summary_ = labels.summary()
