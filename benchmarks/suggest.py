"""Test error over the number of labels: molecules that `suggest_labels` chooses, and random ones.

    python benchmarks/suggest.py --data qm9.npz --sizes 100,200,500,1000 --seeds 5 --output page

Each draw has a pool of molecules, of which the first ones have labels. More labels are then added
in steps, chosen in one of several ways, and after each step the default model is fitted to all
labels so far. All ways have the same pool, first labels and test molecules, drawn as in
`learning_curve.py`. Labelled molecules carry Mulliken charges; the choice does not see those of the
others. The figures of each draw and way are kept in a file of their own in the folder of
`--output`, and are not computed again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _common import draw, setting
from _draws import Row, arguments, made_by, test_part
from sklearn.exceptions import ConvergenceWarning

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer, read
from dipkit.estimator.label_covariance import DipoleRows
from dipkit.estimator.label_problem import LabelProblem
from dipkit.estimator.metrics import error_report

RANDOM, SUGGESTED, UNCERTAIN = "random", "suggested", "least certain"
WHICH = {
    RANDOM: "molecules drawn at random.",
    SUGGESTED: "those that `suggest_labels` chooses with the model of the step before.",
    UNCERTAIN: "those with the largest standard deviations by the model of the step before.",
}


def more_labels(
    way: str, problem: LabelProblem, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose k molecules; return them and the expected errors with 0 to k of their labels."""
    if way == SUGGESTED:
        return problem.choose(k)
    if way == UNCERTAIN:
        chosen = problem.candidates[np.argsort(-problem.std[problem.candidates])[:k]]
    else:
        chosen = rng.choice(problem.candidates, k, replace=False)
    return chosen, problem.expected_errors(chosen)


def follow(
    way: str, molecules: Molecules, rows: DipoleRows, test: Molecules, seed: int, sizes: list[int]
) -> list[Row]:
    """Add labels in steps, and test the model after each."""
    rng, labelled, found = np.random.default_rng(seed), np.arange(sizes[0]), list[Row]()
    expected = np.nan
    for size, following in zip(sizes, [*sizes[1:], None], strict=True):
        known = molecules[labelled]
        model = DipoleKernelRidge().fit(known, known.dipole_magnitude)
        errors = error_report(test.dipole_magnitude, model.predict(test))
        found.append({"seed": seed, "size": size, "way": way, "expected": expected, **errors})
        print(found[-1], flush=True)
        if following is not None:
            problem = LabelProblem.of(model, molecules, labelled, rows)
            chosen, curve = more_labels(way, problem, following - size, rng)
            labelled, expected = np.concatenate([labelled, chosen]), float(curve[-1])
            found[-1]["expected now"] = float(curve[0])
            found[-1]["atoms"] = float(molecules.natoms[chosen].mean())
    return found


def run_draw(
    pool: Molecules, args: argparse.Namespace, seed: int, ways: list[str]
) -> Iterator[list[Row]]:
    """Follow these ways with one draw of molecules."""
    molecules, test = draw(pool, args.pool, args.test, seed, args.tune)
    transformer = SOAPTransformer(on_demand=False, verbose=False).fit(molecules)
    molecules, test = transformer.transform(molecules), transformer.transform(test)
    first = molecules[: args.sizes[0]]
    rows = DipoleRows.of(molecules, DipoleKernelRidge().fit(first, first.dipole_magnitude))
    for way in ways:
        yield follow(way, molecules, rows, test, seed, args.sizes)


def rows_of_draw(pool: Molecules, args: argparse.Namespace, seed: int) -> list[Row]:
    """Figures of one draw, from files where there are any."""
    asked = {"sizes": args.sizes, "pool": args.pool, "test": args.test, "tune": args.tune}
    found, missing = list[Row](), list[str]()
    for way in args.ways:
        file = kept_in(args, seed, way)
        kept = json.loads(file.read_text()) if file is not None and file.exists() else {}
        if kept.get("asked") == asked:
            found += kept["rows"]
        else:
            missing.append(way)
    for way, rows in zip(missing, run_draw(pool, args, seed, missing), strict=False):
        found += rows
        file = kept_in(args, seed, way)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            record = {"asked": asked, "setting": args.setting, "rows": rows}
            file.write_text(json.dumps(record, indent=1))
    return found


