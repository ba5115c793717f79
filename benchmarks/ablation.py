"""What each default is worth: change one at a time, on validation molecules.

    python benchmarks/ablation.py --data qm9.npz --sizes 200,1000 --seeds 3

The test part of the data is not touched (`_common.draw` with ``tune=True``): this is where
defaults are chosen. Each row changes one thing; iterations are the linear solves of all stages.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from _draws import Row, arguments, described_draw, made_by, run_seeds
from sklearn.base import clone

from dipkit import DipoleKernelRidge, Molecules, PowerKernel
from dipkit.descriptors.scales import default_scales
from dipkit.estimator.defaults import usual_alpha
from dipkit.estimator.metrics import error_report

BARE = "no charges"
SHORT, MIDDLE, LONG = default_scales()
# Descriptors: parameters of `SOAPTransformer`.
SCALES: dict[str, dict[str, Any]] = {
    "short scale to 2.2 A": {"scales": (clone(SHORT).set_params(r_cut=2.2), MIDDLE, LONG)},
    "all radial functions": {"compression": None},
    "short scale alone": {"scales": (SHORT,)},
    "without the long scale": {"scales": (SHORT, MIDDLE)},
    "without the middle scale": {"scales": (SHORT, LONG)},
    "short scale in the gto basis": {"scales": (clone(SHORT).set_params(rbf="gto"), MIDDLE, LONG)},
}
# Above this number of molecules only descriptors and levers run, on this many draws: a fit takes
# its time.
SMALL, LARGE_DRAWS = 500, 3
# What the model learns from, where charges are compensated, dipoles of single atoms.
LEVERS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no auxiliary dipoles": {"auxiliary": None},
    "no bond charges": {"basis__bond_charges": 0.0},
    "no auxiliary dipoles, no bond charges": {"auxiliary": None, "basis__bond_charges": 0.0},
    "bond_charges 0.1": {"basis__bond_charges": 0.1},
    "bond_charges 0.4": {"basis__bond_charges": 0.4},
    "compensation along bonds": {"basis__compensation": "bonds"},
    "atomic_dipoles 0.03": {"basis__atomic_dipoles": 0.03},
}
# Factors of the usual value where the name says so (n_inducing, alpha).
SETTINGS: dict[str, dict[str, Any]] = LEVERS | {
    "prior zero": {"start__prior": False},
    "no annealing": {"solver__annealing": ()},
    "no annealing, prior zero": {"solver__annealing": (), "start__prior": False},
    "no annealing, prior zero, plain iterations": {
        "solver__annealing": (),
        "start__prior": False,
        "solver__memory": 0,
    },
    "random start": {"start": "random", "auxiliary": None},
    "random start, no annealing": {
        "start": "random",
        "auxiliary": None,
        "solver__annealing": (),
    },
    "charge_weight 0": {"charge_weight": 0.0},
    "charge_weight 0.1": {"charge_weight": 0.1},
    "alpha over 5": {"alpha": 0.2},
    "alpha times 5": {"alpha": 5.0},
    "degree 1.5": {"basis__kernel": PowerKernel(1.5)},
    "degree 3": {"basis__kernel": PowerKernel(3.0)},
    "eigenvalue_cut 1e-7": {"basis__eigenvalue_cut": 1e-7},
    "eigenvalue_cut 1e-8": {"basis__eigenvalue_cut": 1e-8},
    "half the inducing environments": {"basis__n_inducing": 0.5},
    "twice the inducing environments": {"basis__n_inducing": 2.0},
    "Huber loss": {"loss": "huber"},
}
WITHOUT_CHARGES = ("defaults", "prior zero", "no annealing", "no annealing, prior zero")


def run(name: str, settings: dict[str, Any], train: Molecules, test: Molecules) -> Row:
    """Fit and test one variant."""
    settings = dict(settings)
    # Factors become values for this size.
    share = settings.get("basis__n_inducing")
    if share is not None:
        usual = min(100 * np.sqrt(len(train)), train.n_atoms)
        settings["basis__n_inducing"] = int(min(share * usual, train.n_atoms))
    if "alpha" in settings:
        settings["alpha"] *= usual_alpha(len(train))
    model = DipoleKernelRidge().set_params(**settings)
    model.fit(train, train.dipole_magnitude)
    report = error_report(test.dipole_magnitude, model.predict(test))
    row = {"name": name, "size": len(train), "iterations": model.n_iter_, "J": model.objective_}
    print(f"  {len(train):5d} {name:<45} {report['mae_debye']:.4f} {model.n_iter_:5d}", flush=True)
    return row | report


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """All variants at all sizes, for one draw of molecules."""
    rows = []
    sizes = [size for size in args.sizes if size <= SMALL or seed < LARGE_DRAWS]
    for name, parameters in {"": {}, **SCALES}.items():
        described, tested = described_draw(pool, args, seed, **parameters)
        for size in sizes:
            part = described[:size]
            if name:
                rows.append(run(name, {}, part, tested))
                continue
            changes = LEVERS if size > SMALL else SETTINGS
            rows += [run(key, settings, part, tested) for key, settings in changes.items()]
            if size <= SMALL:
                bare = part.replace(charges=None, features=part.features)
                rows += [
                    run(f"{BARE}: {key}", SETTINGS[key], bare, tested) for key in WITHOUT_CHARGES
                ]
    return [row | {"seed": seed} for row in rows]


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    return f"""# What each default is worth

{made_by("ablation", args)}

One thing changed at a time; means over {args.seeds} draws (above N = {SMALL} over
{LARGE_DRAWS}, and fewer changes) of training molecules and {args.test} *validation* molecules,
both from the development part of QM9. Differences are taken draw by draw; ± is their standard
error. Figures of this kind chose the defaults, so they are no test: that is the
[study](../study.md). Training is on magnitudes, with the Mulliken charges of the training
molecules unless a row says "{BARE}".

{table(rows, args.sizes)}
"""


def table(rows: list[Row], sizes: list[int]) -> str:
    """Return the table of all changes, a line for each."""
    columns = " | ".join(
        f"N = {size}: MAE, D | against the defaults, D | median, D | iterations" for size in sizes
    )
    names = dict.fromkeys(row["name"] for row in rows)
    lines = [
        f"| change | {columns} |",
        "|---" * (1 + 4 * len(sizes)) + "|",
        *(
            f"| {name} | {' | '.join(_cells(rows, name, size) for size in sizes)} |"
            for name in names
        ),
    ]
    return "\n".join(lines)


def _cells(rows: list[Row], name: str, size: int) -> str:
    """Four cells of one change at one size."""
    mine = {r["seed"]: r for r in rows if (r["name"], r["size"]) == (name, size)}
    usual = {r["seed"]: r for r in rows if (r["name"], r["size"]) == ("defaults", size)}
    if not mine:
        return "| | |"
    mae, median, iterations = (
        np.mean([row[key] for row in mine.values()])
        for key in ("mae_debye", "median_debye", "iterations")
    )
    off = np.array([row["mae_debye"] - usual[seed]["mae_debye"] for seed, row in mine.items()])
    spread = f" ± {off.std(ddof=1) / np.sqrt(len(off)):.4f}" if len(off) > 1 else ""
    against = "" if name == "defaults" else f"{off.mean():+.4f}{spread}"
    return f"{mae:.4f} | {against} | {median:.4f} | {iterations:.0f}"


def main() -> None:
    """Run all variants and write the page."""
    args = arguments(__doc__ or "", "200,1000", False).parse_args()
    run_seeds("ablation", args, run_seed, report)


if __name__ == "__main__":
    main()
