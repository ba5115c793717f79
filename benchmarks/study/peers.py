"""Figure 5: peers on the same molecules.

scikit-learn's kernel ridge on averaged SOAP, FCHL19 by qmllib, the map of kQEq in dipkit, networks
(`networks.py`), and what needs no training: the dipole of Mulliken charges and GFN2-xTB.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dipkit import Molecules
from dipkit.estimator.metrics import error_report
from dipkit.estimator.reference_models import AveragedSOAPRidge, charge_dipoles

from . import cost, fchl19
from . import results as r
from .material import Material
from .models import qm9_unit
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .worth import JOINT_WEIGHT, VARIANTS, WORDS, unit_of

PEERS = {
    "mean": "mean of the training molecules",
    "mulliken": "abs(sum q r) of the Mulliken charges",
    "gfn2": "GFN2-xTB",
    "gfn2 scaled": "GFN2-xTB times one fitted factor",
    "averaged": "kernel ridge on averaged SOAP",
    "fchl19": "FCHL19 (qmllib), local kernel",
}
EQUILIBRATED = {
    "magnitudes": "charge equilibration (kQEq's map), magnitudes alone",
    "hint": "charge equilibration (kQEq's map), charges and their direction",
    "gfn2": "charge equilibration (kQEq's map), GFN2-xTB vectors",
}
OURS = ("magnitudes", "hint", "gfn2", "baseline")
# Cheap methods of training molecules, of a baseline also for predictions.
METHODS = {"gfn2": ("gfn2",), "baseline": ("gfn2", "ipea1")}
SIZES = (100, 200, 500, 1000, 2000)
# The local kernel compares all pairs of atoms: above this N it takes more time than all others.
FCHL19_MOST = 1000
NETWORKS = {"hipnn": "HIP-NN (hippynn)", "painn": "PaiNN (SchNetPack)"}
# Weights of the charges beside magnitudes by N, the number of draws (each with its own seed), and
# seconds of training at most.
WEIGHTS = {200: (0.0, 0.01, 0.1, 1.0), 1000: (0.0, 0.1)}
NETWORK_DRAWS = 2
NETWORK_SECONDS = {200: 400.0, 1000: 900.0}
# What must be installed for some peers.
NEEDS = {"fchl19": "qmllib", "hipnn": "hippynn", "painn": "schnetpack"}
# Peers that use descriptors of dipkit: results of the others outlive its defaults.
OF_DIPKIT = ("averaged",)


def peer_unit(name: str, n: int, draw: int, scope: Scope, weight: float | None = None) -> Unit:
    """Return the unit of one peer; `weight` is that of the charges of a network."""
    config: dict[str, Any] = {"n": n, "draw": draw, "peer": name, "n_test": scope.n_test}
    if weight is not None:
        config |= {"weight": weight, "seconds": NETWORK_SECONDS[n]}
    tier = 5 if name in NEEDS else 1
    return Unit("peer", config, tier, NEEDS.get(name), name in OF_DIPKIT)


def _network_words(name: str, weight: float) -> str:
    if weight == 0:
        return f"{NETWORKS[name]}, magnitudes alone"
    return f"{NETWORKS[name]}, charges first, then both (weight {weight:g})"


def equilibrated_unit(name: str, n: int, draw: int, scope: Scope) -> Unit:
    """Return the unit of one model with charge equilibration."""
    return qm9_unit(n, draw, **VARIANTS[name], equilibrated=True, n_test=scope.n_test, tier=4)


def _groups(n: int, scope: Scope) -> list[tuple[str, list[Unit]]]:
    """Return all models at one N, each with its units."""
    draws, few = range(scope.draws), range(min(scope.draws, 3))
    groups = [
        (words, [peer_unit(name, n, draw, scope) for draw in few])
        for name, words in PEERS.items()
        if name != "fchl19" or n <= FCHL19_MOST
    ]
    groups += [
        (words, [equilibrated_unit(name, n, draw, scope) for draw in few])
        for name, words in EQUILIBRATED.items()
    ]
    if n in NETWORK_SECONDS:
        groups += [
            (
                _network_words(name, weight),
                [peer_unit(name, n, draw, scope, weight) for draw in draws[:NETWORK_DRAWS]],
            )
            for name in NETWORKS
            for weight in WEIGHTS[n]
        ]
    return groups + [
        (f"dipkit: {WORDS[name]}", [unit_of(name, n, draw, scope) for draw in draws])
        for name in OURS
    ]


def is_drawn(words: str) -> bool:
    """Whether the picture shows a line: of the networks with charges one weight alone."""
    weights = (_network_words(name, JOINT_WEIGHT) for name in NETWORKS)
    return "charges first" not in words or words in weights


def sizes_of(scope: Scope) -> tuple[int, ...]:
    """Sizes at which peers are run."""
    return tuple(n for n in SIZES if n in scope.sizes)


def units(scope: Scope) -> list[Unit]:
    """Return all units of this figure."""
    found = [unit for n in sizes_of(scope) for _, mine in _groups(n, scope) for unit in mine]
    if scope.is_full:
        found += [cost.cost_unit(model.measured) for model in _costs(scope)]
        found += [cost.xtb_unit(method) for method in ("gfn2", "ipea1")]
    return found


def _costs(scope: Scope) -> list[cost.Model]:
    """Return models whose cost is measured."""
    found: list[cost.Model] = []
    for name in ("averaged", "fchl19"):
        whole = peer_unit(name, cost.N, cost.DRAW, scope)
        found.append(cost.Model(PEERS[name], whole, whole))
    for name in NETWORKS:
        whole = peer_unit(name, cost.N, cost.DRAW, scope, 0.0)
        short = replace(whole, config=whole.config | {"epochs": cost.EPOCHS})
        found.append(cost.Model(_network_words(name, 0.0), whole, short))
    whole = equilibrated_unit("magnitudes", cost.N, cost.DRAW, scope)
    found.append(cost.Model(EQUILIBRATED["magnitudes"], whole, whole))
    for name in OURS:
        whole = unit_of(name, cost.N, cost.DRAW, scope)
        # Predictions of other molecules than the test molecules are not counted.
        bare = replace(whole, config=whole.config | {"also": []})
        words, methods = f"dipkit: {WORDS[name]}", METHODS.get(name, ())
        found.append(cost.Model(words, whole, bare, methods, "baseline" in VARIANTS[name]))
    return found


def run_peer(material: Material, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit and test one peer."""
    draw, n_test, name = config["draw"], config["n_test"], config["peer"]
    labelled, tested = material.labelled(draw, config["n"]), material.test(draw, n_test)
    train, test = material.pool[labelled], material.pool[tested]
    if name == "averaged":
        train = material.described(f"train {draw}", train)
        test = material.described(f"test {draw} {n_test}", test)
    figures: dict[str, Any] = {}
    clock = (
        time.perf_counter if name in NETWORKS and material.device == "cuda" else time.process_time
    )
    start = clock()
    if name in NETWORKS:
        predict, figures = _network(material, train, config)
    else:
        predict = _FITTERS[name](material, train, labelled, draw)
    fitted = clock()
    predicted = predict(test, tested)
    done = clock()
    report = error_report(test.dipole_magnitude, predicted)
    seconds = {"fit_seconds": fitted - start, "predict_ms": 1000 * (done - fitted) / len(test)}
    arrays = {"magnitude": np.asarray(predicted, np.float32)}
    return {"mae": report["mae_debye"], **report, **seconds, **figures}, arrays


