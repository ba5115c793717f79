"""Units of work, and the loop that runs those that have no result yet.

A unit is one configuration of one experiment on one draw of molecules, independent of all others.
Its key is made of its content, of the defaults of dipkit and of the data: what was calculated with
other defaults is not taken for a result. Commit, versions and machine stand beside each result. The
files are in `store.py`.
"""

from __future__ import annotations

import importlib
import os
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from _common import commit, processor
from threadpoolctl import threadpool_limits

from dipkit.descriptors.scales import default_scales
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.estimator import auxiliary, defaults
from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.learning import inducing
from dipkit.support.backend import get_backend
from dipkit.support.json_values import plain

from .material import Material
from .store import Record, Store, key_of

# Modules of the experiments. ``run_NAME(material, config)`` returns figures and arrays, and
# ``prepare_NAME(material, config)`` calculates the cheap labels that this needs.
EXPERIMENTS = {
    "qm9": "study.models",
    "peer": "study.peers",
    "larger": "study.transfer",
    "diverse": "study.transfer",
    "kinds": "study.kinds",
    "bundled": "study.limits",
    "cost": "study.cost",
    "xtb": "study.cost",
    "page": "study.pages",
}
# Training molecules up to which all workers on a GPU take a unit.
ORDINARY_SIZE = 8000
# Parameters of the machine, which change no result.
OF_MACHINE = {"device", "n_jobs", "memory", "memory_budget", "on_demand", "verbose"}
PACKAGES = ("dipkit", "numpy", "scipy", "scikit-learn", "tblite", "rdkit", "qmllib",
            "hippynn", "schnetpack", "torch", "cupy", "cupy-cuda13x")  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """One configuration on one draw.

    Parameters
    ----------
    experiment : str
        One of `EXPERIMENTS`.
    config : dict
        All that the result depends on, in what JSON can hold, with ``draw`` and ``n`` at least.
    tier : int
        Units of lower tiers run first.
    needs : str, default=None
        A package without which this unit is left out.
    of_dipkit : bool, default=True
        Whether the result depends on the defaults of dipkit.
    """

    experiment: str
    config: dict[str, Any] = field(hash=False)
    tier: int = 0
    needs: str | None = None
    of_dipkit: bool = True

    def key(self, ground: dict[str, Any]) -> str:
        """Name this unit; `ground` is what it shares with all others."""
        shared = ground if self.of_dipkit else {"data": ground["data"]}
        return key_of({"experiment": self.experiment, "config": plain(self.config)} | shared)

    @property
    def n_molecules(self) -> int:
        """Training molecules, with those that have no label."""
        return int(self.config["n"]) + int(self.config.get("more", 0))

    @property
    def order(self) -> tuple[Any, ...]:
        """Place among the units: by tier, then draw by draw, small sizes first."""
        config = self.config
        return self.tier, config["draw"], config.get("scales") == "baseline", config["n"]

    def __str__(self) -> str:
        """One line."""
        config = {name: value for name, value in self.config.items() if value not in (None, {}, [])}
        return f"{self.experiment} " + " ".join(f"{name}={value}" for name, value in config.items())


def ground_of(data: str) -> dict[str, Any]:
    """Return what all results depend on: the data, and the defaults of dipkit.

    Parameters
    ----------
    data : str
        Checksum of the data.
    """
    soap = {
        name: value
        for name, value in SOAPTransformer().get_params().items()
        if name not in OF_MACHINE
    }
    ridge = {
        name: value
        for name, value in DipoleKernelRidge().get_params(deep=True).items()
        if name not in OF_MACHINE
    }
    kinds = float | int | dict | tuple
    numbers = {
        name: value
        for module in (defaults, auxiliary)
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, kinds)
    }
    numbers["environments"] = [inducing.HYDROGEN_SHARE, inducing.CANDIDATES_PER_ENVIRONMENT]
    scales = [scale.get_params() for scale in default_scales()]
    return {"data": data, "defaults": plain([scales, soap, ridge, numbers])}


@dataclass(frozen=True)
class Worker:
    """One process, and which units it takes in which order.

    Parameters
    ----------
    device : {"cpu", "cuda"}, default="cpu"
    most : int, default=None
        Molecules of a unit at most.
    order : {"importance", "small", "large"}, default="importance"
        Which units come first. Those of a large worker are the large ones in the order of their
        size, then all others.
    memory : float, default=None
        Gibibytes of a GPU that its pool may hold.
    """

    device: str = "cpu"
    most: int | None = None
    order: str = "importance"
    memory: float | None = None

    def choose(self, units: dict[str, Unit]) -> dict[str, Unit]:
        """Return the units that this worker takes, in its order."""
        mine = [
            (key, unit)
            for key, unit in units.items()
            if self.most is None or unit.n_molecules <= self.most
        ]
        if self.order == "small":
            mine.sort(key=lambda pair: pair[1].n_molecules)
        if self.order == "large":
            mine.sort(key=lambda pair: -max(pair[1].n_molecules, ORDINARY_SIZE))
        return dict(mine)


def made_by(device: str) -> dict[str, str]:
    """Say where a result comes from: commit, versions, machine, date."""
    name_of_device = device if device == "cpu" else get_backend(device).device_name
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "commit": os.environ.get("DIPKIT_COMMIT") or commit(),
        "machine": processor(),
        "device": name_of_device,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def is_done(key: str, records: dict[str, Record], retry: bool) -> bool:
    """Whether a unit has a result; with `retry` a failure is none."""
    record = records.get(key)
    return record is not None and ("result" in record or not retry)


