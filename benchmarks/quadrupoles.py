"""What quadrupole labels add to dipole magnitudes.

    python benchmarks/quadrupoles.py --sizes 50,100,200 --seeds 5

The bundled molecules with magnitudes and quadrupoles from one source: the molecules' Mulliken
charges, whose moments charges can make; with ``--method hf/sto-3g`` also a calculation (extra
`labels`), whose quadrupoles hold what is within atoms. Weights are compared on the development
part, the first 400 molecules; the one chosen there is tested on the rest.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from _common import setting

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.learning.multipoles import dipoles, quadrupoles
from dipkit.quantum.calculation import calculate
from dipkit.quantum.labels import parse_method

DEVELOPMENT, VALIDATION = 400, 100
WEIGHTS = (0.0, 0.001, 0.01, 0.1)
Errors = tuple[float, float, float]


def labelled(source: str) -> Molecules:
    """Return the bundled molecules, described, with the labels of one source alone."""
    molecules = load_organics()
    if source == "mulliken":
        dipole, quadrupole = (of(molecules.charges, molecules) for of in (dipoles, quadrupoles))
    else:
        result = calculate(parse_method(source), molecules)
        dipole, quadrupole = result.dipole, result.quadrupole
    molecules = molecules.replace(
        charges=None,
        baseline_dipole=None,
        baseline_charges=None,
        dipole_magnitude=None,
        dipole_vector=dipole,
        quadrupole=quadrupole,
    )
    described: Molecules = SOAPTransformer(on_demand=False, n_jobs=1).fit_transform(molecules)
    return described


def errors(train: Molecules, test: Molecules, weight: float) -> Errors:
    """Fit to magnitudes and quadrupoles; mean errors of magnitude, vector and quadrupole."""
    model = DipoleKernelRidge(quadrupole_weight=weight).fit(train, train.dipole_magnitude)
    vectors = model.predict_dipole(test)
    magnitude = np.abs(np.linalg.norm(vectors, axis=1) - test.dipole_magnitude).mean()
    vector = np.linalg.norm(vectors - test.dipole_vector, axis=1).mean()
    off = model.predict_quadrupole(test) - test.quadrupole
    return float(magnitude), float(vector), float(np.linalg.norm(off, axis=(1, 2)).mean())


def chosen_weights(pool: Molecules, args: argparse.Namespace) -> tuple[dict[int, float], list[str]]:
    """Return the best weight by size, and the lines of a table, from the development part."""
    lines, best = [], {}
    known, validation = pool[: DEVELOPMENT - VALIDATION], pool[DEVELOPMENT - VALIDATION :]
    validation = validation[:VALIDATION]
    for size in args.sizes:
        found = np.array(
            [[errors(t, validation, w) for w in WEIGHTS] for t in draws(known, size, args.seeds)]
        )
        for weight, part in zip(WEIGHTS, found.transpose(1, 0, 2), strict=True):
            lines.append(row(size, f"{weight:g}", part))
        best[size] = WEIGHTS[1:][int(found[:, 1:, 0].mean(axis=0).argmin())]
    return best, lines


def draws(molecules: Molecules, size: int, n_draws: int) -> list[Molecules]:
    """Draw training molecules, the same ones for every weight."""
    rng = np.random.default_rng(size)
    return [molecules[rng.choice(len(molecules), size, replace=False)] for _ in range(n_draws)]


def row(size: int, name: str, found: Any) -> str:
    """Write means and spread over the draws as a line of a table."""
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
    line = f"| {size} | {name} | " + " | ".join(
        f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)
    )
    print(line, flush=True)
    return line + " |"


def tested(pool: Molecules, best: dict[int, float], args: argparse.Namespace) -> list[str]:
    """Compare with and without quadrupoles on the test part."""
    lines, known, test = [], pool[:DEVELOPMENT], pool[DEVELOPMENT:]
    for size, weight in best.items():
        trains = draws(known, size, args.seeds)
        for name, w in (("magnitudes", 0.0), (f"and quadrupoles, weight {weight:g}", weight)):
            lines.append(row(size, name, [errors(train, test, w) for train in trains]))
    return lines


def tables(source: str, args: argparse.Namespace) -> str:
    """Run all for one source and write its part of the page."""
    pool = labelled(source)
    best, development = chosen_weights(pool, args)
    test = tested(pool, best, args)
    head = "magnitude, D | vector, D | quadrupole, D·Å |\n|---|---|---|---|---|"
    name = "the Mulliken charges" if source == "mulliken" else source
    return f"""## Labels of {name}

{len(pool) - DEVELOPMENT} test molecules, which took no part in the choice of weights:

| train | labels | {head}
{chr(10).join(test)}

Development molecules, where the weight with the lowest error of magnitudes was chosen:

| train | weight, 1/Å² | {head}
{chr(10).join(development)}
"""


def report(parts: list[str], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    return f"""# Quadrupole labels

Made by `benchmarks/quadrupoles.py --sizes {",".join(map(str, args.sizes))} --seeds {args.seeds}\
{f" --method {args.method}" if args.method else ""}` on {args.setting}.

The bundled molecules. Models learn from magnitudes alone, or from magnitudes and quadrupoles of the
same source; no charges and no vectors. Mean absolute error of magnitudes, mean lengths of the
errors of vectors and quadrupoles; means and standard deviations over {args.seeds} draws. The
moments of the Mulliken charges are those of charges. A calculated quadrupole also contains dipoles
and quadrupoles of atoms, which charges cannot reproduce, and it may change the charges so that
dipoles become worse. QM9 has no quadrupoles: its `r2` is the spatial extent of the electrons.

{chr(10).join(parts)}"""


def main() -> None:
    """Choose weights, test them and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="50,100,200")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--method", help="label with this as well, for example hf/sto-3g")
    parser.add_argument("--output", type=Path, help="folder for quadrupoles.md")
    args = parser.parse_args()
    args.sizes = [int(size) for size in args.sizes.split(",")]
    args.setting = setting()  # now: the tree may change while this runs
    sources = ["mulliken"] + ([args.method] if args.method else [])
    page = report([tables(source, args) for source in sources], args)
    print(page)
    if args.output is not None:
        (args.output / "quadrupoles.md").write_text(page)


if __name__ == "__main__":
    main()
