"""All measurements on a GPU in one call: its own rates, descriptors, fits by step, all of QM9.

    python benchmarks/gpu.py --data qm9.npz --output gpu.md

Takes about three minutes on one H100 or H200. Each time of a step stands beside what the card needs
at least, from rates that were measured in the same call: matrix products in single and double
precision, and a copy, whose bytes are those read and written. `--skip` leaves parts out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from _common import clocked, draw, parts, setting

import dipkit.descriptors.spectra_device as spectra_device
from dipkit import DipoleKernelRidge, InducingBasis, Molecules, SOAPTransformer, read
from dipkit.descriptors.radial_tables import device_tables
from dipkit.descriptors.scales import ScaleKey
from dipkit.descriptors.spectra_device import DeviceTables
from dipkit.learning.blocking import DEVICE_PIECE_ATOMS
from dipkit.support.backend import Backend, get_backend
from dipkit.support.ragged_index import cut

STEPS = (
    "dipkit.estimator.fit.choose_environments",
    "dipkit.estimator.fit.basis_of",
    "dipkit.estimator.fit.gather",
    "dipkit.estimator.minimum._solve",
    "dipkit.estimator.minimum.calibrate_std",
)
# Parts of the step "gather".
INNER = (
    "dipkit.descriptors.describer.SOAPDescriber.describe_on",
    "dipkit.learning.basis.Basis.basis_functions",
    "dipkit.learning.accumulate.fill_columns",
    "dipkit.learning.accumulate._sums",
    "dipkit.learning.coupled_charges.CoupledCharges.rows",
    "dipkit.learning.coupled_charges.CoupledCharges.add",
)
PARTS = ("descriptors", "steps", "small", "large", "hosts")


class Card:
    """The GPU, with a clock that waits for it."""

    def __init__(self, device: str) -> None:
        self.backend: Backend = get_backend(device)
        self.lines: list[str] = []
        self.name = self.backend.device_name

    def wait(self) -> None:
        """Wait until the card has done everything."""
        if not self.backend.on_host:
            self.backend.xp.cuda.runtime.deviceSynchronize()

    def seconds(self, function: Callable[[], object], repeats: int = 1) -> float:
        """Time a function, the median of some repeats."""
        found = []
        for _ in range(repeats):
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            found.append(time.perf_counter() - start)
        return float(np.median(found))

    def say(self, line: str) -> None:
        """Print a line, and keep it for the page."""
        print(line, flush=True)
        self.lines.append(line)


def rates(card: Card, n: int) -> dict[str, float]:
    """Measure what the card can do at most: flop/s and byte/s."""
    xp, found = card.backend.xp, {}
    for name, dtype in (("single", xp.float32), ("double", xp.float64)):
        a = xp.astype(card.backend.asarray(np.random.default_rng(0).random((n, n))), dtype)
        card.seconds(lambda a=a: a @ a)
        found[name] = 2 * n**3 / card.seconds(lambda a=a: a @ a, 5)
    big = card.backend.empty((8 * n * n,), xp.float32)
    big[...] = 1.0
    other = xp.zeros_like(big)
    card.seconds(lambda: other.__setitem__(..., big))
    found["copy"] = 2 * big.nbytes / card.seconds(lambda: other.__setitem__(..., big), 5)
    card.say(
        f"{card.name} in this call: {found['single'] / 1e12:.1f} Tflop/s in single and "
        f"{found['double'] / 1e12:.1f} in double precision, copies {found['copy'] / 1e12:.2f} TB/s."
    )
    return found


def time_descriptors(card: Card, pool: Molecules, n: int, copy: float) -> None:
    """Descriptors by the kernel and in array form, with and without compression."""
    molecules = pool[np.sort(np.random.default_rng(0).choice(len(pool), n, replace=False))]
    soap = SOAPTransformer(on_demand=True, verbose=False).fit(molecules)
    species = tuple(soap.species_.tolist())
    pieces = [molecules[run] for run in cut(molecules.offsets, DEVICE_PIECE_ATOMS)]

    def describe(tables: DeviceTables) -> None:
        for piece in pieces:
            index = np.searchsorted(species, piece.numbers)
            spectra_device.spectra(index, piece.positions, piece.offsets, tables, card.backend)

    card.say(f"\n## Descriptors\n\n{molecules.n_atoms} atoms, microseconds an atom:\n")
    card.say(
        "| scale | columns | tables and kernel, s | kernel | array form | writing the columns |"
    )
    card.say("|---|---|---|---|---|---|")
    for keys in (soap.scale_keys(), [scale.key() for scale in soap.scales_]):
        time_keys(card, keys, len(species), molecules.n_atoms, describe, copy)


def time_keys(
    card: Card,
    keys: Sequence[ScaleKey],
    n_species: int,
    n_atoms: int,
    describe: Callable[[DeviceTables], None],
    copy: float,
) -> None:
    """Print a row for each scale, and their sum."""
    totals = np.zeros(3)
    for key in keys:
        compiling = card.seconds(lambda key=key: device_tables(key, n_species, card.backend))
        tables = device_tables(key, n_species, card.backend)
        in_arrays = replace(tables, kernel=None)
        columns = tables.columns.shape[0]
        found = []
        for each in (tables, in_arrays):
            describe(each)
            found.append(card.seconds(lambda each=each: describe(each), 3) / n_atoms)
        found.append(4 * columns / (copy / 2))
        totals += found
        kernel, arrays, least = (f"{1e6 * value:.3f}" for value in found)
        learned = "learned channels" if key.channels is not None else "radial functions"
        name = f"{key.r_cut} Å, {key.rbf}, {learned}"
        card.say(f"| {name} | {columns} | {compiling:.1f} | {kernel} | {arrays} | {least} |")
    kernel, arrays, least = (f"{1e6 * value:.3f}" for value in totals)
    card.say(f"| together | | | {kernel} | {arrays} | {least} |")


def model_on(device: str, n_inducing: int | None = None, **basis: object) -> DipoleKernelRidge:
    """Return the default model on a device."""
    return DipoleKernelRidge(device=device, basis=InducingBasis(n_inducing=n_inducing, **basis))


def described(train: Molecules, test: Molecules) -> tuple[Molecules, Molecules]:
    """Describe both on demand."""
    soap = SOAPTransformer(on_demand=True, verbose=False).fit(train)
    return soap.transform(train), soap.transform(test)


def mae(model: DipoleKernelRidge, test: Molecules) -> float:
    """Mean absolute error of the magnitudes, debye."""
    return float(np.abs(model.predict(test) - test.dipole_magnitude).mean())


def time_steps(card: Card, pool: Molecules, device: str, n: int) -> None:
    """One fit with a wait around each step: where the time goes."""
    train, _ = draw(pool, n, 1, 0, tune=False)
    train, _ = described(train, train[:1])
    model_on(device, 500).fit(train[:500])  # compiles what cupy compiles
    wait = card.wait
    with (
        clocked(*STEPS, wait=wait) as steps,
        clocked(*INNER, wait=wait) as inner,
    ):
        total = card.seconds(lambda: model_on(device, 2000).fit(train))
    card.say(
        f"\n## Steps of a fit\n\n{n} molecules ({train.n_atoms} atoms), 2,000 environments; "
        "the host waits for the card after each step:\n"
    )
    card.say("| step | s |\n|---|---|")
    for watches in (steps, inner):
        for name, watch in watches.items():
            card.say(f"| {name.removeprefix('_')} | {watch.wall:.2f} |")
    card.say(f"| all | {total:.2f} |")


def time_fits(
    card: Card, pool: Molecules, device: str, sizes: list[tuple[int, int | None, str]], n_test: int
) -> None:
    """Fits of several sizes, with their errors and the time of a prediction."""
    card.say(
        f"\n## Fits\n\nTest MAE over {n_test} molecules of the test part; µs is the time of a "
        "prediction for each atom.\n"
    )
    card.say("| training | environments | precision | fit, s | by step | test MAE, D | µs |")
    card.say("|---|---|---|---|---|---|---|")
    for n, n_inducing, precision in sizes:
        train, test = _training(pool, n, n_test)
        train, test = described(train, test)
        model = model_on(device, n_inducing, precision=precision)
        with clocked(*STEPS, wait=card.wait) as steps:
            seconds = card.seconds(lambda m=model, t=train: m.fit(t))
        model.predict(test[:100])
        predicting = card.seconds(lambda m=model, t=test: m.predict(t))
        by_step = " / ".join(f"{watch.wall:.1f}" for watch in steps.values())
        card.say(
            f"| {n} | {len(model.inducing_numbers_)} | {model.precision_} | {seconds:.1f} | "
            f"{by_step} | {mae(model, test):.4f} | {1e6 * predicting / test.n_atoms:.1f} |"
        )
    names = (place.rpartition(".")[2].removeprefix("_") for place in STEPS)
    card.say(f"\nSteps: {', '.join(names)}.")


def _training(pool: Molecules, n: int, n_test: int) -> tuple[Molecules, Molecules]:
    """Draw molecules; all but the test molecules where there are no more than n."""
    development, test = parts(pool)
    if n < len(development):
        return draw(pool, n, n_test, 0, tune=False)
    everything = np.concatenate([development, test[n_test:]])[:n]
    return pool[np.sort(everything)], pool[test[:n_test]]


def compare_with_host(card: Card, pool: Molecules, device: str, n: int) -> None:
    """Fit on the host of the card as well: time, and differences of predictions."""
    train, test = described(*draw(pool, n, 1000, 0, tune=False))
    models = {where: model_on(where) for where in (device, "cpu")}
    found = {}
    for where, model in models.items():
        start = time.perf_counter()
        model.fit(train)
        found[where] = time.perf_counter() - start
    apart = np.abs(models[device].predict(test) - models["cpu"].predict(test))
    card.say(
        f"\n## Card and host\n\n{n} molecules: {found[device]:.1f} s on the card, "
        f"{found['cpu']:.1f} s on its host. "
        f"Predictions of 1,000 molecules differ by {apart.max():.1e} D at most "
        f"({models[device].precision_} precision)."
    )


def main() -> None:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="QM9 in the flat npz layout")
    parser.add_argument("--device", default="cuda", help="cpu tries the script")
    parser.add_argument("--skip", nargs="*", default=[], choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="small sizes: tries the script")
    parser.add_argument("--output", type=Path, help="file for the page")
    args = parser.parse_args()
    card, few = Card(args.device), args.quick
    more = " --quick" if args.quick else ""
    card.say(
        f"# On a GPU\n\nMade by `benchmarks/gpu.py --data {args.data.name}{more}` on {setting()}.\n"
    )
    pool = read(args.data)
    copy = rates(card, 256 if few else 8192)["copy"]
    if "descriptors" not in args.skip:
        time_descriptors(card, pool, 200 if few else 20_000, copy)
    if "steps" not in args.skip:
        time_steps(card, pool, args.device, 600 if few else 40_000)
    sizes: list[tuple[int, int | None, str]] = []
    if "small" not in args.skip:
        sizes += [(60, None, "auto")] if few else [(1000, None, "auto"), (5000, None, "auto")]
    if "large" not in args.skip and not few:
        sizes += [(120_645, 2000, "auto"), (120_645, 10_000, "auto")]
    time_fits(card, pool, args.device, sizes, 100 if few else 5000)
    if "hosts" not in args.skip:
        compare_with_host(card, pool, args.device, 60 if few else 1000)
    if args.output is not None:
        args.output.write_text("\n".join(card.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
