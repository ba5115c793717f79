"""dipkit beside its peers, in one run: scikit-learn on atomic charges, hippynn on dipoles.

    python benchmarks/peers.py --data qm9.npz --charges
    python benchmarks/peers.py --data qm9.npz --network

`--charges`: the same charges from the same descriptors, by dipkit's charge term, scikit-learn's
KernelRidge, and its Nystroem with Ridge; see `_charge_peers.py`. `--network`: HIP-NN on the same
molecules, magnitudes only, until it reaches dipkit's test error or `--seconds` of processor time
are over (extra ``benchmarks``); see `_network_peer.py`. Training molecules are of the
development part, test molecules of the test part (with `--tune` of the development part too).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _charge_peers
import _network_peer
import numpy as np
from _common import Stopwatch, draw, setting
from _network_peer import Look
from threadpoolctl import threadpool_limits

from dipkit import DipoleKernelRidge, Molecules, SOAPTransformer, read
from dipkit.descriptors.scales import default_scales

TIMES = "times dipkit's"
CLOCKS = "processor time, s | wall time, s"


def charges(train: Molecules, test: Molecules, args: argparse.Namespace) -> str:
    """Compare on charges; write a section."""
    soap = SOAPTransformer(default_scales()[:1], n_jobs=1, on_demand=False, verbose=False)
    described, tested = soap.fit_transform(train), soap.transform(test)
    rows = _charge_peers.compare(described, tested, args.inducing, args.alpha)
    ours = rows[0]
    lines = [
        f"| model | fit, s | {TIMES} | predict, s | {TIMES} | MAE, e | {TIMES} |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = []
        for value, mine, digits in (
            (row.fit.processor, ours.fit.processor, 2),
            (row.predict.processor, ours.predict.processor, 2),
            (row.error, ours.error, 5),
        ):
            cells += [f"{value:.{digits}f}", f"{value / mine:.2f}"]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return f"""## Charges, against scikit-learn

{len(train)} training and {len(test)} test molecules ({train.n_atoms} and {test.n_atoms} atoms),
Mulliken charges, descriptors of the first default scale computed before and not counted, kernel
$(x \\cdot z)^2$, ridge penalty {args.alpha:g} e², {args.inducing} inducing environments. One model
for each element of scikit-learn's, whose predictions have the mean of each molecule taken out.
Processor time.

{chr(10).join(lines)}
"""


def ours_on_dipoles(
    train: Molecules, test: Molecules
) -> tuple[DipoleKernelRidge, Stopwatch, float]:
    """Describe and fit, and the test error."""
    soap, ridge = SOAPTransformer(n_jobs=1, on_demand=False, verbose=False), DipoleKernelRidge()
    with Stopwatch() as watch:
        ridge.fit(soap.fit_transform(train))
    predicted = ridge.predict(soap.transform(test))
    return ridge, watch, float(np.abs(predicted - test.dipole_magnitude).mean())


def network(train: Molecules, test: Molecules, args: argparse.Namespace) -> str:
    """Compare with HIP-NN on dipoles; write a section."""
    train, test = train.replace(charges=None), test.replace(charges=None)
    ridge, watch, error = ours_on_dipoles(train, test)
    print(f"  dipkit {watch.processor:.1f} s ({watch.wall:.1f} s by the wall), {error:.4f} D")
    looks: list[Look] = []
    for look in _network_peer.train(
        train, test, args.seconds, error, args.features, args.threads, args.seed
    ):
        looks.append(look)
        if len(looks) % 5 == 1:
            print(f"  HIP-NN {look}", flush=True)
    last, best = looks[-1], min(looks, key=lambda look: look.error)
    reached = last.error <= error
    verdict = (
        f"It reached dipkit's error after {last.processor / watch.processor:.1f} times its "
        "processor time."
        if reached
        else f"It did not reach dipkit's error: at equal error dipkit is at least "
        f"{last.processor / watch.processor:.0f} times as fast in processor time."
    )
    marks = sorted({last, best, *_marks(looks)}, key=lambda look: look.epoch)
    rows = [
        f"| HIP-NN, epoch {look.epoch} | {look.processor:.1f} | {look.wall:.0f} | "
        f"{look.processor / watch.processor:.1f} | {look.error:.4f} |"
        for look in marks
    ]
    return f"""## Dipoles, against a network

{len(train)} training and {len(test)} test molecules, magnitudes only on both sides. dipkit with its
defaults, descriptors included, {len(ridge.dual_coef_)} environments. hippynn's HIP-NN: two
interaction blocks of four layers, {args.features} features, cutoff 6.5 angstrom, batches of
{_network_peer.BATCH}, Adam at a rate of {_network_peer.LEARNING_RATE:g}, halved after
{_network_peer.PATIENCE} epochs without a better error of the tenth of the molecules kept for that.
Every {_network_peer.EPOCHS_A_LOOK} epochs the test error was looked at, which is not counted. The
network may stop at the first look that is as good as dipkit, which favours it; it had
{args.seconds:.0f} s of processor time. {args.threads} thread(s) on both sides, network seed
{args.seed}.

| model | {CLOCKS} | {TIMES} | test MAE, D |
|---|---|---|---|---|
| dipkit | {watch.processor:.1f} | {watch.wall:.0f} | 1.0 | {error:.4f} |
{chr(10).join(rows)}

{verdict}
"""


def _marks(looks: list[Look]) -> list[Look]:
    """First looks after doubling times, to show the course."""
    marks, due = [], looks[0].processor
    for look in looks:
        if look.processor >= due:
            marks.append(look)
            due = 2 * look.processor
    return marks


def main() -> None:
    """Run what was asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--charges", action="store_true", help="compare with scikit-learn")
    parser.add_argument("--network", action="store_true", help="compare with hippynn")
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1, help="on all sides")
    parser.add_argument("--inducing", type=int, default=2000)
    parser.add_argument("--alpha", type=float, default=1e-7, help="of the charges, e^2")
    parser.add_argument("--seconds", type=float, default=600, help="processor time of the network")
    parser.add_argument("--features", type=int, default=40, help="of the network")
    parser.add_argument("--seed", type=int, default=0, help="of molecules and network")
    parser.add_argument("--tune", action="store_true", help="leave the test part alone")
    parser.add_argument("--output", type=Path, help="folder for what is printed, as peers-*.md")
    args = parser.parse_args()
    if not (args.charges or args.network):
        parser.error("choose --charges, --network or both")
    if args.network:
        _network_peer.require_hippynn()
    made = f"`benchmarks/peers.py` on {setting()}."
    train, test = draw(read(args.data), args.train, args.test, args.seed, args.tune)
    for name, compare in (("charges", charges), ("network", network)):
        if not getattr(args, name):
            continue
        with threadpool_limits(args.threads):
            section = compare(train, test, args)
        page = f"Made by {made}\n\n{section}"
        print(page, flush=True)
        if args.output is not None:
            (args.output / f"peers-{name}.md").write_text(page)


if __name__ == "__main__":
    main()
