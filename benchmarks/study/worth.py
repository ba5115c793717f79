"""Figure 1: what cheap information is worth, over the number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import results as r
from .models import BOTH, qm9_unit
from .results import Results, Row
from .runner import Unit
from .scope import Scope

# Where weights of the charge term are compared, and further molecules are predicted.
MARKED = (200, 1000)
LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
# An ordinary optimiser: random weights, no annealing.
ORDINARY = {"start": "random", "solver__annealing": [], "auxiliary": None}
# A small weight, as in the paper, and not tuned: the table of weights has others.
JOINT_WEIGHT = 0.1
# What is predicted besides at the marked sizes: figure 3 is made of the same fits.
ALSO = ("organics", "probe")

# Each as the arguments of `qm9_unit`; the order is that of the tables.
VARIANTS: dict[str, dict[str, Any]] = {
    "random": {"ridge": ORDINARY},
    "joint": {"charges": "mulliken", "ridge": ORDINARY | {"charge_weight": JOINT_WEIGHT}},
    "magnitudes": {},
    "start": {"charges": "mulliken", "ridge": {"auxiliary": None, "charge_weight": 0.0}},
    "term": {"charges": "mulliken", "ridge": {"auxiliary": None}},
    "direction": {
        "charges": "mulliken",
        "ridge": {"start": "electronegativity", "charge_weight": 0.0},
    },
    "hint": {"charges": "mulliken"},
    "gfn2": {"charges": "mulliken", "vectors": "gfn2"},
    "gfn2 alone": {"vectors": "gfn2"},
    "gfn2 + 1000": {"charges": "mulliken", "vectors": "gfn2", "more": 1000},
    "gfn2 + 5000": {"charges": "mulliken", "vectors": "gfn2", "more": 5000},
    "baseline gfn2": {"baseline": "gfn2"},
    "baseline": {"baseline": BOTH},
}
WORDS = {
    "random": "magnitudes alone, random start, no annealing",
    "joint": f"charge term besides (λ = {JOINT_WEIGHT:g}), random start, no annealing",
    "magnitudes": "magnitudes alone",
    "start": "charges: start and prior",
    "term": "charges: start, prior, charge term (λ = 0.001)",
    "direction": "charges: direction of their dipole alone",
    "hint": "charges: start, prior, term, direction of their dipole (default)",
    "gfn2": "charges, and GFN2-xTB vectors of the training molecules",
    "gfn2 alone": "GFN2-xTB vectors of the training molecules, no charges",
    "gfn2 + 1000": "charges, and GFN2-xTB vectors of these and 1,000 more molecules",
    "gfn2 + 5000": "charges, and GFN2-xTB vectors of these and 5,000 more molecules",
    "baseline gfn2": "baseline of GFN2-xTB alone, calculated for each prediction",
    "baseline": "baseline of GFN2-xTB and IPEA1-xTB, calculated for each prediction",
}
# Steps from one variant to the next; what each stands for.
STEPS = (
    ("magnitudes", "start", "start and prior"),
    ("start", "term", "charge term"),
    ("term", "hint", "direction"),
    ("hint", "gfn2", "GFN2-xTB vectors of the training molecules"),
    ("gfn2", "gfn2 + 1000", "those of 1,000 more molecules"),
    ("gfn2 + 1000", "gfn2 + 5000", "those of 4,000 more"),
)
# Gains over magnitudes alone, whatever is between.
WHOLE = ("direction", "hint", "gfn2 alone", "gfn2", "gfn2 + 1000", "gfn2 + 5000", "baseline")
# Steps between these add up: they are compared on the same draws.
ADDED_UP = ("magnitudes", "start", "term", "hint", "gfn2")
# Variants that take long, and the tiers in which they begin.
LATE = {"gfn2 + 1000": 1, "gfn2 + 5000": 3}


def unit_of(name: str, n: int, draw: int, scope: Scope, tier: int = 0) -> Unit:
    """Return the unit of one variant."""
    also = ALSO if n in MARKED and scope.is_full else ()
    return qm9_unit(n, draw, **VARIANTS[name], also=also, n_test=scope.n_test, tier=tier)


def units_of(name: str, n: int, scope: Scope) -> list[Unit]:
    """Return the units of one variant at one size."""
    return [unit_of(name, n, draw, scope, _tier(name, n, draw)) for draw in range(scope.draws)]


def _tier(name: str, n: int, draw: int) -> int:
    """Choose the tier: three draws up to N = 1,000 first, then N = 2,000, then the other draws."""
    tier = LATE.get(name, 0) + (2 if n > 1000 else 0) + (3 if draw >= 3 else 0)
    return tier + (3 if name == "gfn2 + 5000" and n not in MARKED else 0)


def scan_unit(weight: float, start: str, n: int, draw: int, scope: Scope) -> Unit:
    """Return one weight of the charge term; `start` "random" is an ordinary optimiser's."""
    ridge = ORDINARY if start == "random" else {"auxiliary": None}
    return qm9_unit(
        n,
        draw,
        charges="mulliken",
        ridge=ridge | {"charge_weight": weight},
        also=("validation",),
        n_test=scope.n_test,
        tier=2,
    )


