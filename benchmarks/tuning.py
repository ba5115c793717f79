"""What a search finds on QM9: tuned against untuned, and the optimism of its score.

    python benchmarks/tuning.py search --data qm9.npz --sizes 200,1000 --output docs/benchmarks

`search` runs a study for each size and seed, with `--workers` processes of one thread each on one
SQLite file; an interrupted run goes on where it was. Training molecules come from the development
part of the data. Test molecules come from its test part and are looked at once, after the
search; `--tune` takes them from the development part as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import draw, setting

from dipkit import DipoleSearchCV, Molecules, default_model, read

N_TEST = 1000


def searched(
    train: Molecules, storage: Path, trials: int, seed: int | None = None, **settings: Any
) -> Any:
    """Run a study, or go on with it."""
    search = DipoleSearchCV(
        default_model(device="cpu"),
        n_trials=trials,
        storage=storage,
        random_state=seed,
        **settings,
    )
    return search.fit(train)


def work(arguments: argparse.Namespace) -> None:
    """Take part in one study: what a worker process does."""
    n, seed = arguments.sizes[0], arguments.seeds
    train, _ = draw(arguments.molecules, n, N_TEST, seed, arguments.tune)
    searched(train, arguments.study, arguments.trials, arguments.worker, refit=False, guard=None)


def start_workers(arguments: argparse.Namespace, n: int, seed: int, study: Path) -> None:
    """Run the worker processes of a study until all have ended."""
    common = [
        sys.executable, __file__, "work", "--data", arguments.data, "--sizes", str(n),
        "--seeds", str(seed), "--trials", str(arguments.trials), "--study", str(study),
        *(["--tune"] if arguments.tune else []),
    ]  # fmt: skip
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    workers = []
    for worker in range(arguments.workers):
        command = [*common, "--worker", str(1000 * seed + worker)]
        workers.append(subprocess.Popen(command, env=os.environ | threads))
        time.sleep(5)  # the first one makes the study
    for process in workers:
        if process.wait():
            raise RuntimeError(f"a worker of {study} failed")


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """Search, then measure the tuned and the untuned model on the test molecules."""
    results = []
    for n in arguments.sizes:
        for seed in range(arguments.seeds):
            results.append(one_search(arguments, n, seed))
            print(json.dumps(results[-1]), flush=True)
    return {"searches": results}


def one_search(arguments: argparse.Namespace, n: int, seed: int) -> dict[str, Any]:
    """Search for one training set."""
    train, test = draw(arguments.molecules, n, N_TEST, seed, arguments.tune)
    study = arguments.studies / f"tuning-{n}-{seed}{'-tune' if arguments.tune else ''}.db"
    before = time.perf_counter()
    start_workers(arguments, n, seed, study)
    seconds = time.perf_counter() - before
    found = searched(train, study, arguments.trials, guard=None)
    guarded = searched(train, study, arguments.trials, refit=False)
    untuned = default_model().fit(train)
    first = found.study_.trials[0]
    errors = {
        name: np.abs(model.predict(test) - test.dipole_magnitude)
        for name, model in (("tuned", found.best_estimator_), ("untuned", untuned))
    }
    return {
        "n": n,
        "seed": seed,
        "trials": found.n_trials_,
        "seconds": seconds,
        "inner_untuned": -float(first.value),
        "inner_tuned": -found.best_score_,
        **{f"test_{name}": float(e.mean()) for name, e in errors.items()},
        **{f"median_{name}": float(np.median(e)) for name, e in errors.items()},
        "gain": guarded.gain_,
        "gain_error": guarded.gain_error_,
        "kept_untuned": guarded.kept_untuned_,
        "best_params": found.best_params_,
    }


def table_of_searches(results: list[dict[str, Any]]) -> list[str]:
    """Markdown lines: one row a study, and means over seeds."""
    lines = [
        "| N | seed | trials | minutes | inner, first | inner, best trial | test, untuned | "
        "test, best trial | optimism | gain in other folds | taken | test, search |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for n in dict.fromkeys(r["n"] for r in results):
        mine = [r | {"test": r["test_untuned" if r["kept_untuned"] else "test_tuned"]}
                for r in results if r["n"] == n]  # fmt: skip
        numbers = ("inner_untuned", "inner_tuned", "test_untuned", "test_tuned", "test", "seconds")
        mean = {key: float(np.mean([r[key] for r in mine])) for key in numbers}
        for r in [*mine, mean | {"n": n, "seed": "mean", "trials": ""}] if len(mine) > 1 else mine:
            guard = "| |"
            if "gain" in r:
                taken = "untuned" if r["kept_untuned"] else "best trial"
                guard = f"{r['gain']:+.3f} ± {r['gain_error']:.3f} | {taken} |"
            lines.append(
                f"| {n:,} | {r['seed']} | {r['trials']} | {r['seconds'] / 60:.1f} | "
                f"{r['inner_untuned']:.3f} | {r['inner_tuned']:.3f} | {r['test_untuned']:.3f} | "
                f"{r['test_tuned']:.3f} | {r['test_tuned'] - r['inner_tuned']:+.3f} | {guard} "
                f"{r['test']:.3f} |"
            )
    return lines


def table_of_best(results: list[dict[str, Any]]) -> list[str]:
    """Markdown lines: the best parameters of each study."""
    names = list(results[0]["best_params"])
    short = [
        name.replace("dipolekernelridge__", "").replace("soaptransformer__", "") for name in names
    ]
    lines = [f"| N | seed | {' | '.join(short)} |", "|---" * (len(names) + 2) + "|"]
    for r in results:
        values = " | ".join(f"{r['best_params'][name]:.4g}" for name in names)
        lines.append(f"| {r['n']:,} | {r['seed']} | {values} |")
    return lines


def main() -> None:
    """Run one part, print its tables, write them beside the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["search", "work"])
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--sizes", default="200,1000")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tune", action="store_true", help="leave the test part alone")
    parser.add_argument("--studies", type=Path, default=Path("."), help="folder of the studies")
    parser.add_argument("--output", type=Path, help="folder for tuning-PART.json and .md")
    parser.add_argument("--study", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.sizes
    arguments.sizes = [int(size) for size in sizes.split(",")]
    arguments.molecules = read(arguments.data)
    if arguments.part == "work":
        work(arguments)
        return
    about = setting()
    arguments.studies.mkdir(parents=True, exist_ok=True)
    result = search(arguments)
    lines = [*table_of_searches(result["searches"]), "", *table_of_best(result["searches"])]
    command = f"search --data {Path(arguments.data).name} --sizes {sizes}"
    command += f" --seeds {arguments.seeds}"
    command += f" --trials {arguments.trials} --workers {arguments.workers}"
    command += " --tune" if arguments.tune else ""
    lines = [f"Made by `benchmarks/tuning.py {command}` on {about}.", "", *lines]
    print("\n".join(lines))
    if arguments.output:
        stem = arguments.output / "tuning-search"
        stem.with_suffix(".json").write_text(json.dumps(result | {"setting": about}, indent=1))
        stem.with_suffix(".table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
