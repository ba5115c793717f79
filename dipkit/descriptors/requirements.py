"""What estimators ask of their input: described molecules of known elements and scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..data.molecules import Molecules
from ..exceptions import InputError


def require_described(X: Any) -> Molecules:
    """Refuse what is not described molecules, at least one."""
    if not isinstance(X, Molecules) or X.features is None:
        got = type(X).__name__ + (" without features" if isinstance(X, Molecules) else "")
        raise InputError(
            f"X: expected Molecules described by a SOAPTransformer, got {got}. Put both in a "
            "pipeline: make_pipeline(SOAPTransformer(), DipoleKernelRidge())."
        )
    if not len(X):
        raise InputError("X: expected at least one molecule, got none.")
    return X


def require_known(molecules: Molecules, elements: NDArray[np.int64], widths: Sequence[int]) -> None:
    """Refuse elements and descriptors that fit never saw.

    Parameters
    ----------
    molecules : Molecules
        Described.
    elements : ndarray of shape (n_elements,)
        Atomic numbers of fit.
    widths : sequence of int
        Columns of each scale in fit.
    """
    unseen = np.setdiff1d(molecules.elements, elements)
    if len(unseen):
        symbols = chemical_symbols()
        first = molecules.molecule_index[np.isin(molecules.numbers, unseen)][0]
        raise InputError(
            f"X: elements {', '.join(symbols[z] for z in unseen)} (first in molecule {first}, "
            f"{molecules.names[first]}) were not among those of fit: "
            f"{', '.join(symbols[z] for z in elements)}. Leave these molecules out, or "
            "fit on molecules that hold these elements."
        )
    assert molecules.features is not None
    found = list(molecules.features.widths)
    if found != list(widths):
        raise InputError(
            f"X: descriptors have {found} columns, those of fit had {list(widths)}. Describe with "
            "the SOAPTransformer that described the training molecules."
        )
