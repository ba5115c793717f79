"""Dipole surface of water: error of models that learn magnitudes of its geometries alone.

    python benchmarks/water.py --cache water.npz --output docs/benchmarks/water.md

Geometries are drawn evenly from a box in bond lengths and angle, and labelled by PySCF (about a
second each). The file named by `--cache` keeps what is calculated. The second half is for testing;
settings are compared on the last quarter of the first half (`--tune`).
"""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _common import setting

from dipkit import Molecules, default_model, predict_all, read, write
from dipkit.quantum.labels import parse_method

LENGTH, LENGTH_RANGE = 0.96, 0.12
ANGLE, ANGLE_RANGE = 104.5, 20.0
SETTINGS: tuple[dict[str, Any], ...] = ({}, {"alpha": 1e-5}, {"alpha": 1e-6}, {"alpha": 1e-7})
# Geometries that are calculated before what is known is written.
CHUNK = 20


def geometries(n: int, seed: int) -> Molecules:
    """Draw both bond lengths and the angle evenly from their ranges."""
    rng = np.random.default_rng(seed)
    length = LENGTH + LENGTH_RANGE * (2 * rng.random((n, 2)) - 1)
    angle = np.deg2rad(ANGLE + ANGLE_RANGE * (2 * rng.random(n) - 1))
    positions = np.zeros((n, 3, 3))
    positions[:, 1, 0] = length[:, 0]
    positions[:, 2, 0] = length[:, 1] * np.cos(angle)
    positions[:, 2, 1] = length[:, 1] * np.sin(angle)
    return Molecules(np.tile([8, 1, 1], n), positions.reshape(-1, 3), 3 * np.arange(n + 1))


def labelled(molecules: Molecules, method: str, cache: Path) -> Molecules:
    """Label geometries, those from the cache that it has: the first ones."""
    known = read(cache) if cache.exists() else molecules[:0]
    same = molecules[: len(known)].positions
    if len(known) > len(molecules) or not np.array_equal(known.positions, same):
        raise SystemExit(f"{cache} holds other geometries: name another file")
    calculator = parse_method(method)
    while len(known) < len(molecules):
        part = molecules[len(known) : len(known) + CHUNK]
        results = [calculator.calculate(one.numbers, one.positions, 0.0) for one in part]
        part = part.replace(dipole_vector=[result.dipole for result in results])
        known = Molecules.concatenate([known, part]) if len(known) else part
        write(cache, known)
        print(f"{len(known)} of {len(molecules)} geometries labelled")
    return known


def run(molecules: Molecules, args: argparse.Namespace) -> list[str]:
    """Fit with each number of geometries and each setting; rows of a Markdown table."""
    half = len(molecules) // 2
    if args.tune:
        half = half * 3 // 4
    test = molecules[half : len(molecules) // 2] if args.tune else molecules[half:]
    rows = []
    for size in (size for size in args.sizes if size <= half):
        for settings in SETTINGS:
            train = molecules[:size]
            model = default_model(**settings).fit(train, train.dipole_magnitude)
            found = predict_all(model, test)
            error = np.abs(found.magnitude - test.dipole_magnitude)
            of_vector = np.linalg.norm(found.dipole - test.dipole_vector, axis=1)
            name = ", ".join(f"{key}={value:g}" for key, value in settings.items()) or "defaults"
            rows.append(
                f"| {size} | {name} | {error.mean():.4f} | {np.quantile(error, 0.95):.4f} "
                f"| {error.max():.4f} | {of_vector.mean():.4f} |"
            )
            print(rows[-1])
    return rows


def report(molecules: Molecules, rows: list[str], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    truth = molecules.dipole_magnitude
    half = len(molecules) // 2
    tested = half - half * 3 // 4 if args.tune else len(molecules) - half
    return f"""# Dipole surface of water

Made by `benchmarks/water.py` on {args.setting}.

{len(molecules)} geometries of water, both bond lengths drawn from {LENGTH} ± {LENGTH_RANGE}
angstrom, the angle from {ANGLE} ± {ANGLE_RANGE:g} degrees; {args.method} by PySCF. Magnitudes, from
{truth.min():.2f} to {truth.max():.2f} D with a standard deviation of {truth.std():.2f} D, are all
that is learned. Tested on {tested} geometries that were not trained on; errors in debye, of the
magnitude but for one column.

| train | settings | MAE | 95 % | largest | mean of the vector |
|---|---|---|---|---|---|
{chr(10).join(rows)}

The usual `alpha`, 0.02 D² over the number of labels, allows for differences between molecules that
the basis does not describe. Geometries of one molecule have no such differences, and `alpha` may be
much smaller. The vectors are less certain than their lengths, and a smaller `alpha` does not help
them: magnitudes of one molecule say little about the direction of its dipole.
"""


def main() -> None:
    """Label, fit, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", required=True, type=Path, help="file for the labels, .npz")
    parser.add_argument("--method", default="b3lyp/6-31g(2df,p)", help="as in dipkit label")
    parser.add_argument("--geometries", type=int, default=400)
    parser.add_argument("--sizes", default="50,100,200")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tune", action="store_true", help="leave the test geometries alone")
    parser.add_argument("--output", type=Path, help="file for the page, Markdown")
    args = parser.parse_args()
    args.sizes = [int(size) for size in args.sizes.split(",")]
    # Now: the tree may change while this runs.
    args.setting = f"{setting()}, pyscf {version('pyscf')}"
    warnings.simplefilter("ignore")
    sys.stdout.reconfigure(line_buffering=True)
    molecules = labelled(geometries(args.geometries, args.seed), args.method, args.cache)
    page = report(molecules, run(molecules, args), args)
    if args.output is not None:
        args.output.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
