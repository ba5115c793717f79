"""Parameters of `DipoleKernelRidge`: what they may be, and what "auto" means for given labels."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ..data.label_keys import QUADRUPOLE_KEY
from ..data.molecules import CHARGES_KEYS
from ..exceptions import InputError
from ..learning.charge_discrepancy import absorbs
from ..learning.kernels import EnvironmentKernel
from ..learning.labels import FitLabels
from ..learning.objective import make_loss
from ..support.validation import check_number, check_whole
from .baseline import BASELINES

# alpha="auto" is this over the effective number of dipole labels, debye^2.
AUTO_ALPHA = 0.02
# With a baseline it is this over the square of that number: the penalty has less to hold.
BASELINE_ALPHA = 40.0
# direction_weight="auto" is this over the effective number of dipole labels.
BASELINE_DIRECTION = 4.0
# lambda where charge_weight="auto" and there are charges, debye^2 / e^2.
DEFAULT_CHARGE_WEIGHT = 1e-3
# The same with a charge discrepancy, which then alone says how closely charges are followed.
DISCREPANT_CHARGE_WEIGHT = 100.0
PRECISIONS = ("auto", "single", "double")
# Molecules up to which precision="auto" is double: a fit then takes seconds anyhow.
DOUBLE_MOLECULES = 2000
INITS = ("auto", "charges", "electronegativity", "zero", "random")


def check_settings(ridge: Any) -> None:
    """Refuse parameters that cannot be used, before any work."""
    if ridge.alpha != "auto":
        check_number("alpha", ridge.alpha, above=0.0)
    check_number("tol", ridge.tol, above=0.0)
    check_number("eigenvalue_cut", ridge.eigenvalue_cut, above=0.0)
    check_whole("max_iter", ridge.max_iter, least=1)
    check_whole("n_restarts", ridge.n_restarts, least=1)
    check_whole("acceleration", ridge.acceleration, least=0)
    if ridge.n_inducing is not None:
        check_whole("n_inducing", ridge.n_inducing, least=1)
    if ridge.charge_weight != "auto":
        check_number("charge_weight", ridge.charge_weight, above=None)
    _check_discrepancy(ridge.charge_discrepancy)
    if not isinstance(ridge.annealing, Sequence | np.ndarray) or isinstance(ridge.annealing, str):
        raise InputError(
            f"annealing: expected a sequence of multiples of alpha, got {ridge.annealing!r}."
        )
    for factor in ridge.annealing:
        check_number("annealing", factor, above=0.0)
    if ridge.init not in INITS:
        raise InputError(f"init: expected one of {INITS}, got {ridge.init!r}.")
    if ridge.precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {PRECISIONS}, got {ridge.precision!r}.")
    if ridge.prior not in ("start", "zero"):
        raise InputError(f'prior: expected "start" or "zero", got {ridge.prior!r}.')
    if ridge.kernel is not None and not isinstance(ridge.kernel, EnvironmentKernel):
        raise InputError(
            f"kernel: expected an EnvironmentKernel such as PowerKernel(), got {ridge.kernel!r}."
        )
    if not ridge.eigenvalue_cut < 1:
        raise InputError(f"eigenvalue_cut: expected a share below 1, got {ridge.eigenvalue_cut!r}.")
    if ridge.direction_weight != "auto":
        check_number("direction_weight", ridge.direction_weight, above=None)
    check_number("quadrupole_weight", ridge.quadrupole_weight, above=None)
    check_number("atomic_dipoles", ridge.atomic_dipoles, above=None)
    if ridge.baseline not in BASELINES:
        raise InputError(f"baseline: expected one of {BASELINES}, got {ridge.baseline!r}.")
    make_loss(ridge.loss, ridge.huber_threshold)
    try:
        check_random_state(ridge.random_state)
    except ValueError:
        raise InputError(
            "random_state: expected None, a whole number from 0 to 2**32 - 1 or a RandomState, "
            f"got {ridge.random_state!r}."
        ) from None


def _check_discrepancy(value: Any) -> None:
    """Refuse what is neither None nor a number above 0, infinity included."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not (number and value > 0):
        raise InputError(
            f"charge_discrepancy: expected a number > 0 or None, got {value!r}. None is the "
            "strongest, without any discrepancy; charge_weight=0 gives the charges no weight."
        )


def has_baseline(labels: FitLabels) -> bool:
    """Whether these labels were prepared for a model with a baseline."""
    return labels.molecules.baseline_dipole is not None


def resolve_alpha(alpha: float | str, labels: FitLabels) -> float:
    """Ridge penalty to use, debye^2."""
    if alpha != "auto":
        return float(alpha)
    n = labels.n_effective
    return BASELINE_ALPHA / n**2 if has_baseline(labels) else AUTO_ALPHA / n


def resolve_charge_weight(
    charge_weight: float | str, labels: FitLabels, discrepancy: float | None = None
) -> float:
    """Lambda to use, debye^2 / e^2; above 0 it needs charge labels."""
    if charge_weight == "auto":
        use = labels.has_charges and not has_baseline(labels)
        usual = DISCREPANT_CHARGE_WEIGHT if absorbs(discrepancy) else DEFAULT_CHARGE_WEIGHT
        return usual if use else 0.0
    weight = float(charge_weight)
    if weight > 0 and not labels.has_charges:
        found = ", ".join(labels.molecules.source_keys) or "none"
        raise InputError(
            f"charge_weight: {weight:g} needs charge labels, and the molecules have none "
            f"(looked for {', '.join(CHARGES_KEYS)}; keys present: {found}). Pass charges=, "
            'name their key, or go on without them: charge_weight="auto" or 0.'
        )
    return weight


def is_double(precision: str, n_molecules: int) -> bool:
    """Whether kernel values of a fit are in double precision."""
    return precision == "double" or (precision == "auto" and n_molecules <= DOUBLE_MOLECULES)


def resolve_direction_weight(direction_weight: float | str, labels: FitLabels) -> float:
    """Kappa to use: without a baseline there is no direction to keep to."""
    if not has_baseline(labels):
        return 0.0
    if direction_weight == "auto":
        return BASELINE_DIRECTION / labels.n_effective
    return float(direction_weight)


def resolve_quadrupole_weight(quadrupole_weight: float, labels: FitLabels) -> float:
    """Weight of the quadrupoles, 1 / angstrom^2; above 0 it needs quadrupole labels."""
    weight = float(quadrupole_weight)
    if weight > 0 and not labels.has_quadrupoles:
        found = ", ".join(labels.molecules.source_keys) or "none"
        raise InputError(
            f"quadrupole_weight: {weight:g} needs quadrupole labels, and the molecules have none "
            f"(looked for {QUADRUPOLE_KEY}; keys present: {found}). Give Molecules.quadrupole, or "
            "go on without them: quadrupole_weight=0."
        )
    return weight


def wants_quadrupoles(quadrupole_weight: float, labels: FitLabels, keep: bool) -> bool:
    """Whether to sum over quadrupoles; with `keep`, also where only a later fit may use them."""
    later = keep and labels.has_quadrupoles and not has_baseline(labels)
    return quadrupole_weight > 0 or later


def resolve_init(init: str, labels: FitLabels) -> str:
    """Start to use; that from charges needs charge labels."""
    if init == "auto" and has_baseline(labels):
        return "zero"
    if init == "auto":
        return "charges" if labels.has_charges else "electronegativity"
    if init == "charges" and not labels.has_charges:
        raise InputError(
            'init: "charges" needs charge labels, and the molecules have none. Use "auto" or '
            '"electronegativity".'
        )
    return init
