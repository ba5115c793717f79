"""Time SOAP descriptors: one thread, two threads, two processes, dscribe's own `n_jobs`, a device.

    python benchmarks/descriptors.py --data pool.npz --molecules 200 20000
    python benchmarks/descriptors.py --data pool.npz --molecules 20000 --device cuda

Each way describes the same molecules, in turn and several times: piece by piece on threads, as a
fit or a prediction does, or `--block` molecules at a time with what is named. The table shows the
median time relative to the first way, atoms a second, and the processor time of this process with
its threads (workers left out) relative to that. On a machine that does other things as well,
processor time over the number of threads is the wall time at best.

The way "device" is the form of the power spectra that suits a GPU, in the pieces that a fit on one
takes; with ``--device cpu`` NumPy runs it. Operations and bytes of an atom are counted from shapes.
"""

import argparse
import functools
import statistics
from collections.abc import Callable

import joblib
import numpy as np
from _common import Stopwatch, setting

from dipkit import Molecules, read, to_atoms
from dipkit.descriptors.radial_tables import device_tables
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.descriptors.spectra_device import DeviceTables, _batches
from dipkit.learning.blocking import DEVICE_PIECE_ATOMS, PIECE_ATOMS
from dipkit.support.backend import Backend, get_backend
from dipkit.support.blas_threads import in_order
from dipkit.support.ragged_index import cut


def blocks(molecules: Molecules, size: int) -> list[Molecules]:
    """Cut into blocks whose descriptors fit into memory."""
    return [molecules[start : start + size] for start in range(0, len(molecules), size)]


def in_pieces(molecules: Molecules, n_threads: int) -> None:
    """Describe as an estimator does that walks over molecules."""
    described = SOAPTransformer(on_demand=True).fit_transform(molecules)
    pieces = cut(described.offsets, PIECE_ATOMS)
    for _ in in_order(lambda run: described[run].features.compute(), pieces, n_threads):
        pass


def by_dipkit(molecules: Molecules, size: int, n_jobs: int | None) -> None:
    """Describe some molecules at once."""
    transformer = SOAPTransformer(n_jobs=n_jobs, on_demand=True)
    for block in blocks(transformer.fit_transform(molecules), size):
        block.features.compute()


def by_processes(molecules: Molecules, size: int, n_jobs: int) -> None:
    """Describe with worker processes."""
    with joblib.parallel_config(backend="loky", n_jobs=n_jobs):
        by_dipkit(molecules, size, None)


def on_device(molecules: Molecules, size: int, backend: Backend) -> None:
    """Describe as a fit on a device does, which looks for atoms without a descriptor: it waits."""
    soap = SOAPTransformer(on_demand=True)
    describer = soap.fit_transform(molecules).features.describer
    for run in cut(molecules.offsets, DEVICE_PIECE_ATOMS):
        describer.describe_on(molecules[run], backend)


def counts(molecules: Molecules, backend: Backend) -> list[float]:
    """Count for an atom: operations in double and single precision, bytes, calls.

    Bytes are those of arrays too large for a cache, each time one is read or written; calls are
    array operations, each a kernel to launch on a GPU.
    """
    soap, totals = SOAPTransformer().fit(molecules), np.zeros(4)
    for run in cut(molecules.offsets, DEVICE_PIECE_ATOMS):
        sizes = molecules[run].natoms
        for scale in soap.scales_:
            tables = device_tables(scale.key(), len(soap.species_), backend)
            for batch, n_slots in _batches(np.repeat(sizes, sizes), tables):
                totals[:3] += len(batch) * np.array(_counts_of(tables, n_slots))
                # Six for each m of each l, and those around.
                totals[3] += 6 * (tables.radial.l_max + 1) ** 2 + 25
    return (totals / molecules.n_atoms).tolist()


