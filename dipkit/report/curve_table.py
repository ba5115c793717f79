"""Learning curves in CSV files: errors over the number of training molecules.

The first line names the columns. What is looked for, in any case of letters:

=========  ==========================================================================
column     names
=========  ==========================================================================
molecules  ``n``, ``n_train``, ``train_size``, ``size``, ``n_molecules``, ``n_labels``,
           ``training_molecules``, or the plural of one of these
error      ``mae``, ``error``, ``test_error``, ``mean_error``; a unit may follow, as in
           ``mae_debye``; without a unit it is debye
spread     ``std``, ``se``, ``spread``, also behind the name of the error: ``mae_std``
model      ``words``, ``model``, ``name``, ``variant``: one curve for each
=========  ==========================================================================

Several rows of one model and one number of molecules are draws, such as seeds or folds; so are
several columns ``fold_0``, ``fold_1``. Columns called ``test_score`` hold errors with the opposite
sign, as the scorers of scikit-learn return them. Symbols: S sizes, K draws.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.formats.column_units import split_unit
from ..data.unit_words import DEBYE_PER
from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, atomic_write

__all__ = ["Curves", "read_curves", "write_curves"]

FloatArray = NDArray[np.float64]

SIZES = ("n", "n_train", "train_size", "size", "n_molecules", "n_labels", "training_molecules")
ERRORS = ("mae", "error", "test_error", "mean_error")
SCORES = ("test_score", "test_scores", "test_score_mean", "mean_test_score")
SPREADS = ("std", "se", "spread")
MODELS = ("words", "model", "name", "variant")
_DRAW = re.compile(r"(fold|split|seed|draw)_?\d+(_test_score)?|test_scores?_\d+")
_DELIMITERS = (";", "\t", ",")
_EXAMPLE = "for example train_size,mae_debye,std."


@dataclass(frozen=True)
class Curves:
    """Errors of one or several models.

    Parameters
    ----------
    sizes : ndarray of shape (S,)
        Training molecules.
    errors : dict of str to ndarray of shape (S, K), debye
        By name of the model; NaN where there is no such draw.
    spreads : dict of str to ndarray of shape (S,), debye
        Of the models that have one, for example a standard error; NaN where it is missing.
    """

    sizes: NDArray[np.int64]
    errors: dict[str, FloatArray]
    spreads: dict[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Point:
    """One row: a model, a number of molecules, and errors in debye."""

    model: str
    size: int
    errors: tuple[float, ...]
    spread: float


@dataclass(frozen=True)
class _Columns:
    """Places of the columns; `debye` is one unit of each error, negative for scores."""

    size: int
    errors: tuple[int, ...]
    debye: tuple[float, ...]
    spread: int | None
    model: int | None


def read_curves(path: PathLike) -> Curves:
    """Read learning curves.

    Parameters
    ----------
    path : str or path
        A CSV file, separated by commas, semicolons or tabs.

    Raises
    ------
    InputError
        If the columns of molecules or of errors are not found.
    FileFormatError
        If the file cannot be read, or a cell holds no such number.
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        delimiter = max(_DELIMITERS, key=(lines[0] if lines else "").count)
        header, *rows = csv.reader(lines or [""], delimiter=delimiter)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file. Check the path.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(
            f"{file}: expected a CSV file of a learning curve: {error}."
        ) from None
    header = [name.strip() for name in header]
    columns = _find_columns(file, header)
    points = list(_points(file, rows, columns, len(header), comma=delimiter == ";"))
    if not points:
        raise FileFormatError(f"{file}: no row with an error below the names of the columns.")
    return _curves(file, points)


def write_curves(path: PathLike, curves: Curves) -> None:
    """Write learning curves that `read_curves` reads: one row for each draw.

    Parameters
    ----------
    path : str or path
    curves : Curves
    """
    rows = [
        [model, size, f"{value:.6g}", *_written(curves.spreads.get(model), place)]
        for model, errors in curves.errors.items()
        for place, size in enumerate(curves.sizes.tolist())
        for value in errors[place].tolist()
        if not np.isnan(value)
    ]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["model", "train_size", "mae_debye", "spread"], *rows])


def _written(spreads: FloatArray | None, place: int) -> list[str]:
    return [""] if spreads is None or np.isnan(spreads[place]) else [f"{spreads[place]:.6g}"]