def prepare_peer(material: Material, config: dict[str, Any]) -> None:
    """Calculate the cheap labels of one peer."""
    if config["peer"].startswith("gfn2"):
        material.gfn2(material.test(config["draw"], config["n_test"]))
        material.gfn2(material.labelled(config["draw"], config["n"]), config["draw"])


Predict = Callable[[Molecules, np.ndarray], np.ndarray]


def _mean(_: Material, train: Molecules, __: np.ndarray, ___: int) -> Predict:
    mean = float(train.dipole_magnitude.mean())
    return lambda test, _: np.full(len(test), mean)


def _mulliken(*_: Any) -> Predict:
    return lambda test, _: np.linalg.norm(charge_dipoles(test), axis=1)


def _gfn2(material: Material, *_: Any) -> Predict:
    return lambda _, tested: np.linalg.norm(material.gfn2(tested)[0], axis=1)


def _scaled(material: Material, train: Molecules, labelled: np.ndarray, draw: int) -> Predict:
    length = np.linalg.norm(material.gfn2(labelled, draw)[0], axis=1)
    factor = float(length @ train.dipole_magnitude / (length @ length))
    return lambda _, tested: factor * np.linalg.norm(material.gfn2(tested)[0], axis=1)


def _averaged(_: Material, train: Molecules, __: np.ndarray, ___: int) -> Predict:
    model = AveragedSOAPRidge().fit(train, train.dipole_magnitude)
    return lambda test, _: model.predict(test)


