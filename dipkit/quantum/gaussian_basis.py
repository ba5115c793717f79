"""The basis 6-31G(2df,p) as the Gaussian program takes it, in which QM9 was computed.

A shell is [l, [exponent, coefficient], ...], as PySCF reads it, with angular momentum l. Gaussian
uses six Cartesian d functions and seven pure f functions. In a program with pure functions only,
the sixth d function is added as an s function: x^2 + y^2 + z^2 times a Gaussian. This is the
derivative of a Gaussian with respect to its exponent, taken here as a difference of two Gaussians.
The calculation is in `mean_field.py`.
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["GAUSSIAN_BASIS", "polarization"]

# Angular momentum, then pairs of exponent and coefficient.
Shell: TypeAlias = list[int | list[float]]

GAUSSIAN_BASIS = "6-31g(2df,p)"
CORE_BASIS = "6-31g"

# Exponents of Hariharan and Pople (d, split by factors of 2; p) and of Frisch, Pople and Binkley
# (f), J. Chem. Phys. 80, 3265 (1984).
_P = {"H": 1.1}
_D = {"C": 0.8, "N": 0.8, "O": 0.8, "F": 0.8}
_F = {"C": 0.8, "N": 1.0, "O": 1.4, "F": 1.85}
# Relative step of the difference: truncation shifts dipoles by less than 1e-4 debye.
_STEP = 0.01


def polarization(symbol: str) -> list[Shell] | None:
    """Return the shells that 6-31G(2df,p) adds to 6-31G.

    Parameters
    ----------
    symbol : str
        Of the element.

    Returns
    -------
    list or None
        None for an element that is not in the tables here.
    """
    if symbol in _P:
        return [[1, [_P[symbol], 1.0]]]
    if symbol not in _D:
        return None
    exponents = (2.0 * _D[symbol], 0.5 * _D[symbol])
    shells: list[Shell] = [[2, [exponent, 1.0]] for exponent in exponents]
    return [*shells, [3, [_F[symbol], 1.0]], *map(_sixth_d, exponents)]


def _sixth_d(exponent: float) -> Shell:
    """Shell of r^2 exp(-a r^2): coefficients undo the norms of the two s functions."""
    above, below = exponent * (1 + _STEP), exponent * (1 - _STEP)
    return [0, [above, above**-0.75], [below, -(below**-0.75)]]
