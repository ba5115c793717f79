"""Figure 7: what limits the error: kinds of molecules, the worst ones, the floor of any hint."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from dipkit import DipoleKernelRidge, Molecules
from dipkit.estimator.auxiliary import AUTO_ERRORS, GFN2_FACTOR
from dipkit.estimator.metrics import error_report

from . import results as r
from . import worst
from .consistency import SYMBOLS
from .material import Material
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .worth import WORDS, unit_of

NAMES = ("magnitudes", "hint", "gfn2", "baseline")
# Models of the bundled molecules: what is known of the training molecules besides magnitudes.
ORACLE = {
    "none": "magnitudes alone",
    "charges": "charges (default)",
    "gfn2": "charges and GFN2-xTB vectors",
    "vectors": "vectors of B3LYP (the oracle)",
}
ORACLE_SIZES = (100, 200, 400)
N_BUNDLED_TEST = 181


def oracle_unit(name: str, n: int, draw: int) -> Unit:
    """Return one model of the bundled molecules."""
    return Unit("bundled", {"n": n, "draw": draw, "hint": name}, 2)


def units(scope: Scope) -> list[Unit]:
    """Return the units of the floor; the errors are those of figure 1."""
    sizes = ORACLE_SIZES if scope.is_full else ORACLE_SIZES[:1]
    return [
        oracle_unit(name, n, draw) for n in sizes for draw in range(scope.draws) for name in ORACLE
    ]


def run_bundled(
    material: Material, config: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train and test on the bundled molecules, whose vectors are known."""
    everything = material.described("organics", material.organics)
    order = np.random.default_rng(8000 + config["draw"]).permutation(len(everything))
    test = everything[order[:N_BUNDLED_TEST]]
    train = everything[order[N_BUNDLED_TEST:][: config["n"]]]
    hint, features = config["hint"], train.features
    model = DipoleKernelRidge(device=material.device, random_state=config["draw"])
    changes: dict[str, Any] = {"baseline_dipole": None, "baseline_charges": None}
    if hint != "vectors":
        changes["dipole_vector"] = None
    if hint == "none":
        changes["charges"] = None
    if hint == "gfn2":
        errors = AUTO_ERRORS["gfn2"]
        changes["baseline_dipole"] = GFN2_FACTOR * np.asarray(train.baseline_dipole)
        model.set_params(auxiliary="given")
        model.set_params(auxiliary__discrepancy=errors.discrepancy, auxiliary__noise=errors.noise)
    model.fit(train.replace(**changes, features=features))
    _, dipole, _ = model.predict_together(test)
    report = error_report(np.asarray(test.dipole_vector), dipole)
    return {"mae": report["mae_debye"], **report}, {}


def prepare_bundled(material: Material, config: dict[str, Any]) -> None:
    """Nothing: the bundled molecules carry their cheap labels."""


def tables(results: Results, scope: Scope, material: Material) -> dict[str, list[Row]]:
    """Return ``oracle``, ``groups`` (errors by kind of molecule) and ``worst``."""
    found = {"oracle": _oracle(results, scope)}
    n = _largest(results, scope)
    if n is not None:
        found["groups"] = _groups(results, scope, material, n)
        draws = [draw for draw in range(scope.draws) if results.of(unit_of("hint", n, draw, scope))]
        found["worst"] = worst.rows(results, scope, material, n, draws)
    return found


def _oracle(results: Results, scope: Scope) -> list[Row]:
    rows: list[Row] = []
    for n in ORACLE_SIZES:
        draws = range(scope.draws)
        alone = results.by_draw([oracle_unit("none", n, draw) for draw in draws])
        for name, words in ORACLE.items():
            mine = [oracle_unit(name, n, draw) for draw in draws]
            row = r.error_row(results, mine)
            if row is None:
                continue
            better, spread, _ = r.gain(results.by_draw(mine), alone)
            angle = r.mean_of(results.by_draw(mine, "vector_angle_deg"))[0]
            wrong = r.mean_of(results.by_draw(mine, "vector_reversed"))[0]
            more = {"gain": better, "gain_se": spread, "angle": angle, "reversed": wrong}
            rows.append({"n": n, "words": words} | row | more)
    return rows


