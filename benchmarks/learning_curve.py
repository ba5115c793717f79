"""Test error over the number of training molecules, for dipkit and what one would do without it.

    python benchmarks/learning_curve.py --data qm9.npz --sizes 100,200,500,1000 --seeds 3

Training molecules come from the development part of the data (four fifths), test molecules from
the test part (one fifth), on which no default was ever chosen; see `_common.parts`. With `--tune`
both come from the development part, for comparing settings.
"""

from __future__ import annotations

import argparse
import ast
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _draws import Row, arguments, described_draw, made_by, run_seeds, test_part

from dipkit import DipoleKernelRidge, Molecules
from dipkit.estimator.metrics import error_report
from dipkit.estimator.reference_models import AveragedSOAPRidge, charge_dipoles, mean_predictor

MEAN = "mean of the training molecules"
AVERAGED = "kernel ridge on averaged SOAP"
MULLIKEN = "abs(sum q r) of the Mulliken charges"
RANDOM = "dipkit, no charges, random start, no annealing"
BARE = "dipkit, no charges"
CHARGES = "dipkit, with charges"
FIGURES = {"MAE": "mae_debye", "median": "median_debye", "95 %": "p95_debye", "RMSE": "rmse_debye"}


def models(settings: dict[str, Any], seed: int) -> dict[str, Callable[[Molecules, Molecules], Any]]:
    """Each model as a function from training and test molecules to predicted magnitudes."""

    def fitted(model: Any, with_charges: bool = False) -> Callable[[Molecules, Molecules], Any]:
        def predict(train: Molecules, test: Molecules) -> Any:
            known = train if with_charges else train.replace(charges=None)
            return model.fit(known, train.dipole_magnitude).predict(test)

        return predict

    random = DipoleKernelRidge().set_params(
        start="random", solver__annealing=(), random_state=seed, **settings
    )
    return {
        MEAN: fitted(mean_predictor()),
        AVERAGED: fitted(AveragedSOAPRidge()),
        MULLIKEN: lambda _, test: np.linalg.norm(charge_dipoles(test), axis=1),
        RANDOM: fitted(random),
        BARE: fitted(DipoleKernelRidge().set_params(**settings)),
        CHARGES: fitted(DipoleKernelRidge().set_params(**settings), with_charges=True),
    }


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[Row]:
    """Fit and test all models at all sizes; the training sets of a seed are nested."""
    start = time.perf_counter()
    train, test = described_draw(pool, args, seed)
    seconds = time.perf_counter() - start
    print(f"  {len(train) + len(test)} molecules described in {seconds:.0f} s")
    rows = []
    for size in args.sizes:
        for name, predict in models(args.settings, seed).items():
            if args.models and name not in args.models:
                continue
            start = time.perf_counter()
            report = error_report(test.dipole_magnitude, predict(train[:size], test))
            seconds = time.perf_counter() - start
            rows.append({"seed": seed, "size": size, "model": name, "seconds": seconds, **report})
            print(f"  {size:6d}  {name:<48} {report['mae_debye']:.4f} D  {seconds:6.1f} s")
    return rows


def table(rows: list[Row], args: argparse.Namespace) -> str:
    """Means over the seeds, with the standard deviation of the MAE, as a Markdown table."""
    lines = [
        "| train | model | MAE, D | median, D | 95 %, D | RMSE, D | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in args.sizes:
        for name in models({}, 0):
            mine = [row for row in rows if row["size"] == size and row["model"] == name]
            if not mine:
                continue
            means = [np.mean([row[key] for row in mine]) for key in FIGURES.values()]
            spread = np.std([row["mae_debye"] for row in mine])
            cells = [f"{means[0]:.3f} ± {spread:.3f}", *(f"{value:.3f}" for value in means[1:])]
            seconds = np.mean([row["seconds"] for row in mine])
            lines.append(f"| {size} | {name} | {' | '.join(cells)} | {seconds:.1f} |")
    return "\n".join(lines)


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    changed = f" Settings other than the defaults: `{args.settings}`." if args.settings else ""
    return f"""# Learning curve on QM9

{made_by("learning_curve", args)}

Means over {args.seeds} seeds (± standard deviation of the MAE over the seeds); each seed draws its
training molecules, and {args.test} test molecules from {test_part(args)}; the first
molecule drawn of each element goes to the front, so that the smallest set knows all elements. All
models learn from the scalar magnitudes alone, those with charges also from the Mulliken charges of
the training molecules.
Seconds are those of fit and prediction without the descriptors, which all share.{changed}

{table(rows, args)}

A start from random charges is shown without annealing, as an ordinary optimiser would run; its
spread is that of the minima it ends in.
"""


def main() -> None:
    """Run all seeds and write the results."""
    parser = arguments(__doc__, "100,200,500,1000,2000,5000")
    parser.add_argument("--models", nargs="*", help="rows to compute; all by default")
    parser.add_argument("--settings", default="{}", help="parameters, as a Python dictionary")
    args = parser.parse_args()
    args.settings = ast.literal_eval(args.settings)
    run_seeds("learning_curve", args, run_seed, report)


if __name__ == "__main__":
    main()
