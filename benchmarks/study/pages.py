"""The pages of docs/benchmarks: each is the report of a script, run as a process of its own.

A page is one report, or a text written by hand with reports between two comments (`page.py`). What
a script writes is kept in the cache: the report in the result, its figures in ``pages/``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _common import setting

from dipkit.support.files import atomic_write

from .material import Material
from .page import filled
from .results import Results, Row
from .runner import Unit
from .scope import Scope
from .store import Record, key_of

BENCHMARKS = Path(__file__).resolve().parents[1]
COMMITTED = BENCHMARKS.parent / "docs" / "benchmarks"
# Behind all figures of the study.
TIER = 9
LOG_END = 400


@dataclass(frozen=True)
class Report:
    """One run of a script.

    Parameters
    ----------
    page : str
        Page of docs/benchmarks, without ``.md``.
    script : str
        Script of benchmarks, without ``.py``.
    arguments : str
        With ``{data}`` for the file of QM9 and ``{out}`` for the folder of this run.
    quick : str
        The same with the smallest sizes that make sense.
    passage : str, default=None
        Place of the report in a page written by hand; by default the report is the page.
    report : str, default=None
        File that the script writes, ``SCRIPT.md`` by default.
    figures : tuple of str, default=()
        Files that stand beside the page: the name that the script gives, ":", the name there.
    gpu : bool, default=False
        Whether a GPU is needed.
    needs : str, default=None
        A package without which the script is left out.
    """

    page: str
    script: str
    arguments: str
    quick: str
    passage: str | None = None
    report: str | None = None
    figures: tuple[str, ...] = ()
    gpu: bool = False
    needs: str | None = None

    def config(self, is_full: bool) -> dict[str, Any]:
        """Return what the key is made of."""
        content = asdict(self) | {"arguments": self.arguments if is_full else self.quick}
        del content["quick"], content["needs"]
        return {"n": 0, "draw": 0} | content


DATA = "--data {data} --output {out} "
DRAWS = DATA + "--sizes 200 --seeds 1 --test 20"
SEARCH = "search --data {data} --studies {out} --output {out} --workers 1 "
ONE_TRIAL = SEARCH + "--sizes 200 --seeds 1 --trials 1"
WATER = "--cache {out}/water.npz --output {out}/water.md"
DISTORTED = "--cache {out}/distorted.npz --output {out}/distorted.md "
REPORTS = (
    Report("quadrupoles", "quadrupoles", "--output {out} --sizes 100 --seeds 3",
           "--output {out} --sizes 20 --seeds 1"),
    Report("water", "water", WATER, WATER + " --geometries 30 --sizes 10 --method hf/sto-3g",
           needs="pyscf"),
    Report("peers", "peers", DATA, DATA + "--train 20 --test 20 --inducing 50"),
    Report("iterations", "iterations", DATA + "--size 1000 --seeds 6",
           DATA + "--size 20 --seeds 1 --most 20"),
    Report("uncertainty", "uncertainty", DATA + "--sizes 200,1000 --seeds 3 --test 1000", DRAWS,
           figures=("uncertainty.json:uncertainty.json",)),
    Report("distorted", "distorted", DISTORTED + "--molecules 120 --train 90 --seeds 3",
           DISTORTED + "--molecules 12 --train 8 --seeds 1", needs="tblite"),
    Report("ablation", "ablation", DATA + "--sizes 200,1000 --seeds 5 --test 1000", DRAWS),
    Report("ablation_baseline", "ablation_baseline",
           DATA + "--sizes 200,1000 --seeds 5 --test 1000", DRAWS, needs="tblite"),
    Report("discrepancy", "discrepancy", DATA + "--sizes 100,200,500 --charges 2000 --seeds 3 "
           "--test 500 --n-inducing 1500 --alphas 1,2,5 --shared 0.001,0.1,1 --weights 10,100 "
           "--betas 1e-5,1e-4,1e-3", DATA + "--sizes 20 --charges 40 --seeds 1 --test 20 "
           "--n-inducing 50 --alphas 1 --shared 0.1 --weights 10 --betas 1e-4", "tables"),
    Report("suggest", "suggest", DATA + "--sizes 100,200,500,1000 --seeds 5 --pool 4100 "
           "--ways random,suggested --test 700",
           DATA + "--sizes 20,30 --seeds 1 --pool 100 --ways random,suggested --test 20"),
    Report("scaling", "scaling", DATA + "--sizes 10000,20000,40000,80000 --inducing 500",
           DATA + "--sizes 20,40 --inducing 50"),
    Report("tuning", "tuning", SEARCH + "--sizes 200 --seeds 3", ONE_TRIAL, "search",
           "tuning-search.table.md"),
    Report("tuning", "tuning", SEARCH + "--sizes 1000 --seeds 1", ONE_TRIAL,
           "search-more", "tuning-search.table.md"),
    Report("tuning", "search_cost", DATA + "--molecules 200,500,1000 --magnitudes",
           DATA + "--molecules 20 --magnitudes", "cost"),
    Report("mutants", "mutants", "--output {out} --number 3 --seed 0 --seconds 30 --processes 1",
           "--output {out} --number 1 --seed 0 --seconds 5 --processes 1 "
           "--tests tests/learning -- dipkit/learning/losses.py", "score", needs="cosmic_ray"),
    Report("unlabelled", "auxiliary", DATA + "--sizes 200,1000 --unlabelled 0,1000,5000 --seeds 3 "
           "--test 1000 --jobs 1", DRAWS + " --unlabelled 0,20 --jobs 1",
           figures=("auxiliary.json:unlabelled.json",), needs="tblite"),
    Report("gpu", "gpu", "--data {data} --output {out}/gpu.md",
           "--data {data} --output {out}/gpu.md --quick", gpu=True),
)  # fmt: skip


def units(scope: Scope) -> list[Unit]:
    """Return a unit for each report."""
    return [Unit("page", report.config(scope.is_full), TIER, report.needs) for report in REPORTS]


def folder_of(cache: Path, config: Mapping[str, Any]) -> Path:
    """Return the folder in the cache where a script writes."""
    return cache / "pages" / f"{config['script']}-{key_of(config)}"


def prepare_page(material: Material, config: dict[str, Any]) -> None:
    """Calculate nothing: scripts keep what they need beside their report."""


def run_page(material: Material, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a script; return its report.

    Raises
    ------
    RuntimeError
        If the script fails or writes no report, with the end of its log.
    """
    out = folder_of(material.cache, config).resolve()
    out.mkdir(parents=True, exist_ok=True)
    file = out / (config["report"] or f"{config['script']}.md")
    file.unlink(missing_ok=True)
    places = {"{data}": str(Path(material.data).resolve()), "{out}": str(out)}
    words = config["arguments"].split()
    for place, path in places.items():
        words = [word.replace(place, path) for word in words]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    about, log, start = setting(), out / "log.txt", time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(
            [sys.executable, str(BENCHMARKS / f"{config['script']}.py"), *words],
            stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=BENCHMARKS.parent,
            preexec_fn=_killed_with_parent if sys.platform == "linux" else None,
        ).returncode  # fmt: skip
    if code or not file.exists():
        end = log.read_text(encoding="utf-8", errors="replace")[-LOG_END:]
        raise RuntimeError(f"exit status {code}; end of its log: {end}")
    shown = config["arguments"].replace("{data}", Path(material.data).name)
    text = file.read_text(encoding="utf-8")
    if "Made by" not in text:
        title, rest = _split(text)
        text = f"{title}Made by `benchmarks/{config['script']}.py {shown}` on {about}.\n\n{rest}"
    return {"report": text, "minutes": round((time.perf_counter() - start) / 60, 1)}, {}


