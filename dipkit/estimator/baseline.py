"""A cheap calculation that a model corrects: its dipoles and charges, their scale, their use.

Symbols: N molecules, n atoms; baseline dipoles mu0 (N, 3) in debye, charges q0 (n,) in e, scale b.
Equation (9) of the theory page:

    q = q_b + P Phi w,  q_b = b q0 + (1 - b) Q/n;    mu = mu_b + D w,  mu_b = b mu0 + (1 - b) mu_Q

A *prepared* set of molecules carries q_b and mu_b as its baseline, so that all that follows only
adds them; molecules of a model without a baseline carry none. Where the calculation itself comes
from is in `quantum/labels.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..descriptors.charge_columns import with_charge_columns
from ..exceptions import InputError
from ..learning.charge_maps import even_charges
from ..learning.labels import FitLabels
from ..learning.multipoles import even_dipoles
from ..learning.objective import DipoleTarget
from ..quantum.calculation import warn_failures
from ..quantum.labels import gfn2

__all__ = ["BASELINES", "Baseline", "baseline_of", "prepare_labels", "require_same_baseline"]

FloatArray = NDArray[np.float64]

BASELINES = (None, "none", "given", "gfn2")
_FAILED = {"gfn2": "GFN2-xTB gave no result", "given": "there is no baseline"}


@dataclass(frozen=True)
class Baseline:
    """What a model adds its correction to.

    Parameters
    ----------
    name : {"none", "given", "gfn2"}
        ``"given"`` is what the molecules carry.
    n_jobs : int, default=None
    memory : joblib.Memory, str or path, default=None
        Of the calculation.
    """

    name: str
    n_jobs: int | None = None
    memory: Any = None

    def attach(self, molecules: Molecules) -> Molecules:
        """Return the molecules with this baseline; NaN where it failed.

        Raises
        ------
        InputError
            If no molecule has a baseline.
        """
        if self.name == "gfn2":
            result = gfn2(molecules.replace(features=None), self.n_jobs, self.memory)
            dipole, charges = result.dipole, result.charges
            return molecules.replace(baseline_dipole=dipole, baseline_charges=charges)
        if self.name == "given" and not _has(molecules).any():
            raise InputError(
                'baseline: "given" takes baseline_dipole from the molecules, and none of them has '
                'one. Set Molecules.baseline_dipole (debye), or use baseline="gfn2" or "none".'
            )
        return molecules

    def prepare(
        self, molecules: Molecules, scale: float, with_charges: bool
    ) -> tuple[Molecules, NDArray[np.bool_]]:
        """Return molecules ready to predict, and which of them have a result.

        Parameters
        ----------
        molecules : Molecules
        scale : float
            b, from `fit_scale`.
        with_charges : bool
            Whether the molecules of fit had baseline charges.

        Raises
        ------
        InputError
            If these molecules have none.
        """
        if self.name == "none":
            return _without(molecules), np.ones(len(molecules), dtype=bool)
        attached = self.attach(molecules)
        if not with_charges:
            attached = attached.replace(baseline_charges=None)
        elif attached.baseline_charges is None:
            raise InputError(
                "X: the molecules of fit had baseline_charges, these have none. Give them, or fit "
                "without."
            )
        known = _has(attached)
        if self.name == "given":
            missing = np.flatnonzero(~known)
            warn_failures(_FAILED["given"], molecules, missing, "Their rows are NaN.")
        return _scaled(attached, scale), known


def baseline_of(ridge: Any) -> Baseline:
    """Baseline that an estimator asks for."""
    return Baseline(ridge.baseline or "none", ridge.n_jobs, ridge.baseline_memory)


def prepare_labels(
    labels: FitLabels, baseline: Baseline, scale: float | None = None
) -> tuple[FitLabels, float]:
    """Return labels whose molecules carry the scaled baseline, and the scale.

    Charges become what is left of them beside the baseline's. Molecules without a baseline stay,
    so that indices into the molecules hold, and lose their labels, with a warning.

    Parameters
    ----------
    labels : FitLabels
    baseline : Baseline
    scale : float, default=None
        b; None fits it.

    Raises
    ------
    InputError
        If no molecule with a dipole label has a baseline.
    """
    if baseline.name == "none":
        return replace(labels, molecules=_without(labels.molecules)), 1.0
    attached = baseline.attach(labels.molecules)
    known = _has(attached)
    labels = _unlabelled(replace(labels, molecules=attached), known)
    if not labels.n_dipoles:
        raise InputError(
            f"baseline: {_FAILED[baseline.name]} for any of the molecules with a dipole label. "
            'Correct their geometries and charges, or use baseline="none".'
        )
    if baseline.name == "given":
        warn_failures(_FAILED["given"], attached, np.flatnonzero(~known), "They are left out.")
    scale = fit_scale(labels) if scale is None else scale
    molecules = _scaled(labels.molecules, scale)
    rest = labels.charges
    if molecules.baseline_charges is not None:
        rest = rest - molecules.baseline_charges
    return FitLabels(labels.target, rest, molecules), scale


def require_same_baseline(before: Molecules, more: Molecules) -> None:
    """Refuse to learn from prepared molecules together whose baselines are of other kinds.

    Raises
    ------
    InputError
        If one set has baseline dipoles, or charges, and the other has none.
    """
    for name in ("baseline_dipole", "baseline_charges"):
        had, have = (getattr(part, name) is not None for part in (before, more))
        if had != have:
            raise InputError(
                f"X: the molecules of the calls before {'had' if had else 'had no'} {name}, these "
                f"have {'some' if have else 'none'}. Give them alike, or fit anew."
            )


def fit_scale(labels: FitLabels) -> float:
    """Scale b of the baseline dipoles that fits the labels best, all molecules alike.

    Without a direction of their own, magnitudes are compared with magnitudes.
    """
    target, dipole = labels.target, labels.molecules.baseline_dipole
    assert dipole is not None
    norm = np.linalg.norm(dipole, axis=1)
    has_vector = ~np.isnan(target.vectors[:, 0])
    overlap = np.where(
        has_vector,
        np.einsum("ij,ij->i", np.nan_to_num(target.vectors), dipole),
        np.nan_to_num(target.magnitudes) * norm,
    )
    weights = np.where(has_vector | ~np.isnan(target.magnitudes), target.weights, 0.0)
    square = float(weights @ norm**2)
    return float(weights @ overlap) / square if square > 0 else 1.0


def _has(molecules: Molecules) -> NDArray[np.bool_]:
    """Molecules with a baseline dipole, and with its charges where any molecule has them."""
    dipole, charges = molecules.baseline_dipole, molecules.baseline_charges
    if dipole is None:
        return np.zeros(len(molecules), dtype=bool)
    has = ~np.isnan(dipole[:, 0])
    return has if charges is None else has & ~np.isnan(charges[molecules.offsets[:-1]])


def _without(molecules: Molecules) -> Molecules:
    if molecules.baseline_dipole is None and molecules.baseline_charges is None:
        return molecules
    return molecules.replace(baseline_dipole=None, baseline_charges=None)


def _unlabelled(labels: FitLabels, known: NDArray[np.bool_]) -> FitLabels:
    """Take the labels, and the missing baseline, from molecules that are not known."""
    if known.all():
        return labels
    target, molecules = labels.target, labels.molecules
    of_atoms = known[molecules.molecule_index]
    kept = DipoleTarget(
        np.where(known, target.magnitudes, np.nan),
        np.where(known[:, None], target.vectors, np.nan),
        np.where(known, target.weights, 0.0),
    )
    mu0, q0 = molecules.baseline_dipole, molecules.baseline_charges
    molecules = molecules.replace(
        baseline_dipole=None if mu0 is None else np.where(known[:, None], mu0, 0.0),
        baseline_charges=None if q0 is None else np.where(of_atoms, q0, 0.0),
    )
    return FitLabels(kept, np.where(of_atoms, labels.charges, np.nan), molecules)


def _scaled(molecules: Molecules, scale: float) -> Molecules:
    """Put b mu0 + (1 - b) mu_Q and b q0 + (1 - b) Q/n in place of the baseline."""
    dipole, charges = molecules.baseline_dipole, molecules.baseline_charges
    assert dipole is not None
    features = with_charge_columns(molecules.features, charges)
    dipole = scale * dipole + (1 - scale) * even_dipoles(molecules)
    if charges is not None:
        charges = scale * charges + (1 - scale) * even_charges(molecules)
    return molecules.replace(baseline_dipole=dipole, baseline_charges=charges, features=features)
