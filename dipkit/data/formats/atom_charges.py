"""Charges of the atoms among what ASE has for a molecule, and charges that are left unread.

ASE takes the last table of charges of a Gaussian output, which is the one with hydrogens summed
into heavy atoms. Such charges are no labels: they are counted, left unread and reported. Sums are
checked in `dipkit.data.label_checks`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..label_keys import CHARGES_KEYS
from ..naming import counted, listed
from ..read_options import ReadOptions

FloatArray = NDArray[np.float64]


class AtomCharges:
    """Reference charges of the molecules of one file, found one by one.

    Parameters
    ----------
    options : ReadOptions
        Its key of the charges replaces the usual ones.
    numbers_of : callable
        Reads finite numbers of a shape: ``numbers_of(value, shape, key, where)``.
    """

    def __init__(
        self,
        options: ReadOptions,
        numbers_of: Callable[[Any, tuple[int, ...], str, str], FloatArray],
    ) -> None:
        self.options, self.numbers_of = options, numbers_of
        self.summed: list[str] = []

    def find(
        self, values: Mapping[str, Any], elements: NDArray[Any], where: str
    ) -> FloatArray | None:
        """Return the charges of a molecule, e, or None.

        Parameters
        ----------
        values : mapping
            Everything that may be a label, by key.
        elements : ndarray of shape (n_atoms,)
            Atomic numbers.
        where : str
            The molecule, for messages.
        """
        named = self.options.charges_key
        for key in (named,) if named else CHARGES_KEYS:
            if key in values:
                if hydrogens_are_summed(values[key], elements):
                    self.summed.append(where)
                    return None
                return self.numbers_of(values[key], (len(elements),), key, where)
        return None

    def sentences(self) -> list[str]:
        """Say what was left unread, for `ReadNotes`, and warn of it."""
        if not self.summed:
            return []
        sentence = (
            f"charges: those of {counted(len(self.summed))} are left unread, their hydrogens are "
            f"summed into heavy atoms: {listed(self.summed)}."
        )
        warnings.warn(
            f"{sentence} ASE reads this table of a Gaussian output. Give charges of all atoms "
            "under another key, charges_key= (--charges KEY), or say that none are to be read: "
            "--charges none.",
            stacklevel=5,
        )
        return [sentence]


def hydrogens_are_summed(values: Any, elements: NDArray[Any]) -> bool:
    """Whether these are charges of heavy atoms alone, with or without zeros for the hydrogens.

    Parameters
    ----------
    values : object
        What a file has under a key of charges.
    elements : ndarray of shape (n_atoms,)
        Atomic numbers.
    """
    hydrogen = np.asarray(elements) == 1
    if not hydrogen.any() or hydrogen.all():
        return False
    charges = np.asarray(values)
    if charges.dtype.kind not in "iuf" or charges.ndim != 1:
        return False
    if len(charges) == np.count_nonzero(~hydrogen):
        return True
    return len(charges) == len(hydrogen) and not charges[hydrogen].any()
