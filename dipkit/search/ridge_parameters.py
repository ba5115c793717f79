"""Names and meanings of the model's parameters that a search uses, in one place.

Names are those of `default_model()` (``dipolekernelridge__...``) or, where a constant says so, of
its last step alone. Other modules of this room use these constants and functions. What the
parameters do is in `estimator/`.
"""

from __future__ import annotations

from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from ..estimator.auxiliary import AuxiliaryDipoles, make_auxiliary, resolve_errors
from ..estimator.baseline import Baseline, GivenBaseline, make_baseline
from ..estimator.baseline_molecules import prepare_labels
from ..estimator.defaults import resolve_alpha, resolve_charge_weight
from ..estimator.parameters import RandomStart, make_start
from ..estimator.regression import DipoleKernelRidge
from ..estimator.settings import Settings
from ..learning.charge_discrepancy import absorbs
from ..learning.labels import FitLabels

# Steps of `default_model()`.
SOAP, RIDGE = "soaptransformer", "dipolekernelridge"

# Parameters of the last step: the two of the grid, and those that the default space names.
ALPHA, CHARGE_WEIGHT = "alpha", "charge_weight"
CHARGE_DISCREPANCY = "charge_discrepancy"
DEGREE, N_INDUCING = "basis__kernel__degree", "basis__n_inducing"

# Parameters, by the last part of their names, that change where or how fast a model is computed,
# but no score. The steps of a pipeline are listed under their own names.
WITHOUT_EFFECT = frozenset(("device", "n_jobs", "memory", "verbose", "on_demand", "steps"))


def of_ridge(name: str) -> str:
    """Name in `default_model()` of a parameter of its last step."""
    return f"{RIDGE}__{name}"


def of_scale(index: int, name: str) -> str:
    """Name in `default_model()` of a parameter of one SOAP scale."""
    return f"{SOAP}__scale{index}__{name}"


def last_step(estimator: BaseEstimator) -> BaseEstimator:
    """Return the last step of a pipeline, or the estimator itself."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def last_step_prefix(estimator: BaseEstimator) -> str:
    """Return the prefix of the names of the last step's parameters."""
    return f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""


def follows_one_start(ridge: BaseEstimator) -> bool:
    """Whether this is a `DipoleKernelRidge` whose fit has a single start, as a grid needs."""
    if not isinstance(ridge, DipoleKernelRidge):
        return False
    return not isinstance(make_start(ridge.start), RandomStart)


def has_discrepancy(ridge: BaseEstimator) -> bool:
    """Whether the model has a finite charge discrepancy."""
    return absorbs(getattr(ridge, CHARGE_DISCREPANCY, None))


def untuned_penalties(ridge: DipoleKernelRidge, labels: FitLabels) -> tuple[float, float]:
    """Alpha (debye^2) and charge weight (debye^2 / e^2) that a fit to these labels would use."""
    settings = Settings.of(ridge)
    labels, _ = prepare_labels(labels, settings.baseline, n_jobs=settings.n_jobs)
    weight = resolve_charge_weight(settings.charge_weight, labels, settings.charge_discrepancy)
    return resolve_alpha(settings.alpha, labels), weight


def baseline_of(estimator: BaseEstimator) -> Baseline | None:
    """Baseline of the last step; None without one, or if the step is no `DipoleKernelRidge`."""
    last = last_step(estimator)
    return make_baseline(last.baseline) if isinstance(last, DipoleKernelRidge) else None


def auxiliary_of(last: BaseEstimator) -> AuxiliaryDipoles | None:
    """Auxiliary dipoles of an estimator; None where it has none."""
    return make_auxiliary(last.auxiliary) if isinstance(last, DipoleKernelRidge) else None


def with_given_auxiliary(ridge: DipoleKernelRidge) -> DipoleKernelRidge:
    """Return a copy that takes the vectors of GFN2-xTB from the molecules, with their errors."""
    auxiliary = make_auxiliary(ridge.auxiliary)
    assert auxiliary is not None
    copy: DipoleKernelRidge = clone(ridge)
    return copy.set_params(auxiliary=AuxiliaryDipoles("given", *resolve_errors(auxiliary, "gfn2")))


def with_given_baseline(ridge: DipoleKernelRidge) -> DipoleKernelRidge:
    """Return a copy with the baseline "given": that of the molecules."""
    baseline = make_baseline(ridge.baseline)
    assert baseline is not None
    copy: DipoleKernelRidge = clone(ridge)
    return copy.set_params(baseline=GivenBaseline(baseline.direction_weight))
