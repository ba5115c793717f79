"""Checks of labels: dipoles in debye, quadrupoles in debye*angstrom, charges in e; NaN if missing.

Symbols: N molecules, n atoms in all, offsets (N+1,), magnitudes (N,), vectors (N, 3), quadrupoles
(N, 3, 3), charges (n,). Each check raises `InputError` and names the first bad molecule. Geometries
are checked in `geometry_checks.py`; units that look wrong are in `label_units.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from .geometry_checks import MAX_CHARGE, Locator

FloatArray = NDArray[np.float64]

# The sum of the charges may differ from the total charge by this much (e), whatever their rounding:
# schemes that integrate on grids are no more exact.
CHARGE_SUM_TOLERANCE = 0.02
# Rounding explains less than this (e): from half an electron on, another total charge is nearer.
MAX_ROUNDING_OF_SUM = 0.45
# With more decimals than this, the rounding of thousands of charges is below the tolerance.
_MOST_DECIMALS = 5
# Dipoles (debye) and quadrupoles (debye*angstrom) that no molecule has.
MAX_DIPOLE = 1e4
MAX_QUADRUPOLE = 1e8
# A magnitude and the norm of its vector may differ by this (debye) plus this fraction.
MAGNITUDE_TOLERANCE = 0.01
MAGNITUDE_RELATIVE_TOLERANCE = 0.01
# The trace of a quadrupole, and the difference of its mirrored components, may be this large
# (debye*angstrom) plus this share of its largest component.
QUADRUPOLE_TOLERANCE = 0.01
QUADRUPOLE_RELATIVE_TOLERANCE = 0.001


def check_labels(
    magnitude: FloatArray,
    vector: FloatArray,
    charges: FloatArray,
    total_charge: FloatArray,
    locate: Locator,
) -> FloatArray:
    """Check all reference labels; return magnitudes, completed from the vectors."""
    check_size("dipole_magnitude", magnitude, MAX_DIPOLE, "debye", locate)
    check_size("dipole_vector", vector, MAX_DIPOLE, "debye", locate)
    check_size("charges", charges, MAX_CHARGE, "e", locate, per_atom=True)
    check_charges("charges", charges, total_charge, locate)
    return complete_magnitudes(magnitude, vector, locate)


def check_baseline(
    dipole: FloatArray | None,
    charge_sets: Mapping[str, FloatArray | None],
    total_charge: FloatArray,
    locate: Locator,
) -> None:
    """Check a baseline, where there is one: its dipoles, and sets of charges by name."""
    if dipole is not None:
        check_size("baseline_dipole", dipole, MAX_DIPOLE, "debye", locate)
        check_rows("baseline_dipole", dipole, locate)
    for name, charges in charge_sets.items():
        if charges is not None:
            check_size(name, charges, MAX_CHARGE, "e", locate, per_atom=True)
            check_charges(name, charges, total_charge, locate)


def check_quadrupoles(quadrupole: FloatArray | None, locate: Locator) -> None:
    """Check quadrupoles, where there are any: known as a whole, symmetric, without trace."""
    if quadrupole is None:
        return
    check_size("quadrupole", quadrupole, MAX_QUADRUPOLE, "debye*angstrom", locate)
    missing = np.isnan(quadrupole).all(axis=(1, 2))
    size = np.abs(quadrupole).max(axis=(1, 2), initial=0.0)
    trace = np.abs(np.trace(quadrupole, axis1=1, axis2=2))
    mirrored = np.abs(quadrupole - quadrupole.transpose(0, 2, 1)).max(axis=(1, 2), initial=0.0)
    allowed = QUADRUPOLE_TOLERANCE + QUADRUPOLE_RELATIVE_TOLERANCE * size
    # Written so that a NaN among known components is refused too.
    wrong = ~missing & ~(np.maximum(trace, mirrored) <= allowed)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputError(
            "quadrupole: expected nine components, symmetric and without trace (debye*angstrom, "
            "sum q (3 r r^T - r^2 1) / 2 about the centre of mass), or nine NaN where missing, got "
            f"{quadrupole[index].tolist()} for {locate.molecule(index)}. Of second moments M take "
            "(3 M - trace(M) 1) / 2."
        )


def check_size(
    what: str,
    values: FloatArray,
    most: float,
    unit: str,
    locate: Locator,
    per_atom: bool = False,
) -> None:
    """Labels may be NaN (missing), but neither infinite nor beyond what a molecule can have."""
    axes = tuple(range(1, values.ndim))
    wrong = (np.abs(values) > most).any(axis=axes)
    if not wrong.any():
        return
    index = int(np.argmax(wrong))
    where = locate.atom(index) if per_atom else locate.molecule(index)
    if np.isinf(values[index]).any():
        raise InputError(
            f"{what}: expected finite values, or NaN where missing, got {values[index]} "
            f"for {where}."
        )
    raise InputError(
        f"{what}: no molecule has more than {most:g} {unit}, got {values[index]} for {where}. "
        "Correct the number, check its unit, or leave the label out."
    )


def complete_magnitudes(magnitude: FloatArray, vector: FloatArray, locate: Locator) -> FloatArray:
    """Check magnitudes and vectors; fill missing magnitudes with the norms of vectors."""
    negative = magnitude < 0
    if negative.any():
        index = int(np.argmax(negative))
        raise InputError(
            f"dipole_magnitude: expected values of at least 0 debye, got {magnitude[index]} for "
            f"{locate.molecule(index)}. Correct it, or give three components as a vector."
        )
    check_rows("dipole_vector", vector, locate)
    norm = np.linalg.norm(vector, axis=1)
    allowed = MAGNITUDE_TOLERANCE + MAGNITUDE_RELATIVE_TOLERANCE * magnitude
    differs = np.abs(norm - magnitude) > allowed
    if differs.any():
        index = int(np.argmax(differs))
        raise InputError(
            f"dipole_magnitude and dipole_vector disagree for {locate.molecule(index)}: "
            f"{magnitude[index]:.6g} and |vector| = {norm[index]:.6g} debye. Check the units "
            "(1 e*angstrom = 4.8032 debye), or keep only one of them: replace(dipole_vector=None) "
            "drops vectors."
        )
    filled = np.where(np.isnan(magnitude), norm, magnitude)
    filled.flags.writeable = False
    return filled


def check_rows(what: str, rows: FloatArray, locate: Locator) -> None:
    """Rows are known or missing as a whole."""
    missing = np.isnan(rows)
    partial = missing.any(axis=1) & ~missing.all(axis=1)
    if partial.any():
        index = int(np.argmax(partial))
        raise InputError(
            f"{what}: expected three values, or three NaN where missing, got "
            f"{rows[index].tolist()} for {locate.molecule(index)}."
        )


def check_charges(
    what: str, charges: FloatArray, total_charge: FloatArray, locate: Locator
) -> None:
    """Charges are known or missing for a whole molecule and sum to its total charge."""
    if not len(charges):
        return  # reduceat needs at least one molecule
    starts = locate.offsets[:-1]
    missing = np.add.reduceat(np.isnan(charges).astype(np.int64), starts)
    partial = (missing > 0) & (missing < np.diff(locate.offsets))
    if partial.any():
        index = int(np.argmax(partial))
        raise InputError(
            f"{what}: {int(missing[index])} values are missing for {locate.molecule(index)}: "
            "expected charges for all atoms of a molecule or for none."
        )
    total = np.add.reduceat(charges, starts)
    difference = np.abs(total - total_charge)
    for index in np.flatnonzero(difference > CHARGE_SUM_TOLERANCE).tolist():
        own = charges[locate.offsets[index] : locate.offsets[index + 1]]
        allowed = max(CHARGE_SUM_TOLERANCE, rounding_of_sum(own))
        # A sum that is exactly as far off as rounding allows is accepted.
        if difference[index] > allowed * (1 + 1e-9):
            advice = "" if what.startswith("baseline") else ", or leave them unread: --charges none"
            raise InputError(
                f"{what}: the charges of {locate.molecule(index)} sum to {total[index]:.6g} e: "
                f"expected its total charge {total_charge[index]:.6g} e within {allowed:.3g} e. "
                f"Correct the charges or set the total charge (--total-charge KEY|N){advice}."
            )


def rounding_of_sum(charges: FloatArray) -> float:
    """Return how far rounding to the decimals that are seen can move the sum of charges, e.

    Half a unit of the last decimal for each atom, n h. It is not sqrt(n) h: equivalent atoms, such
    as the hydrogens of benzene, are all rounded to the same side. Whole numbers are formal charges,
    which are not rounded.

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
        Charges of one molecule.

    Examples
    --------
    >>> import numpy as np
    >>> from dipkit.data.label_checks import rounding_of_sum
    >>> float(rounding_of_sum(np.array([-0.07] * 6 + [0.06] * 6)))
    0.06
    """
    for decimals in range(_MOST_DECIMALS + 1):
        units = charges * 10**decimals
        # Numbers in single precision are a little off their decimals.
        slack = 1e-3 + np.finfo(np.float32).eps * np.abs(units).max(initial=0.0)
        if np.abs(units - np.round(units)).max(initial=0.0) < slack:
            return min(len(charges) * 0.5 * 10**-decimals, MAX_ROUNDING_OF_SUM) if decimals else 0.0
    return 0.0


def check_multiplicity(multiplicity: FloatArray | None, locate: Locator) -> None:
    """Check that spin multiplicities are whole numbers of at least 1, or NaN."""
    if multiplicity is None:
        return
    given = ~np.isnan(multiplicity)
    wrong = given & ~((multiplicity >= 1) & (multiplicity == np.round(multiplicity)))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputError(
            f"multiplicity: expected whole numbers of at least 1, got {multiplicity[index]:g} for "
            f"{locate.molecule(index)}. Correct it, or leave the key out where it is unknown."
        )
