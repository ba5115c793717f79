"""Which values are no longer valid once others change: the rules of `Molecules.replace`.

Symbols: N molecules, n atoms in all. A value is *outdated* where it was known for another geometry,
total charge or vector. Checks of values against each other are not here (`label_checks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry_checks import coerce

GEOMETRY = ("numbers", "positions", "offsets")
# Positions of a molecule that is only shifted differ by one vector within this (angstrom).
SHIFT_TOLERANCE = 1e-6

Mask = NDArray[np.bool_]


def without_outdated(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Blank what the changes make invalid.

    Magnitudes and reference charges are kept with another geometry, because a rotation does not
    change them: give new ones for molecules of another shape.

    Parameters
    ----------
    values : mapping
        Fields of a `Molecules`.
    changes : mapping
        Fields that will get other values.

    Returns
    -------
    dict
        The fields, outdated rows NaN, outdated fields None.
    """
    kept = dict(values)
    if not changes.keys().isdisjoint(GEOMETRY):
        kept |= dict.fromkeys(
            ("features", "baseline_dipole", "baseline_charges", "descriptor_charges")
        )
        if not changes.keys().isdisjoint(("numbers", "offsets")):
            kept["multiplicity"] = None
        turned = _changed_shape(values, changes)
        kept["dipole_vector"] = _blank(kept["dipole_vector"], turned)
        kept["quadrupole"] = _blank(kept["quadrupole"], turned)
    elif "total_charge" in changes:
        before: NDArray[np.float64] = values["total_charge"]
        given = (
            np.zeros(len(before)) if changes["total_charge"] is None else changes["total_charge"]
        )
        now: NDArray[np.float64] = coerce("total_charge", given, np.float64, before.shape)
        other: Mask = np.abs(now - before) > 0
        kept["baseline_dipole"] = _blank(kept["baseline_dipole"], other)
        of_atoms: Mask = np.repeat(other, np.diff(values["offsets"]))
        for name in ("baseline_charges", "descriptor_charges"):
            kept[name] = _blank(kept[name], of_atoms)
        kept["multiplicity"] = _blank(kept["multiplicity"], other)
    if changes.get("dipole_vector") is not None:
        shape = values["dipole_vector"].shape
        vector = coerce("dipole_vector", changes["dipole_vector"], np.float64, shape)
        known: Mask = ~np.isnan(vector[:, 0])
        kept["dipole_magnitude"] = _blank(kept["dipole_magnitude"], known)
    return kept


def _changed_shape(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Mask:
    """Molecules with other atoms, or whose atoms did not all move by the same vector."""
    offsets, n = values["offsets"], len(values["offsets"]) - 1
    if "offsets" in changes or "numbers" in changes:
        same = all(
            np.array_equal(changes.get(name, values[name]), values[name])
            for name in ("offsets", "numbers")
        )
        if not same:
            return np.ones(n, dtype=bool)
    if not n or changes.get("positions") is None:
        return np.zeros(n, dtype=bool)
    before = values["positions"]
    shift = coerce("positions", changes["positions"], np.float64, before.shape) - before
    first = np.repeat(shift[offsets[:-1]], np.diff(offsets), axis=0)
    with np.errstate(invalid="ignore"):  # infinite positions are refused later
        of_atoms = np.abs(shift - first).max(axis=1) > SHIFT_TOLERANCE
    return np.logical_or.reduceat(of_atoms, offsets[:-1])


def _blank(values: NDArray[np.float64] | None, outdated: Mask) -> NDArray[np.float64] | None:
    """Put NaN into these rows; None where nothing is left."""
    if values is None or not outdated.any():
        return values
    if outdated.all():
        return None
    blanked = values.copy()
    blanked[outdated] = np.nan
    return blanked
