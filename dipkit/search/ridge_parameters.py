"""Names and meanings of the model's parameters that a search uses: the only place that spells them.

Names are those of `default_model()` (``dipolekernelridge__...``) or, where a constant says so, of
its last step alone. Other modules of this room know a model by these constants and functions. What
the parameters do is in `estimator/`.
"""

from __future__ import annotations

from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from ..estimator.baseline import baseline_of, prepare_labels
from ..estimator.parameters import resolve_alpha, resolve_charge_weight
from ..estimator.regression import DipoleKernelRidge
from ..learning.charge_discrepancy import absorbs
from ..learning.labels import FitLabels

# Steps of `default_model()`.
SOAP, RIDGE = "soaptransformer", "dipolekernelridge"

# Parameters of the last step: the two of the grid, and those that the default space names.
ALPHA, CHARGE_WEIGHT = "alpha", "charge_weight"
DEGREE, N_INDUCING = "kernel__degree", "n_inducing"

# Parameters, by the last part of their names, that change where or how fast a model is computed,
# and no score. The steps of a pipeline are there under their own names.
WITHOUT_EFFECT = frozenset(
    ("device", "n_jobs", "memory", "baseline_memory", "verbose", "on_demand", "steps")
)


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
    """Return what stands before the names of the last step's parameters."""
    return f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""


def follows_one_start(ridge: BaseEstimator) -> bool:
    """Whether this is a `DipoleKernelRidge` whose fit has a single start, as a grid needs."""
    return isinstance(ridge, DipoleKernelRidge) and ridge.init != "random"


def has_discrepancy(ridge: BaseEstimator) -> bool:
    """Whether the model has a finite charge discrepancy."""
    return absorbs(getattr(ridge, "charge_discrepancy", None))


def untuned_penalties(ridge: DipoleKernelRidge, labels: FitLabels) -> tuple[float, float]:
    """Alpha (debye^2) and charge weight (debye^2 / e^2) that a fit to these labels would use."""
    labels, _ = prepare_labels(labels, baseline_of(ridge))
    weight = resolve_charge_weight(ridge.charge_weight, labels, ridge.charge_discrepancy)
    return resolve_alpha(ridge.alpha, labels), weight


def calculates_baseline(ridge: BaseEstimator) -> bool:
    """Whether a fit would run a calculation for each molecule."""
    return getattr(ridge, "baseline", None) == "gfn2"


def with_given_baseline(ridge: DipoleKernelRidge) -> DipoleKernelRidge:
    """Return a copy that takes the baseline that the molecules carry."""
    copy: DipoleKernelRidge = clone(ridge).set_params(baseline="given")
    return copy