def _network(
    material: Material, train: Molecules, config: dict[str, Any]
) -> tuple[Predict, dict[str, Any]]:
    """Train a network, with the number of the draw as its seed."""
    from . import networks

    model = networks.train(
        config["peer"],
        train,
        config["weight"],
        config["draw"],
        config["seconds"],
        material.device,
        config.get("epochs", 10**6),
    )
    return lambda test, _: model.predict(test), model.figures


_FITTERS: dict[str, Callable[[Material, Molecules, np.ndarray, int], Predict]] = {
    "mean": _mean,
    "mulliken": _mulliken,
    "gfn2": _gfn2,
    "gfn2 scaled": _scaled,
    "averaged": _averaged,
    "fchl19": fchl19.fit,
}


def tables(results: Results, scope: Scope) -> dict[str, list[Row]]:
    """Return ``peers`` (errors) and ``peers-cost``."""
    rows: list[Row] = []
    for n in sizes_of(scope):
        for words, mine in _groups(n, scope):
            row = r.error_row(results, mine)
            if row is not None:
                rows.append({"n": n, "words": words} | row)
    return {
        "peers": rows,
        "peers-networks": _network_rows(results, scope),
        "peers-cost": cost.tables(results, scope, _costs(scope)),
    }


def _network_rows(results: Results, scope: Scope) -> list[Row]:
    """Return what charges gain in networks, paired by draw; dipkit on the same draws beside."""
    rows: list[Row] = []
    for n in sorted(set(NETWORK_SECONDS) & set(sizes_of(scope))):
        draws = range(min(scope.draws, NETWORK_DRAWS))
        ours = [[unit_of(name, n, draw, scope) for draw in draws] for name in OURS[:2]]
        rows += _gain_rows(results, {"network": "dipkit", "n": n}, *ours)
        for name in NETWORKS:
            alone, *others = (
                [peer_unit(name, n, draw, scope, weight) for draw in draws] for weight in WEIGHTS[n]
            )
            for weight, mine in zip(WEIGHTS[n][1:], others, strict=True):
                row = {"network": name, "n": n, "weight": weight}
                rows += _gain_rows(results, row, alone, mine)
    return rows


def _gain_rows(results: Results, row: Row, alone: list[Unit], mine: list[Unit]) -> list[Row]:
    """Return the row of one model with what it gains, over the draws that both have."""
    errors = results.by_draw(mine)
    better, spread, draws = r.gain(errors, known := results.by_draw(alone))
    if not draws:
        return []
    both = [unit for unit in mine if unit.config["draw"] in known and results.of(unit)]
    validation = results.by_draw(both, "validation_mae")
    row |= {"draws": draws, "mae": r.mean_of(results.by_draw(both))[0]}
    row |= {"gain": better, "gain_se": spread, "validation_mae": r.mean_of(validation)[0]}
    return [row | {"commits": r.commits(results, [*alone, *mine])}]


def page(tables_: dict[str, list[Row]]) -> dict[str, str]:
    """Return the passages of the page that hold figures."""
    rows = tables_.get("peers", [])
    if not rows:
        return {}
    passages = {"peers": r.pivot(rows, "words", "n", _cell, "MAE, D (draws)", "N = ")}
    if networks := tables_.get("peers-networks"):
        passages["peers-networks"] = r.markdown(
            ("N", "model", "weight", "draws", "MAE, D", "gain over magnitudes alone, %",
             "error of its validation molecules, D"),
            (
                (
                    f"{row['n']:,}",
                    NETWORKS.get(row["network"], row["network"]),
                    _number(row.get("weight"), "g"),
                    row["draws"],
                    f"{row['mae']:.3f}",
                    r.percent(row["gain"], row["gain_se"]),
                    _number(row.get("validation_mae"), ".3f"),
                )
                for row in networks
            ),
        )  # fmt: skip
    if costs := tables_.get("peers-cost"):
        passages["peers-cost"] = cost.page(costs)
    return passages


def _cell(row: Row) -> str:
    return f"{r.plus_minus(row['mae'], row['mae_se'], 3)} ({row['draws']})"


def _number(value: Any, form: str) -> str:
    """Write a number; nothing where the row has none."""
    return format(value, form) if isinstance(value, int | float) and value == value else ""
