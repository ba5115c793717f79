"""What a charge discrepancy is worth where charges are known for many more molecules than dipoles.

    python benchmarks/discrepancy.py --data qm9.npz --sizes 100,200,500 --charges 2000 --seeds 5

A draw has magnitudes on its first N molecules and Mulliken charges on all of them. Charge weight
lambda and discrepancy beta are chosen for each N and each kind of model by the error on molecules
of the development part; the error on the test part is shown for the chosen setting only. A finite
beta also pulls harder towards the charges, so that a stronger ridge penalty is there to compare.
One basis and one sum over the charges serve all fits of a draw, which differ in the labels alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import draw, setting

from dipkit import DipoleKernelRidge, InducingBasis, Molecules, SOAPTransformer, read
from dipkit.estimator.defaults import ANNEALING, usual_alpha
from dipkit.estimator.fit import first_statistics
from dipkit.estimator.settings import Settings
from dipkit.learning.accumulate import accumulate
from dipkit.learning.charge_discrepancy import absorb, absorbs
from dipkit.learning.initial_charges import charge_start
from dipkit.learning.labels import read_labels
from dipkit.learning.losses import SquaredLoss
from dipkit.learning.objective import JointObjective
from dipkit.learning.reweighted import solve_annealed

ALONE = "no charges"
OWN = "charges of the N molecules"
START = "charges of all: start and prior alone"
STRONGER = "charges of all: the same, alpha chosen"
SHARED = "charges of all: shared"
FINITE = "charges of all: finite beta"
ZERO = ", prior zero"

# A setting: prior, factor of the usual alpha, lambda and beta; None for a fit by itself.
Setting = tuple[str, float, float, float | None]


def settings_of(kind: str, args: argparse.Namespace) -> list[Setting | None]:
    """List the settings of a kind of model, among which the best is chosen."""
    if kind in (ALONE, OWN):
        return [None]
    prior = "zero" if kind.endswith(ZERO) else "start"
    if kind.startswith(START):
        return [(prior, 1.0, 0.0, None)]
    if kind.startswith(STRONGER):
        return [(prior, factor, 0.0, None) for factor in args.alphas]
    if kind.startswith(SHARED):
        return [(prior, 1.0, weight, None) for weight in args.shared]
    return [(prior, 1.0, weight, beta) for weight in args.weights for beta in args.betas]


def kinds(args: argparse.Namespace) -> list[str]:
    """Kinds of models, in the order of the table."""
    priors = ("", ZERO) if args.prior_zero else ("",)
    together = [kind + prior for prior in priors for kind in (START, STRONGER, SHARED, FINITE)]
    return [ALONE, OWN, *together]


class Draw:
    """Molecules of one draw, and what its fits share.

    Parameters
    ----------
    pool : Molecules
    args : namespace
    seed : int
    """

    def __init__(self, pool: Molecules, args: argparse.Namespace, seed: int):
        train, inner = draw(pool, args.charges, args.test, seed, tune=True)
        _, outer = draw(pool, args.charges, args.test, seed, tune=False)
        soap = SOAPTransformer(on_demand=False, verbose=False, n_jobs=args.jobs).fit(train)
        self.train = soap.transform(train)
        self.measured = [soap.transform(part) for part in (inner, outer)]
        basis = InducingBasis(n_inducing=args.n_inducing)
        self.settings = Settings.of(DipoleKernelRidge(basis=basis, device="cpu"))
        labels = read_labels(self.train, None, None, None)
        self.shared = first_statistics(self.settings, labels, 1.0, for_partial_fit=True)
        self.rows = [accumulate(part, self.shared.basis)[0] for part in self.measured]
        self.start = charge_start(self.shared.charges, self.shared.basis.backend)
        self._absorbed: dict[tuple[float, float | None], Any] = {}

    def errors(self, size: int, kind: str, setting: Setting | None) -> list[float]:
        """Fit, and give the MAE on molecules of the development part and of the test part."""
        if setting is None:
            part = self.train[:size]
            model = DipoleKernelRidge(device="cpu")
            model.fit(part if kind == OWN else part.replace(charges=None))
            found = [model.predict(part) for part in self.measured]
        else:
            w = self._weights(size, *setting)
            found = [np.linalg.norm((rows @ w).reshape(-1, 3), axis=1) for rows in self.rows]
        return [
            float(np.abs(magnitudes - part.dipole_magnitude).mean())
            for magnitudes, part in zip(found, self.measured, strict=True)
        ]

    def _weights(
        self, size: int, prior: str, factor: float, weight: float, beta: float | None
    ) -> Any:
        """Do what a fit does, to these magnitudes and to the charges of all molecules."""
        labels = read_labels(self.shared.labels.molecules[:size], None, None, None)
        objective = JointObjective(
            self.shared.rows[: 3 * size], self.shared.constant[:size], labels.target,
            [(self._charges(weight, beta), weight)], factor * usual_alpha(size), SquaredLoss(),
            self.shared.basis.backend,
        )  # fmt: skip
        if prior == "start":
            objective = objective.with_prior(self.start)
        return solve_annealed(objective, self.start, ANNEALING).weights

    def _charges(self, weight: float, beta: float | None) -> Any:
        """Statistics of the charge term: the same for all sizes."""
        if weight == 0 or not absorbs(beta):
            return self.shared.charges
        key, backend = (weight, beta), self.shared.basis.backend
        if key not in self._absorbed:
            self._absorbed[key] = absorb(self.shared.charges, weight, beta, backend)
        return self._absorbed[key]


def run_seed(pool: Molecules, args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """Fit all settings of all kinds at all sizes, for one draw."""
    start = time.perf_counter()
    data, rows = Draw(pool, args, seed), []
    print(f"seed {seed}: {time.perf_counter() - start:.0f} s for descriptors and statistics")
    for size in args.sizes:
        for kind in kinds(args):
            for choice in settings_of(kind, args):
                inner, outer = data.errors(size, kind, choice)
                row = {"size": size, "kind": kind, "setting": choice}
                rows.append(row | {"seed": seed, "inner": inner, "outer": outer})
                print(f"  {size:5d}  {kind:<50} {label(choice):<24} {inner:.4f}", flush=True)
    return rows


def choose(rows: list[dict[str, Any]], size: int, kind: str) -> Setting | None:
    """Take the setting of a kind with the lowest mean error on the development part."""
    mine = [row for row in rows if (row["size"], row["kind"]) == (size, kind)]
    found = dict.fromkeys(row["setting"] for row in mine)
    return min(found, key=lambda choice: values(rows, size, kind, choice, "inner").mean())


def values(
    rows: list[dict[str, Any]], size: int, kind: str, choice: Setting | None, name: str
) -> np.ndarray:
    """Errors of a setting over the draws, in their order."""
    wanted = (size, kind, choice)
    mine = [row for row in rows if (row["size"], row["kind"], row["setting"]) == wanted]
    return np.array([row[name] for row in mine])


def label(choice: Setting | None) -> str:
    """Say lambda and beta."""
    if choice is None:
        return "usual"
    _, factor, weight, beta = choice
    if factor != 1:
        return f"λ {weight:g}, α times {factor:g}"
    return f"λ {weight:g}" if beta is None else f"λ {weight:g}, β {beta:g}"


def table(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """Errors on the test part of what was chosen, and their differences from sharing."""
    head = "| N | model | chosen | MAE, D | against shared, D | better in |"
    lines = [head, "|---" * 6 + "|"]
    for size in args.sizes:
        shared = values(rows, size, SHARED, choose(rows, size, SHARED), "outer")
        for kind in kinds(args):
            choice = choose(rows, size, kind)
            mine = values(rows, size, kind, choice, "outer")
            cells = [size, kind, label(choice), plus_minus(mine)]
            if kind != SHARED:
                cells += [plus_minus(mine - shared, "+"), f"{(mine < shared).sum()} of {len(mine)}"]
            else:
                cells += ["", ""]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def plus_minus(found: np.ndarray, sign: str = "") -> str:
    """Mean and standard deviation over the draws."""
    return f"{found.mean():{sign}.4f} ± {found.std():.4f}"


def grid(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """Errors on the development part of everything there was to choose from."""
    lines = [f"| model | setting | {' | '.join(f'N = {size}' for size in args.sizes)} |"]
    lines.append("|---" * (2 + len(args.sizes)) + "|")
    for kind in kinds(args):
        for choice in settings_of(kind, args):
            found = (values(rows, size, kind, choice, "inner").mean() for size in args.sizes)
            cells = [kind, label(choice), *(f"{value:.4f}" for value in found)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def report(rows: list[dict[str, Any]], args: argparse.Namespace, n_draws: int) -> str:
    """Write the page of the documentation."""
    command = args.command.format(seeds=n_draws)
    return f"""# Charge discrepancy

