"""Distorted geometries: models trained on relaxed molecules against models trained on moved ones.

    python benchmarks/distorted.py --cache distorted.npz --output docs/benchmarks/distorted.md

Bundled molecules are relaxed by GFN2-xTB, moved along their normal modes as at room temperature,
and labelled by GFN2-xTB; the file named by `--cache` keeps it all. Needs tblite.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _common import setting

from dipkit import Molecules, as_molecules, default_model, read, to_atoms, write
from dipkit.data.datasets import load_organics
from dipkit.quantum.labels import gfn2
from dipkit.response.vibrations import normal_modes, thermal_geometries

TEMPERATURE = 300.0
# Vibrations below, 1/cm, are turns about bonds, which no straight line follows.
LOWEST = 200.0
MOST_ATOMS = 10
# Of each molecule, the relaxed geometry first.
GEOMETRIES = 4

Row = dict[str, Any]


def distorted(molecules: Molecules, seed: int) -> Molecules:
    """Relax one molecule, and move it along its normal modes."""
    from ase.optimize import BFGS
    from tblite.ase import TBLite

    (atoms,) = to_atoms(molecules)
    atoms.calc = TBLite(verbosity=0, accuracy=0.01)
    with BFGS(atoms, logfile=None) as optimizer:
        optimizer.run(fmax=0.005, steps=300)
    modes = normal_modes(atoms)
    moved = thermal_geometries(modes, GEOMETRIES - 1, TEMPERATURE, seed, LOWEST)
    return Molecules.concatenate([as_molecules([modes.atoms], labels=False), moved])


def data(n_molecules: int, cache: Path) -> Molecules:
    """Make the set: GEOMETRIES of each molecule, one molecule after the other, labelled."""
    if cache.exists():
        return read(cache)
    pool = load_organics().replace(charges=None)
    pool = pool[pool.natoms <= MOST_ATOMS]
    chosen = np.random.default_rng(0).permutation(len(pool))[:n_molecules]
    parts, start = [], time.perf_counter()
    for place, index in enumerate(chosen.tolist()):
        parts.append(distorted(pool[[index]], place))
        if place % 10 == 9:
            print(f"{place + 1} molecules moved in {time.perf_counter() - start:.0f} s")
    molecules = Molecules.concatenate(parts)
    magnitudes = np.linalg.norm(gfn2(molecules).dipole, axis=1)
    molecules = molecules.replace(dipole_magnitude=magnitudes)
    write(cache, molecules)
    return molecules


def run(molecules: Molecules, n_train: int, seed: int) -> list[Row]:
    """Split by molecule, fit on each choice of geometries, test on both kinds of the others."""
    n_molecules = len(molecules) // GEOMETRIES
    order = np.random.default_rng(100 + seed).permutation(n_molecules)
    train, test = (GEOMETRIES * part for part in np.split(order, [n_train]))
    sets = {
        "relaxed": train,
        "distorted": train + 1,
        "relaxed and distorted": np.concatenate([train, train + 1]),
        "relaxed and three distorted": np.concatenate([train + i for i in range(GEOMETRIES)]),
    }
    moved = np.concatenate([test + i for i in range(1, GEOMETRIES)])
    true, at_rest = molecules.dipole_magnitude[moved], np.tile(test, GEOMETRIES - 1)
    change = true - molecules.dipole_magnitude[at_rest]
    rows = []
    for name, chosen in sets.items():
        start = time.perf_counter()
        model = default_model().fit(molecules[chosen])
        seconds = time.perf_counter() - start
        relaxed = model.predict(molecules[test])
        found = model.predict(molecules[moved])
        row = {
            "model": name,
            "labels": len(chosen),
            "relaxed": np.abs(relaxed - molecules.dipole_magnitude[test]).mean(),
            "distorted": np.abs(found - true).mean(),
            "change": np.abs(found - np.tile(relaxed, GEOMETRIES - 1) - change).mean(),
            "none": np.abs(change).mean(),
        }
        rows.append(row)
        print(
            f"seed {seed}: {name:<28} relaxed {row['relaxed']:.3f}, distorted "
            f"{row['distorted']:.3f}, change {row['change']:.3f} D; {seconds:.0f} s"
        )
    return rows


def report(rows: list[Row], molecules: Molecules, args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    keys = ("labels", "relaxed", "distorted", "change")
    lines = []
    for name in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == name]
        means = [np.mean([row[key] for row in mine]) for key in keys]
        cells = " | ".join(f"{value:.3f}" for value in means[1:])
        lines.append(f"| {name} | {means[0]:.0f} | {cells} |")
    n_molecules = len(molecules) // GEOMETRIES
    seeds = len(rows) // len(lines)
    none = np.mean([row["none"] for row in rows])
    return f"""# Distorted geometries

Made by `benchmarks/distorted.py --molecules {n_molecules} --train {args.train} --seeds \
{args.seeds}` on {args.setting}.

{n_molecules} of the bundled molecules, of at most {MOST_ATOMS} atoms, relaxed by GFN2-xTB and
moved along their normal modes: {GEOMETRIES - 1} geometries each, drawn from the harmonic
oscillators at {TEMPERATURE:g} K, vibrations below {LOWEST:g} 1/cm at rest
(`dipkit.response.vibrations`).
Labels are magnitudes by GFN2-xTB. Models with the usual settings learn geometries of {args.train}
molecules and are tested on those of the other {n_molecules - args.train}; means over {seeds}
splits. Mean absolute errors, debye. The change is that of the magnitude from the relaxed to a
distorted geometry of one molecule; to predict none at all would be an error of {none:.3f} D.

| trained on | labels | relaxed | distorted | change |
|---|---|---|---|---|
{chr(10).join(lines)}

A model of relaxed molecules has not learned how charges change when bonds stretch: its error of the
change is larger than that of predicting no change. The same number of labels of distorted
geometries increases the error on relaxed ones; both kinds together, with twice the labels, do not.
"""


def main() -> None:
    """Make the set, fit, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", required=True, type=Path, help="file for the set, .npz")
    parser.add_argument("--molecules", type=int, default=120)
    parser.add_argument("--train", type=int, default=90, help="molecules to train on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="file for the page, Markdown")
    args = parser.parse_args()
    # Now: the tree may change while this runs.
    args.setting = f"{setting()}, tblite {version('tblite')}"
    warnings.simplefilter("ignore")
    sys.stdout.reconfigure(line_buffering=True)
    molecules = data(args.molecules, args.cache)
    rows: list[Row] = []
    for seed in range(args.seeds):
        rows += run(molecules, args.train, seed)
        # After every seed: a run that is broken off leaves what it has.
        if args.output is not None:
            args.output.write_text(report(rows, molecules, args))
    print(report(rows, molecules, args))


if __name__ == "__main__":
    main()
