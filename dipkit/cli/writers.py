"""Output of the commands and the demonstration: checks of paths, predictions, tables.

Symbols: N molecules, n atoms; dipoles in debye, charges in e. File formats of molecules are in
`dipkit.data.formats`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.formats.ase_atoms import predictions_to_atoms
from ..data.io import write_atoms
from ..exceptions import FileFormatError
from ..report.html_page import Table, cell
from ..support.files import PathLike, atomic_write

if TYPE_CHECKING:
    import rich.table
    from ase import Atoms

    from ..estimator.pipeline import Prediction

PREDICTION_SUFFIXES = (".csv", ".xyz", ".extxyz")
MOLECULE_SUFFIXES = (".xyz", ".extxyz", ".db", ".json", ".npz")
PAGE_SUFFIXES = (".html", ".htm")
CSV_COLUMNS = ("name", "dipole_debye", "dipole_x", "dipole_y", "dipole_z")
# Where standard deviations were predicted.
STD_COLUMN = "dipole_std_debye"
# Where the model has atomic dipoles, in extended XYZ.
ATOMIC_DIPOLES = "atomic_dipoles_debye"


class _Probe(Exception):
    """Ends `atomic_write` before anything is written."""


def check_output(path: PathLike, suffixes: Sequence[str] = ()) -> Path:
    """Refuse an output that could not be written, before any work is done.

    Parameters
    ----------
    path : str or path
    suffixes : sequence of str, default=()
        Allowed suffixes; empty allows all.

    Raises
    ------
    InputError
        If the suffix is unknown, or nothing can be written there.
    """
    file = Path(path)
    if suffixes and file.suffix.lower() not in suffixes:
        raise FileFormatError(
            f"{file}: unknown suffix {file.suffix!r}. Expected one of {', '.join(suffixes)}."
        )
    with suppress(_Probe), atomic_write(file):
        raise _Probe
    return file


def write_predictions(path: PathLike, prediction: Prediction) -> None:
    """Write predictions as CSV or as extended XYZ, by suffix.

    Parameters
    ----------
    path : str or path
        ``.csv``: one row for each molecule, dipoles in debye. ``.xyz``: geometries with charges
        and dipole vectors that ASE reads back.
    prediction : Prediction
        Of `predict_all`; standard deviations are written where there are any.
    """
    stream_predictions(path, [prediction])


def stream_predictions(path: PathLike, predictions: Iterable[Prediction]) -> int:
    """Write predictions part by part, as they come; the file appears when it is complete.

    Parameters
    ----------
    path : str or path
        As in `write_predictions`.
    predictions : iterable of Prediction

    Returns
    -------
    int
        Number of molecules.
    """
    file, sizes = Path(path), []

    def counted() -> Iterator[Prediction]:
        for part in predictions:
            sizes.append(len(part.molecules))
            yield part

    if file.suffix.lower() == ".csv":
        _write_csv(file, counted())
    else:
        write_atoms(file, chain.from_iterable(_frames(part) for part in counted()))
    return sum(sizes)


def _frames(prediction: Prediction) -> Iterator[Atoms]:
    """Geometries with their predictions."""
    molecules, std, of_atoms = prediction.molecules, prediction.std, prediction.atomic_dipoles
    frames = predictions_to_atoms(molecules, prediction.dipole, prediction.charges)
    for index, frame in enumerate(frames):
        if std is not None:
            frame.info[STD_COLUMN] = float(std[index])
        if of_atoms is not None and frame.calc is not None:  # else the baseline failed
            frame.new_array(ATOMIC_DIPOLES, of_atoms[molecules.atom_index(index)])
        yield frame


def _write_csv(file: Path, predictions: Iterable[Prediction]) -> None:
    with (
        atomic_write(file) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer, columns = csv.writer(handle, lineterminator="\n"), None
        for part in predictions:
            numbers = [part.magnitude, *part.dipole.T]
            if part.std is not None:
                numbers.append(part.std)
            if columns is None:
                columns = (*CSV_COLUMNS, STD_COLUMN)[: 1 + len(numbers)]
                writer.writerow(columns)
            for name, *values in zip(part.molecules.names, *numbers, strict=True):
                writer.writerow([name, *(f"{value:.6f}" for value in values)])


def rich_table(table: Table) -> rich.table.Table:
    """Turn a table into one for the terminal; the first column is text, the others numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    result = RichTable(title=table.title, title_justify="left", box=SIMPLE_HEAD)
    for index, column in enumerate(table.columns):
        result.add_column(column, justify="right" if index else "left", no_wrap=True)
    for index, row in enumerate(table.rows):
        style = "bold" if index == table.highlight else None
        result.add_row(*(cell(value) for value in row), style=style)
    return result


def lines_of(values: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Show names and values in two columns, one name per line; nested ones are indented."""
    width = max((len(str(name)) for name in values), default=0)
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}" + ("" if value else "  –")
            yield from lines_of(value, indent + "  ")
        else:
            yield f"{indent}{name!s:{width}}  {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value) or "–"
    return f"{value:.4g}" if isinstance(value, float) else cell(value)