def units(scope: Scope) -> list[Unit]:
    """Return all units of this figure."""
    names = [name for name in VARIANTS if scope.is_full or name not in LATE]
    found = [unit for name in names for n in scope.sizes for unit in units_of(name, n, scope)]
    for n in scope.marked(MARKED):
        for start in ("charges", "random"):
            for weight in (0.0, *LAMBDAS):
                draws = range(scope.draws)
                found += [scan_unit(weight, start, n, draw, scope) for draw in draws]
    return found


def tables(results: Results, scope: Scope) -> dict[str, list[Row]]:
    """Return ``worth`` (errors), ``worth-steps`` (gains) and ``worth-lambda``."""
    return {
        "worth": _errors(results, scope),
        "worth-steps": _steps(results, scope),
        "worth-lambda": _scan(results, scope),
    }


def _errors(results: Results, scope: Scope) -> list[Row]:
    rows: list[Row] = []
    for n in scope.sizes:
        alone = results.by_draw(units_of("magnitudes", n, scope))
        for name in VARIANTS:
            mine = units_of(name, n, scope)
            row = r.error_row(results, mine)
            if row is not None:
                better, spread, _ = r.gain(results.by_draw(mine), alone)
                gains = {"gain": better, "gain_se": spread}
                rows.append({"n": n, "variant": name, "words": WORDS[name]} | row | gains)
    return rows


def _steps(results: Results, scope: Scope) -> list[Row]:
    rows: list[Row] = []
    for n in scope.sizes:
        errors = {name: results.by_draw(units_of(name, n, scope)) for name in VARIANTS}
        errors |= _common(errors)
        first = r.gain(errors["joint"], errors["random"])
        rows.append(_gain_row(n, "joint training, random start", *first))
        start = r.gain(errors["magnitudes"], errors["random"])
        rows.append(_gain_row(n, "guessed start and annealing", *start))
        for before, after, words in STEPS:
            found = r.step(errors[before], errors[after], errors["magnitudes"])
            rows.append(_gain_row(n, words, *found))
        for name in WHOLE:
            whole = r.gain(errors[name], errors["magnitudes"])
            rows.append(_gain_row(n, whole_words(name), *whole))
    return [row for row in rows if row["draws"]]


def whole_words(name: str) -> str:
    """Return the words of a gain over magnitudes alone."""
    return f"over magnitudes alone: {WORDS[name]}"


def _common(errors: dict[str, r.ByDraw]) -> dict[str, r.ByDraw]:
    """Keep the draws that all variants of the first steps have, so that steps add up."""
    mine = {name: errors[name] for name in ADDED_UP if errors[name]}
    shared = set.intersection(*(set(found) for found in mine.values())) if mine else set()
    return {name: {draw: found[draw] for draw in sorted(shared)} for name, found in mine.items()}


def _gain_row(n: int, words: str, mean: float, spread: float, draws: int) -> Row:
    return {"n": n, "step": words, "gain": mean, "gain_se": spread, "draws": draws}


