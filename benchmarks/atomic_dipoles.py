"""Whether dipoles of single atoms, beside their charges, lower the error.

    python benchmarks/atomic_dipoles.py --data qm9.npz --seeds 4

Each atom carries a dipole p_i = sum_g a_ig v_ig along v_ig = sum_j f(r_ij) (r_j - r_i), over its
neighbours j of a group g: all, or those of one element. f falls to zero at a cutoff
as a cosine. Each coefficient a_ig is a kernel expansion of its own over fewer inducing
environments, or a constant of the pair of elements. The dipoles stay linear in the weights, so that
this adds columns to the dipole rows and nothing else; their scale s is one more parameter. Rows
with as many more inducing environments instead tell what columns of the usual kind would give. The
test part of the data is not touched (`_common.draw` with ``tune=True``).
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from _common import draw, setting
from sklearn.exceptions import ConvergenceWarning

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer, read
from dipkit._baseline import baseline_of, prepare_labels
from dipkit._direction import with_direction
from dipkit._fit_labels import read_labels
from dipkit._fitting import first_statistics
from dipkit._settings import (
    resolve_alpha,
    resolve_charge_weight,
    resolve_direction_weight,
    resolve_init,
)
from dipkit.design import constant_dipoles
from dipkit.inducing import BIAS, Basis, build_basis, choose_environments
from dipkit.objective import JointObjective, SquaredLoss
from dipkit.soap import baseline_scales
from dipkit.solvers import solve_annealed
from dipkit.starts import charge_start
from dipkit.statistics import ChargeStatistics, accumulate
from dipkit.units import DEBYE_PER_E_ANGSTROM

ELEMENTS = (1, 6, 7, 8, 9)
GROUPS = {"all": (ELEMENTS,), "element": tuple((number,) for number in ELEMENTS)}
# Neighbours in groups, cutoff in angstrom, coefficient, scale.
VARIANTS = (
    ("all", 2.2, "kernel", 0.3),
    ("all", 3.5, "kernel", 0.1),
    ("all", 3.5, "kernel", 0.3),
    ("element", 2.2, "kernel", 0.3),
    ("element", 2.2, "constant", 3.0),
)
WITH_BASELINE = VARIANTS[:3]
# The environments of the atomic dipoles, as a share of those of the charges.
SHARE = 0.25


def directions(molecules: Molecules, cutoff: float) -> np.ndarray:
    """Sum f(r) (r_j - r_i) over the neighbours of each element: (n_atoms, n_elements, 3)."""
    found = np.zeros((molecules.n_atoms, len(ELEMENTS), 3))
    for start, stop in zip(molecules.offsets[:-1], molecules.offsets[1:], strict=True):
        x, numbers = molecules.positions[start:stop], molecules.numbers[start:stop]
        apart = x[None] - x[:, None]
        r = np.minimum(np.linalg.norm(apart, axis=-1), cutoff)
        f = 0.5 * (1 + np.cos(np.pi * r / cutoff))
        for k, number in enumerate(ELEMENTS):
            mine = numbers == number
            found[start:stop, k] = np.einsum("ij,ijc->ic", f[:, mine], apart[:, mine])
    return found


def dipole_columns(
    molecules: Molecules, basis: Basis, variant: tuple[str, float, str, float]
) -> np.ndarray:
    """Dipoles of the atomic dipoles for unit weights: (3 n_molecules, columns), debye / e."""
    groups, cutoff, coefficient, scale = variant
    all_vectors = directions(molecules, cutoff)
    parts, n = [], len(molecules)
    for number, element in sorted(basis.elements.items()):
        atoms = np.flatnonzero(molecules.numbers == number)
        phi = np.zeros((0, element.columns.stop - element.columns.start))
        if len(atoms):
            phi = basis.evaluate(number, [s[atoms] for s in molecules.features.compute().scales])
        if coefficient == "constant":
            phi = phi[:, -1:] / BIAS
        rows = (3 * molecules.molecule_index[atoms, None] + np.arange(3)).ravel()
        for group in GROUPS[groups]:
            inside = [ELEMENTS.index(z) for z in group]
            arms = scale * DEBYE_PER_E_ANGSTROM * all_vectors[atoms][:, inside].sum(axis=1)
            places = rows, np.repeat(np.arange(len(atoms)), 3)
            shape = 3 * n, len(atoms)
            parts.append(scipy.sparse.csr_array((arms.ravel(), places), shape=shape) @ phi)
    return np.concatenate(parts, axis=1)


def padded(term: ChargeStatistics | None, n_more: int) -> ChargeStatistics | None:
    """Charges know nothing of atomic dipoles: zeros in their columns."""
    if term is None:
        return None
    gram = np.pad(term.gram, (0, n_more))
    return ChargeStatistics(gram, np.pad(term.moment, (0, n_more)), term.square, term.weight)


class Problem:
    """Rows of training and test molecules, and what a fit does with them."""

    def __init__(self, train: Molecules, test: Molecules, **parameters: Any):
        self.model = DipoleKernelRidge(**parameters)
        baseline, self.magnitudes = baseline_of(self.model), test.dipole_magnitude
        labels = read_labels(train, train.dipole_magnitude, None, None)
        self.labels, scale = prepare_labels(labels, baseline)
        self.train = self.labels.molecules
        self.test, _ = baseline.prepare(test, scale, self.train.baseline_charges is not None)
        self.statistics = first_statistics(self.model, self.labels, scale, keep=False)
        self.test_rows, _ = accumulate(self.test, self.statistics.basis)

    def columns(self, variant: tuple[str, float, str, float]) -> tuple[np.ndarray, np.ndarray]:
        """More columns for training and test rows."""
        usual = self.statistics.basis
        n_inducing = int(SHARE * usual.n_columns)
        rng = np.random.default_rng(0)
        environments = choose_environments(self.train, n_inducing, usual.kernel, rng)
        basis = build_basis(environments, usual.kernel, usual.weights, 1e-8)
        train, test = (dipole_columns(part, basis, variant) for part in (self.train, self.test))
        return train, test

    def error(self, more: np.ndarray | None = None, more_test: np.ndarray | None = None) -> float:
        """Mean absolute error of the test magnitudes after a fit with these columns, debye."""
        rows, test_rows, n_more = self.statistics.rows, self.test_rows, 0
        if more is not None and more_test is not None:
            rows, test_rows = np.hstack([rows, more]), np.hstack([test_rows, more_test])
            n_more = more.shape[1]
        objective, start = self._objective(rows, n_more), None
        init = resolve_init(self.model.init, self.labels)
        factors: tuple[float, ...] = ()
        start = np.zeros(rows.shape[1])
        if init != "zero":
            charges = {"charges": self.statistics.charges}.get(init, self.statistics.guess)
            assert charges is not None
            start = np.pad(charge_start(charges, self.statistics.basis.backend), (0, n_more))
            objective, factors = objective.with_prior(start), tuple(self.model.annealing)
        result = solve_annealed(objective, start, factors, 500, 1e-6, 8)
        mu = constant_dipoles(self.test) + (test_rows @ result.weights).reshape(-1, 3)
        return float(np.abs(np.linalg.norm(mu, axis=1) - self.magnitudes).mean())

    def _objective(self, rows: np.ndarray, n_more: int) -> JointObjective:
        model, labels, statistics = self.model, self.labels, self.statistics
        charge_weight = resolve_charge_weight(model.charge_weight, labels)
        term, weight = with_direction(
            padded(statistics.charges, n_more) if charge_weight > 0 else None,
            charge_weight,
            rows,
            statistics.constant,
            labels.target,
            resolve_direction_weight(model.direction_weight, labels),
            statistics.basis.backend,
        )
        alpha = resolve_alpha(model.alpha, labels)
        target, loss = labels.target, SquaredLoss()
        return JointObjective(rows, statistics.constant, target, term, alpha, weight, loss)


def name_of(variant: tuple[str, float, str, float]) -> str:
    """Describe a variant in a table."""
    groups, cutoff, coefficient, scale = variant
    return f"{groups}, {cutoff} Å, {coefficient}, s = {scale:g}"


def run(
    train: Molecules, test: Molecules, n_inducing: int, baseline: str
) -> list[tuple[str, float, int]]:
    """Errors and added columns of all variants for one draw."""
    scales = None if baseline == "none" else baseline_scales()
    soap = SOAPTransformer(scales, on_demand=False, verbose=False).fit(train)
    train, test = soap.transform(train), soap.transform(test)
    problem = Problem(train, test, n_inducing=n_inducing, baseline=baseline)
    found = [("charges alone", problem.error(), 0)]
    more = int(SHARE * n_inducing)
    larger = Problem(train, test, n_inducing=n_inducing + more, baseline=baseline)
    found.append((f"charges alone, {1 + SHARE:g} times the environments", larger.error(), more))
    for variant in VARIANTS if baseline == "none" else WITH_BASELINE:
        columns = problem.columns(variant)
        found.append((name_of(variant), problem.error(*columns), columns[0].shape[1]))
    return found


def report(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """Write the page of the documentation."""
    cases = list(dict.fromkeys((row["baseline"], row["size"], row["n_inducing"]) for row in rows))
    tables = []
    for case in cases:
        mine = [r for r in rows if (r["baseline"], r["size"], r["n_inducing"]) == case]
        usual = np.array([r["mae"] for r in mine if r["name"] == "charges alone"])
        model = "" if case[0] == "none" else ", a model that corrects GFN2-xTB"
        lines = [
            f"N = {case[1]}, {case[2]} inducing environments{model}:\n",
            "| atomic dipoles | columns added | MAE, D | change, % |",
            "|---|---|---|---|",
        ]
        for name in dict.fromkeys(row["name"] for row in mine):
            errors = np.array([row["mae"] for row in mine if row["name"] == name])
            change = 100 * (errors / usual - 1)
            columns = next(row["columns"] for row in mine if row["name"] == name)
            spread = change.std(ddof=1) if len(change) > 1 else np.nan
            lines.append(
                f"| {name} | {columns} | {errors.mean():.4f} | "
                f"{change.mean():+.1f} ± {spread:.1f} |"
            )
        tables.append("\n".join(lines))
    return f"""# Atomic dipoles

