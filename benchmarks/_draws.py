"""What benchmarks over several draws of molecules share: their arguments, the loop, the files."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import draw, setting
from sklearn.exceptions import ConvergenceWarning

from dipkit import Molecules, SOAPTransformer, read

Row = dict[str, Any]


def arguments(description: str, sizes: str, can_tune: bool = True) -> argparse.ArgumentParser:
    """Make the parser of the arguments that these benchmarks have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--sizes", default=sizes)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=1000, help="test molecules of each seed")
    parser.add_argument("--output", type=Path, help="folder for the page and its figures")
    if can_tune:
        parser.add_argument("--tune", action="store_true", help="leave the test part alone")
    else:
        parser.set_defaults(tune=True)
    return parser


def made_by(script: str, args: argparse.Namespace) -> str:
    """Say how a page was made."""
    sizes = ",".join(map(str, args.sizes))
    return (
        f"Made by `benchmarks/{script}.py --data {Path(args.data).name} --sizes {sizes} "
        f"--seeds {args.seeds} --test {args.test}` on {args.setting}."
    )


def test_part(args: argparse.Namespace) -> str:
    """Say where the test molecules come from."""
    return "a validation part of the development molecules" if args.tune else "the test part"


def described_draw(
    pool: Molecules, args: argparse.Namespace, seed: int, **soap: Any
) -> tuple[Molecules, Molecules]:
    """Draw training molecules for the largest size, and test molecules; describe both."""
    train, test = draw(pool, max(args.sizes), args.test, seed, args.tune)
    transformer = SOAPTransformer(on_demand=False, verbose=False, **soap).fit(train)
    return transformer.transform(train), transformer.transform(test)


def run_seeds(
    script: str,
    args: argparse.Namespace,
    run_seed: Callable[[Molecules, argparse.Namespace, int], list[Row]],
    report: Callable[[list[Row], argparse.Namespace], str],
) -> None:
    """Run all draws and write the page and the figures behind it."""
    args.sizes = [int(size) for size in args.sizes.split(",")]
    args.setting = setting()  # now: the tree may change while this runs
    warnings.simplefilter("ignore", ConvergenceWarning)
    pool = read(args.data)
    rows: list[Row] = []
    for seed in range(args.seeds):
        print(f"seed {seed}", flush=True)
        rows += run_seed(pool, args, seed)
        # After every seed: a run that is broken off leaves what it has.
        if args.output is not None:
            args.output.mkdir(parents=True, exist_ok=True)
            (args.output / f"{script}.md").write_text(report(rows, args))
            record = {"setting": args.setting, "rows": rows}
            (args.output / f"{script}.json").write_text(json.dumps(record, indent=1))
    print(report(rows, args))