def sort_units(units: Iterable[Unit], ground: dict[str, Any]) -> dict[str, Unit]:
    """Return the units by key, each once, in the order in which they run."""
    return {unit.key(ground): unit for unit in sorted(units, key=lambda unit: unit.order)}


def function_of(unit: Unit, verb: str) -> Callable[[Material, dict[str, Any]], Any]:
    """Return the function "run" or "prepare" of the experiment of a unit."""
    module = importlib.import_module(EXPERIMENTS[unit.experiment])
    found: Callable[[Material, dict[str, Any]], Any]
    found = getattr(module, f"{verb}_{unit.experiment}")
    return found


def _processor_time() -> float:
    """Return the processor seconds of this process and of those that it started."""
    return sum(os.times()[:4])


def run_unit(unit: Unit, material: Material) -> tuple[Record, dict[str, Any]]:
    """Run one unit; what goes wrong becomes a record with the reason."""
    start = _processor_time(), time.perf_counter()
    record: Record = {"experiment": unit.experiment, "config": unit.config}
    arrays: dict[str, Any] = {}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # Fewer environments, because others use the memory: no result of this configuration.
            warnings.filterwarnings("error", message="n_inducing: the")
            record["result"], arrays = function_of(unit, "run")(material, unit.config)
        record["warnings"] = sorted({str(warning.message)[:300] for warning in caught})
    except Exception as error:  # one unit that fails must not end the others
        record["error"] = f"{type(error).__name__}: {error}"[:500]
        traceback.print_exc()
    record["seconds"] = {
        "processor": round(_processor_time() - start[0], 2),
        "wall": round(time.perf_counter() - start[1], 2),
    }
    return record, arrays


def work(
    units: dict[str, Unit],
    store: Store,
    material: Material,
    made: dict[str, str],
    until: float = float("inf"),
    retry: bool = False,
) -> int:
    """Run all units that have no result and that no other process works on.

    Parameters
    ----------
    units : dict
        By key, in the order in which they run.
    store : Store
    material : Material
    made : dict
        Kept beside each result.
    until : float, default=inf
        No unit starts after this time (`time.time`).
    retry : bool, default=False
        Whether to run units again that failed before this call.

    Returns
    -------
    int
        Units run here.
    """
    n_run = 0
    old = {key for key, record in store.records().items() if retry and "error" in record}
    for key, unit in units.items():
        if time.time() > until:
            break
        if is_done(key, store.records(), key in old):
            continue
        with store.claim(key) as mine:
            # Another process may have finished it since.
            if not mine or is_done(key, store.records(), key in old):
                continue
            record, arrays = run_unit(unit, material)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            store.write({"key": key} | record | {"made": made | {"date": now}}, arrays)
            n_run += 1
            print(_outcome(record, unit), flush=True)
    return n_run


def _outcome(record: Record, unit: Unit) -> str:
    """Return one line for a terminal."""
    found = record.get("error", "done")
    if "mae" in record.get("result", {}):
        found = f"{record['result']['mae']:.4f} D"
    return f"{record['seconds']['wall']:8.1f} s  {found}  {unit}"


def run_all(
    units: dict[str, Unit],
    store: Store,
    material: Material,
    workers: Sequence[Worker] = (Worker(),),
    until: float = float("inf"),
    retry: bool = False,
) -> None:
    """Run what has no result, one process for each worker.

    Parameters
    ----------
    units, store, material, until, retry
        As in `work`.
    workers : sequence of Worker
        A single one on the processor is this process; several have one thread each.
    """
    units, left_out = installed(units)
    for package, count in left_out.items():
        print(f"{count} units are left out: {package} is not installed.")
    if len(workers) == 1 and workers[0].device == "cpu":
        mine = workers[0].choose(units)
        work(mine, store, material, made_by("cpu"), until, retry)
        return
    context = get_context("spawn")
    processes = [
        context.Process(
            target=_work_alone, args=(units, store.folder, material, worker, until, retry)
        )
        for worker in workers
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()


def installed(units: dict[str, Unit]) -> tuple[dict[str, Unit], Counter[str]]:
    """Return the units whose packages are there, and how many lack each package."""
    needed = {unit.needs for unit in units.values() if unit.needs is not None}
    missing = {name for name in needed if find_spec(name) is None}
    found = {key: unit for key, unit in units.items() if unit.needs not in missing}
    return found, Counter(str(unit.needs) for unit in units.values() if unit.needs in missing)


def _work_alone(
    units: dict[str, Unit],
    folder: Path,
    material: Material,
    worker: Worker,
    until: float,
    retry: bool,
) -> None:
    """Do the work of one of several processes."""
    if worker.memory is not None:
        os.environ["CUPY_GPU_MEMORY_LIMIT"] = str(round(worker.memory * 2**30))
    mine, made = worker.choose(units), made_by(worker.device)
    material = Material(material.data, material.cache, worker.device)
    with threadpool_limits(1):
        work(mine, Store(folder), material, made, until, retry)
        # What failed may have lacked memory that others had.
        work(mine, Store(folder), material, made, until, retry=True)
