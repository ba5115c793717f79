"""Error on molecules up to three times as large as those of QM9, for models trained on QM9.

    python benchmarks/larger_molecules.py --data qm9.npz --cache larger.npz --train 200 --seeds 2

Both sides have labels of one method, GFN2-xTB: magnitudes and charges. The baseline is another one,
GFN1-xTB. Large molecules are drugs and natural substances, embedded and optimised by RDKit's MMFF94
and then by GFN2-xTB (seconds each, kept in the file named by `--cache`). Needs the extra
``benchmarks``.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _common import draw, setting
from _large_smiles import SMILES

from dipkit import Molecules, as_molecules, default_model, read, write
from dipkit.quantum.labels import gfn2

SIZES = {
    "10 to 13": range(10, 14),
    "14 to 17": range(14, 18),
    "18 to 21": range(18, 22),
    "22 to 27": range(22, 28),
}
POOL = "up to 9, QM9"
RELAXED = "up to 9, QM9, relaxed by GFN2-xTB"
ALONE = "GFN1-xTB times one fitted factor"
MODELS: dict[str, dict[str, Any]] = {
    "no charges": {},
    "with charges": {"charges": True},
    "with charges, compensated along bonds": {
        "charges": True,
        "settings": {"basis__compensation": "bonds"},
    },
    "with charges, no auxiliary dipoles, no bond charges": {
        "charges": True,
        "settings": {"auxiliary": None, "basis__bond_charges": 0.0},
    },
    "GFN1-xTB baseline, no charges": {"baseline": True},
    # A small weight: with a baseline the default is to leave charges alone.
    "GFN1-xTB baseline, with charges": {
        "baseline": True,
        "charges": True,
        "settings": {"charge_weight": 1e-3},
    },
}

Row = dict[str, Any]


def relaxed(atoms: Any) -> Any | None:
    """Optimise by GFN2-xTB; None where the forces do not become small."""
    from ase.optimize import LBFGS
    from tblite.ase import TBLite

    atoms.calc = TBLite(verbosity=0)
    with LBFGS(atoms, logfile=None) as optimizer:
        done = optimizer.run(fmax=0.05, steps=300)
    atoms.calc = None
    return atoms if done else None


def embedded(name: str, smiles: str) -> Any | None:
    """Embed a SMILES by ETKDG, optimise it by MMFF94 and GFN2-xTB; None where that fails."""
    from ase import Atoms
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=1) != 0:
        return None
    AllChem.MMFFOptimizeMolecule(molecule, maxIters=2000)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    if not set(numbers) <= {1, 6, 7, 8, 9}:
        raise SystemExit(f"{name}: expected H C N O F alone, as in QM9")
    atoms = Atoms(numbers, molecule.GetConformer().GetPositions(), info={"name": name})
    return relaxed(atoms)


def large_molecules(cache: Path) -> Molecules:
    """Build what the cache does not hold, and keep it there."""
    known = read(cache) if cache.exists() else None
    have = set() if known is None else set(known.names.tolist())
    for name, smiles in SMILES.items():
        if name in have:
            continue
        start = time.perf_counter()
        atoms = embedded(name, smiles)
        if atoms is None:
            print(f"{name}: left out, no geometry")
            continue
        new = as_molecules([atoms]).replace(names=[name])
        known = new if known is None else Molecules.concatenate([known, new])
        write(cache, known)
        print(f"{name}: {len(atoms)} atoms, {time.perf_counter() - start:.0f} s")
    assert known is not None
    return known


def with_labels(molecules: Molecules) -> Molecules:
    """Put GFN2-xTB in the place of all labels, and GFN1-xTB in that of the baseline."""
    label, cheap = gfn2(molecules), gfn1(molecules)
    return molecules.replace(
        dipole_magnitude=np.linalg.norm(label.dipole, axis=1),
        dipole_vector=None,
        charges=label.charges,
        baseline_dipole=cheap[0],
        baseline_charges=cheap[1],
    )


def gfn1(molecules: Molecules) -> tuple[np.ndarray, np.ndarray]:
    """Dipoles (debye) and charges (e) by GFN1-xTB; all molecules are neutral."""
    from ase.units import Bohr, Debye
    from tblite.interface import Calculator

    dipoles, charges = [], []
    for one in molecules:
        calculator = Calculator("GFN1-xTB", one.numbers, one.positions / Bohr)
        calculator.set("verbosity", 0)
        result = calculator.singlepoint()
        dipoles.append(result.get("dipole") * Bohr / Debye)
        charges.append(result.get("charges"))
    return np.array(dipoles), np.concatenate(charges)


def groups(large: Molecules, small: Molecules, cache: Path) -> dict[str, Molecules]:
    """Test molecules by their number of heavy atoms; the small ones in both kinds of geometry."""
    heavy = np.array([(one.numbers > 1).sum() for one in large])
    found = {POOL: small}
    file = cache.with_name(cache.stem + "-small" + cache.suffix)
    if not file.exists():
        from ase import Atoms

        frames = [relaxed(Atoms(one.numbers, one.positions)) for one in small]
        write(file, as_molecules([frame for frame in frames if frame is not None]))
    found[RELAXED] = read(file)
    return found | {name: large[np.isin(heavy, size)] for name, size in SIZES.items()}


def run(train: Molecules, test: dict[str, Molecules], seed: int, args: Any) -> list[Row]:
    """Fit all models on one draw and test them on all groups."""
    rows: list[Row] = []

    def add(model: str, group: str, magnitudes: np.ndarray) -> None:
        molecules = test[group]
        error = np.abs(magnitudes - molecules.dipole_magnitude)
        per_atom = error / molecules.natoms
        row = {"mae": error.mean(), "median": np.median(error), "per_atom": 1e3 * per_atom.mean()}
        row["relative"] = error.sum() / molecules.dipole_magnitude.sum()
        rows.append({"seed": seed, "model": model, "group": group, **row})
        print(f"  {model:<34} {group:<36} {error.mean():.3f} D")

    for name, kind in MODELS.items():
        start = time.perf_counter()
        baseline = "given" if "baseline" in kind else None
        model = default_model(baseline=baseline, **kind.get("settings", {}))
        model.fit(train if "charges" in kind else train.replace(charges=None))
        print(f"seed {seed}: {name} fitted in {time.perf_counter() - start:.0f} s")
        for group, molecules in test.items():
            add(name, group, model.predict(molecules))
            if name == "GFN1-xTB baseline, no charges":
                bare = np.linalg.norm(molecules.baseline_dipole, axis=1)
                add(ALONE, group, model[-1].baseline_factor_ * bare)
    for group, molecules in test.items():
        mean = np.full(len(molecules), train.dipole_magnitude.mean())
        add("mean of the training molecules", group, mean)
    return rows


def table(rows: list[Row], test: dict[str, Molecules], key: str, digits: int) -> str:
    """Means over the draws: models down, sizes across."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    lines = ["| model | " + " | ".join(test) + " |", "|---" * (len(test) + 1) + "|"]
    for name in names:
        cells = []
        for group in test:
            mine = [row[key] for row in rows if (row["model"], row["group"]) == (name, group)]
            cells.append(f"{np.mean(mine):.{digits}f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(rows: list[Row], test: dict[str, Molecules], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    seeds = len({row["seed"] for row in rows})
    sizes = "\n".join(
        f"| {name} | {len(part)} | {part.natoms.mean():.1f} | {part.dipole_magnitude.mean():.2f} |"
        for name, part in test.items()
    )
    return f"""# Larger molecules

Made by `benchmarks/larger_molecules.py --data {Path(args.data).name} --cache {args.cache.name} \
--train {args.train} --seeds {args.seeds}` on {args.setting}.

Models are trained on {args.train} molecules of the development part of QM9, which have up to nine
heavy atoms, at its geometries, and tested on {len(SMILES)} drugs and natural substances (those that
could be optimised; names and SMILES in `benchmarks/_large_smiles.py`). Labels on both sides are
those of GFN2-xTB, magnitudes and charges, since no better method is cheap enough for all of them;
the baseline, GFN1-xTB, is another method. Figures are means over {seeds} draws of training
molecules. The molecules of QM9's size, {args.test} of the test part, are tested at QM9's geometries
and at geometries optimised by GFN2-xTB, as the large ones are.

| heavy atoms | molecules | atoms on average | mean magnitude, D |
|---|---|---|---|
{sizes}

Mean absolute error of the magnitude, debye:

{table(rows, test, "mae", 3)}

The same for each atom of the molecule, 0.001 debye:

{table(rows, test, "per_atom", 1)}

Sum of the errors over the sum of the magnitudes:

{table(rows, test, "relative", 3)}

Without a baseline the default model fails for drugs: from 18 heavy atoms on it is worse than the
mean. If one atom gets a charge, it takes this charge from the whole molecule. Compensated along
bonds (`basis__compensation="bonds"`) it has less than half the error there, but a larger error on
molecules like those of the training. A correction of a baseline is useful up to 21 heavy atoms;
above, for the 12 molecules tested, it is no better than the baseline alone.
"""


def require(*modules: str) -> None:
    """Say what to install, before anything is computed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise SystemExit(f'Install {", ".join(missing)} with `pip install "dipkit[benchmarks]"`.')


def main() -> None:
    """Build, label, fit and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--cache", required=True, type=Path, help="file for geometries, .npz")
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--test", type=int, default=50, help="test molecules of QM9's size")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--geometries-only", action="store_true", help="fill the cache and stop")
    parser.add_argument("--output", type=Path, help="file for the page, Markdown")
    args = parser.parse_args()
    require("rdkit", "tblite")
    # Now: the tree may change while this runs.
    args.setting = f"{setting()}, tblite {version('tblite')}, rdkit {version('rdkit')}"
    warnings.simplefilter("ignore")
    sys.stdout.reconfigure(line_buffering=True)
    pool = read(args.data)
    large = large_molecules(args.cache)
    small = draw(pool, args.train, args.test, 0, False)[1]
    parts = groups(large, small, args.cache)
    if args.geometries_only:
        return
    test = {name: with_labels(part) for name, part in parts.items()}
    rows: list[Row] = []
    for seed in range(args.seeds):
        train = with_labels(draw(pool, args.train, args.test, seed, False)[0])
        rows += run(train, test, seed, args)
        # After every seed: a run that is broken off leaves what it has.
        if args.output is not None:
            args.output.write_text(report(rows, test, args))
    print(report(rows, test, args))


if __name__ == "__main__":
    main()
