"""Change the core in small ways, and count the changes that the tests find.

A mutant is the package with one small fault: a sign, a comparison, a constant, a statement left
out. It is killed where a test fails, and survives where all pass. The score is the share of killed
mutants. `--number` mutants of each module are drawn.

A first run of all tests records which tests reach which line, and how long each takes. A mutant is
tested by the tests that reach the changed statement: first those of the same room, quick ones
before slow ones, up to `--seconds` in all. A mutant on a line that no test reaches survives.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from _common import setting
from _mutants import REPOSITORY, Mutant, draw
from cosmic_ray.testing import run_tests
from cosmic_ray.work_item import TestOutcome
from coverage import CoverageData

CORE = ("dipkit/learning/*.py", "dipkit/estimator/*.py", "dipkit/search/*.py")
NOT_CORE = re.compile(
    r"__init__|/(regression|persistence|format1|pipeline|reference_models|memory_\w+"
    r"|search_cv|study\w*|optuna_objects)\.py"
)


class Reach:
    """What the run of the unchanged package showed: the tests at each line, and their seconds."""

    def __init__(self, folder: Path, output: str) -> None:
        self._data = CoverageData(str(folder / ".coverage"))
        self._data.read()
        self._folder = folder
        self.seconds: dict[str, float] = defaultdict(float)
        for time, test in re.findall(r"^ *([\d.]+)s (?:setup|call|teardown) +(.+)$", output, re.M):
            self.seconds[test] += float(time)
        for failed in re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.M):
            self.seconds.pop(failed, None)

    def tests(self, mutant: Mutant, most: float) -> list[str]:
        """Tests that reach a mutant, up to `most` seconds."""
        by_line = self._data.contexts_by_lineno(str(self._folder / mutant.module))
        near = range(mutant.lines[0], mutant.lines[1] + 1)
        contexts = {c for line in near for c in by_line.get(line, ())}
        if "" in contexts:  # Run at import: any test of the module may notice.
            contexts = {c for found in by_line.values() for c in found}
        names = {c.rpartition("|")[0] for c in contexts}
        # A fixture of many tests runs in the setup of the first one: take its whole file.
        files = {c.partition("::")[0] for c in contexts if c.endswith("|setup")}
        reached = [t for t in self.seconds if t in names or t.partition("::")[0] in files]
        room = f"tests/{mutant.module.split('/')[1]}/"
        reached.sort(key=lambda test: (not test.startswith(room), self.seconds[test], test))
        total, kept = 0.0, []
        for test in reached:
            total += self.seconds[test]
            if total > most and kept:
                break
            kept.append(test)
        return kept


def copy_tree(folder: Path) -> None:
    """Copy what the tests need, and work there with one thread."""
    skip = shutil.ignore_patterns(".*", "__pycache__", "_build", "*.egg-info")
    shutil.copytree(REPOSITORY, folder, ignore=skip)
    os.chdir(folder)
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    os.environ.update(PYTHONPATH=str(folder), **dict.fromkeys(threads, "1"))


def start_worker(scratch: str) -> None:
    """Give a process its own copy."""
    copy_tree(Path(scratch) / f"copy{os.getpid()}")


def survives(mutant: Mutant, tests: list[str], limit: float) -> bool:
    """Run the tests on a mutant in this process's copy; say whether all pass."""
    if not tests:
        return True
    path = Path(mutant.module)
    original = path.read_text()
    Path("selected.txt").write_text("\n".join(tests))
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider @selected.txt"
    try:
        path.write_text(mutant.code)
        return run_tests(command, limit)[0] is TestOutcome.SURVIVED
    finally:
        path.write_text(original)


def clean_run(scratch: Path, tests: list[str]) -> Reach:
    """Run the tests on the unchanged package."""
    folder = scratch / "clean"
    copy_tree(folder)
    options = (
        "-vv -rfE -p no:cacheprovider --durations=0 --cov=dipkit --cov-context=test --cov-report="
    )
    command = [sys.executable, "-m", "pytest", *options.split(), *tests]
    output = subprocess.run(command, capture_output=True, text=True).stdout
    reach = Reach(folder, output)
    if not reach.seconds:
        sys.exit(f"No test ran on the unchanged package:\n{output[-2000:]}")
    return reach


def table(rows: list[dict[str, object]]) -> str:
    """Write the scores and the survivors as Markdown."""
    lines = ["| module | mutants | killed | survived | score |", "|---|---|---|---|---|"]
    for module in [*sorted({row["module"] for row in rows}), "all"]:
        fates = [row["survived"] for row in rows if module in (row["module"], "all")]
        killed = fates.count(False)
        score = f"{killed / len(fates):.0%}"
        lines.append(f"| {module} | {len(fates)} | {killed} | {sum(fates)} | {score} |")
    lines += ["", "Survivors, before → after:", ""]
    for row in rows:
        if row["survived"]:
            place = f"{row['module']}:{row['line']}" + ("" if row["tests"] else ", no test there")
            lines.append(f"- {place}: `{row['before']}` → `{row['after']}`")
    return "\n".join(lines)


def main() -> None:
    """Draw the mutants, run the tests, write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="modules, as globs; the core without any")
    parser.add_argument("--number", type=int, default=10, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="of tests for one mutant")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tests", nargs="+", default=["tests"], help="tests to choose from")
    parser.add_argument("--output", type=Path, help="folder for mutants.md")
    parser.add_argument("--json", type=Path, help="file for all results")
    args = parser.parse_args()
    found = sorted({p for glob in args.modules or CORE for p in REPOSITORY.glob(glob)})
    modules = [str(path.relative_to(REPOSITORY)) for path in found]
    modules = [name for name in modules if args.modules or not NOT_CORE.search(name)]
    mutants = [mutant for name in modules for mutant in draw(name, args.number, args.seed)]
    where, json_file = setting(), args.json and args.json.resolve()
    with tempfile.TemporaryDirectory(prefix="mutants") as scratch:
        reach = clean_run(Path(scratch), args.tests)
        tests = [reach.tests(mutant, args.seconds) for mutant in mutants]
        limits = [20 + 5 * sum(reach.seconds[test] for test in chosen) for chosen in tests]
        with ProcessPoolExecutor(args.processes, None, start_worker, (scratch,)) as pool:
            # In their new order too the tests pass on the unchanged package.
            unchanged = replace(mutants[0], code=(REPOSITORY / mutants[0].module).read_text())
            every = list(dict.fromkeys(test for chosen in tests for test in chosen))
            if not pool.submit(survives, unchanged, every, 20 + 5 * sum(limits)).result():
                sys.exit("The chosen tests fail on the unchanged package in the order chosen here.")
            rows = []
            for mutant, chosen, fate in zip(
                mutants, tests, pool.map(survives, mutants, tests, limits), strict=True
            ):
                row = asdict(mutant) | {"survived": fate, "tests": len(chosen)}
                del row["code"], row["lines"]
                rows.append(row)
                print(
                    "survived" if fate else "killed  ", f"{mutant.module}:{mutant.line}", flush=True
                )
    options = f"--number {args.number} --seed {args.seed} --seconds {args.seconds:g}"
    options += f" {' '.join(args.modules)}" if args.modules else ""
    page = f"Made by `benchmarks/mutants.py {options}` on {where}.\n\n{table(rows)}\n"
    print(f"\n{page}")
    if args.output is not None:
        (args.output / "mutants.md").write_text(page)
    if json_file:
        facts = {"setting": where, "options": options, "mutants": rows}
        json_file.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
