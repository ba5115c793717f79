"""Output of the commands and the demonstration: checks of paths, and tables.

Predictions are written in `prediction_files.py`, errors in `error_files.py`. File formats of
molecules are in `dipkit.data.formats`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, atomic_write, require_other_file

if TYPE_CHECKING:
    import rich.table

    from ..report.html_page import Table

PREDICTION_SUFFIXES = (".csv", ".xyz", ".extxyz")
TABLE_SUFFIXES = (".csv",)
MOLECULE_SUFFIXES = (".xyz", ".extxyz", ".db", ".json", ".npz")
PAGE_SUFFIXES = (".html", ".htm")
# Names by which other programs would open a model, and fail.
OTHER_MODELS = {
    **dict.fromkeys((".pkl", ".pickle"), "a file for pickle.load"),
    ".joblib": "a file for joblib.load",
    ".skops": "a file for skops.io.load",
    ".onnx": "a graph of ONNX",
    **dict.fromkeys((".pt", ".pth"), "a model of PyTorch"),
    **dict.fromkeys((".h5", ".hdf5"), "a file of HDF5"),
}


class _Probe(Exception):
    """Ends `atomic_write` before anything is written."""


def check_output(
    path: PathLike, suffixes: Sequence[str] = (), inputs: Sequence[PathLike | None] = ()
) -> Path:
    """Refuse an output that could not be written, before any work is done.

    Parameters
    ----------
    path : str or path
    suffixes : sequence of str, default=()
        Allowed suffixes; empty allows all.
    inputs : sequence of (str, path or None), default=()
        Files that the command reads, or writes besides.

    Raises
    ------
    InputError
        If the suffix is unknown, nothing can be written there, or an input would be replaced.
    """
    file = Path(path)
    if str(path) == "-":
        raise InputError(
            "-: only molecules go to stdout, as extended XYZ: predict, convert, label. Name a file."
        )
    if suffixes and file.suffix.lower() not in suffixes:
        raise FileFormatError(
            f"{file}: unknown suffix {file.suffix!r}. Expected one of {', '.join(suffixes)}."
        )
    require_other_file(file, inputs)
    with suppress(_Probe), atomic_write(file):
        raise _Probe
    return file


def check_model_output(path: PathLike, inputs: Sequence[PathLike | None]) -> Path:
    """Refuse a file of a model that could not be written, or whose name promises another format.

    Raises
    ------
    InputError
        Also where an input would be replaced.
    """
    file = check_output(path, inputs=inputs)
    kind = OTHER_MODELS.get(file.suffix.lower())
    if kind is not None:
        raise FileFormatError(
            f"{file}: dipkit writes its models without pickle, in a format of its own, and a name "
            f"in {file.suffix} promises {kind}. Name it {file.with_suffix('.dipkit').name}; "
            "load_model and all commands read it."
        )
    return file


def rich_table(table: Table) -> rich.table.Table:
    """Turn a table into one for the terminal; the first column is text, the others numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    from ..report.html_page import cell

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
        elif _are_sentences(value):
            yield f"{indent}{name}"
            yield from (f"{indent}  {sentence}" for sentence in value)
        else:
            yield f"{indent}{name!s:{width}}  {_shown(value)}"


def _are_sentences(value: object) -> TypeGuard[Sequence[str]]:
    """Whether these are texts that need a line each."""
    return isinstance(value, list | tuple) and any(
        isinstance(item, str) and item.endswith(".") for item in value
    )


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value) or "–"
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
