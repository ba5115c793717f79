"""How many linear solves the reweighted iterations take to come near the minimum of J.

    python benchmarks/iterations.py --data qm9.npz --size 1000 --seeds 3

Near means within a relative 1e-6: (J - J_min) / J_min <= 1e-6, with J_min found by running on until
one more iteration would lower J by less than 1e-12 of it. Molecules are of the development part.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _common import draw, setting
from sklearn.exceptions import ConvergenceWarning

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer, read

NEAR = 1e-6
TO_THE_END = 1e-12
# Runs that end this close, relatively, have found the same minimum: the lower J is that of both.
SAME = 1e-4
WAYS: dict[str, dict[str, Any]] = {
    "annealing, accelerated (default)": {},
    "annealing, plain iterations": {"solver__memory": 0},
    "no annealing, accelerated": {"solver__annealing": ()},
    "no annealing, plain iterations": {"solver__annealing": (), "solver__memory": 0},
}
Row = dict[str, Any]


def run(name: str, train: Molecules, most: int) -> Row:
    """Fit to the end and keep the history of the last stage."""
    model = (
        DipoleKernelRidge()
        .set_params(solver__tol=TO_THE_END, solver__max_iter=most, **WAYS[name])
        .fit(train)
    )
    # The last solve of a converged stage only shows that it has converged.
    last = len(model.history_) - 1 + model.converged_
    return {
        "name": name,
        "history": model.history_,
        "stages": model.n_iter_ - last,
        "last": last,
        "converged": model.converged_,
    }


def near(row: Row, rows: list[Row]) -> Row:
    """Count the solves until J is near its minimum: the lowest of converged runs that end there."""
    end = row["history"][-1]
    ends = np.array([other["history"][-1] for other in rows if other["converged"]])
    ends = ends[np.abs(ends - end) <= SAME * end]
    if not len(ends):  # stopped far from any minimum that is known
        return row | {"J": end, "near": None}
    reached = row["history"] <= (1 + NEAR) * ends.min()
    return row | {"J": ends.min(), "near": int(reached.argmax()) if reached.any() else None}


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[Row]:
    """All ways, with and without charges, for one draw of molecules."""
    train, _ = draw(pool, args.size, 1, seed, tune=True)
    described = SOAPTransformer(on_demand=False, verbose=False).fit_transform(train)
    rows: list[Row] = []
    for charges in ("yes", "no"):
        part = described if charges == "yes" else described.replace(charges=None)
        found = [run(name, part, args.most) for name in WAYS]
        for row in (near(row, found) for row in found):
            rows.append(row | {"seed": seed, "charges": charges})
            print(f"  {seed} {charges:<4}{row['name']:<34} stages {row['stages']:4d}, "
                  f"near after {row['near']} of {row['last']}, J {row['J']:.9f}, "
                  f"converged {row['converged']}", flush=True)  # fmt: skip
    return rows


def solves(row: Row, found: int | None, before: int = 0) -> str:
    """Write a count, or what it is more than."""
    return f"> {row['last'] + before}" if found is None else str(found + before)


def table(rows: list[Row]) -> str:
    """Solves of every draw, side by side."""
    head = "stages before | last stage, to 1e-6 | together | to the end | J, D²"
    lines = [f"| charges | iterations | {head} |", "|---" * 7 + "|"]
    for charges, name in dict.fromkeys((row["charges"], row["name"]) for row in rows):
        mine = [row for row in rows if (row["charges"], row["name"]) == (charges, name)]
        known = [row["near"] is not None for row in mine]
        cells = [
            [str(row["stages"]) for row in mine],
            [
                str(row["near"]) if ok else f"> {row['last']}"
                for row, ok in zip(mine, known, strict=True)
            ],
            [
                str(row["stages"] + row["near"]) if ok else "-"
                for row, ok in zip(mine, known, strict=True)
            ],
            [str(row["last"]) if row["converged"] else f"> {row['last']}" for row in mine],
            [f"{row['J']:.7f}" for row in mine],
        ]
        joined = " | ".join(", ".join(cell) for cell in cells)
        lines.append(f"| {charges} | {name} | {joined} |")
    return "\n".join(lines)


def summary(rows: list[Row], name: str) -> str:
    """Say how many solves a way needed in all, over draws and with and without charges."""
    mine = [row for row in rows if row["name"] == name]
    found = [row["stages"] + row["near"] for row in mine if row["near"] is not None]
    beyond = f"; {len(mine) - len(found)} did not come near" if len(found) < len(mine) else ""
    spread = (
        f"{min(found)} to {max(found)} solves, {np.mean(found):.0f} in the mean" if found else ""
    )
    return f"- {name}: {spread}{beyond}"


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    return f"""# Solves to the minimum

Made by `benchmarks/iterations.py --data {Path(args.data).name} --size {args.size} --seeds \
{args.seeds}` on {args.setting}.

Linear solves, one in each iteration, until J is within a relative 1e-6 of its minimum, for
{args.seeds} draws of {args.size} molecules from the development part of QM9, defaults otherwise.
The minimum is J where one more iteration would lower it by less than a relative 1e-12 ("to the
end"; not more than {args.most} iterations were made). Annealing first solves under stronger
penalties: those solves, and those of the last stage, at `alpha` itself, are counted apart and
together. Runs of one draw whose J differ at the end have found different minima; each is compared
with its own. "charges" says whether the molecules carried Mulliken charges.

{table(rows)}

In all, over the {len({row["seed"] for row in rows})} draws with and without charges:

{chr(10).join(summary(rows, name) for name in WAYS)}
"""


def main() -> None:
    """Run all draws and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=1000, help="iterations at most")
    parser.add_argument("--output", type=Path, help="folder for iterations.md")
    args = parser.parse_args()
    args.setting = setting()  # now: the tree may change while this runs
    warnings.simplefilter("ignore", ConvergenceWarning)
    pool = read(args.data)
    rows = [row for seed in range(args.seeds) for row in run_seed(pool, args, seed)]
    page = report(rows, args)
    print(page)
    if args.output is not None:
        (args.output / "iterations.md").write_text(page)


if __name__ == "__main__":
    main()
