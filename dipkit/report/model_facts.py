"""What a fitted model is: labels, parameters as given and as used, how the fit ended.

The tables are for `model_page.py`. Dipoles are in debye, charges in e.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from ..data.elements import chemical_symbols
from ..estimator.auxiliary import auto_source, make_auxiliary
from ..estimator.defaults import auto_start, is_double
from ..estimator.parameters import ChargeStart, make_basis, make_start
from ..estimator.regression import DipoleKernelRidge
from ..support.backend import NUMPY
from ..support.nested_parameters import named_parameters
from .html_page import Table, setting

__all__ = ["fit_table", "parameter_table", "used_table"]


def fit_table(ridge: DipoleKernelRidge) -> Table:
    """Return the labels of the fit, and how the fit ended."""
    labels = ridge.label_summary_
    rows: list[list[object]] = [
        ["training molecules", _count(labels.get("n_molecules"))],
        ["dipole magnitudes", _count(labels.get("n_magnitudes"))],
        ["dipole vectors", _count(labels.get("n_vectors"))],
        ["molecules with charges", _count(labels.get("n_charges"))],
        ["iterations", _count(ridge.n_iter_)],
        ["objective J, D²", f"{ridge.objective_:.4g}"],
        ["end of the fit", ridge.status_],
    ]
    return Table("Fit", ("", ""), rows)


def used_table(ridge: DipoleKernelRidge) -> Table:
    """Return the parameters that the fit chose or derived: as given, and as used."""
    labels, basis, start = ridge.label_summary_, make_basis(ridge.basis), make_start(ridge.start)
    source = start.source if isinstance(start, ChargeStart) else type(start).__name__
    used_source, n_charges = source, labels.get("n_charges", 0)
    baseline = ridge.baseline not in (None, "none")
    if source == "auto":
        used_source = auto_start(baseline, n_charges > 0)
    # Models of version 1 do not say; they were fitted on a host.
    usual = is_double(basis.precision, labels.get("n_molecules", 0), NUMPY)
    used_precision = getattr(ridge, "precision_", "double" if usual else "single")
    rows: list[list[object]] = [
        ["alpha, D²", setting(ridge.alpha), f"{ridge.alpha_:.4g}"],
        ["charge weight λ, D²/e²", setting(ridge.charge_weight), f"{ridge.charge_weight_:.4g}"],
        ["inducing environments", _given(basis.n_inducing), _environments(ridge)],
        ["start of the iterations", source, used_source],
        ["precision of the fit", basis.precision, used_precision],
    ]
    if baseline:
        rows.append(["baseline", _shown(ridge.baseline), f"times {ridge.baseline_factor_:.4g}"])
    auxiliary = make_auxiliary(ridge.auxiliary)
    if auxiliary is not None:
        used_auxiliary: str | None = auxiliary.source
        if auxiliary.source == "auto":
            all_vectors = labels.get("n_vectors") == labels.get("n_molecules")
            used_auxiliary = auto_source(baseline, n_charges > 0, all_vectors)
        rows.append(["auxiliary dipoles", auxiliary.source, used_auxiliary or "none"])
    return Table("Chosen by the fit", ("parameter", "given", "used"), rows)


def parameter_table(model: Pipeline | DipoleKernelRidge) -> Table:
    """Return all parameters of all steps, as given."""
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    rows = [
        [f"{type(step).__name__}.{name}", _given(value)]
        for step in steps
        if isinstance(step, BaseEstimator)
        for name, value in sorted(named_parameters(step).items())
    ]
    return Table("All parameters, as given", ("parameter", "value"), rows)


def _environments(ridge: DipoleKernelRidge) -> str:
    numbers, counts = np.unique(ridge.inducing_numbers_, return_counts=True)
    table = chemical_symbols()
    each = ", ".join(
        f"{table[number]} {count:,}"
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    )
    return f"{int(counts.sum()):,} ({each})"


def _given(value: object) -> str:
    return "not given" if value is None else setting(value)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | np.integer) else "–"
