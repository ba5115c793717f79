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
new = read(sys.argv[1])[np.load(sys.argv[3])]
model = default_model(**json.loads(sys.argv[4]))
start = time.perf_counter(), time.process_time()
model.fit(molecules)
seconds = time.perf_counter() - start[0], time.process_time() - start[1]
error = float(np.abs(model.predict(new) - new.dipole_magnitude).mean())
print(json.dumps([*seconds, error]))
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


def _run(line: list[str], folder: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        line, check=True, capture_output=True, text=True, cwd=folder, env=os.environ | environment
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


class Fitted(NamedTuple):
    """Seconds of a fit by the wall and of the processor, and its error for other molecules."""

    wall: float
    processor: float
    error: float


def fits_against(
    data: Path,
    train: np.ndarray,
    new: np.ndarray,
    fits: list[tuple[Path, dict[str, Any]]],
    n_turns: int,
) -> None:
    """Compare fits to the same molecules by several checkouts, in turns.

    Each fit is a process of its own, descriptors included, with the usual number of threads.

    Parameters
    ----------
    data : Path
        File of molecules.
    train, new : ndarray of int
        Molecules to fit, and others for the error.
    fits : list of (Path, dict)
        Checkouts, and parameters of their default model.
    n_turns : int
    """
    found: list[list[Fitted]] = [[] for _ in fits]
    with TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("train.npy", "new.npy")]
        for file, index in zip(files, (train, new), strict=True):
            np.save(file, index)
        for _ in range(n_turns):
            for (checkout, parameters), results in zip(fits, found, strict=True):
                line = [
                    sys.executable,
                    "-c",
                    FIT,
                    str(data.resolve()),
                    *map(str, files),
                    json.dumps(parameters),
                ]
                # Its folder is the working one, since Python looks there first.
                results.append(Fitted(*json.loads(_run(line, checkout))))
    print(
        f"\nfit to {len(train)} molecules by each checkout, {count_threads()} threads, best of "
        f"{n_turns}: seconds, processor seconds; MAE of {len(new)} others"
    )
    first: Fitted | None = None
    for (checkout, parameters), results in zip(fits, found, strict=True):
        best = Fitted(*(min(values) for values in zip(*results, strict=True)))
        first = first or best
        print(
            f"{checkout.name} {parameters or ''}\n    {best.wall:7.1f} {best.processor:7.1f}  "
            f"ratios {best.wall / first.wall:5.2f} {best.processor / first.processor:5.2f}; "
            f"{best.error:.4f} D"
        )
