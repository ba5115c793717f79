"""What "auto" means for given labels, and which labels a parameter needs.

Symbols: N dipole labels, alpha in debye^2, lambda in debye^2 / e^2, kappa the weight of directions.
Values of parameters are checked elsewhere (`parameters.py`, `settings.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..data.label_keys import CHARGES_KEYS, QUADRUPOLE_KEY
from ..descriptors.scales import MANY_MOLECULES
from ..exceptions import InputError
from ..learning.charge_discrepancy import absorbs
from ..learning.labels import FitLabels
from ..support.backend import Backend
from .baseline import Baseline
from .parameters import ChargeStart, RandomStart, Start, ZeroStart

# Usual inducing environments: so many times the root of the number of molecules, and above that
# number of molecules times its sixth root. More of them cost more than they gain.
PER_ROOT, SLOWER_ABOVE = 100, 400
# Above `MANY_MOLECULES`, whose first scale ends farther from the atom, at least so many.
ENVIRONMENTS_OF_MANY = 6000
# alpha="auto" is this over the effective number N of dipole labels, debye^2, and falls faster above
# this number of labels: as N^-2 up to four times this number, and then as N^-1.5.
AUTO_ALPHA, FASTER_ABOVE = 0.02, 1000
# With a baseline alpha="auto" is this over N^2.5: less remains to be learned.
BASELINE_ALPHA = 1265.0
# atomic_dipoles="auto" with a baseline: the mean of two models, one of them with atomic dipoles of
# this scale. 0 without a baseline.
BASELINE_DIPOLES = 0.3
# The penalties of the two, as multiples of alpha: with atomic dipoles, and without.
DIPOLES_ALPHA, CHARGES_ALPHA = 16.0, 0.125
# Standard deviations of the mean are those of the model with atomic dipoles, with this multiple of
# alpha: it gives the right shares of validation molecules.
MEAN_STD_ALPHA = 4.0
# eigenvalue_cut="auto" in double and in single precision, whose rounding must stay below.
DOUBLE_CUT, SINGLE_CUT = 1e-10, 1e-8
# annealing="auto", as multiples of alpha. From charges, and with so many dipole labels and
# molecules with charges, more stages lead to the same minimum.
ANNEALING, SHORT_ANNEALING, MANY_LABELS = (1e5, 1e4, 1000.0, 100.0, 10.0), (1000.0,), 1000
# direction_weight="auto" is this over the effective number of dipole labels.
BASELINE_DIRECTION = 4.0
# lambda where charge_weight="auto" and there are charges, debye^2 / e^2.
DEFAULT_CHARGE_WEIGHT = 1e-3
# The same with a charge discrepancy, which then alone decides how closely charges are followed.
DISCREPANT_CHARGE_WEIGHT = 100.0
# Molecules up to which precision="auto" is double on a host, and on a GPU that is slow in double
# precision: fits take longer, and errors are smaller. Where double is fast, "auto" is double.
DOUBLE_MOLECULES = 10_000


def has_baseline(labels: FitLabels) -> bool:
    """Whether these labels were prepared for a model with a baseline."""
    return labels.molecules.baseline_dipole is not None


def usual_n_inducing(n_molecules: int) -> int:
    """Return how many environments a fit to so many molecules has, if they have enough atoms.

    100 times the root of their number, and above 400 molecules more slowly, with the sixth root;
    above 10,000 molecules at least 6,000.
    """
    slower = min(1.0, SLOWER_ABOVE / max(n_molecules, 1)) ** (1 / 3)
    usual = int(PER_ROOT * n_molecules**0.5 * slower)
    return max(usual, ENVIRONMENTS_OF_MANY) if n_molecules > MANY_MOLECULES else usual


def resolve_alpha(alpha: float | str, labels: FitLabels) -> float:
    """Ridge penalty to use, debye^2."""
    if alpha != "auto":
        return float(alpha)
    return usual_alpha(labels.n_effective, has_baseline(labels))


def usual_alpha(n_labels: float, with_baseline: bool = False) -> float:
    """Return the ridge penalty of ``alpha="auto"`` for so many dipole labels, debye^2."""
    if with_baseline:
        return float(BASELINE_ALPHA / n_labels**2.5)
    root = min(1.0, FASTER_ABOVE / n_labels) ** 0.5
    return float(AUTO_ALPHA / n_labels * root * max(root, 0.5))


def resolve_atomic_dipoles(scale: float | str, labels: FitLabels) -> float:
    """Scale of atomic dipoles to use; 0 for none.

    The largest one, where a model is the mean of several (`averaged_models`).
    """
    if scale == "auto":
        return BASELINE_DIPOLES if has_baseline(labels) else 0.0
    return float(scale)


class AveragedModel(NamedTuple):
    """One of the models whose mean is fitted: its scale of atomic dipoles, and its penalty."""

    atomic_dipoles: float
    alpha_factor: float
    """Its ridge penalty is this times alpha."""


def averaged_models(scale: float | str, labels: FitLabels) -> tuple[AveragedModel, ...]:
    """Return the models whose coefficients are averaged; the first has the largest scale.

    One model, except for ``atomic_dipoles="auto"`` with a baseline.
    """
    largest = resolve_atomic_dipoles(scale, labels)
    if scale == "auto" and has_baseline(labels):
        return AveragedModel(largest, DIPOLES_ALPHA), AveragedModel(0.0, CHARGES_ALPHA)
    return (AveragedModel(largest, 1.0),)


def resolve_cut(eigenvalue_cut: float | str, precise: bool) -> float:
    """Share of the largest eigenvalue below which directions are dropped."""
    if eigenvalue_cut == "auto":
        return DOUBLE_CUT if precise else SINGLE_CUT
    return float(eigenvalue_cut)


def resolve_annealing(
    annealing: Sequence[float] | str, start: str, labels: FitLabels, share: float = 1.0
) -> Sequence[float]:
    """Return the multiples of alpha under which the iterations begin.

    Parameters
    ----------
    annealing : sequence of float or "auto"
    start : str
        From `resolve_start`. Under a strong penalty the minimum with a baseline is a correction of
        zero, and the start "zero" is that already.
    labels : FitLabels
    share : float, default=1.0
        Share of the labels that a fit has, as in a fold.
    """
    if start == "zero":
        return ()
    if not isinstance(annealing, str):
        return annealing
    n_labels = share * min(labels.n_effective, labels.n_charges)
    return SHORT_ANNEALING if start == "charges" and n_labels >= MANY_LABELS else ANNEALING


def resolve_charge_weight(
    charge_weight: float | str, labels: FitLabels, discrepancy: float | None = None
) -> float:
    """Lambda to use, debye^2 / e^2; above 0 it needs charge labels.

    Raises
    ------
    InputError
        If the charges are to have a weight and the molecules have none.
    """
    if charge_weight == "auto":
        use = labels.has_charges and not has_baseline(labels)
        usual = DISCREPANT_CHARGE_WEIGHT if absorbs(discrepancy) else DEFAULT_CHARGE_WEIGHT
        return usual if use else 0.0
    weight = float(charge_weight)
    if weight > 0 and not labels.has_charges:
        advice = 'Give charges=, name their key, or use no charges: charge_weight="auto" or 0.'
        raise _no_labels(f"charge_weight: {weight:g} needs charge", CHARGES_KEYS, labels, advice)
    return weight


def is_double(precision: str, n_molecules: int, backend: Backend) -> bool:
    """Whether kernel values of a fit are in double precision."""
    free = n_molecules <= DOUBLE_MOLECULES or backend.fast_double
    return precision == "double" or (precision == "auto" and free)


def resolve_direction_weight(baseline: Baseline | None, labels: FitLabels) -> float:
    """Kappa to use; 0 without a baseline, since then there is no direction."""
    if baseline is None:
        return 0.0
    if baseline.direction_weight == "auto":
        return BASELINE_DIRECTION / labels.n_effective
    return float(baseline.direction_weight)


def resolve_quadrupole_weight(quadrupole_weight: float, labels: FitLabels) -> float:
    """Weight of the quadrupoles, 1 / angstrom^2; above 0 it needs quadrupole labels.

    Raises
    ------
    InputError
        If there are none.
    """
    weight = float(quadrupole_weight)
    if weight > 0 and not labels.has_quadrupoles:
        need = f"quadrupole_weight: {weight:g} needs quadrupole"
        advice = "Give Molecules.quadrupole, or use none: quadrupole_weight=0."
        raise _no_labels(need, (QUADRUPOLE_KEY,), labels, advice)
    return weight


def wants_quadrupoles(quadrupole_weight: float, labels: FitLabels, for_partial_fit: bool) -> bool:
    """Whether to sum over quadrupoles, now or `for_partial_fit`: for a later call."""
    later = for_partial_fit and labels.has_quadrupoles and not has_baseline(labels)
    return quadrupole_weight > 0 or later


def resolve_start(start: Start, labels: FitLabels) -> str:
    """Name of the start to use: ``"charges"``, ``"electronegativity"``, ``"zero"``, ``"random"``.

    Raises
    ------
    InputError
        If the start needs charge labels and there are none.
    """
    if isinstance(start, RandomStart):
        return "random"
    if isinstance(start, ZeroStart):
        return "zero"
    assert isinstance(start, ChargeStart)
    if start.source == "auto":
        return auto_start(has_baseline(labels), labels.has_charges)
    if start.source == "charges" and not labels.has_charges:
        raise InputError(
            'start: "charges" needs charge labels, and the molecules have none. Use "auto" or '
            '"electronegativity".'
        )
    return start.source


def auto_start(baseline: bool, charges: bool) -> str:
    """Name of the start that "auto" stands for, with a baseline and with charge labels or not."""
    if baseline:
        return "zero"
    return "charges" if charges else "electronegativity"


def has_prior(start: Start) -> bool:
    """Whether the ridge penalty shrinks towards the start; towards a random one it never does."""
    return isinstance(start, ChargeStart) and bool(start.prior)


def _no_labels(need: str, keys: Sequence[str], labels: FitLabels, advice: str) -> InputError:
    """Error for a weight of labels that no molecule has."""
    found = ", ".join(labels.molecules.source_keys) or "none"
    return InputError(
        f"{need} labels, and the molecules have none (looked for {', '.join(keys)}; keys present: "
        f"{found}). {advice}"
    )