def kept_in(args: argparse.Namespace, seed: int, way: str) -> Path | None:
    """Return the file of one draw and way."""
    if args.output is None:
        return None
    folder: Path = args.output
    return folder / f"suggest-{seed}-{way.replace(' ', '-')}.json"


def standard_error(values: np.ndarray) -> float:
    """Compute the standard error of the mean of a few values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def of_draws(rows: list[Row], way: str, size: int, name: str) -> np.ndarray:
    """One figure, draw by draw."""
    mine = [row for row in rows if row["way"] == way and row["size"] == size]
    return np.array([row[name] for row in sorted(mine, key=lambda row: int(row["seed"]))])


def error_table(rows: list[Row], args: argparse.Namespace) -> str:
    """Errors of all ways, and their differences to random molecules within the draws."""
    lines = [
        "| labels | molecules | MAE, D | minus random, D | draws won | median, D | minus random, D "
        "| RMSE, D | minus random, D |",
        "|---" * 9 + "|",
    ]
    for size in args.sizes:
        for way in args.ways if size > args.sizes[0] else [RANDOM]:
            cells = [str(size), way if size > args.sizes[0] else "the first ones"]
            for name in ("mae_debye", "median_debye", "rmse_debye"):
                mine, random = (of_draws(rows, one, size, name) for one in (way, RANDOM))
                less = mine - random
                cells.append(f"{mine.mean():.3f}")
                none = way == RANDOM
                cells.append("" if none else f"{less.mean():+.3f} ± {standard_error(less):.3f}")
                if name == "mae_debye":
                    cells.append("" if none else f"{(less < 0).sum()} of {len(less)}")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def expectation_table(rows: list[Row], args: argparse.Namespace) -> str:
    """Compare what was expected of the error before the labels with the error with them."""
    lines = ["| labels | molecules | expected MAE, D | MAE, D | ratio |", "|---" * 5 + "|"]
    for size in args.sizes[1:]:
        for way in args.ways:
            expected, found = (of_draws(rows, way, size, n) for n in ("expected", "mae_debye"))
            ratios = found / expected
            means = f"{expected.mean():.3f} | {found.mean():.3f}"
            ratio = f"{ratios.mean():.2f} ± {np.std(ratios):.2f}"
            lines.append(f"| {size} | {way} | {means} | {ratio} |")
    return "\n".join(lines)


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    ways = "\n".join(f"- {way}: {WHICH[way]}" for way in args.ways)
    more = f'--pool {args.pool} --ways "{",".join(args.ways)}"'
    made = made_by("suggest", args).replace("--test", f"{more} --test")
    return f"""# Suggested labels and random ones

{made}

Each of {args.seeds} draws has {args.pool} molecules, {args.sizes[0]} of them with a label at first,
and {args.test} test molecules from {test_part(args)}. Labels are added in
steps, one for each number of labels in the table, and after each step the default model is fitted
to all labels so far, with the Mulliken charges of the labelled molecules.

{ways}

Differences are taken within each draw; ± is the standard error of their mean.

{error_table(rows, args)}

The error to expect was computed before the labels of the step were known. ± is the standard
deviation of the ratio over the draws.

{expectation_table(rows, args)}
"""


def main() -> None:
    """Run all draws and write the results."""
    parser = arguments(__doc__, "100,200,500,1000")
    parser.set_defaults(seeds=5)
    parser.add_argument("--pool", type=int, default=4100, help="molecules of each draw")
    parser.add_argument("--draws", help="only these, such as 0,3")
    parser.add_argument("--ways", default=f"{RANDOM},{SUGGESTED},{UNCERTAIN}")
    args = parser.parse_args()
    args.ways = args.ways.split(",")
    args.sizes = [int(size) for size in args.sizes.split(",")]
    args.setting = setting()
    warnings.simplefilter("ignore", ConvergenceWarning)
    pool = read(args.data)
    draws = [*range(args.seeds)] if args.draws is None else [*map(int, args.draws.split(","))]
    rows = [row for seed in draws for row in rows_of_draw(pool, args, seed)]
    first = kept_in(args, draws[0], args.ways[0])
    if first is not None:  # the page states the commit of the figures, not that of the page
        args.setting = json.loads(first.read_text())["setting"]
    page = report(rows, args)
    if args.output is not None and args.draws is None:
        (args.output / "suggest.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
