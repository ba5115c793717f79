"""The command ``dipkit tune``.

Its steps are in `dipkit/cli/tune.py`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ..console import busy, read_molecules, show
from ..options import (
    AuxiliaryName,
    AuxiliaryOption,
    BaselineName,
    BaselineOption,
    DataArgument,
    JsonOption,
    OutputOption,
)
from ..reading import Reading, files_read, reads_labels
from ..streams import writes


@reads_labels
@writes("output", "report")
def tune(
    data: DataArgument,
    output: OutputOption,
    trials: Annotated[int, typer.Option(help="Number of trials of the whole study.")] = 60,
    timeout: Annotated[
        float | None, typer.Option(help="After this many seconds no new trial begins.")
    ] = None,
    cv: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where the study is kept: FILE.db, journal:FILE or a URL.",
            show_default="in memory",
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the study in the storage.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Trials at the same time.")] = 1,
    space: Annotated[Path | None, typer.Option(help="File of the search space: .json")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="HTML page with pictures of the study to write."),
    ] = None,
    holdout: Annotated[
        bool, typer.Option(help="Keep a fifth of the molecules out, to measure the error on them.")
    ] = True,
    guard: Annotated[
        bool,
        typer.Option(help="Keep the default parameters unless the best trial is clearly better."),
    ] = True,
    baseline: BaselineOption = BaselineName.none,
    auxiliary: AuxiliaryOption = AuxiliaryName.auto,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Search for the best parameters and fit a model; Ctrl-C or SIGTERM keeps the best so far."""
    from ...estimator.persistence import import_writer, save_model
    from ...estimator.pipeline import default_model
    from ...report.plots import require_matplotlib
    from ...search.study_report import write_study_report
    from ..signals import exit_code
    from ..tune import read_space, storage_file, tune_model
    from ..writers import check_model_output, check_output

    inputs = [*files_read(data, reading), space, storage_file(storage)]
    check_model_output(output, [*inputs, report])
    if report is not None:
        check_output(report, (".html",), inputs)
        require_matplotlib()
    settings: dict[str, Any] = {"space": read_space(space), "n_trials": trials, "cv": cv}
    settings |= {"storage": storage, "study_name": study, "timeout": timeout}
    settings |= {"n_jobs": jobs, "random_state": seed}
    settings["estimator"] = default_model(baseline=baseline.value, auxiliary=auxiliary.value)
    settings |= {} if guard else {"guard": None}
    import_writer()  # a signal leaves no time for imports
    start = time.perf_counter()
    search, model, summary = tune_model(read_molecules(data, reading), settings, holdout, busy)
    with busy("saving"):
        save_model(model, output)
        if report is not None and not exit_code():
            write_study_report(report, search.study_, summary)
    seconds = time.perf_counter() - start
    show({"model": str(output), **summary, "seconds": seconds}, as_json, err=True)
