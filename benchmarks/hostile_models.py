"""Load damaged and hostile model files, and measure the time and the memory of each refusal.

    PYTHONPATH=tests python benchmarks/hostile_models.py

A model of 200 bundled molecules is saved. Its file is changed by one bit, cut, and rewritten with
content that no model has, whose checksums are right. `load_model` must refuse each file with a
`FileFormatError`. Each is loaded in a process of its own, a fork without a start of Python, whose
address space may grow by 1 GB; what it takes is its largest resident size less that before. Exits
with 1 if a file was loaded, or took more than 2 s or 1 GB. Linux only.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _common import setting
from helpers.hostile_models import HOSTILE, npy
from helpers.model_files import Members, rewrite

from dipkit import default_model, load_model, save_model
from dipkit.data.datasets import load_organics
from dipkit.estimator.model_archive import UNPACKED_BYTES, UNPACKED_RATIO
from dipkit.exceptions import FileFormatError

MOST_SECONDS = 2.0
MOST_BYTES = 10**9
N_MOLECULES = 200

Change = Callable[[Path], object]


class Load(NamedTuple):
    """What one file did."""

    wrong: str
    seconds: float
    """Processor time."""
    bytes: int


def main() -> None:
    """Print one row for each group of files."""
    options = _options()
    print(setting())
    good = _model()
    print(f"a model of {N_MOLECULES} molecules, {len(good) / 1e6:.1f} MB")
    print(f"{'files':<12} {'number':>7} {'wrong':>6} {'most s':>7} {'most MB':>8}")
    wrong = 0
    for name, changes in _groups(good, options.flipped, options.cut).items():
        with tempfile.TemporaryDirectory() as folder:
            loads = {what: _load(Path(folder), good, change) for what, change in changes}
        bad = {what: load.wrong for what, load in loads.items() if load.wrong}
        seconds = max(load.seconds for load in loads.values())
        size = max(load.bytes for load in loads.values())
        print(f"{name:<12} {len(loads):>7} {len(bad):>6} {seconds:>7.2f} {size / 1e6:>8.1f}")
        for what, why in bad.items():
            print(f"    {what}: {why}")
        wrong += len(bad)
    raise SystemExit(1 if wrong else 0)


def _model() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.dipkit"
        save_model(default_model().fit(load_organics()[:N_MOLECULES]), path)
        return path.read_bytes()


def _groups(good: bytes, n_flipped: int, n_cut: int) -> dict[str, list[tuple[str, Change]]]:
    rng = np.random.default_rng(0)
    flipped = rng.integers(0, 8 * len(good), n_flipped).tolist()
    cuts = rng.integers(1, len(good), n_cut).tolist()
    return {
        "one bit": [(f"bit {bit}", partial(_flip, good, bit)) for bit in flipped],
        "cut": [(f"{size} bytes", partial(_cut, good, size)) for size in cuts],
        "hostile": [*HOSTILE.items(), ("state: zeros", partial(_large_zeros, good))],
    }


def _flip(good: bytes, bit: int, path: Path) -> None:
    changed = bytearray(good)
    changed[bit // 8] ^= 1 << bit % 8
    path.write_bytes(changed)


def _cut(good: bytes, size: int, path: Path) -> None:
    path.write_bytes(good[:size])


def _large_zeros(good: bytes, path: Path) -> None:
    """Write the largest array of zeros that the size of the file allows, under a right header."""
    allowed = UNPACKED_BYTES + UNPACKED_RATIO * len(good)
    n = int(0.95 * allowed) // 8

    def change(members: Members) -> None:
        largest = max(members, key=lambda name: len(members[name]))
        members[largest] = npy((n,), data=bytes(8 * n))

    rewrite(path, change)


def _load(folder: Path, good: bytes, change: Change) -> Load:
    """Make the file, then load it in a child."""
    path = folder / "model.dipkit"
    path.write_bytes(good)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        change(path)
    gc.collect()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_work, args=(path, theirs))
    child.start()
    theirs.close()
    try:
        found: Load = ours.recv()
    except EOFError:
        found = Load("the process died", 0.0, 0)
    child.join()
    if not found.wrong and (found.seconds > MOST_SECONDS or found.bytes > MOST_BYTES):
        return found._replace(wrong=f"{found.seconds:.2f} s, {found.bytes / 1e6:.0f} MB")
    return found


def _work(path: Path, results: Connection) -> None:
    before, start = _peak(), time.process_time()
    limit = _address_space() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        load_model(path)
        wrong = "loaded"
    except FileFormatError as error:
        wrong = "" if len(str(error)) < 2000 else "a long message"
    except BaseException:
        wrong = traceback.format_exc(limit=-1).replace("\n", " ")
    results.send(Load(wrong, time.process_time() - start, _peak() - before))


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flipped", type=int, default=500, help="files with one bit changed")
    parser.add_argument("--cut", type=int, default=100, help="files that end early")
    return parser.parse_args()


if __name__ == "__main__":
    main()
