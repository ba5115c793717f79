"""How often true magnitudes lie within the predicted standard deviations, on QM9.

    python benchmarks/uncertainty.py --data qm9.npz --sizes 200,1000 --seeds 3

Coverage is the share of test molecules whose error is at most one standard deviation (68 % wanted)
and at most 1.96 of them (95 % wanted). Molecules are drawn as in `learning_curve.py`; with
`--tune` the test part is not used. The last columns show whether a large standard deviation means
a large error, and the time that standard deviations cost. A second table is for molecules unlike
those of training: molecules with nitrogen, predicted by a model that had nitrogen in one training
molecule only.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _common import Stopwatch, clocked
from _draws import Row, arguments, described_draw, made_by, run_seeds, test_part
from scipy.stats import spearmanr

from dipkit import DipoleKernelRidge, Molecules

WIDTHS = {"within 1 std, %": 1.0, "within 1.96 std, %": 1.96}
NITROGEN, FLUORINE = 7, 9


def timed_fit(train: Molecules) -> tuple[DipoleKernelRidge, float, float]:
    """Fit; return the seconds in all and those spent on the standard deviations."""
    with clocked("dipkit.estimator.minimum.calibrate_std") as watches, Stopwatch() as whole:
        model = DipoleKernelRidge().fit(train, train.dipole_magnitude)
    return model, whole.wall, watches["calibrate_std"].wall


def figures(model: DipoleKernelRidge, test: Molecules) -> Row:
    """Coverage, correlation and the cost of prediction."""
    start = time.perf_counter()
    model.predict(test)
    plain = time.perf_counter() - start
    start = time.perf_counter()
    magnitude, std = model.predict(test, return_std=True)
    cost = (time.perf_counter() - start) / plain
    error = np.abs(magnitude - test.dipole_magnitude)
    row: Row = {name: 100 * float(np.mean(error <= w * std)) for name, w in WIDTHS.items()}
    thirds = np.array_split(error[np.argsort(std)], 3)
    return row | {
        "MAE, D": float(error.mean()),
        "mean std, D": float(std.mean()),
        "rank correlation": float(spearmanr(std, error)[0]),
        "MAE of the surest third, D": float(thirds[0].mean()),
        "MAE of the least sure third, D": float(thirds[-1].mean()),
        "prediction, times": cost,
    }


def holders(molecules: Molecules, number: int) -> np.ndarray:
    """Return the indices of the molecules that hold an element."""
    return np.unique(molecules.molecule_index[molecules.numbers == number])


def strangers(train: Molecules, test: Molecules) -> Row:
    """Compare a model that has seen nitrogen with one that saw it in a single molecule."""
    rare = np.setdiff1d(np.arange(len(train)), holders(train, NITROGEN)[1:])
    tested = test[np.setdiff1d(holders(test, NITROGEN), holders(test, FLUORINE))]
    row: Row = {"molecules": len(rare)}
    # As many molecules on both sides; the first of the draw hold every element.
    for name, part in (("seen", train[: len(rare)]), ("unseen", train[rare])):
        found = figures(timed_fit(part)[0], tested)
        row |= {f"{key}: {name}": found[key] for key in ("mean std, D", "MAE, D", *WIDTHS)}
    return row


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[Row]:
    """Fit and test at all sizes, for one draw of molecules."""
    train, test = described_draw(pool, args, seed)
    rows = []
    for size in args.sizes:
        for charges in (True, False):
            part = train[:size] if charges else train[:size].replace(charges=None)
            model, seconds, spent = timed_fit(part)
            row = {"seed": seed, "train": size, "charges": "yes" if charges else "no"}
            row |= figures(model, test) | {"fit, %": 100 * spent / (seconds - spent)}
            if charges:
                row["nitrogen"] = strangers(part, test)
            rows.append(row)
            print(row, flush=True)
    return rows


def table(rows: list[Row], args: argparse.Namespace) -> str:
    """Means over the seeds, with their standard deviations for the coverages."""
    names = [
        *WIDTHS,
        "MAE, D",
        "mean std, D",
        "rank correlation",
        "MAE of the surest third, D",
        "MAE of the least sure third, D",
        "fit, %",
        "prediction, times",
    ]
    lines = [f"| train | charges | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for size in args.sizes:
        for charges in ("yes", "no"):
            mine = [r for r in rows if r["train"] == size and r["charges"] == charges]
            cells = []
            for name in names:
                values = [row[name] for row in mine]
                digits = 1 if "%" in name else 2 if "times" in name else 3
                cell = f"{np.mean(values):.{digits}f}"
                cells.append(cell + (f" ± {np.std(values):.1f}" if name in WIDTHS else ""))
            lines.append(f"| {size} | {charges} | {' | '.join(cells)} |")
    return "\n".join(lines)


def novelty(rows: list[Row]) -> str:
    """Molecules with nitrogen, by models that have and have not seen it."""
    mine = [row for row in rows if "nitrogen" in row]
    names = list(mine[0]["nitrogen"])
    lines = [f"| train | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for size in dict.fromkeys(row["train"] for row in mine):
        found = [row["nitrogen"] for row in mine if row["train"] == size]
        means = [np.mean([one[name] for one in found]) for name in names]
        cells = [
            f"{mean:.{3 if ' D' in name else 0}f}" for mean, name in zip(means, names, strict=True)
        ]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    return f"""# Coverage of the standard deviations

{made_by("uncertainty", args)}

Means over {args.seeds} draws of training molecules and of {args.test} molecules from
{test_part(args)}; ± is the standard deviation over the draws. "charges" says whether the
training molecules carried Mulliken charges. "fit" is what the standard deviations add to the time
of `fit`, "prediction" how many times as long prediction takes with them as without, descriptors
left out.

{table(rows, args)}

Molecules unlike those of training: test molecules that hold nitrogen, predicted by a model that has
seen it as often as it occurs ("seen"), and by one that saw it in one molecule ("unseen"); the few
that hold fluorine as well are left out. Both are trained on the same number of molecules, that of
those in the draw without nitrogen.

{novelty(rows)}
"""


def main() -> None:
    """Run all seeds and write the results."""
    run_seeds("uncertainty", arguments(__doc__, "200,1000").parse_args(), run_seed, report)


if __name__ == "__main__":
    main()
