"""Run the study, then write its tables, pictures and page.

    PYTHONPATH=benchmarks python -m study --data qm9.npz --cache FOLDER [FIGURE ...]

Every result is kept in the cache: a second run does only what is missing, and several processes or
machines may share the folder. Figures: worth, labels, consistency, transfer, kinds, peers, curve,
limits, pages. The last are those of docs/benchmarks, each the report of a script. With
`--page-only` nothing is calculated but the page of what there is.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from _common import commit

from dipkit.support.backend import get_backend

from . import (
    consistency,
    curve,
    headline,
    kinds,
    labels,
    limits,
    pages,
    peers,
    pictures,
    transfer,
    travel,
    worst,
    worth,
)
from . import results as results_
from .material import Material
from .page import fill
from .results import Results, Row, read_csv, write_csv
from .runner import ORDINARY_SIZE, Unit, Worker, ground_of, is_done, run_all, sort_units
from .scope import QUICK, Scope
from .store import Record, Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: dict[str, ModuleType] = {
    "worth": worth,
    "labels": labels,
    "consistency": consistency,
    "transfer": transfer,
    "kinds": kinds,
    "peers": peers,
    "curve": curve,
    "limits": limits,
    "pages": pages,
}
DOCS = Path(__file__).resolve().parents[2] / "docs"
# Molecules up to which processes beside those on a GPU take a unit.
HOST_SIZE = 1000
# Those whose tables need molecules besides results.
WITH_MATERIAL = ("consistency", "transfer", "limits")


def main() -> None:
    """Read the arguments and run."""
    args = _parser().parse_args()
    until = time.time() + args.seconds
    unknown = sorted(set(args.figures) - set(FIGURES))
    if unknown:
        raise SystemExit(f"figures: expected some of {', '.join(FIGURES)}, got {unknown[0]}.")
    names = args.figures or list(FIGURES)
    scope = _scope(args)
    material = Material(args.data, args.cache, args.device)
    store, ground = Store(args.cache), ground_of(material.checksum)
    every = sort_units((unit for name in names for unit in FIGURES[name].units(scope)), ground)
    units = _selected(every, args)
    if args.merge:
        print(f"{travel.merge(args.merge, args.cache)} files are new.")
    if args.pack:
        print(f"{travel.pack(args.pack, units.values(), material)} files in {args.pack}")
        return
    if args.plan:
        _plan(_of_figures(units), store)
        pages.plan(_of_pages(units), store.records())
        return
    if not args.page_only:
        units = pages.without_gpu(units, not get_backend("auto").on_host)
        run_all(units, store, material, _workers(args), until, args.retry)
    if args.collect:
        print(f"{travel.collect(args.collect, args.cache)} files in {args.collect}")
    if args.no_page:
        return
    records = store.records()
    # What was run with the smallest sizes must not take the place of the committed pages.
    folder = args.cache / "quick" if args.quick and args.output == DOCS else args.output
    pages.write_pages(_of_pages(units), records, args.cache, folder / "benchmarks")
    if names == ["pages"]:
        return
    results = Results(store, records, ground)
    # The page has all figures, whichever are written anew.
    whole = [unit for figure in FIGURES.values() for unit in figure.units(scope)]
    made = _made(results, _of_figures(sort_units(whole, ground)))
    write_page(results, scope, material, names, folder, made)
    if folder == DOCS:
        fill(DOCS.parent / "README.md", headline.page(_tables(DOCS / "study")), keep_others=True)


def _of_figures(units: dict[str, Unit]) -> dict[str, Unit]:
    return {key: unit for key, unit in units.items() if unit.experiment != "page"}


def _of_pages(units: dict[str, Unit]) -> dict[str, Unit]:
    return {key: unit for key, unit in units.items() if unit.experiment == "page"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="study", description=__doc__)
    parser.add_argument("figures", nargs="*", help="figures to run; all by default")
    parser.add_argument("--data", required=True, type=Path, help="QM9 in the flat npz layout")
    parser.add_argument("--cache", required=True, type=Path, help="folder for all results")
    parser.add_argument("--output", type=Path, default=DOCS, help="folder of study.md and study/")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sizes", help="numbers of labels, 50,100,200,500,1000,2000 by default")
    parser.add_argument("--processes", type=int, default=1, help="with one thread each")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--hosts", type=int, default=0, help="processes beside those on a GPU")
    parser.add_argument("--gpu-memory", type=float, default=12.0, help="GiB of each process")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start nothing later")
    parser.add_argument("--most", type=int, help="molecules of a fit, 8,000 at most without a GPU")
    parser.add_argument("--only", help="run only what has one of these words, separated by commas")
    parser.add_argument("--without", help="leave out what has one of these words")
    parser.add_argument("--pack", type=Path, help="write what this run needs into a file, and stop")
    parser.add_argument("--collect", type=Path, help="write all results into a file at the end")
    parser.add_argument("--merge", type=Path, help="take a file of another machine first")
    parser.add_argument("--quick", action="store_true", help="N = 50 and 100, one draw")
    parser.add_argument("--plan", action="store_true", help="say what there is to do, and stop")
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    parser.add_argument("--no-page", action="store_true", help="write no page")
    parser.add_argument("--retry", action="store_true", help="run again what failed")
    return parser


def _workers(args: argparse.Namespace) -> list[Worker]:
    """Share the work out: on a GPU the first process takes what is large, hosts what is small."""
    if args.device == "cpu":
        return [Worker()] * args.processes
    small = Worker("cuda", ORDINARY_SIZE, "importance", args.gpu_memory)
    hosts = [Worker("cpu", HOST_SIZE, "small")] * args.hosts
    return [Worker("cuda", None, "large"), *[small] * (args.processes - 1), *hosts]


def _selected(units: dict[str, Unit], args: argparse.Namespace) -> dict[str, Unit]:
    """Return the units that are small enough, whose line has a word asked for and no other."""
    most = args.most or (None if args.device == "cuda" else ORDINARY_SIZE)

    def has(unit: Unit, words: str) -> bool:
        return any(word in str(unit) for word in words.split(","))

    return {
        key: unit
        for key, unit in units.items()
        if (most is None or unit.n_molecules <= most)
        and (args.only is None or has(unit, args.only))
        and (args.without is None or not has(unit, args.without))
    }


def _scope(args: argparse.Namespace) -> Scope:
    if args.quick:
        return QUICK
    if args.sizes:
        sizes = tuple(int(n) for n in args.sizes.split(","))
        return Scope(sizes=sizes, draws=args.draws)
    return Scope(draws=args.draws)


def _plan(units: dict[str, Unit], store: Store) -> None:
    """Count units by tier, experiment and N, those that are done, and the time that these took."""
    records = store.records()
    groups: dict[tuple[int, str, int], list[str]] = {}
    for key, unit in units.items():
        groups.setdefault((unit.tier, unit.experiment, unit.config["n"]), []).append(key)
    print("tier experiment       N  units  done  failed  processor s each")
    for (tier, experiment, n), keys in sorted(groups.items()):
        done = [records[key] for key in keys if is_done(key, records, retry=True)]
        failed = sum(key in records for key in keys) - len(done)
        seconds = [record["seconds"]["processor"] for record in done]
        each = f"{sum(seconds) / len(seconds):.1f}" if seconds else ""
        print(
            f"{tier:4d} {experiment:10s} {n:7,d}  {len(keys):5d} {len(done):5d} {failed:7d}  {each}"
        )


def _made(results: Results, units: dict[str, Unit]) -> str:
    """Say on what machines and from what commits the results of the page are, and what lacks."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for unit in units.values():
        if (record := results.of(unit)) is not None:
            made = record["made"]
            where = made["machine"], made["device"], made["versions"]
            groups.setdefault(where, []).append(made)
    lines = []
    for (machine, device, versions), mine in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        days = sorted({each["date"][:10] for each in mine})
        commits = ", ".join(sorted({each["commit"] for each in mine}))
        on = f"{machine}, one thread each" if device == "cpu" else f"{device} ({machine})"
        lines.append(
            f"- {len(mine)} results, {' to '.join(sorted({days[0], days[-1]}))}: {on}; {versions}; "
            f"commit{'s' * (', ' in commits)} {commits}."
        )
    missing = Counter(_kind_of(unit) for unit in units.values() if results.of(unit) is None)
    if missing:
        named = "; ".join(f"{kind} ({count})" for kind, count in sorted(missing.items()))
        lines.append(f"- Not run: {named}.")
    return "\n".join([*lines, f"- The page was written at commit {commit()}."])


