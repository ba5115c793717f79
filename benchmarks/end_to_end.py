"""The main job from file to file: read, describe, fit, predict; seconds and peak memory.

    python benchmarks/end_to_end.py --data qm9.npz --train 1000 --predict 1000

Training molecules come from the development part of the data, the others from the test part.
Peak memory is that of this process and of the largest of its workers.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from _common import draw, setting

from dipkit import default_model, predict_all, read, write
from dipkit.estimator.metrics import error_report


def peak_gib(who: int) -> float:
    """Largest resident size so far."""
    return resource.getrusage(who).ru_maxrss / 2**20


def main() -> None:
    """Run the steps and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--predict", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = draw(read(args.data), args.train, args.predict, args.seed, tune=False)
        files = [Path(folder) / name for name in ("train.xyz", "new.xyz")]
        for file, molecules in zip(files, parts, strict=True):
            write(file, molecules)
        reference = parts[1].dipole_magnitude
        del parts
        marks = [time.perf_counter()]
        train, new = read(files[0]), read(files[1])
        marks.append(time.perf_counter())
        model = default_model()
        described = model[0].fit_transform(train)
        marks.append(time.perf_counter())
        model[-1].fit(described)
        del described
        marks.append(time.perf_counter())
        prediction = predict_all(model, new)
        marks.append(time.perf_counter())
    steps = [b - a for a, b in pairwise(marks)]
    names = ("read both", "describe", "fit", "describe and predict")
    print(setting())
    for name, seconds in zip(names, steps, strict=True):
        print(f"{name:<22} {seconds:7.1f} s")
    print(f"{'all':<22} {sum(steps):7.1f} s")
    print(f"peak memory {peak_gib(resource.RUSAGE_SELF):.2f} GiB, largest worker ", end="")
    print(f"{peak_gib(resource.RUSAGE_CHILDREN):.2f} GiB")
    print(f"MAE {error_report(reference, prediction.magnitude)['mae_debye']:.4f} D")


if __name__ == "__main__":
    main()
