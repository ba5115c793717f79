"""What a fit costs as the number of molecules doubles, step by step, with the ratios.

    python benchmarks/scaling.py --data qm9.npz --sizes 10000,20000,40000,80000 --inducing 500

Steps: the choice of inducing environments; descriptors with the sums over all molecules, block by
block; the solves, which are counted too; the calibration of the standard deviations. Everything but
the number of molecules stays: environments, and the ridge penalty, whose usual value falls with the
number of molecules and would change the number of iterations. Ratios are those of processor time;
linear cost doubles. Molecules are of the development part; smaller sets are the first of larger.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _common import Stopwatch, clocked, draw, setting
from sklearn.exceptions import ConvergenceWarning

from dipkit import DipoleKernelRidge, InducingBasis, Molecules, SOAPTransformer, read
from dipkit.estimator.defaults import usual_alpha

STEPS = {
    "choose environments": "dipkit.estimator.fit.choose_environments",
    "describe and sum": "dipkit.estimator.fit.gather",
    "solves": "dipkit.estimator.minimum.solve_annealed",
    "calibrate deviations": "dipkit.estimator.minimum.calibrate_std",
}
WHOLE = "whole fit"
Row = dict[str, Any]


def run(train: Molecules, args: argparse.Namespace) -> Row:
    """Fit once and return the time of each step."""
    described = SOAPTransformer(on_demand=True, verbose=False).fit_transform(train)
    alpha = usual_alpha(args.sizes[0])
    ridge = DipoleKernelRidge(
        alpha, basis=InducingBasis(n_inducing=args.inducing), memory_budget=args.memory_budget
    )
    with clocked(*STEPS.values()) as watches, Stopwatch() as whole:
        ridge.fit(described)
    found = dict(zip(STEPS, watches.values(), strict=True)) | {WHOLE: whole}
    print(f"  {len(train)} molecules, {train.n_atoms} atoms: ", end="")
    print(", ".join(f"{step} {watch.processor:.1f} s" for step, watch in found.items()), flush=True)
    return {"size": len(train), "atoms": train.n_atoms, "iterations": ridge.n_iter_, **found}


def table(rows: list[Row]) -> str:
    """Processor seconds, and their ratio to the row above; wall time of the whole."""
    names = [*STEPS, "a solve", WHOLE]
    head = " | ".join(f"{name}, s | ratio" for name in names)
    lines = [f"| molecules | atoms | solves | {head} | by the wall, s |"]
    lines.append("|---" * (4 + 2 * len(names)) + "|")
    before: dict[str, float] = {}
    for row in rows:
        now = {name: row[name].processor for name in (*STEPS, WHOLE)}
        now["a solve"] = now["solves"] / row["iterations"]
        cells = []
        for name in names:
            ratio = f"{now[name] / before[name]:.2f}" if before.get(name) else ""
            cells.append(f"{now[name]:.3g} | {ratio}")
        counts = f"| {row['size']} | {row['atoms']} | {row['iterations']}"
        lines.append(f"{counts} | {' | '.join(cells)} | {row[WHOLE].wall:.1f} |")
        before = now
    return "\n".join(lines)


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    return f"""# Cost over the number of molecules

Made by `benchmarks/scaling.py --data {Path(args.data).name} --sizes \
{",".join(map(str, args.sizes))} --inducing {args.inducing}` on {args.setting}.

One fit for each size, with Mulliken charges, {args.inducing} inducing environments and the same
ridge penalty; descriptors on demand. Processor time of all threads, and its ratio to the row above.
The factors of the matrix, which do not depend on the number of molecules, are in "solves".

{table(rows)}
"""


def main() -> None:
    """Fit all sizes and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--sizes", default="10000,20000,40000,80000")
    parser.add_argument("--inducing", type=int, default=500)
    parser.add_argument("--memory-budget", default=None, help='for example "8GB"')
    parser.add_argument("--output", type=Path, help="folder for scaling.md")
    args = parser.parse_args()
    args.sizes = sorted(int(size) for size in args.sizes.split(","))
    args.setting = setting()  # now: the tree may change while this runs
    warnings.simplefilter("ignore", ConvergenceWarning)
    train, _ = draw(read(args.data), args.sizes[-1], 1, 0, tune=True)
    rows = [run(train[np.arange(size)], args) for size in args.sizes]
    page = report(rows, args)
    print(page)
    if args.output is not None:
        (args.output / "scaling.md").write_text(page)


if __name__ == "__main__":
    main()
