"""What a 5-fold grid over 30 points (alpha, lambda) costs, in single fits.

    python benchmarks/search_cost.py [--data FILE] [--molecules 500]

The single fit is `DipoleKernelRidge` with its defaults on the same described molecules. Both
times are of one process; descriptors are computed before and not counted.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from _common import setting
from sklearn.model_selection import KFold

from dipkit import DipoleKernelRidge, InducingBasis, Molecules, SOAPTransformer, read
from dipkit.data.datasets import load_organics
from dipkit.search.fold_grid import cross_validate_grid


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="molecules with labels; default the bundled ones")
    parser.add_argument("--molecules", default="500", help="numbers, separated by commas")
    parser.add_argument("--n-inducing", type=int, default=None)
    parser.add_argument("--magnitudes", action="store_true", help="leave dipole vectors out")
    parser.add_argument("--output", type=Path, help="folder for search_cost.md")
    arguments = parser.parse_args()
    about = setting()  # now: the tree may change while this runs
    molecules = read(arguments.data) if arguments.data else load_organics()
    command = f"--data {Path(arguments.data).name} " if arguments.data else ""
    command += f"--molecules {arguments.molecules}"
    command += f" --n-inducing {arguments.n_inducing}" if arguments.n_inducing else ""
    command += " --magnitudes" if arguments.magnitudes else ""
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    lines = [
        f"Made by `benchmarks/search_cost.py {command}` on {about}. Threads: {threads}.",
        "",
        "| N | inducing environments | single fit, s | grid, s | ratio |",
        "|---|---|---|---|---|",
    ]
    lines += [
        row(molecules[: int(size)], arguments.n_inducing, arguments.magnitudes)
        for size in arguments.molecules.split(",")
    ]
    page = "\n".join(lines) + "\n"
    print(page)
    if arguments.output is not None:
        (arguments.output / "search_cost.md").write_text(page)


def row(molecules: Molecules, n_inducing: int | None, magnitudes: bool) -> str:
    """Time a fit and a grid; return a row of the table."""
    if magnitudes:
        molecules = molecules.replace(dipole_vector=np.full((len(molecules), 3), np.nan))
    described = SOAPTransformer().fit_transform(molecules)
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=n_inducing))
    start = time.perf_counter()
    ridge.fit(described)
    single = time.perf_counter() - start
    start = time.perf_counter()
    cross_validate_grid(
        described,
        alphas=np.logspace(-3, -5.5, 6),
        charge_weights=(1e-1, 1e-2, 1e-3, 1e-4, 0.0),
        folds=list(KFold(5, shuffle=True, random_state=0).split(described)),
        ridge=ridge,
    )
    grid = time.perf_counter() - start
    m = len(ridge.inducing_numbers_)
    return f"| {len(described):,} | {m:,} | {single:.2f} | {grid:.2f} | {grid / single:.1f} |"


if __name__ == "__main__":
    main()
