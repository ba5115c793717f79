"""What each default of a model with a baseline is worth, on validation molecules.

    python benchmarks/ablation_baseline.py --data qm9.npz --sizes 200,1000 --seeds 5

As in `ablation.py` the test part of the data is not touched. GFN2-xTB and IPEA1-xTB are calculated
for all molecules of a draw, and the models get both from there (`baseline="given"`).
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from _common import draw
from _draws import Row, arguments, made_by, run_seeds
from ablation import LARGE_DRAWS, SMALL, table

from dipkit import GFN2Baseline, Molecules, default_model
from dipkit.estimator.defaults import usual_alpha
from dipkit.estimator.metrics import error_report

DEFAULTS = "defaults"
ALONE = GFN2Baseline(second_method=None)
# What the molecules carry: dipoles and charges, and charges of a second method for descriptors.
CARRIED: dict[str, tuple[str, bool]] = {
    DEFAULTS: ("mixed", True),
    "GFN2-xTB alone": ("gfn2", False),
    "IPEA1-xTB in the descriptors alone": ("gfn2", True),
    "IPEA1-xTB in the baseline alone": ("mixed", False),
}
# Parameters of the model; "alpha" and "direction_weight" are factors of the usual values.
SETTINGS: dict[str, dict[str, Any]] = {
    "one model, atomic dipoles of scale 0.06": {"basis__atomic_dipoles": 0.06},
    "one model, no atomic dipoles": {"basis__atomic_dipoles": 0.0},
    "no bond charges": {"basis__bond_charges": 0.0},
    "no weight on directions": {"direction_weight": 0.0},
    "weight on directions over 4": {"direction_weight": 0.25},
    "weight on directions times 4": {"direction_weight": 4.0},
    "alpha over 5": {"alpha": 0.2},
    "alpha times 5": {"alpha": 5.0},
    "half the inducing environments": {"basis__n_inducing": 0.5},
}
DIRECTION = 4.0


def run(name: str, train: Molecules, test: Molecules, settings: dict[str, Any]) -> Row:
    """Fit and test one variant."""
    settings, n = dict(settings), len(train)
    if "basis__n_inducing" in settings:
        settings["basis__n_inducing"] = int(settings["basis__n_inducing"] * 100 * np.sqrt(n))
    if "alpha" in settings:
        settings["alpha"] *= usual_alpha(n, with_baseline=True)
    weight = settings.pop("direction_weight", None)
    model = default_model(baseline="given", **settings)[-1]
    if weight is not None:
        model.set_params(baseline__direction_weight=weight * DIRECTION / n)
    model.fit(train, train.dipole_magnitude)
    report = error_report(test.dipole_magnitude, model.predict(test))
    print(f"  {n:5d} {name:<40} {report['mae_debye']:.4f} {model.n_iter_:5d}", flush=True)
    return {"name": name, "size": n, "iterations": model.n_iter_} | report


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[Row]:
    """All variants at all sizes, for one draw of molecules."""
    train, test = draw(pool, max(args.sizes), args.test, seed, args.tune)
    bare = Molecules.concatenate([train, test]).replace(charges=None)
    attached = {"mixed": GFN2Baseline().attach(bare), "gfn2": ALONE.attach(bare)}
    second = attached["mixed"].descriptor_charges
    described = default_model(baseline="given")[0].fit_transform(bare)
    rows = []
    for name, (source, in_descriptors) in CARRIED.items():
        molecules = attached[source].replace(
            descriptor_charges=second if in_descriptors else None, features=described.features
        )
        changes = SETTINGS if name == DEFAULTS else {}
        for size in args.sizes:
            if size > SMALL and seed >= LARGE_DRAWS:
                continue
            part, tested = molecules[:size], molecules[len(train) :]
            rows.append(run(name, part, tested, {}))
            if size <= SMALL:
                rows += [run(key, part, tested, change) for key, change in changes.items()]
    return [row | {"seed": seed} for row in rows]


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    return f"""# What each default of a model with a baseline is worth

{made_by("ablation_baseline", args)}

One thing changed at a time in a model with `baseline="gfn2"`; means over {args.seeds} draws (above
N = {SMALL} over {LARGE_DRAWS}) of training molecules and {args.test} *validation* molecules, as on
the [page of models without a baseline](ablation.md). Training is on magnitudes alone.

{table(rows, args.sizes)}
"""


def main() -> None:
    """Run all variants and write the page."""
    args = arguments(__doc__ or "", "200,1000", False).parse_args()
    run_seeds("ablation_baseline", args, run_seed, report)


if __name__ == "__main__":
    main()
