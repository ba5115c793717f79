"""Fit all of a large set within a memory budget: seconds by step, peak memory, test error.

    python benchmarks/whole_pool.py --data qm9.npz --inducing 2000 --memory-budget 8GB

All molecules are trained on but the `--test` ones, from the test part, over which the error is
taken. `--molecules N` trains on N of the development part instead: try it with 3000 first.
Descriptors are computed block by block and never held.
"""

from __future__ import annotations

import argparse
import logging
import time
from itertools import pairwise

import numpy as np
from _common import PeakMemory, parts, setting

from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer, read
from dipkit.estimator.metrics import error_report


def main() -> None:
    """Fit, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--molecules", type=int, default=None, help="default: all")
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--inducing", type=int, default=2000)
    parser.add_argument("--memory-budget", default="8GB")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)9.0f ms  %(message)s")
    print(setting())
    marks = [time.perf_counter()]
    pool = read(args.data)
    development, test = parts(pool)
    everything = np.concatenate([development, test[args.test :]])
    chosen = everything if args.molecules is None else development[: args.molecules]
    train, held_out = pool[np.sort(chosen)], pool[test[: args.test]]
    marks.append(time.perf_counter())
    soap = SOAPTransformer(on_demand=True)
    ridge = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=args.inducing), memory_budget=args.memory_budget
    )
    with PeakMemory() as peak:
        ridge.fit(soap.fit_transform(train))
    marks.append(time.perf_counter())
    predicted = ridge.predict(soap.transform(held_out))
    marks.append(time.perf_counter())
    names = ("read", "describe and fit", "describe and predict")
    for name, (start, stop) in zip(names, pairwise(marks), strict=True):
        print(f"{name:<22} {stop - start:8.1f} s")
    print(f"{len(train)} molecules, {train.n_atoms} atoms, {ridge.n_iter_} iterations")
    print(f"memory plan {ridge.memory_plan_}")
    print(f"peak memory of fit {peak.gb:.2f} GB, of this process and its workers together")
    print(f"MAE {error_report(held_out.dipole_magnitude, predicted)['mae_debye']:.4f} D")


if __name__ == "__main__":
    main()