def _find_columns(file: Path, header: Sequence[str]) -> _Columns:
    bases = [split_unit(name) for name in header]
    names = [base for base, _ in bases]
    present = f"Columns present: {', '.join(header) or 'none'}. Expected, {_EXAMPLE}"
    size = _first(names, (*SIZES, *(f"{name}s" for name in SIZES)))
    if size is None:
        raise InputError(f"{file}: no column with the number of training molecules. {present}")
    one = _first(names, (*ERRORS, *SCORES))
    errors = [place for place, name in enumerate(names) if _DRAW.fullmatch(name)]
    errors = errors if one is None else [one]
    if not errors:
        raise InputError(f"{file}: no column with errors. {present}")
    scales = [_debye(file, header[place], *bases[place]) for place in errors]
    stems = ("", *(f"{name}_" for name in (*ERRORS, *SCORES)))
    spread = _first(names, [f"{stem}{word}" for stem in stems for word in SPREADS])
    return _Columns(size, tuple(errors), tuple(scales), spread, _first(names, MODELS))


def _first(names: Sequence[str], wanted: Iterable[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _debye(file: Path, column: str, base: str, unit: str | None) -> float:
    """Debye of one unit of a column of errors; negative where they are scores."""
    if unit is not None and unit not in DEBYE_PER:
        raise InputError(
            f"{file}: unknown unit {unit!r} of the column {column!r}. Expected one of "
            f"{', '.join(DEBYE_PER)}."
        )
    return DEBYE_PER[unit or "debye"] * (-1.0 if "score" in base else 1.0)


def _points(
    file: Path, rows: Iterable[list[str]], columns: _Columns, width: int, comma: bool
) -> Iterator[_Point]:
    for line, row in enumerate(rows, start=2):
        where = f"{file}, line {line}"
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != width:
            raise FileFormatError(f"{where}: expected {width} columns, got {len(row)}.")
        # In tables with semicolons a comma may be the decimal sign.
        cells = [cell.strip().replace(",", ".") if comma else cell.strip() for cell in row]
        errors = tuple(
            _error(cells[place], scale, where)
            for place, scale in zip(columns.errors, columns.debye, strict=True)
            if cells[place]
        )
        if errors:
            spread = "" if columns.spread is None else cells[columns.spread]
            model = "" if columns.model is None else row[columns.model].strip()
            yield _Point(
                model or "model",
                _size(cells[columns.size], where),
                errors,
                abs(_number(spread, where) * columns.debye[0]) if spread else np.nan,
            )


def _number(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise FileFormatError(f"{where}: expected a number, got {word!r}.")
    return value


def _size(word: str, where: str) -> int:
    value = _number(word, where)
    if value < 1 or value != int(value):
        raise FileFormatError(
            f"{where}: expected a whole number of training molecules, got {word!r}. Shares of the "
            "data are not enough: the axis shows molecules."
        )
    return int(value)


def _error(word: str, scale: float, where: str) -> float:
    value = _number(word, where) * scale
    if value <= 0 and scale < 0:
        raise FileFormatError(
            f"{where}: expected a negative score, such as those of "
            f"scoring='neg_mean_absolute_error', got {word!r}. R² and other scores that are higher "
            "for a better model are no errors."
        )
    if value <= 0:
        raise FileFormatError(f"{where}: expected an error above 0, got {word!r}.")
    return value


def _curves(file: Path, points: Sequence[_Point]) -> Curves:
    sizes = sorted({point.size for point in points})
    errors: dict[str, FloatArray] = {}
    spreads: dict[str, FloatArray] = {}
    for model in dict.fromkeys(point.model for point in points):
        mine = [point for point in points if point.model == model]
        draws = [
            [e for point in mine if point.size == size for e in point.errors] for size in sizes
        ]
        errors[model] = np.full((len(sizes), max(map(len, draws))), np.nan)
        for row, values in zip(errors[model], draws, strict=True):
            row[: len(values)] = values
        if all(np.isnan(point.spread) for point in mine):
            continue
        if len({point.size for point in mine}) < len(mine) or errors[model].shape[1] > 1:
            raise FileFormatError(
                f"{file}: {model!r} has several errors at one number of molecules, and a spread "
                "besides. Give the mean with its spread, or the draws without it."
            )
        known = {point.size: point.spread for point in mine}
        spreads[model] = np.array([known.get(size, np.nan) for size in sizes])
    return Curves(np.array(sizes), errors, spreads)