def _counts_of(tables: DeviceTables, n_slots: int) -> tuple[int, int, int]:
    """Count for one atom at one scale."""
    n, n_l = tables.radial.n_max, tables.radial.l_max + 1
    wide, columns = n * tables.elements.shape[0], tables.columns.shape[0]
    double, single = 2 * n_slots * wide * n_l**2, 2 * wide**2 * n_l**2
    # Integrals: three lookups and four steps in place. Harmonics: six passes for each m of each l.
    # Element by element: made from the integrals, copied for the product, read.
    of_slot = 8 * (13 * n * n_l + 6 * n_l**2 + n_l * (n + 4 * wide))
    # Products: written, copied to their place. Columns: taken, squared in double precision, summed,
    # scaled, put to their rows.
    return double, single, n_slots * of_slot + 12 * n_l * wide**2 + 60 * columns


def by_dscribe(molecules: Molecules, size: int, n_jobs: int) -> None:
    """Let dscribe spread the work."""
    from dscribe.descriptors import SOAP

    species = molecules.elements.tolist()
    names = ("r_cut", "n_max", "l_max", "sigma", "rbf")
    scales = SOAPTransformer().fit(molecules[:1]).scales_
    for scale in scales:
        soap = SOAP(species=species, **{name: getattr(scale, name) for name in names})
        for block in blocks(molecules, size):
            soap.create(to_atoms(block), n_jobs=n_jobs)


WAYS: dict[str, Callable[[Molecules, int], None]] = {
    "pieces, one thread": lambda m, _: in_pieces(m, 1),
    "pieces, two threads": lambda m, _: in_pieces(m, 2),
    "dipkit, n_jobs=1": lambda m, size: by_dipkit(m, size, 1),
    "dipkit, n_jobs=2": lambda m, size: by_dipkit(m, size, 2),
    "dipkit, n_jobs=None": lambda m, size: by_dipkit(m, size, None),
    "dipkit, two processes": lambda m, size: by_processes(m, size, 2),
    "dscribe, one process": lambda m, size: by_dscribe(m, size, 1),
    "dscribe, n_jobs=2": lambda m, size: by_dscribe(m, size, 2),
}


def seconds(way: Callable[[Molecules, int], None], molecules: Molecules, size: int) -> Stopwatch:
    """Time one way."""
    with Stopwatch() as watch:
        way(molecules, size)
    return watch


def main() -> None:
    """Run all ways in turn and print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="molecules, for example pool.npz")
    parser.add_argument("--molecules", type=int, nargs="+", default=[200, 20_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--block", type=int, default=1000)
    parser.add_argument("--skip", nargs="*", default=[], help="ways to leave out")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="time the form for GPUs, there")
    args = parser.parse_args()
    backend = None if args.device is None else get_backend(args.device)
    pool = read(args.data, labels=False)
    rng = np.random.default_rng(0)
    print(setting())
    for n in args.molecules:
        molecules = pool[rng.choice(len(pool), n, replace=False)]
        ways = {name: way for name, way in WAYS.items() if name not in args.skip}
        if backend is not None:
            ways[f"device, {backend.name}"] = functools.partial(on_device, backend=backend)
        times: dict[str, list[Stopwatch]] = {name: [] for name in ways}
        for _ in range(args.repeat):
            for name, way in ways.items():
                times[name].append(seconds(way, molecules, args.block))
        print(f"\n{n} molecules, {molecules.n_atoms} atoms")
        if backend is not None:
            double, single, volume, calls = counts(molecules, backend)
            print(
                f"  device, for an atom: {double / 1e6:.3f} Mflop in double precision, "
                f"{single / 1e6:.3f} in single, {volume / 1e6:.2f} MB read and written, "
                f"{calls:.2f} calls"
            )
        base = 0.0, 0.0
        for name, found in times.items():
            wall = statistics.median(watch.wall for watch in found)
            processor = statistics.median(watch.processor for watch in found)
            base = base if base[0] else (wall, processor)
            ratios = f"{wall / base[0]:5.2f} of the first way, {processor / base[1]:5.2f}"
            rate = molecules.n_atoms / wall
            print(f"  {name:<24} {ratios} in processor time, {rate:8.0f} atoms/s")


if __name__ == "__main__":
    main()
