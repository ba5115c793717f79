"""A check of reference charges: whether all of them have the wrong sign.

|mu| is the same for q and -q: with charges of the wrong sign a model has the same errors, while all
of its charges and dipoles are reversed. Charges guessed from electronegativities tell the two
apart. On molecules of QM9 their correlation with Mulliken charges was at least 0.69 in any three
molecules. Symbols: charges q (n,) in e.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from .initial_charges import electronegativity_charges

__all__ = ["sign_correlation", "warn_of_wrong_sign"]

FloatArray = NDArray[np.float64]

# Charges of fewer molecules say too little. More are not looked at: the guess takes its time.
FEWEST, MOST = 3, 300
# Charges that differ by less than this are the same, e.
SAME = 1e-6
# A warning needs a correlation below this.
REVERSED = -0.5


def sign_correlation(molecules: Molecules, charges: FloatArray) -> float:
    """Correlate charges with those guessed from electronegativities.

    Parameters
    ----------
    molecules : Molecules
    charges : ndarray of shape (n_atoms,), e
        NaN where missing.

    Returns
    -------
    float
        0 where too few molecules have charges, or charges or guesses do not differ.
    """
    known = np.flatnonzero(~np.isnan(charges[molecules.offsets[:-1]]))[:MOST]
    if len(known) < FEWEST:
        return 0.0
    some, q = molecules[known], charges[molecules.atom_index(known)]
    # What is left of the total charge says nothing about the sign.
    even = (some.total_charge / some.natoms)[some.molecule_index]
    q, guess = q - even, electronegativity_charges(some) - even
    if min(np.ptp(q), np.ptp(guess)) < SAME:
        return 0.0
    return float(np.corrcoef(q, guess)[0, 1])


def warn_of_wrong_sign(molecules: Molecules, charges: FloatArray) -> None:
    """Warn if reference charges look reversed.

    Parameters
    ----------
    molecules : Molecules
    charges : ndarray of shape (n_atoms,), e
        NaN where missing.
    """
    correlation = sign_correlation(molecules, charges)
    if correlation >= REVERSED:
        return
    warnings.warn(
        "charges: the sign of the reference charges looks wrong. Their correlation with charges "
        f"guessed from electronegativities is {correlation:.2f}: the more electronegative atoms "
        "have the more positive charges. Errors of magnitudes do not show this, but all predicted "
        "charges and dipoles would be reversed. Check the source, and multiply the charges by -1 "
        "if it counts electrons as positive.",
        stacklevel=5,
    )
