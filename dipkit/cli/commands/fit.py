"""The command ``dipkit fit``.

Its steps are in `dipkit/cli/train.py`.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from ..console import busy, log_of, read_molecules, read_unlabelled, show
from ..options import (
    AuxiliaryName,
    AuxiliaryOption,
    BaselineName,
    BaselineOption,
    DataArgument,
    Device,
    DeviceOption,
    JsonOption,
    OutputOption,
)
from ..reading import Reading, files_read, reads_labels
from ..streams import expand, writes


@reads_labels
@writes("output")
def fit(
    data: DataArgument,
    output: OutputOption,
    charge_weight: Annotated[
        float | None,
        typer.Option(help="Weight of the reference charges, D²/e².", show_default="auto"),
    ] = None,
    charge_discrepancy: Annotated[
        float | None,
        typer.Option(
            help="Allow a systematic error of the charges, with this ridge penalty, D²/e².",
            show_default="none",
        ),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Ridge penalty, D².", show_default="auto")
    ] = None,
    n_inducing: Annotated[
        int | None,
        typer.Option(help="Number of inducing environments.", show_default="by size of the data"),
    ] = None,
    memory_budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Most memory that the fit may take, such as 8GB."),
    ] = None,
    baseline: BaselineOption = BaselineName.none,
    auxiliary: AuxiliaryOption = AuxiliaryName.auto,
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="More molecules, to learn from their charges or cheap dipoles. Their dipole "
            "labels are not read. May be given more than once.",
            callback=expand,
        ),
    ] = None,
    quadrupole_weight: Annotated[
        float | None, typer.Option(help="Weight of the quadrupole labels, 1/Å².", show_default="0")
    ] = None,
    atomic_dipoles: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Scale of the dipoles of single atoms; 0 leaves them out. auto: 0; with a "
            "baseline the mean of two models, with and without.",
            show_default="auto",
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all parameters, labels and errors.")
    ] = False,
    as_json: JsonOption = False,
    *,
    reading: Reading,
) -> None:
    """Fit a model to molecules with dipole labels."""
    from ...estimator.persistence import save_model
    from ...support.backend import get_backend
    from ...support.system_memory import parse_bytes
    from ..train import brief, fit_model
    from ..writers import check_model_output

    check_model_output(output, [*files_read(data, reading), *(unlabelled or ())])
    get_backend(device.value)
    if memory_budget is not None:
        parse_bytes(memory_budget)
    parameters: dict[str, Any] = {"device": device.value, "random_state": seed}
    given: dict[str, Any] = {"charge_weight": charge_weight, "alpha": alpha}
    given |= {"basis__n_inducing": n_inducing, "memory_budget": memory_budget}
    given |= {"charge_discrepancy": charge_discrepancy, "quadrupole_weight": quadrupole_weight}
    given |= {"basis__atomic_dipoles": atomic_dipoles}
    parameters |= {name: value for name, value in given.items() if value is not None}
    parameters["baseline"] = baseline.value
    parameters["auxiliary"] = auxiliary.value
    start = time.perf_counter()
    molecules = read_molecules(data, reading)
    more = [read_unlabelled(unlabelled, reading)] if unlabelled else []
    shows_memory = verbose or memory_budget is not None
    with log_of("dipkit.estimator.memory_plan") if shows_memory else nullcontext():
        model, report = fit_model(molecules, parameters, busy, more)
    with busy("saving"):
        save_model(model, output)
    seconds = time.perf_counter() - start
    report = {"model": str(output), **report, "seconds": seconds}
    show(report if verbose or as_json else brief(report), as_json, err=True)
