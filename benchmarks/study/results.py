"""Results of a figure as rows, paired over draws; tables as CSV and Markdown.

A row is a flat dictionary; a table is a list of rows with the same names. Symbols: e_d the error of
a model on draw d, r_d that of what it is compared with; the gain of a draw is 100 (1 - e_d / r_d)
percent, and ± is the standard error of the mean over draws. Pictures are in `pictures.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .runner import Unit
from .store import Record, Store

Row = dict[str, Any]
# Columns whose cells may look like numbers: a commit such as 2e22372, the gains of one draw.
TEXTS = {"commits", "errors", "gains", "group", "smiles", "words"}
ByDraw = dict[int, float]


@dataclass(frozen=True)
class Results:
    """Results that there are, by the keys of units.

    Parameters
    ----------
    store : Store
    records : dict
    ground : dict
        What all keys depend on.
    """

    store: Store
    records: dict[str, Record]
    ground: dict[str, Any]

    def of(self, unit: Unit) -> Record | None:
        """Return the record of a unit, if it has a result."""
        record = self.records.get(unit.key(self.ground))
        return record if record is not None and "result" in record else None

    def arrays(self, unit: Unit) -> dict[str, Any]:
        """Return the predictions of a unit."""
        return self.store.arrays(unit.key(self.ground))

    def by_draw(self, units: Iterable[Unit], figure: str = "mae") -> ByDraw:
        """Return one figure of the units that have a result, by draw."""
        found = {}
        for unit in units:
            record = self.of(unit)
            if record is not None and record["result"].get(figure) is not None:
                found[unit.config["draw"]] = float(record["result"][figure])
        return found


def mean_of(values: Mapping[int, float] | Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error; NaN for the error of a single value."""
    array = np.array(list(values.values() if isinstance(values, Mapping) else values), dtype=float)
    if not len(array):
        return np.nan, np.nan
    spread = array.std(ddof=1) / np.sqrt(len(array)) if len(array) > 1 else np.nan
    return float(array.mean()), float(spread)


def paired(mine: ByDraw, other: ByDraw, how: Callable[[float, float], float]) -> list[float]:
    """Combine two figures draw by draw, over the draws that both have."""
    return [how(mine[draw], other[draw]) for draw in sorted(mine.keys() & other.keys())]


def gain(mine: ByDraw, other: ByDraw) -> tuple[float, float, int]:
    """Return the gain over another model in percent, its standard error, and the draws."""
    values = paired(mine, other, lambda e, r: 100 * (1 - e / r))
    return *mean_of(values), len(values)


def step(before: ByDraw, after: ByDraw, whole: ByDraw) -> tuple[float, float, int]:
    """Return the gain of one step in percent of a whole error, so that steps add up."""
    draws = sorted(before.keys() & after.keys() & whole.keys())
    values = [100 * (before[draw] - after[draw]) / whole[draw] for draw in draws]
    return *mean_of(values), len(values)


def error_row(results: Results, units: Sequence[Unit]) -> Row | None:
    """Errors of one model at one N, averaged over the draws that were run; None without any."""
    mae = results.by_draw(units)
    if not mae:
        return None
    mean, spread = mean_of(mae)
    row: Row = {"draws": len(mae), "mae": mean, "mae_se": spread}
    for name, figure in (
        ("median", "median_debye"),
        ("p95", "p95_debye"),
        ("fit_seconds", "fit_seconds"),
        ("predict_ms", "predict_ms"),
    ):
        row[name] = mean_of(results.by_draw(units, figure))[0]
    row["commits"] = commits(results, units)
    return row


def commits(results: Results, units: Iterable[Unit]) -> str:
    """Name the commits, and devices other than the processor, behind some units."""
    found = set()
    for unit in units:
        record = results.of(unit)
        if record is not None:
            made = record["made"]
            where = "" if made["device"] == "cpu" else f" ({made['device']})"
            found.add(made["commit"] + where)
    return ", ".join(sorted(found))


def origin(rows: Sequence[Row], figure: str) -> str:
    """Say by what command and at what commits the results of a table were made."""
    texts = [row["commits"] for row in rows if isinstance(row.get("commits"), str)]
    found = sorted({commit for text in texts for commit in text.split(", ")})
    if not found:
        return ""
    return f'`make study ARGS="{figure}"`; commit{"s" * (len(found) > 1)} {", ".join(found)}.'


def plus_minus(mean: float, spread: float, digits: int) -> str:
    """Write a mean with its standard error, where there is one."""
    if not np.isfinite(mean):
        return ""
    text = f"{mean:.{digits}f}"
    if not np.isfinite(spread):
        return text
    short = f"{spread:.{digits}f}"
    # A spread is not zero because it is small.
    return f"{text} ± {short if float(short) or not spread else f'{spread:.{digits + 1}f}'}"


def percent(mean: float, spread: float) -> str:
    """Write a gain with its sign."""
    if not np.isfinite(mean):
        return ""
    text = f"{mean:+.1f}"
    return text if not np.isfinite(spread) else f"{text} ± {spread:.1f}"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows; all names that any row has are columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    path.write_text(text.getvalue(), encoding="utf-8")


def read_csv(path: Path) -> list[Row]:
    """Read rows; cells that are numbers become numbers, but not in `TEXTS`, and empty ones NaN."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: _value(cell, name) for name, cell in row.items()} for row in csv.DictReader(file)
        ]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if not np.isfinite(value) else f"{value:.6g}"
    return value


def _value(cell: str, name: str) -> Any:
    if cell == "":
        return np.nan
    if name in TEXTS:
        return cell
    try:
        return float(cell) if any(c in cell for c in ".eE") else int(cell)
    except ValueError:
        return cell


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def pivot(
    rows: Sequence[Row],
    down: str,
    across: str,
    cell: Callable[[Row], str],
    corner: str,
    prefix: str = "",
) -> str:
    """Write a table in Markdown with one name down and another across."""
    columns = list(dict.fromkeys(row[across] for row in rows))
    cells = {(row[down], row[across]): cell(row) for row in rows}
    head = [f"{prefix}{c:,}" if isinstance(c, int) else f"{prefix}{c}" for c in columns]
    lines = dict.fromkeys(row[down] for row in rows)
    body = [[line, *(cells.get((line, column), "") for column in columns)] for line in lines]
    return markdown([corner, *head], body)
