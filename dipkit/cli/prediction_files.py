"""Files of predictions: tables of molecules and of charges, geometries with predictions.

Symbols: N molecules, n atoms; dipoles in debye, charges in e. Keys in extended XYZ are those of
`dipkit.data.predicted_keys`. No column and no key has the name of a label, so that `fit` cannot
take a prediction for a reference.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..data.io import predictions_to_atoms, write_atoms
from ..data.predicted_keys import PREDICTED_CHARGES, PREDICTED_MAGNITUDE, PREDICTED_STD
from ..estimator.persistence import read_metadata
from ..support.files import PathLike, atomic_write

if TYPE_CHECKING:
    from ase import Atoms

    from ..estimator.predicted_molecules import Prediction

__all__ = ["model_origin", "rows_into", "stream_predictions"]

FloatArray = NDArray[np.float64]
Row = list[str]

COLUMNS = ("name", PREDICTED_MAGNITUDE, "predicted_x", "predicted_y", "predicted_z")
REFERENCE_COLUMNS = ("reference_dipole_debye", "error_debye")
CHARGE_COLUMNS = ("name", "atom", "element", f"{PREDICTED_CHARGES}_e")


def model_origin(model: PathLike) -> str:
    """Return what made predictions: the model's file, its time and the version of dipkit."""
    about = read_metadata(model)
    return f"{Path(model).name} of {about['created']}, dipkit {about['dipkit_version']}"


def stream_predictions(
    path: PathLike,
    predictions: Iterable[Prediction],
    predicted_by: str,
    *,
    reference: bool = False,
    charges: PathLike | None = None,
    ase_results: bool = False,
) -> int:
    """Write predictions part by part, as they come; files appear when they are complete.

    Parameters
    ----------
    path : str or path
        ``.csv``: one row for each record, NaN where a record is bad. ``.xyz``: geometries with
        predicted charges, dipoles and, where there are any, standard deviations and dipoles of
        single atoms; without these where the model cannot predict a molecule. A record that was
        left out has no geometry to write.
    predictions : iterable of Prediction
    predicted_by : str
        What made them, for extended XYZ.
    reference : bool, default=False
        Whether a table has the reference magnitudes that the molecules carry, and the errors.
    charges : str or path, default=None
        A second table, with one row for each atom.
    ase_results : bool, default=False
        Whether ASE's own dipole and charges in extended XYZ are the predicted ones.

    Returns
    -------
    int
        Number of records, those that were left out among them.
    """
    file = Path(path)
    sizes: list[int] = []
    with rows_into(charges) as write_charges:

        def passed() -> Iterator[Prediction]:
            for part in predictions:
                if charges is not None:
                    write_charges([] if sizes else [list(CHARGE_COLUMNS)])
                    write_charges(_charge_rows(part))
                sizes.append(len(part.molecules) + len(part.molecules.notes.bad))
                yield part

        if file.suffix.lower() == ".csv":
            with rows_into(file) as write:
                for place, part in enumerate(passed()):
                    write([] if place else [_columns(part, reference)])
                    write(_rows(part, reference, sum(sizes[:-1])))
        else:
            parts = (_frames(part, predicted_by, ase_results) for part in passed())
            write_atoms(file, chain.from_iterable(parts))
    return sum(sizes)


@contextmanager
def rows_into(path: PathLike | None) -> Iterator[Callable[[Iterable[Row]], None]]:
    """Give a function that writes rows of a CSV file; without a path nothing is written."""
    if path is None:
        yield lambda rows: None
        return
    with (
        atomic_write(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        yield csv.writer(handle, lineterminator="\n").writerows


def number(value: float) -> str:
    """Format a value for a table; a missing one is empty."""
    return "" if np.isnan(value) else f"{value:.6f}"


def _columns(part: Prediction, reference: bool) -> Row:
    std = () if part.std is None else (PREDICTED_STD,)
    return [*COLUMNS, *std, *(REFERENCE_COLUMNS if reference else ())]


def _rows(part: Prediction, reference: bool, first: int) -> Iterator[Row]:
    """Rows of all records in the order of the file, from record `first` on."""
    predicted: list[FloatArray] = [part.magnitude, *part.dipole.T]
    predicted += [] if part.std is None else [part.std]
    true = part.molecules.dipole_magnitude
    references = [true, part.magnitude - true] if reference else []
    good = (
        [str(name), *(f"{value:.6f}" for value in values[: len(predicted)])]
        + [number(value) for value in values[len(predicted) :]]
        for name, *values in zip(part.molecules.names, *predicted, *references, strict=True)
    )
    missing = ["nan"] * len(predicted) + [""] * len(references)
    bad = {one.row: [one.name, *missing] for one in part.molecules.notes.bad}
    for row in range(first, first + len(part.molecules) + len(bad)):
        yield bad.get(row) or next(good)


def _charge_rows(part: Prediction) -> Iterator[Row]:
    molecules, table = part.molecules, chemical_symbols()
    names = molecules.names[molecules.molecule_index]
    atoms = np.arange(molecules.n_atoms) - molecules.offsets[molecules.molecule_index] + 1
    for name, atom, z, charge in zip(names, atoms, molecules.numbers, part.charges, strict=True):
        yield [str(name), str(atom), table[int(z)], number(charge)]


def _frames(part: Prediction, predicted_by: str, ase_results: bool) -> list[Atoms]:
    return predictions_to_atoms(
        part.molecules,
        part.dipole,
        part.charges,
        std=part.std,
        atomic_dipoles=part.atomic_dipoles,
        predicted_by=predicted_by,
        ase_results=ase_results,
    )