def _largest(results: Results, scope: Scope) -> int | None:
    """Return the largest N that the default model was fitted to."""
    done = [n for n in scope.sizes if results.of(unit_of("hint", n, 0, scope))]
    return max(done, default=None)


def _tested(
    results: Results, scope: Scope, material: Material, name: str, n: int
) -> tuple[Molecules, np.ndarray] | None:
    """Return test molecules of all draws with their predicted magnitudes."""
    parts, found = [], []
    for draw in range(scope.draws):
        unit = unit_of(name, n, draw, scope)
        if results.of(unit) is not None:
            parts.append(material.test(draw, scope.n_test))
            found.append(results.arrays(unit)["magnitude"])
    if not parts:
        return None
    return material.pool[np.concatenate(parts)], np.concatenate(found).astype(float)


def _groups(results: Results, scope: Scope, material: Material, n: int) -> list[Row]:
    rows: list[Row] = []
    for name in NAMES:
        tested = _tested(results, scope, material, name, n)
        if tested is None:
            continue
        molecules, predicted = tested
        error = np.abs(predicted - molecules.dipole_magnitude)
        made = r.commits(results, [unit_of(name, n, draw, scope) for draw in range(scope.draws)])
        for kind, members in _kinds_of(molecules).items():
            if members.sum() < 20:
                continue
            rows.append(
                {
                    "n": n,
                    "words": WORDS[name],
                    "by": kind[0],
                    "group": kind[1],
                    "molecules": int(members.sum()),
                    "mae": float(error[members].mean()),
                    "median": float(np.median(error[members])),
                    "relative": float(
                        error[members].sum() / molecules.dipole_magnitude[members].sum()
                    ),
                    "commits": made,
                }
            )
    return rows


def _kinds_of(molecules: Molecules) -> dict[tuple[str, str], np.ndarray]:
    """Say which molecules belong to each kind."""
    found: dict[tuple[str, str], np.ndarray] = {}
    index = molecules.molecule_index
    for number, symbol in SYMBOLS.items():
        if number > 1:
            has = np.bincount(index[molecules.numbers == number], minlength=len(molecules)) > 0
            found["element", f"with {symbol}"] = has
    heavy = np.bincount(index[molecules.numbers > 1], minlength=len(molecules))
    for size in range(5, 10):
        found["heavy atoms", str(size)] = heavy == size
    edges = (0, 1, 2, 3, 4, 6, np.inf)
    for low, high in pairwise(edges):
        within = (molecules.dipole_magnitude >= low) & (molecules.dipole_magnitude < high)
        found["magnitude, D", f"{low} to {high}" if np.isfinite(high) else f"above {low}"] = within
    groups = [worst.functional_groups(one) for one in molecules]
    for name in sorted(set().union(*groups)):
        found["group", name] = np.array([name in each for each in groups])
    return found


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    passages = {}
    if rows := tables_.get("oracle"):
        passages["oracle"] = r.markdown(
            ("N", "learned from", "draws", "MAE, D", "gain, %", "median angle, °", "reversed, %"),
            (
                (
                    f"{row['n']:,}",
                    row["words"],
                    row["draws"],
                    r.plus_minus(row["mae"], row["mae_se"], 3),
                    r.percent(row["gain"], row["gain_se"]) if row["gain"] else "",
                    f"{row['angle']:.1f}",
                    f"{100 * row['reversed']:.1f}",
                )
                for row in rows
            ),
        )
    if rows := tables_.get("groups"):
        kinds = [
            row | {"kind": f"{row['by']}: {row['group']} ({row['molecules']:,})"} for row in rows
        ]
        head = f"MAE, D (N = {rows[0]['n']:,})"
        passages["groups"] = r.pivot(kinds, "kind", "words", lambda row: f"{row['mae']:.3f}", head)
    if rows := tables_.get("worst"):
        passages["worst"] = worst.page(rows)
    return passages
