"""Whether dipoles of single atoms, beside their charges, lower the error.

    python benchmarks/atomic_dipoles.py --data qm9.npz --scales 0.01,0.03 --seeds 5

Fits of the same draws with `atomic_dipoles` off, at each scale, and off with as many more inducing
environments as atomic dipoles add columns: what columns of the usual kind would give. Cases are
N:M:baseline, M "auto" for the usual number. The test part of the data is not touched
(`_common.draw` with ``tune=True``), unless ``--final`` asks for it.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _common import draw, setting
from sklearn.exceptions import ConvergenceWarning

from dipkit import Molecules, SOAPTransformer, default_model, read
from dipkit.descriptors.scales import baseline_scales
from dipkit.learning.atomic_dipoles import SHARE

Row = dict[str, Any]


def run(train: Molecules, test: Molecules, case: Row, scales: list[float]) -> list[Row]:
    """Errors of all models of one draw."""
    # A small draw may lack an element.
    known = [set(one.numbers) <= set(train.elements) for one in test]
    test = test[np.flatnonzero(known)]
    soap = SOAPTransformer(None if case["baseline"] == "none" else baseline_scales())
    train, test = soap.fit_transform(train), soap.transform(test)
    usual = case["M"] or int(min(100 * np.sqrt(len(train)), train.n_atoms))
    variants = [("charges alone", usual, 0.0)]
    variants += [(f"s = {scale:g}", usual, scale) for scale in scales]
    more = 1 + SHARE * len(train.elements)
    variants.append((f"{more:g} times the environments", int(more * usual), 0.0))
    rows = []
    for name, n_inducing, scale in variants:
        parameters = {"basis__n_inducing": n_inducing, "basis__atomic_dipoles": scale}
        model = default_model(baseline=case["baseline"], **parameters)[-1]
        predicted, std = model.fit(train).predict(test, return_std=True)
        error = np.abs(predicted - test.dipole_magnitude)
        within = [float(np.nanmean(error <= width * std)) for width in (1.0, 1.96)]
        rows.append(case | {"name": name, "mae": float(np.nanmean(error)), "within": within})
    return rows


def table(rows: list[Row]) -> str:
    """One case: means over the draws, and the paired change against charges alone."""
    usual = np.array([row["mae"] for row in rows if row["name"] == "charges alone"])
    lines = [
        "| atomic dipoles | MAE, D | change, % | within 1 and 1.96 standard deviations, % |",
        "|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        errors = np.array([row["mae"] for row in mine])
        change = 100 * (errors / usual - 1)
        spread = f" ± {change.std(ddof=1):.1f}" if len(change) > 1 else ""
        one, two = 100 * np.mean([row["within"] for row in mine], axis=0)
        lines.append(
            f"| {name} | {errors.mean():.4f} | {change.mean():+.1f}{spread} | "
            f"{one:.0f}, {two:.0f} |"
        )
    return "\n".join(lines)


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    parts = []
    for size, n_inducing, baseline in dict.fromkeys(
        (row["N"], row["M"], row["baseline"]) for row in rows
    ):
        mine = [r for r in rows if (r["N"], r["M"], r["baseline"]) == (size, n_inducing, baseline)]
        model = "" if baseline == "none" else ", a model that corrects GFN2-xTB"
        environments = f"{n_inducing:,}" if n_inducing else "the usual number of"
        parts.append(f"N = {size:,}, {environments} inducing environments{model}:\n\n{table(mine)}")
    final = " --final" if args.final else ""
    where = (
        "molecules of the test part"
        if args.final
        else "*validation* molecules, both from the development part of QM9"
    )
    return f"""# Atomic dipoles

Made by `benchmarks/atomic_dipoles.py --data {Path(args.data).name} --cases {args.cases} \
--scales {args.scales} --seeds {args.seeds} --test {args.test}{final}` on {args.setting}.

Means over draws ({args.seeds}) of training molecules and {args.test:,} {where}; the change is
paired, its mean and standard deviation over the draws. s is the value of `atomic_dipoles`. The last
row of a table has the same number of additional columns, for charges.

{(chr(10) * 2).join(parts)}
"""


def main() -> None:
    """Run all cases and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--cases", default="200:auto:none,1000:auto:none,1000:auto:gfn2")
    parser.add_argument("--scales", default="0.01,0.03")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--final", action="store_true", help="molecules of the test part")
    parser.add_argument("--output", type=Path, help="folder for atomic_dipoles.md")
    args = parser.parse_args()
    args.setting = setting()  # now: the tree may change while this runs
    warnings.simplefilter("ignore", ConvergenceWarning)
    pool, rows = read(args.data), []
    scales = [float(scale) for scale in args.scales.split(",")]
    for seed in range(args.seeds):
        for case in args.cases.split(","):
            size, n_inducing, baseline = case.split(":")
            train, test = draw(pool, int(size), args.test, seed, tune=not args.final)
            m = 0 if n_inducing == "auto" else int(n_inducing)
            for row in run(train, test, {"N": int(size), "M": m, "baseline": baseline}, scales):
                rows.append(row)
                print(f"  {seed} {case} {row['name']:<28} {row['mae']:.4f}", flush=True)
    page = report(rows, args)
    print(page)
    if args.output is not None:
        (args.output / "atomic_dipoles.md").write_text(page)


if __name__ == "__main__":
    main()
