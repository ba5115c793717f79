"""Figure 2: which cheap charges help, and that shuffled or reversed ones do not go unseen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from . import results as r
from .models import qm9_unit
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .worth import ALSO, MARKED, VARIANTS, unit_of

KINDS = {
    "none": "none",
    "mulliken": "Mulliken, B3LYP",
    "gfn2": "GFN2-xTB",
    "gasteiger": "Gasteiger",
    "shuffled": "Mulliken, shuffled within each element",
    "reversed": "Mulliken, wrong sign",
}
# Warnings that are about charges begin with the name of one of these.
ABOUT_CHARGES = ("charges:", "auxiliary:")
# How charges are used, each as parameters of the model.
USES: dict[str, dict[str, Any]] = {
    "start and prior": VARIANTS["start"]["ridge"],
    "start, prior, term, direction": {},
}


def unit(kind: str, use: str, n: int, draw: int, scope: Scope) -> Unit:
    """Return the unit of one kind of charges."""
    if kind == "none":
        return unit_of("magnitudes", n, draw, scope)
    also = ALSO if n in MARKED and scope.is_full else ()
    return qm9_unit(
        n,
        draw,
        charges=kind,
        ridge=USES[use],
        also=also,
        n_test=scope.n_test,
        tier=1 if draw < 3 else 4,
    )


def units(scope: Scope) -> list[Unit]:
    """Return all units of this figure."""
    return [unit(*which, scope) for which in _all(scope)]


def _all(scope: Scope) -> list[tuple[str, str, int, int]]:
    return [
        (kind, use, n, draw)
        for n in scope.marked(MARKED)
        for kind in KINDS
        for use in (USES if kind != "none" else ("",))
        for draw in range(scope.draws)
    ]


def tables(results: Results, scope: Scope) -> dict[str, list[Row]]:
    """Return ``labels``: errors for each kind of charges."""
    rows: list[Row] = []
    for n in scope.marked(MARKED):
        draws = range(scope.draws)
        alone = results.by_draw([unit("none", "", n, draw, scope) for draw in draws])
        for kind, words in KINDS.items():
            for use in USES if kind != "none" else ("",):
                mine = [unit(kind, use, n, draw, scope) for draw in draws]
                row = r.error_row(results, mine)
                if row is None:
                    continue
                better, spread, _ = r.gain(results.by_draw(mine), alone)
                more: Row = {"gain": better, "gain_se": spread}
                if kind not in ("none", "mulliken"):
                    usual = [unit("mulliken", use, n, draw, scope) for draw in draws]
                    than = r.gain(results.by_draw(mine), results.by_draw(usual))
                    more |= {"over_mulliken": than[0], "over_mulliken_se": than[1]}
                more |= {"warning": _said(results, mine)}
                rows.append({"n": n, "charges": words, "use": use} | row | more)
    return {"labels": rows}


def _said(results: Results, units_: list[Unit]) -> str:
    """Return what the software said about the charges, in its own words, and in how many draws."""
    records = [record for unit_ in units_ if (record := results.of(unit_))]
    about = [
        ": ".join(text.split(". ")[0].split(": ")[:2])
        for record in records
        for text in record.get("warnings", [])
        if text.startswith(ABOUT_CHARGES)
    ]
    return "; ".join(
        f"{text} ({count} of {len(records)})" for text, count in Counter(about).items()
    )


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    rows = tables_.get("labels", [])
    if not rows:
        return {}
    head = ("N", "charges", "use", "draws", "MAE, D", "gain over none, %", "over Mulliken, %",
            "what dipkit warns of (draws)")  # fmt: skip
    body = (
        (
            f"{row['n']:,}",
            row["charges"],
            row["use"] if isinstance(row["use"], str) else "",
            row["draws"],
            r.plus_minus(row["mae"], row["mae_se"], 4),
            r.percent(row["gain"], row["gain_se"]) if row["charges"] != "none" else "",
            r.percent(row.get("over_mulliken", np.nan), row.get("over_mulliken_se", np.nan)),
            row["warning"] if isinstance(row["warning"], str) else "",
        )
        for row in rows
    )
    return {"labels": r.markdown(head, body)}
