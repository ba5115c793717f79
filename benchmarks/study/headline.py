"""The first table of README: rows of figures 1, 5 and 6."""

from __future__ import annotations

from . import results as r
from .results import Row
from .worth import MARKED

SIZES = (100, *MARKED[:1], 500, *MARKED[1:], 2000, 5000)
AVERAGED = "kernel ridge on averaged SOAP"
# Variants of figure 1 by the words that readers of README know.
LINES = {
    "magnitudes": "dipkit, no charges",
    "hint": "dipkit, with Mulliken charges (default)",
    "gfn2": "and GFN2-xTB dipoles of these molecules",
    "gfn2 + 1000": "and of 1,000 more molecules without a magnitude",
    "gfn2 + 5000": "and of 5,000 more molecules without a magnitude",
    "baseline": 'xTB corrected (`baseline="gfn2"`)',
}


def page(tables: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passage of README, from the tables alone."""
    worth = tables.get("worth", [])
    if not worth:
        return {}
    rows = [row | {"line": AVERAGED} for row in tables.get("peers", []) if row["words"] == AVERAGED]
    for name, line in LINES.items():
        mine = {row["n"]: row for row in tables.get("curve", []) if row["variant"] == name}
        mine |= {row["n"]: row for row in worth if row["variant"] == name}
        rows += [row | {"line": line} for n, row in sorted(mine.items())]
    shown = [row for n in SIZES for row in rows if row["n"] == n]
    order = {AVERAGED: 0} | {line: place for place, line in enumerate(LINES.values(), 1)}
    shown.sort(key=lambda row: order[row["line"]])
    return {"headline": r.pivot(shown, "line", "n", _cell, "test MAE, D", "N = ")}


def _cell(row: Row) -> str:
    return r.plus_minus(row["mae"], row["mae_se"], 3)
