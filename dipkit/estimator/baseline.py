"""The cheap calculation that a model corrects: its kinds, and where its results come from.

Symbols: N molecules, n atoms; baseline dipoles (N, 3) in debye, charges (n,) in e. A new kind of
baseline is a class here, next to `GFN2Baseline` and `GivenBaseline`. How a fit and a prediction use
a baseline is in `baseline_molecules.py`, its factor b in `baseline_factor.py`, the calculation
itself in `dipkit.quantum`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..quantum.calculation import MemoryLike, warn_failures
from ..quantum.finite_differences import CalculationDerivatives, differentiate
from ..quantum.labels import gfn2
from ..quantum.xtb import GFN2
from ..support.validation import check_number

__all__ = [
    "BASELINES",
    "Baseline",
    "GFN2Baseline",
    "GivenBaseline",
    "has_baseline_result",
    "make_baseline",
    "require_following",
]

BoolArray = NDArray[np.bool_]


class Baseline(BaseEstimator):
    """Calculation to which a model adds its correction: the contract of the classes below.

    Parameters
    ----------
    direction_weight : float or "auto", default="auto"
        Weight kappa of the components of a dipole perpendicular to its baseline (11), where the
        magnitude alone is known. ``"auto"`` is 4 divided by the number of dipole labels.
    """

    name: ClassVar[str]
    # Beginning of the warning about molecules without a result.
    failure: ClassVar[str]
    # Whether the baseline can be calculated for a geometry whose atoms have moved.
    follows_atoms: ClassVar[bool]
    # Parameters that a saved model must leave out.
    _not_saved: ClassVar[tuple[str, ...]] = ()

    def __init__(self, direction_weight: float | str = "auto") -> None:
        self.direction_weight = direction_weight

    def check(self) -> None:
        """Refuse parameters that cannot be used."""
        if self.direction_weight != "auto":
            check_number("direction_weight", self.direction_weight, above=None)

    def attach(self, molecules: Molecules, n_jobs: int | None = None) -> Molecules:
        """Return the molecules with this baseline, NaN where a molecule has none.

        Parameters
        ----------
        molecules : Molecules
        n_jobs : int, default=None
            Processes, where there is something to calculate.
        """
        raise NotImplementedError

    def derivatives(self, one: Molecules, n_jobs: int | None = None) -> CalculationDerivatives:
        """Differentiate the baseline of one molecule with respect to the positions of its atoms."""
        raise NotImplementedError

    def warn_missing(self, molecules: Molecules, known: BoolArray, outcome: str) -> None:
        """Warn of molecules without a baseline, where `attach` has not done so."""


class GFN2Baseline(Baseline):
    """GFN2-xTB, calculated for the training molecules and again for those to predict.

    About 10 ms for a molecule of 18 atoms; needs tblite (extra ``labels``).

    Parameters
    ----------
    direction_weight : float or "auto", default="auto"
        See `Baseline`.
    memory : joblib.Memory, str or path, default=None
        Keeps the results of the calculation on disk. A cache is read by pickle: name only a folder
        that nobody else writes to. Saved models do not contain this parameter.
    """

    __module__ = "dipkit"  # the path that saved models name

    name: ClassVar[str] = "gfn2"
    failure: ClassVar[str] = "GFN2-xTB gave no result"
    follows_atoms: ClassVar[bool] = True
    # A model from someone else must not choose the folder from which results are unpickled.
    _not_saved: ClassVar[tuple[str, ...]] = ("memory",)

    def __init__(
        self, direction_weight: float | str = "auto", memory: MemoryLike | None = None
    ) -> None:
        super().__init__(direction_weight)
        self.memory = memory

    def attach(self, molecules: Molecules, n_jobs: int | None = None) -> Molecules:
        """Calculate dipoles and charges; one warning counts the molecules that failed."""
        found = gfn2(molecules.replace(features=None), n_jobs, self.memory)
        return molecules.replace(baseline_dipole=found.dipole, baseline_charges=found.charges)

    def derivatives(self, one: Molecules, n_jobs: int | None = None) -> CalculationDerivatives:
        """Differentiate by central differences: 6n calculations for n atoms."""
        return differentiate(GFN2(), one, n_jobs, self.memory)


class GivenBaseline(Baseline):
    """Results that the molecules carry: ``baseline_dipole`` (debye), ``baseline_charges`` (e).

    Parameters
    ----------
    direction_weight : float or "auto", default="auto"
        See `Baseline`.
    """

    __module__ = "dipkit"  # the path that saved models name

    name: ClassVar[str] = "given"
    failure: ClassVar[str] = "there is no baseline"
    follows_atoms: ClassVar[bool] = False

    def attach(self, molecules: Molecules, n_jobs: int | None = None) -> Molecules:
        """Return the molecules unchanged, if at least one of them has a baseline.

        Raises
        ------
        InputError
            If no molecule has a baseline.
        """
        if not has_baseline_result(molecules).any():
            raise InputError(
                'baseline: "given" takes baseline_dipole from the molecules, and none of them has '
                'one. Set Molecules.baseline_dipole (debye), or use baseline="gfn2" or "none".'
            )
        return molecules

    def derivatives(self, one: Molecules, n_jobs: int | None = None) -> CalculationDerivatives:
        """Refuse: there is no calculation to differentiate."""
        raise _not_following()

    def warn_missing(self, molecules: Molecules, known: BoolArray, outcome: str) -> None:
        """Count and name the molecules without a baseline."""
        warn_failures(self.failure, molecules, np.flatnonzero(~known), outcome)


_KINDS: dict[str, type[Baseline]] = {kind.name: kind for kind in (GivenBaseline, GFN2Baseline)}
BASELINES = (None, "none", *_KINDS)


def make_baseline(baseline: Baseline | str | None) -> Baseline | None:
    """Return the baseline of a name, or the object itself; None where there is none.

    Parameters
    ----------
    baseline : {None, "none", "given", "gfn2"} or Baseline

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if baseline is None or isinstance(baseline, Baseline):
        if baseline is not None:
            baseline.check()
        return baseline
    if baseline == "none":
        return None
    if not isinstance(baseline, str) or baseline not in _KINDS:
        raise InputError(
            f"baseline: expected one of {BASELINES} or a Baseline such as GFN2Baseline(), got "
            f"{baseline!r}."
        )
    return _KINDS[baseline]()


def require_following(baseline: Baseline | None) -> None:
    """Refuse a baseline that does not follow when atoms move.

    Raises
    ------
    InputError
        If the model corrects dipoles that molecules carry.
    """
    if baseline is not None and not baseline.follows_atoms:
        raise _not_following()


def _not_following() -> InputError:
    return InputError(
        'model: its baseline is "given": these dipoles do not follow when atoms move. Use a model '
        'with baseline="gfn2", which is computed again, or without a baseline.'
    )


def has_baseline_result(molecules: Molecules) -> BoolArray:
    """Molecules with a baseline dipole, and with its charges where any molecule has them."""
    dipole, charges = molecules.baseline_dipole, molecules.baseline_charges
    if dipole is None:
        return np.zeros(len(molecules), dtype=bool)
    has = ~np.isnan(dipole[:, 0])
    return has if charges is None else has & ~np.isnan(charges[molecules.offsets[:-1]])
