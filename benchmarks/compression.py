"""Errors, columns and times of compressed descriptors against those of all radial functions.

    python benchmarks/compression.py --data qm9.npz --sizes 200,1000 --seeds 3 --test 500

Each scheme keeps the channels above a share of the trace (`channel_learning.py`), one share for
scales with a large weight and one for the others; "dscribe" has all radial functions, and the
columns of dscribe. Errors are those of validation molecules of the development part, each draw
compared with "dscribe" on the same molecules. Processor seconds of one core.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from unittest import mock

import numpy as np
from _common import draw, setting
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer, read
from dipkit.descriptors import channel_learning

# Shares of the trace below which channels are left out: scales of large and of small weight.
SCHEMES: dict[str, tuple[float, float] | None] = {
    "dscribe": None,
    "default": (channel_learning.TOLERANCE, channel_learning.SMALL_TOLERANCE),
    "coarse": (1e-3, channel_learning.SMALL_TOLERANCE),
    "coarse small": (channel_learning.TOLERANCE, 3e-2),
    "fine small": (channel_learning.TOLERANCE, 1e-3),
    "fine": (2e-6, 1e-3),
    "all channels": (0.0, 0.0),
}


@dataclass
class Outcome:
    """What one scheme gave for one draw.

    Parameters
    ----------
    widths, used : list of int
        Columns of each scale; mean number that are not zero for an atom.
    error : float, debye
    fit, predict : float
        Processor seconds of a fit; microseconds of a prediction for each atom, descriptors
        included.
    """

    widths: list[int]
    used: list[int]
    error: float
    fit: float
    predict: float


def run(train: Molecules, test: Molecules, shares: tuple[float, float] | None) -> Outcome:
    """Fit to the training molecules and predict the others."""
    start = time.process_time()
    compression = None if shares is None else "auto"
    large, small = shares or (0.0, 0.0)
    with (
        threadpool_limits(1),
        mock.patch.object(channel_learning, "TOLERANCE", large),
        mock.patch.object(channel_learning, "SMALL_TOLERANCE", small),
    ):
        soap = SOAPTransformer(n_jobs=1, on_demand=False, compression=compression, verbose=False)
        ridge = DipoleKernelRidge().fit(soap.fit_transform(train))
        fitted = time.process_time()
        described = soap.transform(test)
        predicted = ridge.predict(described)
        end = time.process_time()
    assert described.features is not None
    used = [int((scale != 0).sum(axis=1).mean()) for scale in described.features.scales]
    error = float(np.abs(predicted - test.dipole_magnitude).mean())
    per_atom = 1e6 * (end - fitted) / test.n_atoms
    return Outcome(list(soap.widths_), used, error, fitted - start, per_atom)


def table(found: dict[str, list[Outcome]]) -> str:
    """Rows of all schemes, means over the draws."""
    head = (
        f"{'scheme':<13} {'columns':<17} {'not zero':<16} {'MAE, D':>7} {'to dscribe':>15} "
        f"{'fit, s':>7} {'us/atom':>8}"
    )
    lines, usual = [head], np.array([one.error for one in found["dscribe"]])
    for name, outcomes in found.items():
        ratio = np.array([one.error for one in outcomes]) / usual - 1
        spread = ratio.std(ddof=1) / len(ratio) ** 0.5 if len(ratio) > 1 else np.nan
        means = [np.mean([getattr(one, what) for one in outcomes]) for what in ("fit", "predict")]
        columns, used = (
            "/".join(map(str, part)) for part in (outcomes[0].widths, outcomes[0].used)
        )
        lines.append(
            f"{name:<13} {columns:<17} {used:<16} {np.mean([o.error for o in outcomes]):7.4f} "
            f"{100 * ratio.mean():+6.1f} +-{100 * spread:4.1f} % {means[0]:7.1f} {means[1]:8.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Print one table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--sizes", default="200,1000", help="training molecules")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=500, help="validation molecules")
    parser.add_argument("--schemes", default=";".join(SCHEMES), help="some of them, after ;")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(setting())
    pool = read(args.data)
    names = ["dscribe", *(name for name in args.schemes.split(";") if name != "dscribe")]
    for size in map(int, args.sizes.split(",")):
        found: dict[str, list[Outcome]] = {name: [] for name in names}
        for seed in range(args.seeds):
            train, test = draw(pool, size, args.test, seed, tune=True)
            for name in names:
                found[name].append(run(train, test, SCHEMES[name]))
                print(f"{size} {seed} {name} {found[name][-1]}", flush=True)
        print(f"\n{size} training molecules, {args.test} validation molecules, {args.seeds} draws")
        print(table(found), flush=True)


if __name__ == "__main__":
    main()
