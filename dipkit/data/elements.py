"""Tables of the elements, symbols in files, and sum formulas.

Symbols: N molecules, n atoms in all; masses in dalton. ASE's tables are loaded when first used.
Elements of descriptors are in `dipkit.descriptors.species`.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..exceptions import FileFormatError

# Isotopes of hydrogen that have symbols of their own.
_ISOTOPES = {"D": 1, "T": 1}
# A symbol with the number of the atom behind it. Only in usual spelling: CD1, HG2 and NE1 are names
# of atoms in proteins, and no cadmium, mercury or neon.
_NUMBERED = re.compile(r"([A-Z][a-z]?)\d+")
_NUMBER = re.compile(r"(\d+)(\.0*)?")


def atomic_masses() -> NDArray[np.float64]:
    """Return standard atomic masses by atomic number, in dalton."""
    from ase.data import atomic_masses as masses

    return np.asarray(masses, dtype=np.float64)


def chemical_symbols() -> list[str]:
    """Return symbols of the elements by atomic number."""
    from ase.data import chemical_symbols as symbols

    return list(symbols)


@cache
def atomic_numbers() -> dict[str, int]:
    """Return atomic numbers of the elements by symbol."""
    return {symbol: z for z, symbol in enumerate(chemical_symbols()) if z}


def read_element(word: str, where: str) -> int:
    """Return the atomic number for the symbol of an atom in a file; every reader uses this.

    Taken are symbols in upper or lower case, ``D`` and ``T`` for hydrogen, a symbol with the number
    of its atom (``C12``), and atomic numbers as text (``8``).

    Parameters
    ----------
    word : str
        The symbol as the file has it; blanks around it do not count.
    where : str
        The file, and the line or record, for messages.

    Raises
    ------
    FileFormatError
        If this is no element.

    Examples
    --------
    >>> from dipkit.data.elements import read_element
    >>> [read_element(word, "here") for word in ("Cl", "CL", "D", "8", "C12")]
    [17, 17, 1, 8, 6]
    """
    number = _element(word.strip())
    if number is None:
        raise FileFormatError(
            f"{where}: {word.strip()!r:.30} is no element: expected a symbol such as C or Cl, or "
            "an atomic number from 1 to 118. Correct the symbol, or leave dummy atoms out."
        )
    return number


@cache
def _element(word: str) -> int | None:
    if number := _NUMBER.fullmatch(word):
        return int(number[1]) if 1 <= int(number[1]) <= len(atomic_numbers()) else None
    if numbered := _NUMBERED.fullmatch(word):
        word = numbered[1]
    symbol = word.capitalize()
    return _ISOTOPES.get(symbol) or atomic_numbers().get(symbol)


def hill_formulas(
    numbers: NDArray[np.int64], molecule_index: NDArray[np.int64], n_molecules: int
) -> NDArray[np.str_]:
    """Sum formulas in Hill order: C, H, then by symbol; by symbol alone without carbon.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
    molecule_index : ndarray of shape (n_atoms,)
        Molecule of each atom.
    n_molecules : int
    """
    elements, column = np.unique(numbers, return_inverse=True)
    width = max(len(elements), 1)
    counts = np.bincount(molecule_index * width + column, minlength=n_molecules * width)
    rows, inverse = np.unique(counts.reshape(n_molecules, width), axis=0, return_inverse=True)
    table = chemical_symbols()
    symbols = [table[z] for z in elements]
    formulas = [_hill(dict(zip(symbols, row.tolist(), strict=False))) for row in rows]
    return np.array(formulas, dtype=np.str_)[inverse.reshape(-1)]


def _hill(counts: dict[str, int]) -> str:
    present = {symbol: count for symbol, count in counts.items() if count}
    first = [s for s in ("C", "H") if s in present] if "C" in present else []
    order = first + sorted(set(present) - set(first))
    return "".join(s if present[s] == 1 else f"{s}{present[s]}" for s in order)