def _scan(results: Results, scope: Scope) -> list[Row]:
    rows: list[Row] = []
    for n in scope.marked(MARKED):
        for start in ("charges", "random"):
            draws = range(scope.draws)
            zero = results.by_draw([scan_unit(0.0, start, n, d, scope) for d in draws])
            for weight in (0.0, *LAMBDAS):
                mine = [scan_unit(weight, start, n, draw, scope) for draw in draws]
                row = r.error_row(results, mine)
                if row is None:
                    continue
                validation = r.mean_of(results.by_draw(mine, "validation_mae"))[0]
                better, spread, _ = r.gain(results.by_draw(mine), zero)
                more = {"validation_mae": validation, "gain": better, "gain_se": spread}
                rows.append({"n": n, "start": start, "lambda": weight} | row | more)
    return rows


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures, from the tables alone."""
    passages = {"answer": answer(tables_)}
    if rows := tables_.get("worth"):
        passages["worth"] = r.markdown(
            ("N", "learned from", "draws", "MAE, D", "median, D", "95 %, D", "gain, %"),
            (
                (
                    f"{row['n']:,}",
                    row["words"],
                    row["draws"],
                    r.plus_minus(row["mae"], row["mae_se"], 4),
                    f"{row['median']:.4f}",
                    f"{row['p95']:.3f}",
                    ""
                    if row["variant"] == "magnitudes"
                    else r.percent(row["gain"], row["gain_se"]),
                )
                for row in rows
            ),
        )
    if rows := tables_.get("worth-steps"):
        passages["worth-steps"] = r.pivot(
            rows, "step", "n", lambda row: r.percent(row["gain"], row["gain_se"]), "gain, %", "N = "
        )
    if rows := tables_.get("worth-lambda"):
        passages["worth-lambda"] = r.markdown(
            ("N", "start", "λ", "draws", "MAE, D", "gain over λ = 0, %", "validation MAE, D"),
            (
                (
                    f"{row['n']:,}",
                    row["start"],
                    f"{row['lambda']:g}",
                    row["draws"],
                    r.plus_minus(row["mae"], row["mae_se"], 4),
                    r.percent(row["gain"], row["gain_se"]) if row["lambda"] else "",
                    f"{row['validation_mae']:.4f}",
                )
                for row in rows
            ),
        )
    return passages


def answer(tables_: dict[str, list[Row]]) -> str:
    """Answer the sentence of the paper in one paragraph, from the tables of steps and of peers."""
    rows = tables_.get("worth-steps", [])
    whole = [row for row in rows if row["step"] == whole_words("hint")]
    if not whole:
        return "No results yet."
    top, last = max(whole, key=lambda row: row["gain"]), max(whole, key=lambda row: row["n"])
    # The largest of several gains is by chance above what it stands for: those near it count too.
    near = [row for row in whole if row["gain"] >= top["gain"] - np.nan_to_num(top["gain_se"])]
    shown = [*near, last] if last not in near else near
    draws = f"{top['draws']} draw{'s' * (top['draws'] > 1)}"
    reached = "Yes" if top["gain"] >= 30 else "Nearly" if top["gain"] >= 20 else "Not here"
    at = {row["step"]: _words(row) for row in rows if row["n"] == top["n"]}

    def some(step: str) -> str:
        return at.get(step, "no result yet")

    return (
        f"**Do cheap charges lower the dipole error by up to 30 %?** {reached}, with few labels. "
        "Compared with the same model of magnitudes alone, Mulliken charges lower the error of "
        f"dipkit by {_listed(shown)} (mean over {draws} of molecules ± standard "
        f"error). The direction of their dipole alone, without a start or a term of charges, gives "
        f"{some(whole_words('direction'))} at N = {top['n']:,}. The charge "
        f"term with its small weight gives {some('charge term')}, and from random weights, as an "
        f"ordinary optimiser would start (λ = {JOINT_WEIGHT:g}), "
        f"{some('joint training, random start')}.{_of_networks(tables_.get('peers-networks', []))}"
        " The dipoles of GFN2-xTB give more than charges: "
        f"{some(whole_words('gfn2'))} with those of the training molecules, "
        f"{some(whole_words('gfn2 + 1000'))} with those of 1,000 further molecules as well."
    )


def _listed(rows: Sequence[Row]) -> str:
    parts = [f"{_words(row)} at N = {row['n']:,}" for row in rows]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _of_networks(rows: Sequence[Row]) -> str:
    """Say what charges gain in the network that was trained to the end, with `JOINT_WEIGHT`."""
    mine = [row for row in rows if row["network"] == "hipnn" and row["weight"] == JOINT_WEIGHT]
    if not mine:
        return ""
    draws = min(row["draws"] for row in mine)
    return (
        f" In a network, HIP-NN, charges with the weight {JOINT_WEIGHT:g} gain {_listed(mine)} "
        f"({draws} draw{'s' * (draws > 1)})."
    )


def _words(row: Row) -> str:
    spread = "" if np.isnan(row["gain_se"]) else f" ± {row['gain_se']:.0f}"
    return f"{round(row['gain'])}{spread} %"
