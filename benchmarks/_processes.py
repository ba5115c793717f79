"""Whole processes for `efficiency.py`: predictions from file to file, fits by two checkouts."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from ase.io import write as write_frames
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from dipkit import Molecules, load_model, save_model, to_atoms
from dipkit.cli.prediction_files import stream_predictions
from dipkit.data.read_files import PART_MOLECULES, read_parts
from dipkit.estimator.pipeline import predict_parts
from dipkit.support.blas_threads import count_threads

FIT = """
import json, sys, time
import numpy as np
from dipkit import default_model, read
molecules = read(sys.argv[1])[np.load(sys.argv[2])]
start = time.perf_counter(), time.process_time()
default_model().fit(molecules)
print(json.dumps([time.perf_counter() - start[0], time.process_time() - start[1]]))
"""


class Seconds(NamedTuple):
    """Time of one call, by the wall and of the processor, of all threads and processes."""

    wall: float
    processor: float


def timed(function: Callable[[], Any]) -> Seconds:
    """Time one call and the processes that it starts and waits for."""
    start = time.perf_counter(), _processor()
    function()
    return Seconds(time.perf_counter() - start[0], _processor() - start[1])


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def file_to_file(model: Pipeline, new: Molecules, n_turns: int) -> None:
    """Compare ``dipkit predict`` with the same call on molecules that are in memory.

    The command takes besides: the start of Python, imports, the model, reading and writing. The two
    are called in turns, so that what slows the machine down for a while meets both; ratios are
    medians over the turns. Wall time is with the usual number of threads, processor time with one.
    """
    with TemporaryDirectory() as folder:
        saved, geometries, table = (Path(folder) / name for name in ("m.dipkit", "x.xyz", "y.csv"))
        save_model(model, saved)
        write_frames(geometries, to_atoms(new), format="extxyz")
        print(f"\nmodel file: {saved.stat().st_size / 1e6:.1f} MB; {len(new)} molecules")
        _parts(model, saved, geometries, table)
        line = [sys.executable, "-m", "dipkit", "predict", *map(str, (saved, geometries)), "-o"]
        for option, std in (("--no-std", False), ("--std", True)):
            turns = [
                _turn(lambda: model.predict(new, return_std=std), [*line, str(table), option])  # noqa: B023
                for _ in range(n_turns)
            ]
            _say(option, turns)


def _parts(model: Pipeline, saved: Path, geometries: Path, table: Path) -> None:
    """Print the processor time of the parts of the command that a process can repeat."""
    ready = list(predict_parts(model, geometries, return_std=True))
    parts: dict[str, Callable[[], Any]] = {
        "load": lambda: load_model(saved),
        "read": lambda: list(read_parts(geometries, PART_MOLECULES)),
        "write": lambda: stream_predictions(table, ready, "a model"),
    }
    found = {name: min(timed(part).processor for _ in range(3)) for name, part in parts.items()}
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items()))


def _turn(bare: Callable[[], Any], line: list[str]) -> dict[str, Seconds]:
    with threadpool_limits(1):
        alone = timed(bare)
    return {
        "bare": timed(bare),
        "command": timed(lambda: _run(line)),
        "bare, one thread": alone,
        "command, one thread": timed(lambda: _run(line, OMP_NUM_THREADS="1")),
    }


def _run(line: list[str], **environment: str) -> str:
    done = subprocess.run(
        line, check=True, capture_output=True, text=True, env=os.environ | environment
    )
    return done.stdout


def _say(option: str, turns: list[dict[str, Seconds]]) -> None:
    wall = [turn["command"].wall / turn["bare"].wall for turn in turns]
    processor = [
        turn["command, one thread"].processor / turn["bare, one thread"].processor for turn in turns
    ]
    middle = {name: statistics.median(turn[name].wall for turn in turns) for name in turns[0]}
    print(
        f"dipkit predict {option:<8} of the same call: wall {statistics.median(wall):.2f} with "
        f"{count_threads()} threads ({min(wall):.2f} to {max(wall):.2f}; "
        f"{middle['command']:.2f} and {middle['bare']:.2f} s); processor time "
        f"{statistics.median(processor):.2f} with one ({min(processor):.2f} to "
        f"{max(processor):.2f})"
    )


def fits_against(data: str, index: np.ndarray, checkouts: list[Path], n_turns: int) -> None:
    """Compare fits of the default model to the same molecules by several checkouts, in turns.

    Each fit is a process of its own, descriptors included, with the usual number of threads.
    """
    found: dict[Path, list[Seconds]] = {checkout: [] for checkout in checkouts}
    with TemporaryDirectory() as folder:
        chosen = Path(folder) / "index.npy"
        np.save(chosen, index)
        for _ in range(n_turns):
            for checkout, seconds in found.items():
                line = [sys.executable, "-c", FIT, data, str(chosen)]
                seconds.append(Seconds(*json.loads(_run(line, PYTHONPATH=str(checkout)))))
    print(
        f"\nfit to {len(index)} molecules by each checkout, {count_threads()} threads, best of "
        f"{n_turns}: seconds, processor seconds"
    )
    first: Seconds | None = None
    for checkout, seconds in found.items():
        best = Seconds(min(s.wall for s in seconds), min(s.processor for s in seconds))
        first = first or best
        print(
            f"{checkout.name:<22} {best.wall:7.1f} {best.processor:7.1f}  "
            f"ratios {best.wall / first.wall:5.2f} {best.processor / first.processor:5.2f}"
        )
