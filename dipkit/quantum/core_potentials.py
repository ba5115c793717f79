"""Effective core potentials: which basis needs one for which element, and where PySCF keeps it.

A basis made for a potential describes the valence electrons alone: used without the potential, it
gives wrong dipoles and charges without any error. Most files of PySCF hold basis and potential
together; some families share one file of potentials. A potential is ``[n_core, [...]]``, as PySCF
reads it, with n_core electrons in the core. The calculation is in `mean_field.py`.
"""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from .gaussian_basis import Shell
from .programs import load

__all__ = ["CorePotential", "UnfitBasisError", "core_potential"]

# In the format of PySCF, which carries no types: electrons of the core, then terms.
Terms: TypeAlias = "list[int | list[object]]"


class UnfitBasisError(ValueError):
    """A basis that cannot be used for an element; the message is the reason."""


class CorePotential(NamedTuple):
    """An effective core potential of one element.

    Parameters
    ----------
    name : str
        By which PySCF knows it.
    n_core : int
        Electrons that it replaces; 0 is possible, for hydrogen of some families.
    terms : list
        The potential, as PySCF takes it.
    """

    name: str
    n_core: int
    terms: Terms


class _Family(NamedTuple):
    """Bases whose potentials are not, or not always, in their own file."""

    pattern: str  # of the name of the basis, without dashes, underscores and blanks
    potential: str | None  # name of the potentials in PySCF; None where it has none
    first: int  # atomic number of the first element that has a potential


_FAMILIES = (
    _Family(r"(ma)?def2|weigend", "def2-svp", 37),
    _Family(r"bfd", "bfd", 1),
    _Family(r"(?P<name>ccecp(he|reg|28|36)?)(aug)?(cc|$)", r"\g<name>", 1),
    _Family(r"(aug)?ccpw?c?v(?P<size>[dtq5])zpp$", r"ccpv\g<size>zpp", 1),
    _Family(r"(aug)?ccpw?c?v[dtq5]zppnr$", None, 1),
    _Family(r"qavgvszps", "ecpqvszp", 3),
    _Family(r"gth", None, 1),
)
# A basis for all electrons of an element has an s function with an exponent of at least this
# multiple of the atomic number squared: 1.79 in STO-3G, the smallest of all.
_STEEPEST = 1.5


def core_potential(
    basis: str, symbol: str, number: int, shells: list[Shell]
) -> CorePotential | None:
    """Find the potential that a basis needs for an element.

    Parameters
    ----------
    basis : str
        Name of the basis in PySCF.
    symbol : str
        Of the element.
    number : int
        Atomic number.
    shells : list
        The basis of this element, from PySCF.

    Returns
    -------
    CorePotential or None
        None where the basis is for all electrons.

    Raises
    ------
    UnfitBasisError
        If PySCF has no potential for a basis that needs one, or the basis is too small for the
        electrons of the atom.
    """
    name = re.sub(r"[-_ ]", "", basis.partition("@")[0].lower())
    family = next((each for each in _FAMILIES if re.match(each.pattern, name)), None)
    potential = _load(basis.partition("@")[0], symbol)
    if potential is None and family is not None and number >= family.first:
        shared = re.match(family.pattern, name)
        assert shared is not None
        if family.potential is not None:
            potential = _load(shared.expand(family.potential), symbol)
        if potential is None:
            raise UnfitBasisError(_missing(basis, symbol))
    n_core = 0 if potential is None else potential.n_core
    if potential is None and number > 2 and _steepest(shells) < _STEEPEST * number**2:
        raise UnfitBasisError(_missing(basis, symbol))
    if 2 * _count_functions(shells) < number - n_core:
        raise UnfitBasisError(
            f"the basis {basis!r} has too few functions for the {number - n_core} electrons of "
            f"{symbol}: it is not made for whole atoms"
        )
    return potential


def _missing(basis: str, symbol: str) -> str:
    return (
        f"the basis {basis!r} is made for an effective core potential of {symbol}, and PySCF has "
        "none under this name"
    )


def _load(name: str, symbol: str) -> CorePotential | None:
    """Return the potential of this name for an element, or None."""
    library = load("pyscf.gto.basis")
    terms: Terms | None = None
    # PySCF raises whatever its parsers raise, where a file has no potentials.
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")  # advice to install another package
        terms = library.load_ecp(name, symbol)
    if not terms:
        return None
    n_core = terms[0]
    assert isinstance(n_core, int)
    return CorePotential(name, n_core, terms)


def _steepest(shells: list[Shell]) -> float:
    """Return the largest exponent of the s functions."""
    rows = (row for shell in shells if shell[0] == 0 for row in shell[1:])
    return max((row[0] for row in rows if isinstance(row, list)), default=0.0)


def _count_functions(shells: list[Shell]) -> int:
    """Count functions: 2 l + 1 for each contraction."""
    count = 0
    for shell in shells:
        momentum, rows = shell[0], [row for row in shell[1:] if isinstance(row, list)]
        assert isinstance(momentum, int)
        count += (2 * momentum + 1) * (len(rows[0]) - 1)
    return count
