"""Figure 5, second part: processor time and memory of models at one size, each in a new process.

A new process, because memory that an earlier fit gave back may still be held by its process. Memory
is the largest resident set while molecules are described, fitted and predicted, less that before:
interpreter, libraries and the pool of molecules are not counted.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from _common import PeakMemory
from threadpoolctl import threadpool_limits

from dipkit.support.system_memory import process_memory

from . import cheap
from .material import Material
from .results import Results, Row, commits, markdown
from .runner import Unit, function_of
from .scope import Scope

N, DRAW = 1000, 0
# Epochs of a network: enough for its memory and for the time of a prediction.
EPOCHS = 2
SECONDS_A_LOOK = 0.02
# Molecules by which the time of a cheap method is measured.
N_XTB = 200


@dataclass(frozen=True)
class Model:
    """A model whose cost is measured.

    Parameters
    ----------
    words : str
    whole : Unit
        What was fitted to the end.
    measured : Unit
        What is run again for its cost.
    methods : tuple of {"gfn2", "ipea1"}
        Cheap methods that training molecules need, read from the cache in these runs.
    predicts_with : bool
        Whether a prediction needs the methods as well.
    """

    words: str
    whole: Unit
    measured: Unit
    methods: tuple[str, ...] = ()
    predicts_with: bool = False


def xtb_unit(method: str) -> Unit:
    """Return the unit that measures a cheap method."""
    config = {"n": N_XTB, "draw": DRAW, "method": method}
    return Unit("xtb", config, 5, "tblite", of_dipkit=False)


def run_xtb(material: Material, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a cheap method on molecules, whatever the cache holds."""
    molecules = material.pool[material.labelled(config["draw"], config["n"])]
    calculate = {"gfn2": cheap.gfn2, "ipea1": cheap.ipea1}[config["method"]]
    calculate(molecules[:1])  # imports what it needs
    with threadpool_limits(1):
        start = time.process_time()
        calculate(molecules)
        seconds = time.process_time() - start
    return {"ms": 1000 * seconds / len(molecules)}, {}


def prepare_xtb(material: Material, config: dict[str, Any]) -> None:
    """Calculate nothing: the calculation is what is measured."""


def cost_unit(of: Unit) -> Unit:
    """Return the unit that runs another one in a new process."""
    config = {"n": of.config["n"], "draw": of.config["draw"]}
    inner = {"experiment": of.experiment, "config": of.config}
    return Unit("cost", config | {"of": inner}, 5, of.needs, of.of_dipkit)


def run_cost(material: Material, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a unit in a new process with one thread, on the processor."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(_measure, material.data, material.cache, config["of"]).result()
    return found, {}


def prepare_cost(material: Material, config: dict[str, Any]) -> None:
    """Calculate the cheap labels of the unit within."""
    unit = Unit(config["of"]["experiment"], config["of"]["config"])
    function_of(unit, "prepare")(material, unit.config)


def _measure(data: Path, cache: Path, of: dict[str, Any]) -> dict[str, Any]:
    material = Material(data, cache)
    unit = Unit(of["experiment"], of["config"])
    function_of(unit, "prepare")(material, unit.config)
    material.test(unit.config["draw"], unit.config["n_test"])
    before = process_memory()
    peak = PeakMemory(lambda: (process_memory() - before) / 1e9, SECONDS_A_LOOK)
    with threadpool_limits(1), peak:
        start = time.process_time()
        figures, _ = function_of(unit, "run")(material, unit.config)
        everything = time.process_time() - start
    predicting = figures["predict_ms"] * unit.config["n_test"] / 1000
    kept = {name: figures[name] for name in ("mae", "fit_seconds", "predict_ms")}
    described = everything - figures["fit_seconds"] - predicting
    return kept | {"described_seconds": described, "memory_gb": peak.gb}


def tables(results: Results, scope: Scope, models: list[Model]) -> list[Row]:
    """Return time and memory of models, with the time of the cheap methods that they need."""
    rows: list[Row] = []
    shared = scope.n_test + N
    for model in models:
        words, whole, measured = model.words, model.whole, model.measured
        record, full = results.of(cost_unit(measured)), results.of(whole)
        cheap_ms = _milliseconds(results, model.methods)
        if cheap_ms is None:
            continue
        if record is None and not (full is not None and _is_short(measured)):
            continue
        row: Row = {"n": N, "words": words}
        if record is not None:
            found = record["result"]
            # Descriptors of training and test molecules were made together: so much for each.
            each = found["described_seconds"] / shared
            predicting = found["predict_ms"] + 1000 * each
            row |= {"predict_ms": predicting + cheap_ms * model.predicts_with}
            row |= {"memory_gb": found["memory_gb"], "machine": record["made"]["machine"]}
            if not _is_short(measured):
                row["fit_seconds"] = found["fit_seconds"] + N * (each + cheap_ms / 1000)
                row["xtb_ms"] = cheap_ms
        if full is not None and _is_short(measured):
            row["fit_seconds"] = full["result"]["fit_seconds"]
            on_card = full["made"]["device"] != "cpu"
            row["clock"] = f"wall, {full['made']['device']}" if on_card else "processor"
        # The times of a row come from these.
        behind = [cost_unit(measured), *map(xtb_unit, model.methods)]
        row["commits"] = commits(results, [*behind, whole] if _is_short(measured) else behind)
        rows.append(row)
    return rows


def _milliseconds(results: Results, methods: tuple[str, ...]) -> float | None:
    """Return the processor time of cheap methods for one molecule; None if one was not run."""
    records = [results.of(xtb_unit(method)) for method in methods]
    if not all(records):
        return None
    return float(sum(record["result"]["ms"] for record in records if record))


def _is_short(measured: Unit) -> bool:
    """Whether a network was trained for a few epochs only."""
    return "epochs" in measured.config


def page(rows: list[Row]) -> str:
    """Return the table of the page."""

    def number(row: Row, name: str, digits: int) -> str:
        value = row.get(name)
        return f"{value:.{digits}f}" if isinstance(value, int | float) and value == value else ""

    return markdown(
        (f"N = {N:,}", "training, s", "clock", "one prediction, ms", "memory, GB"),
        (
            (
                row["words"],
                number(row, "fit_seconds", 1),
                row["clock"] if isinstance(row.get("clock"), str) else "processor",
                number(row, "predict_ms", 2),
                number(row, "memory_gb", 2),
            )
            for row in rows
        ),
    )
