"""The cheap calculation that a model corrects: its kinds, and where its results come from.

Symbols: N molecules, n atoms; baseline dipoles (N, 3) in debye, charges (n,) in e. A new kind of
baseline is a class here, next to `GFN2Baseline` and `GivenBaseline`. How a fit and a prediction use
a baseline is in `baseline_molecules.py`, its factor b in `baseline_factor.py`, the calculation
itself in `dipkit.quantum`.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..quantum.calculation import MemoryLike, warn_failures
from ..quantum.finite_differences import differentiate
from ..quantum.labels import gfn2, ipea1
from ..quantum.xtb import GFN2, IPEA1
from ..support.validation import check_number

__all__ = [
    "BASELINES",
    "Baseline",
    "BaselineDerivatives",
    "GFN2Baseline",
    "GivenBaseline",
    "baseline_of_fitted",
    "has_baseline_result",
    "make_baseline",
    "mixed",
    "require_following",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

# Share of IPEA1-xTB in the dipoles and charges of `GFN2Baseline`: its error and that of GFN2-xTB
# cancel in part. Chosen on validation molecules (docs/decisions/0008-baseline.md).
SECOND_SHARE = 0.2
SECOND_METHODS = (None, "ipea1")


class BaselineDerivatives(NamedTuple):
    """The baseline of one molecule of n atoms, differentiated with respect to the positions.

    Parameters
    ----------
    of_dipole : ndarray of shape (n, 3, 3), debye / angstrom
        ``[j, b, c]``: component c of the dipole with respect to coordinate b of atom j.
    of_charges : ndarray of shape (n, n, 3), e / angstrom
        ``[i, j, b]``: the charge of atom i with respect to coordinate b of atom j.
    sets : ndarray of shape (n, K), e
        The K sets of charges that enter the descriptors; NaN where they cannot be calculated.
    of_sets : ndarray of shape (n, K, n, 3), e / angstrom
    """

    of_dipole: FloatArray
    of_charges: FloatArray
    sets: FloatArray
    of_sets: FloatArray


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

    def derivatives(self, one: Molecules, n_jobs: int | None = None) -> BaselineDerivatives:
        """Differentiate the baseline of one molecule with respect to the positions of its atoms."""
        raise NotImplementedError

    def warn_missing(self, molecules: Molecules, known: BoolArray, outcome: str) -> None:
        """Warn of molecules without a baseline, where `attach` has not done so."""


class GFN2Baseline(Baseline):
    """GFN2-xTB, calculated for the training molecules and again for those to predict.

    A second calculation, IPEA1-xTB, lowers the error: its charges enter the descriptors beside
    those of the baseline, and dipoles and charges of the baseline are 0.8 times those of GFN2-xTB
    plus 0.2 times its own. Together they take about 20 ms for a molecule of 18 atoms, GFN2-xTB
    alone takes 6 ms. Needs tblite (extra ``labels``).

    Parameters
    ----------
    direction_weight : float or "auto", default="auto"
        See `Baseline`.
    memory : joblib.Memory, str or path, default=None
        Keeps the results of the calculation on disk. A cache is read by pickle: name only a folder
        that nobody else writes to. Saved models do not contain this parameter.
    second_method : {"ipea1", None}, default="ipea1"
        None leaves IPEA1-xTB out.
    """

    __module__ = "dipkit"  # the path that saved models name

    name: ClassVar[str] = "gfn2"
    failure: ClassVar[str] = "xTB gave no result"
    follows_atoms: ClassVar[bool] = True
    # A model from someone else must not choose the folder from which results are unpickled.
    _not_saved: ClassVar[tuple[str, ...]] = ("memory",)

    # Objects that were saved by versions without this parameter are of GFN2-xTB alone.
    second_method: str | None = None

    def __init__(
        self,
        direction_weight: float | str = "auto",
        memory: MemoryLike | None = None,
        second_method: str | None = "ipea1",
    ) -> None:
        super().__init__(direction_weight)
        self.memory = memory
        self.second_method = second_method

    def check(self) -> None:
        """Refuse parameters that cannot be used."""
        super().check()
        if self.second_method not in SECOND_METHODS:
            raise InputError(
                f"second_method: expected one of {SECOND_METHODS}, got {self.second_method!r}."
            )

    def attach(self, molecules: Molecules, n_jobs: int | None = None) -> Molecules:
        """Calculate dipoles and charges; a warning counts the molecules that failed."""
        bare = molecules.replace(features=None)
        first = gfn2(bare, n_jobs, self.memory)
        dipole, charges = first.dipole, first.charges
        if self.second_method is None:
            return molecules.replace(
                baseline_dipole=dipole, baseline_charges=charges, descriptor_charges=None
            )
        # What has failed once is not tried, and not warned of, a second time.
        known = ~np.isnan(dipole[:, 0])
        second = ipea1(bare[np.flatnonzero(known)], n_jobs, self.memory)
        second_dipole, second_charges = np.full_like(dipole, np.nan), np.full_like(charges, np.nan)
        second_dipole[known] = second.dipole
        second_charges[known[molecules.molecule_index]] = second.charges
        return molecules.replace(
            baseline_dipole=mixed(dipole, second_dipole),
            baseline_charges=mixed(charges, second_charges),
            descriptor_charges=second_charges,
        )

    def derivatives(self, one: Molecules, n_jobs: int | None = None) -> BaselineDerivatives:
        """Differentiate by central differences: 6n calculations for n atoms with each method."""
        first = differentiate(GFN2(), one, n_jobs, self.memory)
        if self.second_method is None:
            sets, of_sets = first.charges[:, None], first.of_charges[:, None]
            return BaselineDerivatives(first.of_dipole, first.of_charges, sets, of_sets)
        second = differentiate(IPEA1(), one, n_jobs, self.memory)
        charges, of_dipole, of_charges = map(mixed, first, second)
        return BaselineDerivatives(
            of_dipole,
            of_charges,
            np.stack([charges, second.charges], axis=1),
            np.stack([of_charges, second.of_charges], axis=1),
        )


class GivenBaseline(Baseline):
    """Results that the molecules carry: ``baseline_dipole`` (debye), ``baseline_charges`` (e).

    Both charges and ``descriptor_charges`` (e), of another calculation, enter the descriptors.

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
            If no molecule has a baseline, or if there are charges of a second calculation but none
            of the baseline.
        """
        if not has_baseline_result(molecules).any():
            raise InputError(
                'baseline: "given" takes baseline_dipole from the molecules, and none of them has '
                'one. Set Molecules.baseline_dipole (debye), or use baseline="gfn2" or "none".'
            )
        if molecules.baseline_charges is None and molecules.descriptor_charges is not None:
            raise InputError(
                "descriptor_charges: they enter the descriptors beside baseline_charges, and there "
                "are none. Set Molecules.baseline_charges (e) too, or drop descriptor_charges."
            )
        return molecules

    def derivatives(self, one: Molecules, n_jobs: int | None = None) -> BaselineDerivatives:
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


def baseline_of_fitted(
    baseline: Baseline | str | None, with_descriptor_charges: bool
) -> Baseline | None:
    """Return the baseline of a fitted model.

    Models that were saved by versions without a second method are of GFN2-xTB alone, although
    ``"gfn2"`` stands for both methods now.

    Parameters
    ----------
    baseline : {None, "none", "given", "gfn2"} or Baseline
        Parameter of the model.
    with_descriptor_charges : bool
        Whether charges of a second method entered the descriptors in fit.
    """
    found = make_baseline(baseline)
    if isinstance(found, GFN2Baseline) and not with_descriptor_charges:
        return GFN2Baseline(found.direction_weight, found.memory, second_method=None)
    return found


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
    """Molecules with a baseline dipole, and with charges of each kind that any molecule has."""
    dipole, first_atoms = molecules.baseline_dipole, molecules.offsets[:-1]
    if dipole is None:
        return np.zeros(len(molecules), dtype=bool)
    has = ~np.isnan(dipole[:, 0])
    for charges in (molecules.baseline_charges, molecules.descriptor_charges):
        if charges is not None:
            has &= ~np.isnan(charges[first_atoms])
    return has


def mixed(of_gfn2: FloatArray, of_second: FloatArray) -> FloatArray:
    """Return dipoles, charges or derivatives of `GFN2Baseline` from those of its two methods."""
    return (1 - SECOND_SHARE) * of_gfn2 + SECOND_SHARE * of_second
