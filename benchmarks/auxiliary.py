"""What auxiliary dipoles are worth: cheap vectors of labelled and of unlabelled molecules.

    python benchmarks/auxiliary.py --data qm9.npz --sizes 200,1000 --unlabelled 0,1000 --seeds 3

A draw has magnitudes on its first N molecules, and charges (Mulliken, from QM9) or GFN2-xTB dipoles
on these and on so many further molecules without a label. Predictions see geometries alone. Models
of one draw are compared in pairs with the default model, which has the charges of the N molecules
for its start. With ``--tune`` the test part of the data is left alone. ``--device cuda`` fits and
predicts on a GPU, and then gives wall time in place of processor time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _common import draw
from _draws import Row, arguments, made_by, run_seeds, test_part

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer
from dipkit.quantum import gfn2

KINDS = ("none", "charges", "gfn2")


def blank(molecules: Molecules) -> Molecules:
    """Return the molecules without their magnitudes, and with their descriptors."""
    return molecules.replace(dipole_magnitude=None, features=molecules.features)


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[Row]:
    """Fit all models of one draw."""
    n_all = max(args.sizes) + max(args.unlabelled)
    train, test = draw(pool, n_all, args.test, seed, args.tune)
    on_demand = n_all > 4000 or args.device == "cuda"
    soap = SOAPTransformer(verbose=False, on_demand=on_demand).fit(train)
    clock = time.perf_counter if args.device == "cuda" else time.process_time
    found = gfn2(train, args.jobs)
    train = train.replace(baseline_dipole=0.89 * found.dipole)
    train, test = soap.transform(train), soap.transform(test)
    rows: list[Row] = []
    for size in args.sizes:
        for n_more in args.unlabelled:
            labelled, more = train[:size], blank(train[size : size + n_more])
            molecules = Molecules.concatenate([labelled, more]) if n_more else labelled
            for kind in KINDS if n_more == 0 else KINDS[1:]:
                model = model_of(kind, args.device)
                start = clock()
                model.fit(molecules)
                seconds = clock() - start
                magnitudes, std = model.predict(test, return_std=True)
                error = np.abs(magnitudes - test.dipole_magnitude)
                row = {"size": size, "more": n_more, "kind": kind, "seed": seed}
                row |= {"mae": float(error.mean()), "p95": float(np.quantile(error, 0.95))}
                row |= {
                    "one": float((error < std).mean()),
                    "two": float((error < 1.96 * std).mean()),
                }
                rows.append(row | {"seconds": seconds})
                print(f"  {row}", flush=True)
    return rows


def model_of(kind: str, device: str) -> DipoleKernelRidge:
    """Return the default model with auxiliary dipoles of a kind."""
    if kind != "gfn2":
        return DipoleKernelRidge(device=device, auxiliary=kind)
    # Calculated once for all fits of a draw: the molecules carry them, with the errors of GFN2-xTB.
    model = DipoleKernelRidge(device=device, auxiliary="given")
    return model.set_params(auxiliary__discrepancy=0.01, auxiliary__noise=0.17)


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page."""
    more = ",".join(map(str, args.unlabelled))
    where = "" if args.device == "cpu" else f" --device {args.device}"
    lines = [
        "# Unlabelled molecules",
        "",
        made_by("auxiliary", args).replace(" --seeds", f"{where} --unlabelled {more} --seeds"),
        "",
        f"Magnitudes of N molecules of QM9; {args.test} test molecules of each of "
        f"{len({row['seed'] for row in rows})} draws, from {test_part(args)}. Predictions see "
        "geometries alone. Every model starts from the Mulliken charges of its molecules; the "
        "auxiliary dipoles are the dipoles of these charges, or those of GFN2-xTB times 0.89. "
        "Differences to the first row of each N are taken draw by draw; ± is their standard error. "
        "Coverage is the share of errors within 1 and 1.96 standard deviations.",
        "",
        "| N | unlabelled | auxiliary dipoles | draws | MAE, D | against none, D "
        "| 95th percentile, D | coverage, % "
        f"| {'wall' if args.device == 'cuda' else 'processor'} s of fit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size in args.sizes:
        for n_more in args.unlabelled:
            for kind in KINDS:
                mine = [
                    r for r in rows if (r["size"], r["more"], r["kind"]) == (size, n_more, kind)
                ]
                if mine:
                    lines.append(_line(mine, rows))
    return "\n".join(lines) + "\n"


def _line(mine: list[Row], rows: list[Row]) -> str:
    first = mine[0]
    none = {r["seed"]: r["mae"] for r in rows if (r["size"], r["kind"]) == (first["size"], "none")}
    off = np.array([r["mae"] - none[r["seed"]] for r in mine])
    spread = f" ± {off.std(ddof=1) / np.sqrt(len(off)):.4f}" if len(off) > 1 else ""
    difference = "" if first["kind"] == "none" else f"{off.mean():+.4f}{spread}"

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in mine]))

    seconds = mean("seconds") if "seconds" in first else float("nan")
    return (
        f"| {first['size']} | {first['more']} | {first['kind']} | {len(mine)} "
        f"| {mean('mae'):.4f} | {difference} "
        f"| {mean('p95'):.3f} | {100 * mean('one'):.0f} / {100 * mean('two'):.0f} "
        f"| {seconds:.1f} |"
    )


def main() -> None:
    """Read the arguments and run."""
    parser = arguments(__doc__ or "", sizes="200,1000")
    parser.add_argument("--unlabelled", default="0", help="molecules without a label besides")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--jobs", type=int, default=-1, help="processes of GFN2-xTB")
    args = parser.parse_args()
    args.unlabelled = [int(number) for number in args.unlabelled.split(",")]
    run_seeds("auxiliary", args, run_seed, report)


if __name__ == "__main__":
    main()
