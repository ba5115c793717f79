"""Accumulation and prediction, stage by stage, against the fewest operations.

    python benchmarks/efficiency.py --data qm9.npz --molecules 20000 --inducing 2000

The floor of a stage is its number of operations over the rate of the matrix product that does
them, measured in the same run at the shapes in question. Operations are counted with the blocks of
elements used: an atom meets the environments of its own element only, and a symmetric product
costs half. Descriptors are computed once for `--described` molecules and repeated; computing them
is no part of the accumulation. Processor seconds are shown beside seconds: where other programs
share the machine, processor seconds are the better measure.

`--only files` compares ``dipkit predict`` from file to file with the bare call, `--against` the
fit with that of another checkout.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg.blas
from _common import draw, draw_indices, setting
from _processes import file_to_file, fits_against
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer, read, to_atoms
from dipkit.learning.accumulate import accumulate
from dipkit.learning.basis import Basis, build_basis
from dipkit.learning.blocking import PIECE_ATOMS
from dipkit.learning.charge_labels import ChargeLabels
from dipkit.learning.charge_maps import sum_map
from dipkit.learning.columns import arms_of_dipoles
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import PowerKernel
from dipkit.support.blas_threads import count_threads

REPEAT = 4
TABLES = ("sums", "prediction", "files", "fits")


@dataclass
class Stage:
    """Operations of a stage, its floor and its time, in seconds of one core."""

    name: str
    operations: float
    floor: float
    measured: float

    def row(self) -> str:
        """One line of the table."""
        ratio = f"{self.floor / self.measured:6.2f}" if self.measured else "     -"
        return (
            f"{self.name:<22} {self.operations / 1e12:8.3f} {self.floor:9.2f} "
            f"{self.measured:9.2f} {ratio}"
        )


def best(function: Callable[[], Any]) -> float:
    """Shortest processor time of some calls, the first one aside."""
    function()
    return max(min(once(function) for _ in range(REPEAT)), 1e-9)


def once(function: Callable[[], Any]) -> float:
    """Processor time of one call, seconds."""
    start = time.process_time()
    function()
    return time.process_time() - start


def product_rates(n: int, d: int, m: int, r: int) -> dict[str, float]:
    """Operations a second of one core, of the products of n atoms and m environments."""
    rng = np.random.default_rng(0)
    x, z = rng.random((n, d), dtype=np.float32), rng.random((m, d), dtype=np.float32)
    k, whitening = rng.random((n, m)), rng.random((m, r))
    phi = k @ whitening
    gram = np.zeros((r, r), order="F")

    def syrk() -> None:
        scipy.linalg.blas.dsyrk(1.0, phi.T, beta=1.0, c=gram, overwrite_c=1)

    with threadpool_limits(1):
        return {
            "sgemm": 2 * n * d * m / best(lambda: x @ z.T),
            "dgemm": 2 * n * m * r / best(lambda: k @ whitening),
            "dsyrk": n * r * r / best(syrk),
        }


def stages(described: Molecules, basis: Basis, repeats: float) -> list[Stage]:
    """Time each stage for each element, on one thread and a piece of the usual size at a time."""
    features = described.features
    assert features is not None
    names = ("kernel", "whitening", "rows, sums", "charge Gram")
    operations, floors, measured = (dict.fromkeys(names, 0.0) for _ in range(3))
    for number, element in basis.elements.items():
        m, r = element.whitening.shape
        of_element = np.flatnonzero(described.numbers == number)
        n = len(of_element)
        share = n / described.n_atoms
        atoms = of_element[: max(int(PIECE_ATOMS * share), 1)]
        scale = repeats * n / len(atoms)
        rates = product_rates(len(atoms), features.widths[0], m, r)
        x = [part[atoms] for part in features.scales]
        k = basis.kernel(x, element.environments, basis.weights).astype(np.float64)
        phi = k @ element.whitening
        part = described[: np.searchsorted(described.offsets, atoms[-1]) + 1]
        own = np.flatnonzero(part.numbers == number)
        maps = (
            arms_of_dipoles(part, basis).maps(own, part).charges.sparse(basis.backend),
            sum_map(part.molecule_index[own], len(part)).sparse(basis.backend),
        )
        rows = np.resize(phi, (len(own), r))
        rows_scale = repeats * n / len(own)
        work = {
            "kernel": (
                2.0 * sum(features.widths) * m,
                rates["sgemm"],
                lambda x=x, e=element: basis.kernel(x, e.environments, basis.weights),
            ),
            "whitening": (2.0 * m * r, rates["dgemm"], lambda k=k, e=element: k @ e.whitening),
            "rows, sums": (8.0 * r, rates["dgemm"], lambda p=rows, a=maps: [b @ p for b in a]),
            "charge Gram": (1.0 * r * r, rates["dsyrk"], lambda p=phi: p.T @ p),
        }
        with threadpool_limits(1):
            for name, (per_atom, rate, function) in work.items():
                operations[name] += per_atom * n * repeats
                floors[name] += per_atom * n * repeats / rate
                measured[name] += best(function) * (rows_scale if name[:4] == "rows" else scale)
    r = basis.n_columns
    sums = np.random.default_rng(0).random((min(len(described), 2048), r))
    rate = product_rates(256, 256, r, r)["dsyrk"]
    with threadpool_limits(1):
        seconds = best(lambda: sums.T @ sums) * len(described) / len(sums) * repeats
    total = float(len(described) * r * r * repeats)
    found = [Stage(name, operations[name], floors[name], measured[name]) for name in names]
    return [*found, Stage("Gram of sums", total, total / rate, seconds)]


def accumulation(described: Molecules, basis: Basis, times: int) -> tuple[float, float]:
    """Seconds and processor seconds of the real thing, run over the molecules several times."""
    labels = ChargeLabels.of(described.charges, described, np.ones(len(described)))
    start = time.perf_counter(), time.process_time()
    for _ in range(times):
        accumulate(described, basis, [labels])
    return time.perf_counter() - start[0], time.process_time() - start[1]


def by_dscribe(molecules: Molecules, soap: SOAPTransformer) -> None:
    """Compute the descriptors with dscribe alone, in one process."""
    from dscribe.descriptors import SOAP

    frames, names = to_atoms(molecules), ("r_cut", "n_max", "l_max", "sigma", "rbf")
    for scale in soap.scales_:
        options = {name: getattr(scale, name) for name in names}
        SOAP(species=soap.species_.tolist(), **options).create(frames, n_jobs=1)


def prediction(molecules: Molecules, n_train: int) -> None:
    """Compare predictions of new molecules with their descriptors alone, on one core each.

    Descriptors are held, all of them at once, or computed on demand as ``dipkit predict`` does.
    """
    train, new = molecules[:n_train], molecules[n_train:].replace(features=None)
    soap, streaming = (
        SOAPTransformer(n_jobs=1, on_demand=how).fit(train.replace(features=None))
        for how in (False, True)
    )
    with threadpool_limits(1):
        ridge = DipoleKernelRidge().fit(soap.transform(train.replace(features=None)))
        work: dict[str, Callable[[], Any]] = {
            "dscribe alone": lambda: by_dscribe(new, soap),
            "dipkit's descriptors": lambda: soap.transform(new),
            "prediction, held": lambda: ridge.predict(soap.transform(new)),
            "prediction, on demand": lambda: ridge.predict(streaming.transform(new)),
        }
        # In turns: what slows the machine down for a while meets all of them.
        turns = [{name: once(function) for name, function in work.items()} for _ in range(REPEAT)]
    seconds = {name: min(turn[name] for turn in turns) for name in work}
    print(
        f"\nprediction, {len(new)} molecules, {new.n_atoms} atoms, model of {n_train} molecules, "
        f"{len(ridge.dual_coef_)} environments; processor time of one core"
    )
    described = soap.transform(new)
    together, some = ridge.predict(described), range(0, len(new), max(len(new) // 20, 1))
    alone = [float(ridge.predict(described[i])[0]) for i in some]
    off = np.abs(together[list(some)] - alone).max()
    for name, value in seconds.items():
        ratio = value / seconds["dscribe alone"]
        print(f"{name:<22} {1e6 * value / new.n_atoms:7.0f} us an atom  {ratio:5.2f}")
    print(f"alone against in a batch: {off:.1e} D at most, of {len(some)} molecules")


def fits(train: Molecules) -> None:
    """Compare a fit from geometries on with one to all radial functions, on all cores."""
    bare, seconds = train.replace(features=None), {}
    for name, compression in (("all radial functions", None), ("compressed", "auto")):
        start = time.perf_counter(), time.process_time()
        soap = SOAPTransformer(compression=compression, verbose=False)
        make_pipeline(soap, DipoleKernelRidge()).fit(bare)
        seconds[name] = time.perf_counter() - start[0], time.process_time() - start[1]
    whole = seconds["all radial functions"]
    print(f"\nfit to {len(bare)} molecules, {count_threads()} threads: seconds, processor seconds")
    for name, (wall, processor) in seconds.items():
        print(
            f"{name:<22} {wall:7.1f} {processor:7.1f}  "
            f"ratios {wall / whole[0]:5.2f} {processor / whole[1]:5.2f}"
        )


def accumulation_table(described: Molecules, args: argparse.Namespace) -> None:
    """Print the stages of the sums, and the sums themselves, against the fewest operations."""
    assert described.features is not None
    kernel, weights = PowerKernel(), described.features.weights
    chosen = choose_environments(described, args.inducing, kernel, np.random.default_rng(0))
    basis = build_basis(chosen, kernel, weights, 1e-8)
    times = max(round(args.molecules / len(described)), 1)
    print(
        f"{times} x {len(described)} molecules, {times * described.n_atoms} atoms, {args.inducing} "
        f"environments, {basis.n_columns} columns, {count_threads()} threads"
    )
    seconds, processor = accumulation(described, basis, times)
    found = stages(described, basis, times)
    print(f"{'stage':<22} {'10^12 op':>8} {'floor, s':>9} {'taken, s':>9}  ratio  (one core)")
    for stage in found:
        print(stage.row())
    operations, floor = (sum(getattr(s, name) for s in found) for name in ("operations", "floor"))
    print(Stage("accumulate, cores' sum", operations, floor, processor).row())
    print(
        f"accumulate took {seconds:.2f} s, and {floor / count_threads() / seconds:.2f} is the ratio"
    )


def main() -> None:
    """Print all tables, or some of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--only", nargs="*", choices=TABLES, default=TABLES, help="which tables")
    parser.add_argument("--molecules", type=int, default=20_000)
    parser.add_argument("--described", type=int, default=2000, help="described once, then repeated")
    parser.add_argument("--inducing", type=int, default=2000)
    parser.add_argument("--train", type=int, default=1000, help="molecules of the predicting model")
    parser.add_argument("--files", type=int, nargs="*", default=[1000, 5000], help="file to file")
    parser.add_argument("--fit", type=int, default=1000, help="molecules of the fits to compare")
    parser.add_argument("--against", type=Path, help="another checkout, to compare its fit")
    parser.add_argument(
        "--parameters", nargs="*", default=[], help="more rows of --against, as JSON objects"
    )
    parser.add_argument("--turns", type=int, default=3, help="repeats of whole processes")
    args = parser.parse_args()
    print(setting())
    n, molecules = min(args.described, args.molecules), read(args.data)
    if {"sums", "prediction", "files", "fits"} & set(args.only):
        drawn, _ = draw(molecules, n, 1, 0, tune=True)
        described = SOAPTransformer(on_demand=False).fit_transform(drawn)
        n_train = min(args.train, n - n // 4)
    if "sums" in args.only:
        accumulation_table(described, args)
    if "prediction" in args.only:
        prediction(described, n_train)
    if "files" in args.only:
        model = make_pipeline(SOAPTransformer(), DipoleKernelRidge())
        model.fit(described[:n_train].replace(features=None))
        for count in args.files:
            _, new = draw(molecules, 200, count, 1, tune=True)
            file_to_file(model, new.replace(features=None), args.turns)
    if "fits" in args.only:
        fits(described[: args.fit])
    if args.against is not None:
        train, new = draw_indices(molecules, args.fit, 1000, 0, tune=True)
        here = Path(__file__).resolve().parents[1]
        compared = [(args.against.resolve(), {}), (here, {})]
        compared += [(here, json.loads(parameters)) for parameters in args.parameters]
        fits_against(Path(args.data), train, new, compared, args.turns)


if __name__ == "__main__":
    main()