def _kind_of(unit: Unit) -> str:
    """Name the experiment, the peer if it is one, and N."""
    config = unit.config.get("of", unit.config)
    config = config.get("config", config)
    peer = f" {config['peer']}" if "peer" in config else ""
    return f"{unit.experiment}{peer}, N = {config['n']:,}"


def write_page(
    results: Results, scope: Scope, material: Material, names: list[str], docs: Path, made: str
) -> None:
    """Write tables, pictures and the page of what there is.

    Figures that were not asked for keep the tables that they have.
    """
    folder = docs / "study"
    folder.mkdir(parents=True, exist_ok=True)
    passages = {"made": made}
    for name, module in FIGURES.items():
        if name in names:
            extra = (material,) if name in WITH_MATERIAL else ()
            for table, rows in module.tables(results, scope, *extra).items():
                if rows:
                    write_csv(folder / f"{table}.csv", rows)
    tables = _tables(folder)
    for figure, module in FIGURES.items():
        for name, text in module.page(tables).items():
            said = results_.origin(tables.get(name, []), figure)
            passages[name] = "\n\n".join(filter(None, (text, said)))
    passages |= _draw(tables, folder, material)
    if not (docs / "study.md").exists():
        shutil.copy(DOCS / "study.md", docs / "study.md")
    fill(docs / "study.md", passages)


def _tables(folder: Path) -> dict[str, list[Row]]:
    return {file.stem: read_csv(file) for file in sorted(folder.glob("*.csv"))}


def _draw(tables: dict[str, list[Row]], folder: Path, material: Material) -> dict[str, str]:
    """Draw the pictures of the tables that there are; return the passages that show them."""
    drawn: dict[str, str] = {}

    def keep(name: str, figure: Figure, words: str) -> None:
        pictures.save(figure, folder, name)
        drawn[f"{name}-picture"] = f"![{words}]({folder.name}/{name}.svg)"

    for name, words in (
        ("worth", "Error over the number of labels, a line for each kind of information"),
        ("curve", "Learning curve, with and without each lever"),
        ("peers", "Error of peers over the number of labels"),
    ):
        rows = tables.get(name, [])
        if name == "peers":
            rows = [row for row in rows if peers.is_drawn(row["words"])]
        if rows:
            keep(name, pictures.error_curves(rows, words, cited=name == "curve"), words)
    for by, name in (("group", "groups"), ("magnitude, D", "polarity")):
        if rows := [row for row in tables.get("groups", []) if row["by"] == by]:
            words = f"Error by {by.split(',')[0]}, N = {rows[0]['n']:,}"
            keep(name, pictures.bars(rows, "group", "words", "mae", words, "MAE, D"), words)
    if rows := tables.get("worst"):
        words = "The molecules with the largest errors"
        keep("worst", pictures.molecules_drawn(worst.frames(rows, material)), words)
    return drawn


if __name__ == "__main__":
    main()
