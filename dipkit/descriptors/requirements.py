"""Checks of the input of estimators: described molecules of known elements and scales.

Symbols: molecules with descriptors (n_atoms, d_s) of each scale s. How descriptors are made is in
`soap.py`, and their origin is compared in `provenance.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..data.molecules import Molecules
from ..exceptions import InputError
from .provenance import require_same_provenance

ADVICE = (
    "Describe X with the SOAPTransformer that described the training molecules (a pipeline of both "
    "does), or fit again."
)


def require_described(X: object) -> Molecules:
    """Refuse everything except described molecules, at least one; join those of a column."""
    if isinstance(X, np.ndarray) and X.size and all(isinstance(x, Molecules) for x in X.flat):
        X = Molecules.concatenate(list(X.flat))
    if not isinstance(X, Molecules) or X.features is None:
        got = type(X).__name__ + (" without features" if isinstance(X, Molecules) else "")
        raise InputError(
            f"X: expected Molecules described by a SOAPTransformer, got {got}. Put both in a "
            "pipeline: make_pipeline(SOAPTransformer(), DipoleKernelRidge())."
        )
    if not len(X):
        raise InputError("X: expected at least one molecule, got none.")
    return X


def require_known(
    molecules: Molecules,
    elements: NDArray[np.int64],
    widths: Sequence[int],
    made_by: str | None = None,
) -> None:
    """Refuse elements and descriptors that differ from those of fit.

    Parameters
    ----------
    molecules : Molecules
        Described.
    elements : ndarray of shape (n_elements,)
        Atomic numbers of fit.
    widths : sequence of int
        Columns of each scale in fit.
    made_by : str, default=None
        Origin of the descriptors of fit, see `Features`; None is unknown: then only widths are
        compared.

    Raises
    ------
    InputError
        Shows the elements, or the parameters of the descriptors, that differ.
    """
    _require_known_elements(molecules, elements)
    assert molecules.features is not None
    require_same_provenance("X", made_by, molecules.features.made_by, ADVICE)
    found = list(molecules.features.widths)
    if found != list(widths):
        raise InputError(
            f"X: descriptors have {found} columns, those of fit had {list(widths)}. {ADVICE}"
        )


def _require_known_elements(molecules: Molecules, elements: NDArray[np.int64]) -> None:
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
