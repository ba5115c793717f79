"""Auxiliary dipoles: cheap vectors of the training molecules, from which a fit learns directions.

A magnitude does not give the direction of its dipole. Cheap vectors have nearly the right
direction, and their length need not be accurate: the dipoles of reference charges, or those of
GFN2-xTB. Only the fit uses them; a prediction needs only geometries. A *baseline* (`baseline.py`)
is different: the model adds a correction to it, so that it is calculated again for every
prediction. The term of the objective is in `dipkit.learning.auxiliary_term`. Symbols: N molecules,
auxiliary dipoles a (N, 3) in debye.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..learning.labels import FitLabels
from ..learning.multipoles import dipoles
from ..quantum.calculation import MemoryLike
from ..quantum.labels import gfn2
from ..support.nested_parameters import make_group
from ..support.validation import check_number
from .auxiliary_checks import warn_unrelated
from .baseline import Baseline

__all__ = [
    "AuxiliaryDipoles",
    "Errors",
    "SourcedDipoles",
    "auto_source",
    "gfn2_dipoles",
    "make_auxiliary",
    "read_auxiliary",
    "resolve_errors",
    "resolve_source",
]

FloatArray = NDArray[np.float64]

SOURCES = ("auto", "charges", "gfn2", "given")
# GFN2-xTB overestimates dipoles: the factor that fits those of QM9 (docs/study.md).
GFN2_FACTOR = 0.89


class Errors(NamedTuple):
    """Two errors of auxiliary dipoles."""

    discrepancy: float
    """beta, the variance of their systematic error over that of the model, without unit."""
    noise: float
    """sigma, the standard deviation of their other errors, debye."""


class SourcedDipoles(NamedTuple):
    """Auxiliary dipoles and where they come from."""

    source: str
    """``"charges"``, ``"gfn2"`` or ``"given"``."""
    dipoles: FloatArray
    """(n_molecules, 3), debye, about the centres of mass; NaN where there is none."""


# From trials on molecules of QM9 with 200 and 1,000 labels; the error hardly changes around
# them.
AUTO_ERRORS = {
    "charges": Errors(0.1, 0.55),
    "gfn2": Errors(0.01, 0.17),
    "given": Errors(0.1, 0.55),
}


class AuxiliaryDipoles(BaseEstimator):
    """Cheap dipole vectors of the training molecules; only the fit uses them.

    Auxiliary dipoles of molecules without a dipole label are used as well: a model can learn from a
    few hundred labels and thousands of cheap calculations. A molecule whose label is a vector gets
    no auxiliary dipole.

    Parameters
    ----------
    source : {"auto", "charges", "gfn2", "given"}, default="auto"
        ``"charges"``: the dipoles of the reference charges. ``"gfn2"``: GFN2-xTB, calculated
        for the training molecules (about 6 ms each), times 0.89. ``"given"``: the
        ``baseline_dipole`` of the molecules. ``"auto"``: charges where there are any; none with a
        baseline, which gives directions already.
    discrepancy : float or "auto", default="auto"
        beta: variance of the systematic error of these dipoles, as a share of the variance of the
        model itself. ``"auto"`` is 0.1, and 0.01 for GFN2-xTB.
    noise : float or "auto", default="auto"
        Standard deviation sigma of the other errors, debye. ``"auto"`` is 0.55, and 0.17 for
        GFN2-xTB.
    memory : joblib.Memory, str or path, default=None
        Keeps the results of GFN2-xTB on disk. A cache is read by pickle: name only a folder that
        nobody else writes to. Saved models do not contain this parameter.
    """

    __module__ = "dipkit"  # the path that saved models name
    # A model from someone else must not choose the folder from which results are unpickled.
    _not_saved: ClassVar[tuple[str, ...]] = ("memory",)

    def __init__(
        self,
        source: str = "auto",
        discrepancy: float | str = "auto",
        noise: float | str = "auto",
        memory: MemoryLike | None = None,
    ):
        self.source = source
        self.discrepancy = discrepancy
        self.noise = noise
        self.memory = memory

    def check(self) -> None:
        """Refuse values that cannot be used.

        Raises
        ------
        InputError
        """
        if self.source not in SOURCES:
            raise InputError(
                f"auxiliary: expected source to be one of {SOURCES}, got {self.source!r}."
            )
        for name in ("discrepancy", "noise"):
            if getattr(self, name) != "auto":
                check_number(f"auxiliary {name}", getattr(self, name), above=0.0)


_NAMED: dict[str | None, Callable[[], AuxiliaryDipoles | None]] = {
    None: lambda: None,
    "none": lambda: None,
    "auto": AuxiliaryDipoles,
    "charges": lambda: AuxiliaryDipoles("charges"),
    "gfn2": lambda: AuxiliaryDipoles("gfn2"),
    "given": lambda: AuxiliaryDipoles("given"),
}


def make_auxiliary(auxiliary: str | AuxiliaryDipoles | None) -> AuxiliaryDipoles | None:
    """Return the auxiliary dipoles that a parameter value stands for; None where there are none."""
    made: AuxiliaryDipoles | None = make_group("auxiliary", auxiliary, _NAMED, AuxiliaryDipoles)
    return made


def resolve_source(
    auxiliary: AuxiliaryDipoles | None, baseline: Baseline | None, labels: FitLabels
) -> str | None:
    """Source to use; None where there are no auxiliary dipoles.

    Raises
    ------
    InputError
        If the source needs charges or vectors that the molecules lack, or there is a baseline.
    """
    if auxiliary is None:
        return None
    if auxiliary.source == "auto":
        all_vectors = bool(labels.target.has_vector.all())
        return auto_source(baseline is not None, labels.has_charges, all_vectors)
    if baseline is not None:
        raise InputError(
            f'auxiliary: "{auxiliary.source}" and a baseline both give directions: expected one of '
            'them. Use auxiliary="none" with a baseline.'
        )
    if auxiliary.source == "charges" and not labels.has_charges:
        raise InputError(
            'auxiliary: "charges" needs charge labels, and the molecules have none. Use "gfn2", or '
            '"none".'
        )
    if auxiliary.source == "given" and labels.molecules.baseline_dipole is None:
        raise InputError(
            'auxiliary: "given" takes baseline_dipole from the molecules, and none of them has '
            'one. Set Molecules.baseline_dipole (debye), or use "gfn2", "charges" or "none".'
        )
    return auxiliary.source


def auto_source(baseline: bool, charges: bool, all_vectors: bool) -> str | None:
    """Source that "auto" stands for, with a baseline, charges and vectors of all molecules."""
    return "charges" if charges and not baseline and not all_vectors else None


def resolve_errors(auxiliary: AuxiliaryDipoles, source: str) -> Errors:
    """Discrepancy and noise to use."""
    usual = AUTO_ERRORS[source]
    return Errors(
        usual.discrepancy if auxiliary.discrepancy == "auto" else float(auxiliary.discrepancy),
        usual.noise if auxiliary.noise == "auto" else float(auxiliary.noise),
    )


def read_auxiliary(
    auxiliary: AuxiliaryDipoles | None,
    baseline: Baseline | None,
    labels: FitLabels,
    n_jobs: int | None = None,
) -> SourcedDipoles | None:
    """Compute the auxiliary dipoles of molecules.

    Parameters
    ----------
    auxiliary : AuxiliaryDipoles or None
    baseline : Baseline or None
    labels : FitLabels
        As they were read, before a baseline is subtracted.
    n_jobs : int, default=None
        Processes of the calculation.

    Returns
    -------
    SourcedDipoles or None

    Raises
    ------
    InputError
        If the source needs labels that the molecules do not have.
    """
    source = resolve_source(auxiliary, baseline, labels)
    if auxiliary is None or source is None:
        return None
    # A vector label is better than a cheap vector.
    wanted = np.flatnonzero(~labels.target.has_vector)
    found = np.full((len(labels.molecules), 3), np.nan)
    found[wanted] = _vectors(source, labels, wanted, n_jobs, auxiliary.memory)
    used = np.where(labels.target.weights > 0, labels.target.magnitudes, np.nan)
    warn_unrelated(source, np.linalg.norm(found, axis=1), used)
    return SourcedDipoles(source, found)


def gfn2_dipoles(
    molecules: Molecules, n_jobs: int | None = None, memory: MemoryLike | None = None
) -> FloatArray:
    """Calculate the auxiliary dipoles of GFN2-xTB (n_molecules, 3), debye; NaN where that fails."""
    return GFN2_FACTOR * gfn2(molecules.replace(features=None), n_jobs, memory).dipole


def _vectors(
    source: str,
    labels: FitLabels,
    wanted: NDArray[np.intp],
    n_jobs: int | None,
    memory: MemoryLike | None,
) -> FloatArray:
    """Auxiliary dipoles of some molecules, debye."""
    # Descriptors are large, and no source needs them.
    molecules = labels.molecules.replace(features=None)[wanted]
    if source == "charges":
        return dipoles(labels.charges[labels.molecules.atom_index(wanted)], molecules)
    if source == "gfn2":
        return gfn2_dipoles(molecules, n_jobs, memory)
    assert molecules.baseline_dipole is not None
    return molecules.baseline_dipole
