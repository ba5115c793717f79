"""Tables of the elements, and sum formulas.

Symbols: N molecules, n atoms in all; masses in dalton. ASE's tables are loaded when first used.
Elements of descriptors are in `dipkit.descriptors.species`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def atomic_masses() -> NDArray[np.float64]:
    """Return standard atomic masses by atomic number, in dalton."""
    from ase.data import atomic_masses as masses

    return np.asarray(masses, dtype=np.float64)


def chemical_symbols() -> list[str]:
    """Return symbols of the elements by atomic number."""
    from ase.data import chemical_symbols as symbols

    return list(symbols)


def atomic_numbers() -> dict[str, int]:
    """Return atomic numbers of the elements by symbol."""
    return {symbol: z for z, symbol in enumerate(chemical_symbols()) if z}


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
