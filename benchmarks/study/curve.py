"""Figure 6: the error over the number of labels up to all of QM9, and its exponent."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from . import results as r
from .models import qm9_unit
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .worth import VARIANTS, WORDS, units_of

# "many" is "hint" with many inducing environments.
LEVERS = ("magnitudes", "hint", "many", "gfn2", "baseline")
# GFN2-xTB of more molecules than this takes most of an hour.
MOST = {"gfn2": 50_000, "baseline": 50_000}
# Published errors with 110,000 training molecules, labels of all of them vectors or magnitudes of
# QM9: Schuett et al., J. Chem. Phys. 148, 241722 (2018); Schuett, Unke, Gastegger, ICML 2021.
CITED = {"SchNet (cited)": (110_000, 0.033), "PaiNN (cited)": (110_000, 0.012)}
# Above this N one draw must do.
SEVERAL_DRAWS = 5000
# From this N on also as many inducing environments; the default has 3,420, and 6,000 above it.
ENVIRONMENTS_FROM, ENVIRONMENTS = 10_000, 10_000
CURVE_WORDS = WORDS | {"many": f"charges (default), {ENVIRONMENTS:,} inducing environments"}
# Exponents are those between one N and the next, from this N on: no straight line fits all.
EXPONENTS_FROM = 500


def large_units(name: str, n: int, scope: Scope) -> list[Unit]:
    """Return the units of one lever at one N."""
    if name == "many" and n < ENVIRONMENTS_FROM:
        return []
    if n in scope.sizes and name != "many":
        return units_of(name, n, scope)
    draws = range(min(scope.draws, 3) if n <= SEVERAL_DRAWS else 1)
    variant = VARIANTS["hint" if name == "many" else name]
    if name == "many":
        variant = variant | {"ridge": {"basis__n_inducing": ENVIRONMENTS}}
    tier = 7 + sorted(scope.curve).index(n)
    return [qm9_unit(n, draw, **variant, n_test=scope.n_test, tier=tier) for draw in draws]


def units(scope: Scope) -> list[Unit]:
    """Return the units above the sizes of figure 1, whose units are used below."""
    return [
        unit
        for n in scope.curve
        for name in LEVERS
        if n <= MOST.get(name, n)
        for unit in large_units(name, n, scope)
    ]


def tables(results: Results, scope: Scope) -> dict[str, list[Row]]:
    """Return ``curve`` (errors and the cited ones) and ``curve-exponents``."""
    rows: list[Row] = []
    exponents: list[Row] = []
    for name in LEVERS:
        points = []
        for n in (*scope.sizes, *scope.curve):
            row = r.error_row(results, large_units(name, n, scope))
            if row is not None:
                points.append((n, row["mae"]))
                rows.append({"variant": name, "words": CURVE_WORDS[name], "n": n} | row)
        for (n, mae), (more, less) in pairwise(p for p in points if p[0] >= EXPONENTS_FROM):
            slope = float(np.log(less / mae) / np.log(more / n))
            between = {"from_n": n, "to_n": more, "exponent": slope}
            exponents.append({"words": CURVE_WORDS[name]} | between)
    for name, (n, mae) in CITED.items():
        rows.append({"variant": name, "words": name, "n": n, "mae": mae})
    return {"curve": rows, "curve-exponents": exponents}


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    passages = {}
    if rows := tables_.get("curve"):
        passages["curve"] = r.pivot(rows, "words", "n", _cell, "MAE, D", "N = ")
    if rows := tables_.get("curve-exponents"):
        between = [row | {"n": f"{row['from_n']:,} to {row['to_n']:,}"} for row in rows]
        passages["curve-exponents"] = r.pivot(
            between, "words", "n", lambda row: f"{row['exponent']:.2f}", "exponent", "N = "
        )
    return passages


def _cell(row: Row) -> str:
    return r.plus_minus(row["mae"], row["mae_se"], 3)
