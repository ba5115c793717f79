"""A table of the errors of each molecule. Errors of a whole set are in `dipkit.estimator.metrics`.

Symbols: N molecules; dipoles in debye, charges in e.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..data.predicted_keys import PREDICTED_MAGNITUDE, PREDICTED_STD
from ..estimator.metrics import MIN_DIRECTED_DIPOLE, vector_angles
from ..support.files import PathLike
from .prediction_files import REFERENCE_COLUMNS, number, rows_into

if TYPE_CHECKING:
    from ..estimator.predicted_molecules import Prediction

__all__ = ["write_errors"]

FloatArray = NDArray[np.float64]

REFERENCE, ERROR = REFERENCE_COLUMNS


def write_errors(path: PathLike, molecules: Molecules, prediction: Prediction) -> None:
    """Write one row for each molecule with a reference magnitude; what is missing is empty.

    Parameters
    ----------
    path : str or path
        CSV.
    molecules : Molecules
        With labels.
    prediction : Prediction
        Of these molecules.
    """
    known = np.flatnonzero(molecules.has_magnitude)
    columns = {name: values[known] for name, values in _columns(molecules, prediction).items()}
    with rows_into(path) as write:
        write([["name", *columns]])
        write(_rows(molecules.names[known], columns))


def _rows(names: NDArray[np.str_], columns: dict[str, FloatArray]) -> Iterator[list[str]]:
    for name, *values in zip(names, *columns.values(), strict=True):
        yield [str(name), *map(number, values)]


def _columns(molecules: Molecules, prediction: Prediction) -> dict[str, FloatArray]:
    """Values of all molecules (N,) by column; columns without any value are left out."""
    true, found = molecules.dipole_magnitude, prediction.magnitude
    columns = {REFERENCE: true, PREDICTED_MAGNITUDE: found, ERROR: found - true}
    if prediction.std is not None:
        columns[PREDICTED_STD] = prediction.std
    if molecules.has_vector.any():
        difference = prediction.dipole - molecules.dipole_vector
        columns["vector_error_debye"] = np.linalg.norm(difference, axis=1)
        angles = vector_angles(molecules.dipole_vector, prediction.dipole)
        directed = np.linalg.norm(molecules.dipole_vector, axis=1) >= MIN_DIRECTED_DIPOLE
        columns["vector_angle_deg"] = np.where(directed, angles, np.nan)
    if molecules.has_charges.any():
        apart = np.abs(prediction.charges - molecules.charges)
        columns["charge_mae_e"] = np.add.reduceat(apart, molecules.offsets[:-1]) / molecules.natoms
    return columns
