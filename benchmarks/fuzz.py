"""Read many bad files with every reader, and list those that end in anything but a clear error.

Files are made of good ones by a seeded generator. A crash is an error that is none of dipkit's, a
value that no molecule can have, a file that takes too long or too much memory. Files of crashes are
kept in the folder of `--keep`; each becomes a seed in ``tests/data/fuzz``.
"""

import argparse
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from helpers.fuzz_run import Crash, fuzz
from helpers.fuzz_samples import samples

PART = 500
"""Files that one child process reads."""


def main() -> None:
    """Print one row for each reader."""
    options = _options()
    known = samples()
    names = options.readers.split(",") if options.readers else list(known)
    print(f"{'reader':<10} {'inputs':>8} {'crashes':>8} {'seconds':>8}")
    total = 0
    for name in names:
        start = time.perf_counter()
        parts = [
            (min(PART, options.number - first), options.seed * 1_000_000 + first)
            for first in range(0, options.number, PART)
        ]
        with ProcessPoolExecutor(options.jobs) as pool:
            found = list(pool.map(partial(_part, name), parts))
        crashes = [crash for part in found for crash in part]
        seconds = time.perf_counter() - start
        print(f"{name:<10} {options.number:>8} {len(crashes):>8} {seconds:>8.1f}", flush=True)
        _describe(crashes)
        if options.keep:
            _keep(options.keep / name, crashes)
        total += len(crashes)
    raise SystemExit(1 if total else 0)


def _part(name: str, part: tuple[int, int]) -> list[Crash]:
    return fuzz(samples()[name], *part)


def _describe(crashes: list[Crash]) -> None:
    for why, count in Counter(crash.why for crash in crashes).most_common(12):
        print(f"    {count:>6}  {why}")


def _keep(folder: Path, crashes: list[Crash]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, crash in enumerate(crashes):
        (folder / f"{number}-{crash.sample.name}").write_bytes(crash.content)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=2000, help="files for each reader")
    parser.add_argument("--readers", default="", help="some readers, with commas between them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--keep", type=Path, help="folder for the files of crashes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
