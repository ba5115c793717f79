"""dipkit beside scikit-learn on atomic charges, in one run.

    python benchmarks/peers.py --data qm9.npz

The same charges from the same descriptors, by dipkit's charge term, scikit-learn's KernelRidge, and
its Nystroem with Ridge; see `_charge_peers.py`. Training molecules are of the development part,
test molecules of the test part (with `--tune` of the development part too). Dipoles beside other
programs are in the study (`benchmarks/study/peers.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _charge_peers
from _common import draw, setting
from threadpoolctl import threadpool_limits

from dipkit import Molecules, SOAPTransformer, read
from dipkit.descriptors.scales import default_scales

TIMES = "times dipkit's"


def charges(train: Molecules, test: Molecules, args: argparse.Namespace) -> str:
    """Compare on charges; write the table and what it is of."""
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
    return f"""# Charges, beside scikit-learn

Made by `benchmarks/peers.py --data {Path(args.data).name}` on {args.setting}. Threads: \
{args.threads}, on all sides. Training molecules are of the development part of QM9, test molecules
of {"that part as well" if args.tune else "the test part"}; one draw. Dipoles beside other \
programs are in [the study](../study.md#beside-peers).

{len(train)} training and {len(test)} test molecules ({train.n_atoms} and {test.n_atoms} atoms),
Mulliken charges, descriptors of the first default scale computed before and not counted, kernel
$(x \\cdot z)^2$, ridge penalty {args.alpha:g} e², {args.inducing} inducing environments:
dipkit's are the farthest points, Nystroem's are drawn at random, as many of each element.
scikit-learn has one model for each element, in double precision, and the mean over each molecule is
subtracted from its predictions. Processor time.

{chr(10).join(lines)}

dipkit's fit also makes the dipole rows, which charges alone do not need.
"""


def main() -> None:
    """Compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="QM9 in the flat npz layout")
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1, help="on all sides")
    parser.add_argument("--inducing", type=int, default=2000)
    parser.add_argument("--alpha", type=float, default=1e-7, help="of the charges, e^2")
    parser.add_argument("--seed", type=int, default=0, help="of the molecules")
    parser.add_argument("--tune", action="store_true", help="leave the test part alone")
    parser.add_argument("--output", type=Path, help="folder for what is printed, as peers.md")
    args = parser.parse_args()
    args.setting = setting()  # now: the tree may change while this runs
    train, test = draw(read(args.data), args.train, args.test, args.seed, args.tune)
    with threadpool_limits(args.threads):
        page = charges(train, test, args)
    print(page, flush=True)
    if args.output is not None:
        (args.output / "peers.md").write_text(page)


if __name__ == "__main__":
    main()