Made by `benchmarks/discrepancy.py {command}` on {args.setting}.

Dipole magnitudes of N molecules and Mulliken charges of {args.charges}, the N among them. Each of
{n_draws} draws has its molecules of the development part of QM9; {args.test} others of that
part choose the setting of each row of the first table, by their mean error over the draws, and
{args.test} of the test part measure what was chosen. ± is the standard deviation over the draws;
differences are taken draw by draw. The fits with charges of all have {args.n_inducing} inducing
environments; the first two rows are fits to the N molecules alone, with all defaults. λ and β are
in D²/e². The decision is [](../decisions/0011-charge-discrepancy.md).

{table(rows, args)}

## What there was to choose from

Mean errors, in D, on the molecules of the development part.

{grid(rows, args)}
"""


def main() -> None:
    """Run all draws and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--sizes", default="100,200,500")
    parser.add_argument("--charges", type=int, default=2000, help="molecules with charges")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--n-inducing", type=int, default=1500)
    parser.add_argument("--alphas", default="1,2,5", help="factors of the usual alpha")
    parser.add_argument("--shared", default="0.001,0.1,1", help="lambda without a discrepancy")
    parser.add_argument("--weights", default="10,100", help="lambda with a discrepancy")
    parser.add_argument("--betas", default="1e-5,1e-4,1e-3")
    parser.add_argument("--prior-zero", action="store_true", help="the same without that prior")
    parser.add_argument("--jobs", type=int, help="processes for descriptors")
    parser.add_argument("--output", type=Path, help="folder for discrepancy.md")
    args = parser.parse_args()
    aside = ("data", "output", "jobs")
    shown = {name: value for name, value in vars(args).items() if name not in aside}
    shown["seeds"] = "{seeds}"
    args.command = f"--data {Path(args.data).name} " + " ".join(
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")
        for name, value in shown.items()
        if value is not False
    )
    args.sizes = [int(size) for size in args.sizes.split(",")]
    for name in ("alphas", "shared", "weights", "betas"):
        setattr(args, name, [float(value) for value in getattr(args, name).split(",")])
    args.setting = setting()  # now: the tree may change while this runs
    pool = read(args.data)
    rows: list[dict[str, Any]] = []
    for seed in range(args.seeds):
        rows += run_seed(pool, args, seed)
        page = report(rows, args, n_draws=seed + 1)  # a stopped run leaves the draws that it has
        if args.output is not None:
            (args.output / "discrepancy.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
