"""Test error of models that correct a cheap calculation, over the number of training molecules.

    python benchmarks/baseline.py --data qm9.npz --cache gfn2.npz --sizes 200,1000,5000 --seeds 3

Draws are those of `learning_curve.py` for the same largest size, so that its rows are without the
baseline what these are with it; `--largest` keeps to them where only smaller sizes are fitted.
The methods of the baseline are run once for each molecule and kept in the file named by `--cache`;
models get them from there (`baseline="given"`), which changes no number. `--second none` leaves
IPEA1-xTB out (another cache is needed). With `--tune` the test molecules come from the
development part, for comparing settings.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _common import draw, setting

from dipkit import GFN2Baseline, Molecules, default_model, read, write
from dipkit.estimator.metrics import error_report

ALONE = "baseline"
SCALED = "baseline times one fitted factor"
CORRECTED = "dipkit, corrects the baseline"
FIGURES = {"MAE": "mae_debye", "median": "median_debye", "95 %": "p95_debye", "RMSE": "rmse_debye"}

Row = dict[str, Any]


FIELDS = ("baseline_dipole", "baseline_charges", "descriptor_charges")


def with_baseline(molecules: Molecules, cache: Path, baseline: GFN2Baseline) -> Molecules:
    """Put the baseline on the molecules, from the cache or calculated and kept there."""
    known = read(cache) if cache.exists() else molecules[:0]
    place = {name: index for index, name in enumerate(known.names.tolist())}
    new = np.flatnonzero([name not in place for name in molecules.names.tolist()])
    if len(new):
        start = time.perf_counter()
        added = baseline.attach(molecules[new])
        print(f"xTB for {len(new)} molecules in {time.perf_counter() - start:.0f} s")
        known = Molecules.concatenate([known, added]) if len(known) else added
        write(cache, known)
        place = {name: index for index, name in enumerate(known.names.tolist())}
    found = known[[place[name] for name in molecules.names.tolist()]]
    return molecules.replace(**{name: getattr(found, name) for name in FIELDS})


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[Row]:
    """Fit and test at all sizes; the training sets of a seed are nested."""
    train, test = draw(pool, args.largest, args.test, seed, args.tune)
    train = train[: max(args.sizes)]
    # The names of the pool are unique, so that one file serves all seeds.
    baseline = GFN2Baseline(second_method=None if args.second == "none" else args.second)
    everything = with_baseline(Molecules.concatenate([train, test]), args.cache, baseline)
    everything = everything.replace(charges=None)
    soap, ridge = default_model(baseline="given", **args.settings)
    start = time.perf_counter()
    described = soap.fit_transform(everything)
    print(f"seed {seed}: {len(described)} molecules in {time.perf_counter() - start:.0f} s")
    train, test = described[: len(train)], described[len(train) :]
    rows = []

    def add(size: int, model: str, magnitudes: Any, seconds: float = np.nan) -> None:
        report = error_report(test.dipole_magnitude, magnitudes)
        rows.append({"seed": seed, "size": size, "model": model, "seconds": seconds, **report})
        print(f"  {size:6d}  {model:<36} {report['mae_debye']:.4f} D  {seconds:6.1f} s")

    bare = np.linalg.norm(test.baseline_dipole, axis=1)
    for size in args.sizes:
        start = time.perf_counter()
        ridge.fit(train[:size])
        predicted = ridge.predict(test)
        add(size, ALONE, bare)
        add(size, SCALED, ridge.baseline_factor_ * bare)
        add(size, CORRECTED, predicted, time.perf_counter() - start)
    return rows


def table(rows: list[Row], sizes: list[int]) -> str:
    """Means over the seeds, with the standard deviation of the MAE, as a Markdown table."""
    lines = [
        "| train | model | MAE, D | median, D | 95 %, D | RMSE, D | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        for name in (ALONE, SCALED, CORRECTED):
            mine = [row for row in rows if (row["size"], row["model"]) == (size, name)]
            means = [np.mean([row[key] for row in mine]) for key in FIGURES.values()]
            spread = np.std([row["mae_debye"] for row in mine])
            cells = [f"{means[0]:.4f} ± {spread:.4f}", *(f"{value:.4f}" for value in means[1:])]
            seconds = np.mean([row["seconds"] for row in mine])
            last = "" if np.isnan(seconds) else f"{seconds:.0f}"
            lines.append(f"| {size:,} | {name} | {' | '.join(cells)} | {last} |")
    return "\n".join(lines)


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    part = "a validation part of the development molecules" if args.tune else "the test part"
    seeds = len({row["seed"] for row in rows})
    changed = f" Settings other than the defaults: `{args.settings}`." if args.settings else ""
    return f"""# Correcting a cheap calculation

Made by `benchmarks/baseline.py --data {Path(args.data).name} --cache {args.cache.name} --sizes \
{",".join(map(str, args.sizes))} --seeds {args.seeds}` on {args.setting}.

Means over {seeds} draws (± standard deviation of the MAE over the draws) of training molecules and
of {args.test} test molecules from {part}. The [study](../study.md) has the same model with and
without a baseline. Training is on scalar magnitudes alone, without charges. Seconds are those of
fit and prediction, without descriptors and xTB. Second method: {args.second}.{changed}

{table(rows, args.sizes)}
"""


def main() -> None:
    """Run all seeds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--cache", required=True, type=Path, help="file for the baseline, .npz")
    parser.add_argument("--second", default="ipea1", help="second method: ipea1 or none")
    parser.add_argument("--sizes", default="200,1000,5000")
    parser.add_argument("--largest", type=int, default=5000, help="training molecules drawn")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=1000, help="test molecules of each seed")
    parser.add_argument("--tune", action="store_true", help="leave the test part alone")
    parser.add_argument("--settings", default="{}", help="parameters, as a Python dictionary")
    parser.add_argument("--output", type=Path, help="file for the page, Markdown")
    args = parser.parse_args()
    args.sizes = [int(size) for size in args.sizes.split(",")]
    args.settings = ast.literal_eval(args.settings)
    # Now: the tree may change while this runs.
    args.setting = f"{setting()}, tblite {version('tblite')}"
    warnings.simplefilter("ignore")
    sys.stdout.reconfigure(line_buffering=True)
    pool = read(args.data)
    rows: list[Row] = []
    for seed in range(args.seeds):
        rows += run_seed(pool, args, seed)
        # After every seed: a run that is broken off leaves what it has.
        if args.output is not None:
            args.output.write_text(report(rows, args))
    print(report(rows, args))


if __name__ == "__main__":
    main()
