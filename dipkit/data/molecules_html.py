"""First rows of molecules as an HTML table, for notebooks.

Symbols: N molecules; dipoles in debye, charges in e.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..support.notebook import table_of

if TYPE_CHECKING:
    from .molecules import Molecules

__all__ = ["molecules_html", "rows_html"]

FloatArray = NDArray[np.float64]

# Molecules shown.
N_SHOWN = 5


def molecules_html(molecules: Molecules) -> str:
    """Return the first molecules with their labels.

    Parameters
    ----------
    molecules : Molecules
    """
    columns: dict[str, FloatArray] = {}
    if molecules.total_charge.any():
        columns["charge (e)"] = molecules.total_charge
    if molecules.has_magnitude.any():
        columns["|μ| (D)"] = molecules.dipole_magnitude
    if molecules.has_vector.any():
        pairs = zip("xyz", molecules.dipole_vector.T, strict=True)
        columns |= {f"{axis} (D)": column for axis, column in pairs}
    described = "described " if molecules.features is not None else ""
    return rows_html(described, molecules, columns)


def rows_html(before: str, molecules: Molecules, columns: Mapping[str, FloatArray]) -> str:
    """Return names, formulas and values of the first molecules.

    Parameters
    ----------
    before : str
        Text before the number of molecules.
    molecules : Molecules
    columns : mapping of str to ndarray of shape (n_molecules,)
        By heading; NaN is shown as a dash.
    """
    n, some = len(molecules), molecules[:N_SHOWN]
    rows = [
        [str(name), str(formula), *(_value(column[index]) for column in columns.values())]
        for index, (name, formula) in enumerate(zip(some.names, some.formulas(), strict=True))
    ]
    more = f"; the first {len(rows)}" if n > len(rows) else ""
    caption = f"{before}{molecules.summary().one_line()}{more}"
    return table_of(caption, ("name", "formula", *columns), rows)


def _value(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
