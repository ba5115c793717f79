"""First steps of `DipoleKernelRidge.fit` and `partial_fit`: choose a basis, sum over molecules.

Nothing here sees the estimator. Its parameters come as `Settings`. The last step, the minimum of
the objective, is in `minimum.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from ..descriptors.requirements import require_known
from ..learning.charge_discrepancy import absorbs
from ..learning.inducing import choose_environments
from ..learning.labels import FitLabels
from ..learning.quadrupole_term import MORE_MATRICES, require_quadrupoles
from ..support.backend import get_backend
from ..support.blas_threads import threads_for
from ..support.scratch_rows import ScratchRows
from .auxiliary import SourcedDipoles
from .baseline_molecules import require_same_baseline
from .defaults import (
    is_double,
    resolve_atomic_dipoles,
    resolve_charge_weight,
    resolve_start,
    wants_quadrupoles,
)
from .memory_plan import N_MATRICES, default_n_inducing, plan_fit, plan_more
from .settings import Settings
from .training_data import (
    FitStatistics,
    Origin,
    basis_of,
    gather,
    join_labels,
    require_same_basis,
)


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
