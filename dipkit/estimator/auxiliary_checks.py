"""Whether auxiliary dipoles have anything to do with the labels. Symbols: N molecules."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

__all__ = ["warn_unrelated"]

FloatArray = NDArray[np.float64]

# Fewest molecules, and least correlation of lengths with labels, of dipoles that are of use.
FEWEST_RELATED, LEAST_CORRELATION = 20, 0.5


def warn_unrelated(source: str, lengths: FloatArray, magnitudes: FloatArray) -> None:
    """Warn if auxiliary dipoles have hardly anything to do with the labels.

    Their directions would mislead the fit. The rank correlation of lengths was at least 0.77 for
    Mulliken charges in draws of 20 to 1,000 molecules of QM9. For charges shuffled among the atoms
    of an element it was 0.26 on average, and 0.36 at most in draws of 200 or more (trial draws, no
    script in the repository).

    Parameters
    ----------
    source : str
    lengths : ndarray of shape (n_molecules,), debye
        Of the auxiliary dipoles; NaN where missing.
    magnitudes : ndarray of shape (n_molecules,), debye
        Labels; NaN where missing.
    """
    known = ~(np.isnan(lengths) | np.isnan(magnitudes))
    pairs = np.array([lengths[known], magnitudes[known]])
    if pairs.shape[1] < FEWEST_RELATED or min(np.ptp(pairs, axis=1)) == 0:
        return
    # Of ranks: a few labels that are far off do not count.
    one, other = pairs.argsort(axis=1).argsort(axis=1)
    correlation = float(np.corrcoef(one, other)[0, 1])
    if correlation >= LEAST_CORRELATION:
        return
    what = {"charges": "the dipoles of the reference charges", "given": "the given dipoles"}
    warnings.warn(
        f"auxiliary: {what.get(source, 'the dipoles of GFN2-xTB')} have hardly anything to do with "
        f"the labels: the rank correlation of their lengths is {correlation:.2f} over "
        f"{pairs.shape[1]} molecules, and their directions would mislead the fit. The charges may "
        "be in another order than the atoms, or belong to other molecules. Check them, or use "
        'auxiliary="none" (--auxiliary none).',
        stacklevel=4,
    )
