"""All that a fit needs of its molecules: dipole rows, quadratic terms, labels.

Symbols: N molecules, r basis functions, dipole rows D (3 N, r) in debye / e. Statistics of several
sets of molecules can be joined. Their computation block by block is in `dipkit.learning`; how a fit
uses them is in `fit.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..learning.accumulate import accumulate_sets
from ..learning.auxiliary_term import auxiliary_term
from ..learning.basis import Basis, Environments, build_basis
from ..learning.initial_charges import start_charges
from ..learning.labels import FitLabels
from ..learning.multipoles import constant_dipoles
from ..learning.objective import DipoleTarget
from ..learning.quadratic_term import QuadraticTerm
from ..learning.quadrupole_term import accumulate_quadrupoles
from ..support.backend import Array, Backend
from ..support.blas_threads import threads_for
from ..support.scratch_rows import allocate_rows
from .auxiliary import SourcedDipoles
from .defaults import resolve_cut
from .parameters import COMPENSATIONS, InducingBasis, make_kernel
from .settings import Settings
from .std_calibration import CalibrationSample

FloatArray = NDArray[np.float64]


class SourcedTerm(NamedTuple):
    """The sum over auxiliary dipoles, and where these come from."""

    source: str
    term: QuadraticTerm
    weights: FloatArray
    """(n_molecules,) 0 for a molecule without an auxiliary dipole."""


@dataclass(frozen=True)
class Origin:
    """Choices made with the first molecules of a fit, which later calls keep.

    Parameters
    ----------
    basis_parameters : InducingBasis
        A copy of what the basis was chosen with.
    memory_plan : dict
        Forecast of the memory of the fit.
    baseline_factor : float
        Factor b of the baseline; 1 without one.
    features_made_by : str or None
        Origin of the descriptors, see `Features.made_by`.
    precise : bool
        Whether kernel values are in double precision.
    """

    basis_parameters: InducingBasis = field(default_factory=InducingBasis)
    memory_plan: dict[str, float | str] = field(default_factory=dict)
    baseline_factor: float = 1.0
    features_made_by: str | None = None
    precise: bool = False


@dataclass(frozen=True)
class FitStatistics:
    """Statistics of the molecules of a fit.

    Parameters
    ----------
    basis : Basis
    rows : array of shape (3 n_molecules, r), debye / e
    constant : ndarray of shape (n_molecules, 3), debye
        The part of the dipoles without weights.
    labels : FitLabels
        Its molecules carry no descriptors.
    charges : QuadraticTerm or None
        Of the reference charges, if used.
    guess : QuadraticTerm or None
        Of the charges guessed from electronegativities, if used.
    quadrupoles : QuadraticTerm or None
        Of the quadrupole labels, if used.
    auxiliary : SourcedTerm or None
        Of the auxiliary dipoles, if used.
    sample : CalibrationSample
        To set the scale of standard deviations.
    origin : Origin
    """

    basis: Basis
    rows: Array
    constant: FloatArray
    labels: FitLabels
    charges: QuadraticTerm | None
    guess: QuadraticTerm | None
    quadrupoles: QuadraticTerm | None
    auxiliary: SourcedTerm | None
    sample: CalibrationSample
    origin: Origin

    def without_dipoles(self) -> FitStatistics:
        """Return the statistics without the columns of atomic dipoles, as views."""
        # Columns of atomic dipoles are the last ones, after those of charges and bond charges.
        n = self.basis.coupled_columns.stop
        auxiliary = self.auxiliary
        return replace(
            self,
            rows=self.rows[:, :n],
            charges=_leading(self.charges, n),
            guess=_leading(self.guess, n),
            quadrupoles=_leading(self.quadrupoles, n),
            auxiliary=auxiliary and auxiliary._replace(term=auxiliary.term.leading(n)),
        )

    def joined(self, other: FitStatistics, on_disk: bool) -> FitStatistics:
        """Return the statistics of the molecules of both; neither of them is changed."""
        n, more = self.rows.shape[0], other.rows.shape[0]
        rows = allocate_rows((n + more, self.basis.n_columns), on_disk, self.basis.backend)
        rows[:n, :], rows[n:, :] = self.rows, other.rows
        return replace(
            self,
            rows=rows,
            constant=np.concatenate([self.constant, other.constant]),
            labels=join_labels(self.labels, other.labels),
            charges=_joined(self.charges, other.charges),
            guess=_joined(self.guess, other.guess),
            quadrupoles=_joined(self.quadrupoles, other.quadrupoles),
            auxiliary=_joined_auxiliary(self.auxiliary, other.auxiliary),
            sample=self.sample.joined(other.sample, len(self.constant)),
        )


def basis_of(
    environments: Mapping[int, Environments],
    weights: Sequence[float],
    settings: Settings,
    backend: Backend,
    precise: bool,
    dipole_scale: float,
) -> Basis:
    """Build the basis of the parameters from chosen environments and the weights of the scales."""
    parameters = settings.basis
    return build_basis(
        environments,
        settings.kernel,
        weights,
        resolve_cut(parameters.eigenvalue_cut, precise),
        backend,
        dipole_scale,
        precise,
        COMPENSATIONS[parameters.compensation],
        float(parameters.bond_charges),
    )


def gather(
    labels: FitLabels,
    basis: Basis,
    rng: np.random.Generator,
    with_charges: bool,
    with_guess: bool,
    with_quadrupoles: bool = False,
    on_disk: bool = False,
    n_jobs: int | None = None,
    origin: Origin | None = None,
    auxiliary: SourcedDipoles | None = None,
) -> FitStatistics:
    """Compute the statistics of described molecules.

    Parameters
    ----------
    labels : FitLabels
        Prepared; its molecules are described.
    basis : Basis
    rng : numpy.random.Generator
        Chooses molecules to calibrate standard deviations with.
    with_charges, with_guess : bool
        Whether to compute the charge terms of the labels, and of the guess.
    with_quadrupoles : bool, default=False
        Whether to compute the term of quadrupole labels.
    on_disk : bool, default=False
        Whether the dipole rows go to a file.
    n_jobs : int, default=None
    origin : Origin, default=None
        None is ``Origin()``.
    auxiliary : SourcedDipoles, default=None
    """
    molecules = labels.molecules
    charge_sets = (
        labels.charges if with_charges else None,
        start_charges(molecules, labels.charges, "electronegativity") if with_guess else None,
    )
    shape = (3 * len(molecules), basis.n_columns)
    rows, (charges, guess) = accumulate_sets(
        molecules,
        basis,
        charge_sets,
        labels.target.weights,
        n_jobs,
        allocate_rows(shape, on_disk, basis.backend),
    )
    bare = replace(labels, molecules=molecules.replace(features=None))
    sample = CalibrationSample.of(molecules, labels.target, rng)
    constant = constant_dipoles(molecules)
    quadrupoles = accumulate_quadrupoles(labels, basis) if with_quadrupoles else None
    pull = None
    if auxiliary is not None:
        with threads_for(max(rows.shape)):
            term = auxiliary_term(rows, constant, auxiliary.dipoles, labels.copies, basis.backend)
        used = np.where(np.isnan(auxiliary.dipoles[:, 0]), 0.0, labels.copies)
        pull = SourcedTerm(auxiliary.source, term, used)
    return FitStatistics(
        basis,
        rows,
        constant,
        bare,
        charges,
        guess,
        quadrupoles,
        pull,
        sample,
        origin or Origin(),
    )


def join_labels(one: FitLabels, two: FitLabels) -> FitLabels:
    """Labels of the molecules of both."""
    target = DipoleTarget(
        *(
            np.concatenate([getattr(part.target, name) for part in (one, two)])
            for name in ("magnitudes", "vectors", "weights")
        )
    )
    molecules = Molecules.concatenate(
        [part.molecules.replace(features=None) for part in (one, two)]
    )
    return FitLabels(target, np.concatenate([one.charges, two.charges]), molecules)


def _leading(term: QuadraticTerm | None, n_columns: int) -> QuadraticTerm | None:
    return None if term is None else term.leading(n_columns)


def _joined(one: QuadraticTerm | None, two: QuadraticTerm | None) -> QuadraticTerm | None:
    """Sum of two terms; None is the term of molecules without such labels."""
    if one is None or two is None:
        return one or two
    return one + two


def _joined_auxiliary(one: SourcedTerm | None, two: SourcedTerm | None) -> SourcedTerm | None:
    """Sum over auxiliary dipoles of one source."""
    if one is None or two is None:
        return one or two
    if one.source != two.source:
        raise InputError(
            f'auxiliary: the calls of partial_fit before used "{one.source}", got "{two.source}". '
            "Keep the source, or fit a clone of the estimator to all molecules."
        )
    weights = np.concatenate([one.weights, two.weights])
    return SourcedTerm(one.source, one.term + two.term, weights)


def require_same_basis(before: InducingBasis, now: InducingBasis) -> None:
    """Refuse parameters of the basis that differ from those of the first call.

    Parameters
    ----------
    before, now : InducingBasis

    Raises
    ------
    InputError
    """
    had, has = (parameters.get_params(deep=True) for parameters in (before, now))
    changed = [
        name
        for name in sorted(had.keys() | has.keys())
        if name != "kernel" and had.get(name) != has.get(name)
    ]
    if changed or type(make_kernel(before.kernel)) is not type(make_kernel(now.kernel)):
        names = ", ".join(f"basis__{name}" for name in changed) or "basis__kernel"
        raise InputError(
            f"{names}: changed since the first call of partial_fit, which chose the basis for all "
            "later ones. Set the parameters back, or fit a clone of the estimator to all molecules."
        )