Made by `benchmarks/atomic_dipoles.py --data {Path(args.data).name} --cases {args.cases} \
--seeds {args.seeds}` on {args.setting}.

Means over {args.seeds} draws of training molecules and {args.test} *validation* molecules, both
from the development part of QM9; change against charges alone, paired, mean and standard deviation
over the draws. Each atom has a dipole along the vectors to its neighbours, in groups, up to a
cutoff. Its coefficients are kernel expansions over a quarter as many inducing environments as those
of the charges, or constants of pairs of elements; s scales the columns. Rows with more environments
spend columns on the charges instead.

{(chr(10) * 2).join(tables)}
"""


def main() -> None:
    """Run all cases and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--cases", default="200:1000:none,200:1000:gfn2,1000:1500:none")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="folder for atomic_dipoles.md")
    args = parser.parse_args()
    args.setting = setting()  # now: the tree may change while this runs
    warnings.simplefilter("ignore", ConvergenceWarning)
    pool, rows = read(args.data), []
    cases = [case.split(":") for case in args.cases.split(",")]
    for seed in range(args.seeds):
        for size, n_inducing, baseline in cases:
            train, test = draw(pool, int(size), args.test, seed, tune=True)
            case = {"size": int(size), "n_inducing": int(n_inducing), "baseline": baseline}
            for name, mae, columns in run(train, test, int(n_inducing), baseline):
                rows.append(case | {"name": name, "mae": mae, "columns": columns})
                print(f"  {seed} {size} {baseline} {name:<50} {mae:.4f}", flush=True)
    page = report(rows, args)
    print(page)
    if args.output is not None:
        (args.output / "atomic_dipoles.md").write_text(page)


if __name__ == "__main__":
    main()
