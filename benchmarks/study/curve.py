"""Figure 6: the error over the number of labels up to all of QM9, and its exponent."""

from __future__ import annotations

import numpy as np

from . import results as r
from .models import qm9_unit
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .worth import VARIANTS, WORDS, units_of

LEVERS = ("magnitudes", "hint", "gfn2", "baseline")
# GFN2-xTB of more molecules than this takes most of an hour.
MOST = {"gfn2": 50_000, "baseline": 50_000}
# Published errors with 110,000 training molecules, labels of all of them vectors or magnitudes of
# QM9: Schuett et al., J. Chem. Phys. 148, 241722 (2018); Schuett, Unke, Gastegger, ICML 2021.
CITED = {"SchNet (cited)": (110_000, 0.033), "PaiNN (cited)": (110_000, 0.012)}
# Above this N one draw must do.
SEVERAL_DRAWS = 5000
# From this N on as many inducing environments; the default has fewer.
ENVIRONMENTS_FROM, ENVIRONMENTS = 20_000, 10_000
# The exponent is that of the largest N, where a straight line fits.
N_OF_EXPONENT = 4


def large_units(name: str, n: int, scope: Scope) -> list[Unit]:
    """Return the units of one lever at one N."""
    if n in scope.sizes:
        return units_of(name, n, scope)
    draws = range(min(scope.draws, 3) if n <= SEVERAL_DRAWS else 1)
    variant = VARIANTS[name]
    if n >= ENVIRONMENTS_FROM:
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
                rows.append({"variant": name, "words": WORDS[name], "n": n} | row)
        if len(points) >= N_OF_EXPONENT:
            last = np.log(np.array(points[-N_OF_EXPONENT:]))
            slope = float(np.polyfit(last[:, 0], last[:, 1], 1)[0])
            first, final = points[-N_OF_EXPONENT][0], points[-1][0]
            exponents.append(
                {"words": WORDS[name], "from_n": first, "to_n": final, "exponent": slope}
            )
    for name, (n, mae) in CITED.items():
        rows.append({"variant": name, "words": name, "n": n, "mae": mae})
    return {"curve": rows, "curve-exponents": exponents}


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    passages = {}
    if rows := tables_.get("curve"):
        passages["curve"] = r.pivot(
            rows, "words", "n", lambda row: f"{row['mae']:.3f}", "MAE, D", "N = "
        )
    if rows := tables_.get("curve-exponents"):
        passages["curve-exponents"] = r.markdown(
            ("learned from", "N", "exponent"),
            (
                (row["words"], f"{row['from_n']:,} to {row['to_n']:,}", f"{row['exponent']:.2f}")
                for row in rows
            ),
        )
    return passages
