"""Elements that descriptors distinguish: their choice, and checks against other elements.

Elements are atomic numbers, sorted. Tables of elements are in `dipkit.data.elements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..data.geometry_checks import Locator
from ..data.molecules import Molecules
from ..exceptions import InputError
from .scales import is_whole


def choose_species(given: Sequence[str | int] | None, molecules: Molecules) -> NDArray[np.int64]:
    """Return sorted atomic numbers, those given or those that occur.

    Parameters
    ----------
    given : sequence of str or int, or None
        Symbols or atomic numbers.
    molecules : Molecules

    Raises
    ------
    InputError
        If `given` has something that is not an element.
    """
    return np.array(molecules.elements) if given is None else _numbers(given)


def _numbers(given: Sequence[str | int]) -> NDArray[np.int64]:
    """Turn symbols or atomic numbers into sorted atomic numbers."""
    symbols = chemical_symbols()
    items = [given] if isinstance(given, str | Integral) else list(given)
    numbers = [symbols.index(item) if item in symbols else item for item in items]
    if not numbers or not all(is_whole(1, 118)(number) for number in numbers):
        raise InputError(f"species: expected symbols or atomic numbers of elements, got {given!r}.")
    return np.unique(np.array(numbers, dtype=np.int64))


def require_same_species(given: Sequence[str | int] | None, fitted: NDArray[np.int64]) -> None:
    """Refuse elements that were changed after `fit`; None is no change.

    Raises
    ------
    InputError
    """
    if given is not None and _numbers(given).tolist() != fitted.tolist():
        raise InputError(
            f"species: expected {fitted.tolist()}, as in fit, got {_numbers(given).tolist()}. "
            "Call fit again, or set the parameter back."
        )


def require_species(molecules: Molecules, species: NDArray[np.int64]) -> None:
    """Refuse molecules that hold other elements.

    Raises
    ------
    InputError
        Names the first such molecule, and the elements.
    """
    unseen = ~np.isin(molecules.numbers, species)
    if not unseen.any():
        return
    symbols = chemical_symbols()
    names = [
        ", ".join(symbols[z] for z in part)
        for part in (np.unique(molecules.numbers[unseen]), species)
    ]
    where = Locator(molecules.names, molecules.offsets)
    molecule = where.molecule(where.of_atom(int(np.argmax(unseen))))
    n_molecules = len(np.unique(molecules.molecule_index[unseen]))
    raise InputError(
        f"{n_molecules} of {len(molecules)} molecules, the first is {molecule}, hold elements "
        f"unknown to the descriptors: {names[0]}; expected {names[1]}. Train on molecules with "
        "these elements, or leave these out."
    )
