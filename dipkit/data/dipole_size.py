r"""Dipole labels compared with dipoles that are known roughly: a wrong unit shows as a factor.

Symbols: labels m (N,) and rough dipoles p (N, 3), both in debye; ratio r = median m / \|p\|. Rough
dipoles are those of a baseline, else of the reference charges, else of a rule: each bond moves
0.25 e times the difference of Pauling's electronegativities. Measured on QM9 and on the bundled
molecules, r is 0.85 (GFN2-xTB), 1.1 to 1.2 (Mulliken charges) and 0.9 to 1.1 (rule); the spread of
log r from molecule to molecule is 0.2, 0.4 and 0.7. Medians that no molecules have in debye are
found by `label_units.py`.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray

from ..units import DEBYE_PER_E_ANGSTROM
from .molecules import Molecules
from .unit_words import DEBYE_PER, WRITTEN

__all__ = ["Comparison", "charge_dipoles", "compare_size", "describe_size", "warn_size"]

FloatArray = NDArray[np.float64]

MOST_MOLECULES = 500
FEWEST_MOLECULES = 5
# Rough dipoles below this say little about the size, debye.
SMALL = 0.7
# Pauling's electronegativities (CRC Handbook), by atomic number; other elements are left out.
ELECTRONEGATIVITY = {
    **{1: 2.20, 3: 0.98, 4: 1.57, 5: 2.04, 6: 2.55, 7: 3.04, 8: 3.44, 9: 3.98},
    **{11: 0.93, 12: 1.31, 13: 1.61, 14: 1.90, 15: 2.19, 16: 2.58, 17: 3.16},
    **{32: 2.01, 33: 2.18, 34: 2.55, 35: 2.96, 50: 1.96, 52: 2.10, 53: 2.66},
}
CHARGE_PER_DIFFERENCE = 0.25
BOND = 1.3  # longest bond, in sums of covalent radii
# Directions agree, and so the rough dipole is a good one, above this cosine.
GOOD_COSINE = 0.8


class _Source(NamedTuple):
    """Where rough dipoles come from, and how far they can be trusted."""

    name: str
    factor: float
    """Medians within this factor of 1 need no other unit."""
    spread: float
    """Of the logarithm of the ratio, from molecule to molecule."""


_BASELINE = _Source("the baseline gives", 1.4, 0.25)
_CHARGES = _Source("the charges of the atoms give", 1.5, 0.35)
_RULE = _Source("a rule for bonds gives", 1.5, 0.65)


class Comparison(NamedTuple):
    """Outcome of a comparison."""

    ratio: float
    """Median of label over rough dipole."""
    n_molecules: int
    source: str
    """Words for the rough dipoles."""
    certain: bool
    """Whether the ratio cannot be chance, nor a fault of the rough dipoles."""


def warn_size(molecules: Molecules, unit: str | None = None) -> None:
    """Warn where labels are larger or smaller than rough dipoles by the factor of a unit.

    Parameters
    ----------
    molecules : Molecules
    unit : str, default=None
        Unit in which the labels were read, a key of `DEBYE_PER`; None if of several.
    """
    found = compare_size(molecules)
    if found is None or not found.certain:
        return
    read_in = unit or "debye"
    sizes = {
        other: abs(math.log(found.ratio * DEBYE_PER[other] / DEBYE_PER[read_in]))
        for other in DEBYE_PER
    }
    likely = min(sizes, key=sizes.__getitem__)
    if likely == read_in or sizes[likely] > math.log(1.7):
        return
    warnings.warn(
        f"dipole labels: read in {WRITTEN[read_in]}, they are {found.ratio:.3g} times what "
        f"{found.source} (median of {found.n_molecules} molecules). Perhaps they are in "
        f"{WRITTEN[likely]}: dipole_unit={likely!r} (--dipole-unit {likely}).",
        stacklevel=4,
    )


def describe_size(molecules: Molecules) -> str:
    """Say in one sentence what a comparison of sizes shows, or how one can be made."""
    found = compare_size(molecules)
    if found is None:
        return (
            "the size of the dipoles was not checked: it takes at least "
            f"{FEWEST_MOLECULES} neutral molecules. Compare one molecule with a known dipole "
            "(water: 1.85 D), or with dipkit label --method gfn2."
        )
    outcome = "no sign of another unit" if not found.certain else "perhaps another unit"
    hint = "; reference charges would tell more" if found.source == _RULE.name else ""
    return (
        f"dipoles are {found.ratio:.2f} times what {found.source} (median of "
        f"{found.n_molecules} molecules): {outcome}{hint}."
    )


def compare_size(molecules: Molecules) -> Comparison | None:
    """Compare labels with the best rough dipoles; None where too few can be compared."""
    neutral = molecules.has_magnitude & (np.abs(molecules.total_charge) < 1e-6)
    usable = np.flatnonzero(neutral & (molecules.natoms > 1))
    if len(usable) < FEWEST_MOLECULES:
        return None
    molecules = molecules[usable[:: math.ceil(len(usable) / MOST_MOLECULES)]]
    baseline = molecules.baseline_dipole
    if baseline is not None and (~np.isnan(baseline[:, 0])).sum() >= FEWEST_MOLECULES:
        return _compare(molecules, baseline, _BASELINE)
    if molecules.has_charges.sum() >= FEWEST_MOLECULES:
        return _compare(molecules, charge_dipoles(molecules, molecules.charges), _CHARGES)
    return _compare(molecules, charge_dipoles(molecules, _rule_charges(molecules)), _RULE)


def _compare(molecules: Molecules, rough: FloatArray, source: _Source) -> Comparison | None:
    size, label = np.linalg.norm(rough, axis=1), molecules.dipole_magnitude
    # Comparisons with NaN are false: molecules without rough dipoles are left out.
    used = (size > SMALL) & (label > 0)
    good = used & molecules.has_vector
    good[good] = _cosine(rough[good], molecules.dipole_vector[good]) > GOOD_COSINE
    used = good if good.sum() >= max(FEWEST_MOLECULES, 0.3 * used.sum()) else used
    if used.sum() < FEWEST_MOLECULES:
        return None
    logs = np.log(label[used] / size[used])
    middle = float(np.median(logs))
    spread = max(source.spread, 1.4826 * float(np.median(np.abs(logs - middle))))
    # 1.25 times the spread over sqrt(n) is the standard error of a median.
    doubt = 3 * 1.25 * spread / math.sqrt(len(logs))
    certain = abs(middle) > math.log(source.factor) + doubt
    return Comparison(math.exp(middle), len(logs), source.name, certain)


def _cosine(first: FloatArray, second: FloatArray) -> FloatArray:
    product = np.einsum("ij,ij->i", first, second)
    norms: FloatArray = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return product / norms


def charge_dipoles(molecules: Molecules, charges: FloatArray) -> FloatArray:
    """Dipoles of charges, debye; those of neutral molecules need no origin."""
    moments = charges[:, None] * molecules.positions
    total: FloatArray = np.add.reduceat(moments, molecules.offsets[:-1], axis=0)
    return total * DEBYE_PER_E_ANGSTROM


def _rule_charges(molecules: Molecules) -> FloatArray:
    """Charges of the rule, e; NaN for molecules of other elements."""
    table = np.full(119, np.nan)
    table[list(ELECTRONEGATIVITY)] = list(ELECTRONEGATIVITY.values())
    charges = np.zeros(molecules.n_atoms)
    for start, stop in zip(molecules.offsets[:-1], molecules.offsets[1:], strict=True):
        numbers, positions = molecules.numbers[start:stop], molecules.positions[start:stop]
        distance = np.linalg.norm(positions[:, None] - positions, axis=-1)
        radii, chi = covalent_radii[numbers], table[numbers]
        bonded = distance < BOND * (radii[:, None] + radii)
        lost = np.where(bonded, chi[None, :] - chi[:, None], 0.0).sum(axis=1)
        charges[start:stop] = CHARGE_PER_DIFFERENCE * (lost if not np.isnan(chi).any() else np.nan)
    return charges
