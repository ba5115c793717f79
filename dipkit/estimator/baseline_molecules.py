"""How molecules and labels carry a baseline in a fit and in a prediction.

Symbols: N molecules, n atoms; baseline dipoles mu0 (N, 3) in debye, charges q0 (n,) in e, factor b.
Equation (9) of the theory page:

    q = q_b + P Phi w,  q_b = b q0 + (1 - b) Q/n;    mu = mu_b + D w,  mu_b = b mu0 + (1 - b) mu_Q

A *prepared* set of molecules carries q_b and mu_b as its baseline, so that all later steps only
add them; molecules of a model without a baseline carry none. The kinds of baseline are in
`baseline.py`, the fit of b in `baseline_factor.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.molecules import Molecules
from ..descriptors.charge_columns import charge_sets, with_charge_columns
from ..exceptions import InputError
from ..learning.charge_maps import even_charges
from ..learning.labels import FitLabels
from ..learning.multipoles import even_dipoles
from ..learning.objective import DipoleTarget
from .baseline import Baseline, has_baseline_result
from .baseline_factor import fit_baseline_factor

__all__ = [
    "attach_labels",
    "prepare_labels",
    "prepare_molecules",
    "require_same_baseline",
    "scale_labels",
]

BoolArray = NDArray[np.bool_]

# What molecules carry of a baseline.
_FIELDS = ("baseline_dipole", "baseline_charges", "descriptor_charges")


def prepare_molecules(
    molecules: Molecules,
    baseline: Baseline | None,
    factor: float,
    with_charges: bool,
    with_descriptor_charges: bool,
    n_jobs: int | None = None,
) -> tuple[Molecules, BoolArray]:
    """Return molecules ready to predict, and which of them have a baseline.

    Parameters
    ----------
    molecules : Molecules
    baseline : Baseline or None
    factor : float
        b, from `fit_baseline_factor`.
    with_charges : bool
        Whether the molecules of the fit had baseline charges.
    with_descriptor_charges : bool
        Whether they had charges of a second calculation.
    n_jobs : int, default=None

    Returns
    -------
    molecules : Molecules
        Their baseline is NaN where it is not known, dipole and charges together.
    known : ndarray of shape (n_molecules,), bool

    Raises
    ------
    InputError
        If the molecules of fit had charges, and these have none.
    """
    if baseline is None:
        return _without(molecules), np.ones(len(molecules), dtype=bool)
    attached = baseline.attach(molecules, n_jobs)
    had = {"baseline_charges": with_charges, "descriptor_charges": with_descriptor_charges}
    for name, wanted in had.items():
        if not wanted:
            attached = attached.replace(**{name: None})
        elif getattr(attached, name) is None:
            raise InputError(
                f"X: the molecules of fit had {name}, these have none. Give them, or fit without."
            )
    known = has_baseline_result(attached)
    baseline.warn_missing(molecules, known, "Their rows are NaN.")
    return _scaled(_filled(attached, known, np.nan, np.nan), factor), known


def prepare_labels(
    labels: FitLabels,
    baseline: Baseline | None,
    factor: float | None = None,
    n_jobs: int | None = None,
) -> tuple[FitLabels, float]:
    """Return labels whose molecules carry the scaled baseline, and the factor.

    `attach_labels`, `fit_baseline_factor` and `scale_labels` in one call.

    Parameters
    ----------
    labels : FitLabels
    baseline : Baseline or None
    factor : float, default=None
        b; None fits it.
    n_jobs : int, default=None
    """
    if baseline is None:
        return replace(labels, molecules=_without(labels.molecules)), 1.0
    attached = attach_labels(labels, baseline, n_jobs)
    factor = fit_baseline_factor(attached) if factor is None else factor
    return scale_labels(attached, factor), factor


def attach_labels(labels: FitLabels, baseline: Baseline, n_jobs: int | None = None) -> FitLabels:
    """Return labels whose molecules carry the baseline as it was calculated.

    Molecules without a baseline stay, so that indices into the molecules hold. They lose their
    labels, with a warning, and carry evenly spread charges as their baseline.

    Raises
    ------
    InputError
        If no molecule with a dipole label has a baseline.
    """
    attached = baseline.attach(labels.molecules, n_jobs)
    known = has_baseline_result(attached)
    labels = _unlabelled(replace(labels, molecules=attached), known)
    if not labels.n_dipoles:
        raise InputError(
            f"baseline: {baseline.failure} for any of the molecules with a dipole label. "
            'Correct their geometries and charges, or use baseline="none".'
        )
    baseline.warn_missing(attached, known, "They are left out.")
    return labels


def scale_labels(labels: FitLabels, factor: float) -> FitLabels:
    """Return labels whose molecules carry the scaled baseline.

    Parameters
    ----------
    labels : FitLabels
        From `attach_labels`.
    factor : float
        b.

    Returns
    -------
    FitLabels
        Its charges are the differences from those of the baseline.
    """
    molecules, rest = _scaled(labels.molecules, factor), labels.charges
    if molecules.baseline_charges is not None:
        rest = rest - molecules.baseline_charges
    return FitLabels(labels.target, rest, molecules)


def require_same_baseline(before: Molecules, more: Molecules) -> None:
    """Refuse to learn together from prepared molecules with different kinds of baseline.

    Raises
    ------
    InputError
        If one set has baseline dipoles, or charges of one kind, and the other has none.
    """
    for name in _FIELDS:
        had, have = (getattr(part, name) is not None for part in (before, more))
        if had != have:
            raise InputError(
                f"X: the molecules of earlier calls {'had' if had else 'had no'} {name}, these "
                f"have {'some' if have else 'none'}. Give all of them or none a baseline, or call "
                "fit with all molecules."
            )


def _without(molecules: Molecules) -> Molecules:
    if all(getattr(molecules, name) is None for name in _FIELDS):
        return molecules
    return molecules.replace(**dict.fromkeys(_FIELDS))


def _filled(
    molecules: Molecules, known: BoolArray, dipole: ArrayLike, charges: ArrayLike
) -> Molecules:
    """Put dipoles and charges in the rows of molecules whose baseline is not known."""
    if known.all():
        return molecules
    assert molecules.baseline_dipole is not None
    of_atoms = known[molecules.molecule_index]
    filled = {"baseline_dipole": np.where(known[:, None], molecules.baseline_dipole, dipole)}
    for name in _FIELDS[1:]:
        values = getattr(molecules, name)
        if values is not None:
            filled[name] = np.where(of_atoms, values, charges)
    return molecules.replace(**filled)


def _unlabelled(labels: FitLabels, known: BoolArray) -> FitLabels:
    """Take the labels from molecules whose baseline is not known."""
    if known.all():
        return labels
    target, molecules = labels.target, labels.molecules
    kept = DipoleTarget(
        np.where(known, target.magnitudes, np.nan),
        np.where(known[:, None], target.vectors, np.nan),
        np.where(known, target.weights, 0.0),
    )
    charges = np.where(known[molecules.molecule_index], labels.charges, np.nan)
    # The charges of an ion must sum to its total charge, even where they are not used.
    even = even_dipoles(molecules), even_charges(molecules)
    return FitLabels(kept, charges, _filled(molecules, known, *even))


def _scaled(molecules: Molecules, factor: float) -> Molecules:
    """Put b mu0 + (1 - b) mu_Q and b q0 + (1 - b) Q/n in place of the baseline."""
    dipole, charges = molecules.baseline_dipole, molecules.baseline_charges
    assert dipole is not None
    sets = charge_sets(charges, molecules.descriptor_charges)
    features = with_charge_columns(molecules.features, sets)
    dipole = factor * dipole + (1 - factor) * even_dipoles(molecules)
    if charges is not None:
        charges = factor * charges + (1 - factor) * even_charges(molecules)
    return molecules.replace(baseline_dipole=dipole, baseline_charges=charges, features=features)
