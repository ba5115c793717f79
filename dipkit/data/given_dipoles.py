"""Dipoles given as an argument, compared with what the molecules carry themselves.

Symbols: given dipoles y, magnitudes (N,) or vectors (N, 3), taken for debye; known magnitudes m
(N,) and vectors p (N, 3) of the labels of the molecules, in debye; ratio r_A = y_A / m_A. Molecules
without labels of their own are compared with rough dipoles, those of `dipole_size.py`. Labels that
were read from files are checked there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .dipole_size import Comparison, charge_dipoles, compare_size
from .label_checks import MAX_DIPOLE
from .label_units import UNITS
from .molecules import Molecules

__all__ = ["warn_given"]

FloatArray = NDArray[np.float64]

# Known dipoles below this say little about a factor or a direction, debye.
SMALL = 0.1
# Directions and rough sizes need this many molecules.
FEWEST_MOLECULES = 5
# Of log r: given and known dipoles are of one calculation, apart from rounding.
SAME_CALCULATION = 0.02
# Dipoles of two good methods differ by less than this factor.
OTHER_METHOD = 1.5
# A unit explains a ratio that is its factor within this factor: two methods may differ besides. It
# is the middle between debye in one e*bohr and in one e*angstrom, on a logarithmic scale.
NEAR = 1.37
# Median cosines: vectors are reversed below, and in another frame of axes between these two.
REVERSED, SAME_AXES = -0.8, 0.8


def warn_given(molecules: Molecules, magnitudes: FloatArray, vectors: FloatArray) -> bool:
    """Warn where given dipoles contradict the labels, or the charges, of the molecules.

    Parameters
    ----------
    molecules : Molecules
    magnitudes : ndarray of shape (n_molecules,), debye
        NaN where vectors are given, or the molecule is not used.
    vectors : ndarray of shape (n_molecules, 3), debye
        NaN where magnitudes are given, or the molecule is not used.

    Returns
    -------
    bool
        Whether there was something to say.
    """
    sizes = np.where(np.isnan(magnitudes), np.linalg.norm(vectors, axis=1), magnitudes)
    said = [*_about_sizes(molecules, sizes, vectors), *_about_directions(molecules, vectors)]
    for sentence in said:
        warnings.warn(f"y: {sentence}", stacklevel=7)
    return bool(said)


def _about_sizes(molecules: Molecules, sizes: FloatArray, vectors: FloatArray) -> Iterator[str]:
    found = _against_labels(molecules, sizes) or _against_rough(molecules, sizes, vectors)
    if found is not None and found.certain:
        yield (
            f"these dipoles are {found.ratio:.4g} times what {found.source} (median of "
            f"{found.n_molecules} molecules). y is read in debye. {_likely_cause(found.ratio)}"
        )


def _against_labels(molecules: Molecules, sizes: FloatArray) -> Comparison | None:
    known = molecules.dipole_magnitude
    used = (known > SMALL) & (sizes > 0)
    if not used.any():
        return None
    logs = np.log(sizes[used] / known[used])
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    if spread < SAME_CALCULATION:
        certain = abs(middle) > 3 * SAME_CALCULATION
    else:
        # 1.25 times the spread over sqrt(n) is the standard error of a median.
        doubt = 3 * 1.25 * spread / math.sqrt(len(logs))
        enough = len(logs) >= FEWEST_MOLECULES
        certain = enough and abs(middle) > math.log(OTHER_METHOD) + doubt
    return Comparison(math.exp(middle), len(logs), "the labels of the molecules say", certain)


def _against_rough(
    molecules: Molecules, sizes: FloatArray, vectors: FloatArray
) -> Comparison | None:
    """Compare with charges or a rule; ratios of no unit are no reason to doubt given dipoles."""
    usable = np.flatnonzero((sizes > 0) & (sizes < MAX_DIPOLE))
    if not len(usable):
        return None
    changed = molecules[usable].replace(
        dipole_magnitude=sizes[usable], dipole_vector=vectors[usable], features=None
    )
    found = compare_size(changed)
    return found if found is not None and _unit(found.ratio, near=1.7) else None


def _likely_cause(ratio: float) -> str:
    found = _unit(ratio)
    if found is None:
        return "Give debye, or leave y out to learn from the labels of the molecules."
    name, factor, multiplied = found
    if multiplied:
        return (
            f"Perhaps they were multiplied by {factor:.6g} (debye in one {name}) once too often: "
            f"divide y by {factor:.6g}."
        )
    ase = ", as get_dipole_moment() of ASE gives them" if name == "e*angstrom" else ""
    return f"Perhaps they are in {name}{ase}: multiply y by {factor:.6g}."


def _unit(ratio: float, near: float = NEAR) -> tuple[str, float, bool] | None:
    """Return the unit whose factor explains a ratio, the factor, and whether y was multiplied."""
    size = math.log(ratio)
    # Numbers in a unit are smaller than in debye by its factor: the likelier slip comes first.
    apart = [(abs(size + math.log(UNITS[name])), False, name) for name in UNITS]
    apart += [(abs(size - math.log(UNITS[name])), True, name) for name in UNITS]
    distance, multiplied, name = min(apart)
    return (name, UNITS[name], multiplied) if distance < math.log(near) else None


def _about_directions(molecules: Molecules, vectors: FloatArray) -> Iterator[str]:
    """Compare given vectors with those of the labels, else with those of the charges."""
    source, known = "the labels of the molecules", molecules.dipole_vector
    cosines = _cosines(vectors, known)
    if not len(cosines):
        source = "the charges of the atoms"
        known = charge_dipoles(molecules, molecules.charges)
        known[np.abs(molecules.total_charge) > 1e-6] = np.nan  # depend on the origin
        cosines = _cosines(vectors, known)
    if len(cosines) < FEWEST_MOLECULES:
        return
    middle = float(np.median(cosines))
    count = f"(median cosine {middle:.2f}, {len(cosines)} molecules)"
    if middle < REVERSED:
        yield (
            f"these vectors point against those of {source} {count}. dipkit's vectors point from "
            "the negative to the positive charge: give -y if yours point the other way."
        )
    elif middle < SAME_AXES and source.startswith("the labels") and _same_sizes(vectors, known):
        yield (
            f"these vectors have the lengths of those of {source}, but other directions {count}. "
            "Perhaps they belong to geometries that were rotated: give vectors in the axes of the "
            "positions, or their lengths, of shape (n_molecules,)."
        )


def _cosines(given: FloatArray, known: FloatArray) -> FloatArray:
    """Cosines of the angles, of molecules with two vectors that are long enough."""
    lengths = np.linalg.norm(given, axis=1) * np.linalg.norm(known, axis=1)
    used = (np.linalg.norm(known, axis=1) > SMALL) & (lengths > 0)
    cosines: FloatArray = np.einsum("ij,ij->i", given[used], known[used]) / lengths[used]
    return cosines


def _same_sizes(given: FloatArray, known: FloatArray) -> bool:
    sizes = np.linalg.norm(known, axis=1)
    used = sizes > SMALL
    ratio = np.linalg.norm(given[used], axis=1) / sizes[used]
    return float(np.nanmax(np.abs(ratio / np.nanmedian(ratio) - 1))) < SAME_CALCULATION