def _killed_with_parent() -> None:
    """Let the system end a script with the study, whose next start runs the script again."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def without_gpu(units: dict[str, Unit], has_gpu: bool) -> dict[str, Unit]:
    """Leave out what needs a GPU where there is none, with a sentence."""
    left_out = {key for key, unit in units.items() if unit.config.get("gpu") and not has_gpu}
    if left_out:
        pages = sorted({units[key].config["page"] for key in left_out})
        print(f"Pages that need a GPU are left out, since there is none: {', '.join(pages)}.")
    return {key: unit for key, unit in units.items() if key not in left_out}


def plan(units: dict[str, Unit], records: dict[str, Record]) -> None:
    """List the reports, those that are done, and the time that they took."""
    print("tier state    processor s  report")
    for key, unit in units.items():
        record = records.get(key, {})
        state = "done" if "result" in record else "failed" if record else ""
        seconds = f"{record['seconds']['processor']:.0f}" if record else ""
        config = unit.config
        name = config["page"] + (f" ({config['passage']})" if config["passage"] else "")
        print(f"{unit.tier:4d} {state:8s} {seconds:>11s}  {name}: {config['script']}.py")


def write_pages(units: dict[str, Unit], records: dict[str, Record], cache: Path, to: Path) -> None:
    """Write the pages of the reports that there are, and their figures.

    A text written by hand is that of the page in `to`, or of the committed page.
    """
    for key, unit in units.items():
        result, config = records.get(key, {}).get("result"), unit.config
        if result is None:
            continue
        to.mkdir(parents=True, exist_ok=True)
        page, text = to / f"{config['page']}.md", result["report"]
        if config["passage"]:
            old = page if page.exists() else COMMITTED / page.name
            passages = {config["passage"]: _split(text)[1]}
            text = filled(old.read_text(encoding="utf-8"), passages, keep_others=True)
        _replace(page, text.encode())
        for pair in config["figures"]:
            made, _, name = pair.partition(":")
            file = folder_of(cache, config) / made
            if file.exists():
                _replace(to / name, file.read_bytes())


def _split(text: str) -> tuple[str, str]:
    """Return the title, which may be empty, and the rest."""
    first, _, rest = text.partition("\n")
    return (f"{first}\n\n", rest.lstrip("\n")) if first.startswith("# ") else ("", text)


def _replace(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        Path(temporary).write_bytes(content)


def tables(results: Results, scope: Scope) -> dict[str, list[Row]]:
    """Return no tables: the pages hold them."""
    return {}


def page(tables: dict[str, list[Row]]) -> dict[str, str]:
    """Return no passages of the page of the study."""
    return {}
