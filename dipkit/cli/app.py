"""The command ``dipkit``: thin over the library, and the door for typer.

Results go to stdout; progress, tables of `fit` and errors go to stderr. A mistake in the input ends
with one line on stderr and exit status 2; ``DIPKIT_DEBUG=1`` shows where it came from. Modules of
the library are imported when a command runs, so that ``dipkit --help`` is quick.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..exceptions import DipkitError

INTERRUPTED, USER_ERROR = 130, 2

Device = StrEnum("Device", ["auto", "cpu", "cuda"])
Baseline = StrEnum("Baseline", ["none", "given", "gfn2"])
# Base of all usage errors, from whichever package this typer takes click.
UsageError: type[Any] = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """Turns errors into messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except (DipkitError, OSError) as error:
            if os.environ.get("DIPKIT_DEBUG"):
                raise
            typer.echo(f"dipkit: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(USER_ERROR) from error
        except UsageError as error:
            command = error.ctx.command_path if error.ctx else "dipkit"
            typer.echo(f"dipkit: {error.format_message()}\nTry '{command} --help'.", err=True)
            raise typer.Exit(USER_ERROR) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Atomic charges and dipole moments, learned from dipole magnitudes.",
)

DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="Molecules: .xyz, .npz, .db, .sdf, raw QM9 files.", show_default=False
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Model that dipkit wrote.", show_default=False)
]
DipoleOption = Annotated[
    str | None, typer.Option("--dipole", metavar="KEY", help="Key of the dipole labels.")
]
ChargesOption = Annotated[
    str | None, typer.Option("--charges", metavar="KEY", help="Key of the reference charges.")
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
BaselineOption = Annotated[
    Baseline,
    typer.Option(help="Cheap calculation to correct: GFN2-xTB, or what the molecules carry."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON alone on stdout.")]


def main() -> None:
    """Entry point of the command."""
    try:
        app(prog_name="dipkit")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"dipkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def fit(
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model file to write.", show_default=False)
    ],
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
    charge_weight: Annotated[
        float | None, typer.Option(help="Weight of the charges, D²/e².", show_default="auto")
    ] = None,
    charge_discrepancy: Annotated[
        float | None,
        typer.Option(
            help="Penalty on what may be wrong with the charges, D²/e².", show_default="none"
        ),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Ridge penalty, D².", show_default="auto")
    ] = None,
    n_inducing: Annotated[
        int | None, typer.Option(help="Inducing environments.", show_default="by size of the data")
    ] = None,
    memory_budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory to take at most, such as 8GB.")
    ] = None,
    baseline: BaselineOption = Baseline.none,
    quadrupole_weight: Annotated[
        float | None, typer.Option(help="Weight of quadrupoles, 1/Å².", show_default="0")
    ] = None,
    atomic_dipoles: Annotated[
        float | None,
        typer.Option(metavar="S", help="Scale of dipoles of single atoms.", show_default="0"),
    ] = None,
    device: DeviceOption = Device.auto,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a model to molecules with dipole labels."""
    from ..estimator.memory_plan import parse_bytes
    from ..estimator.persistence import save_model
    from ..support.backend import get_backend
    from .train import fit_model
    from .writers import check_output

    check_output(output)
    get_backend(device.value)
    if memory_budget is not None:
        parse_bytes(memory_budget)
    parameters: dict[str, Any] = {"device": device.value, "random_state": seed}
    given: dict[str, Any] = {"charge_weight": charge_weight, "alpha": alpha}
    given |= {"n_inducing": n_inducing, "memory_budget": memory_budget}
    given |= {"charge_discrepancy": charge_discrepancy, "quadrupole_weight": quadrupole_weight}
    given |= {"atomic_dipoles": atomic_dipoles}
    parameters |= {name: value for name, value in given.items() if value is not None}
    parameters["baseline"] = baseline.value
    start = time.perf_counter()
    molecules = _read(data, dipole, charges)
    with _log_of("dipkit.estimator.memory_plan"):
        model, report = fit_model(molecules, parameters, _busy)
    with _busy("saving"):
        save_model(model, output)
    seconds = time.perf_counter() - start
    _show({"model": str(output), **report, "seconds": seconds}, as_json, err=True)


@app.command()
def tune(
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model file to write.", show_default=False)
    ],
    trials: Annotated[int, typer.Option(help="Finished trials in the study at the end.")] = 60,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no trial begins.")
    ] = None,
    cv: Annotated[int, typer.Option(help="Folds.")] = 5,
    storage: Annotated[
        str | None,
        typer.Option(help="FILE.db, journal:FILE or a URL.", show_default="in memory"),
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Study in the storage.")] = None,
    jobs: Annotated[int, typer.Option(help="Trials at once.")] = 1,
    space: Annotated[Path | None, typer.Option(help="Search space, JSON.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="HTML page with pictures of the study to write."),
    ] = None,
    holdout: Annotated[
        bool, typer.Option(help="Keep a fifth of the molecules to measure on.")
    ] = True,
    guard: Annotated[
        bool, typer.Option(help="Keep the usual parameters unless the best trial clearly wins.")
    ] = True,
    baseline: BaselineOption = Baseline.none,
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search for the best parameters and fit a model; Ctrl-C keeps the best so far."""
    from ..estimator.persistence import save_model
    from ..estimator.pipeline import default_model
    from ..report.plots import require_matplotlib
    from ..search.study_report import write_study_report
    from .tune import read_space, tune_model
    from .writers import check_output

    check_output(output)
    if report is not None:
        check_output(report, (".html",))
        require_matplotlib()
    settings: dict[str, Any] = {"space": read_space(space), "n_trials": trials, "cv": cv}
    settings |= {"storage": storage, "study_name": study, "timeout": timeout}
    settings |= {"n_jobs": jobs, "random_state": seed}
    settings["estimator"] = default_model(baseline=baseline.value)
    settings |= {} if guard else {"guard": None}
    start = time.perf_counter()
    search, model, summary = tune_model(_read(data, dipole, charges), settings, holdout, _busy)
    with _busy("saving"):
        save_model(model, output)
        if report is not None:
            write_study_report(report, search.study_, summary)
    seconds = time.perf_counter() - start
    _show({"model": str(output), **summary, "seconds": seconds}, as_json, err=True)


@app.command()
def predict(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv or .xyz", show_default=False)
    ],
    std: Annotated[
        bool | None,
        typer.Option(
            "--std/--no-std", help="Standard deviations.", show_default="where the model keeps them"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict magnitudes, vectors and charges; labels in DATA are not read."""
    from ..estimator.persistence import load_model
    from ..estimator.pipeline import keeps_std, predict_parts
    from .writers import PREDICTION_SUFFIXES, check_output, stream_predictions

    check_output(output, PREDICTION_SUFFIXES)
    loaded = load_model(model)
    with_std = keeps_std(loaded) if std is None else std
    with _busy("predicting"):
        n_molecules = stream_predictions(output, predict_parts(loaded, data, with_std))
    _show({"output": str(output), "molecules": n_molecules}, as_json, err=True)


@app.command()
def evaluate(
    model: ModelArgument,
    data: DataArgument,
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare predictions with the labels in DATA."""
    from ..estimator.metrics import compare
    from ..estimator.persistence import load_model

    loaded = load_model(model)
    _show(compare(loaded, _read(data, dipole, charges)), as_json)


@app.command()
def info(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Model or molecules.", show_default=False)
    ],
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what is in a file of molecules or in a model."""
    from ..estimator.persistence import is_model, read_metadata

    # By its name a model is one even where it is cut: the error is then that of a model.
    about = read_metadata(file) if is_model(file) or file.suffix == ".dipkit" else None
    _show(about or _read(file, dipole, charges).summary().as_dict(), as_json)


@app.command()
def label(
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File of molecules to write.", show_default=False)
    ],
    method: Annotated[
        str,
        typer.Option(help="gfn2, hf/BASIS or FUNCTIONAL/BASIS: b3lyp/6-31g(2df,p)."),
    ],
    charges_scheme: Annotated[
        str, typer.Option(help="Charges from PySCF: mulliken or meta-lowdin.")
    ] = "mulliken",
    multiplicity: Annotated[
        str, typer.Option(help="Of every molecule; 'lowest' is 1, or 2 for odd electrons.")
    ] = "1",
    jobs: Annotated[int, typer.Option(help="Processes; -1 for all cores.")] = -1,
    as_json: JsonOption = False,
) -> None:
    """Calculate dipoles and charges; a run that was killed goes on where it was."""
    from ..data.io import as_molecules
    from ..quantum.label_file import label_file
    from ..quantum.labels import parse_method
    from .writers import MOLECULE_SUFFIXES, check_output

    check_output(output, MOLECULE_SUFFIXES)
    spin: int | str = int(multiplicity) if multiplicity.isdecimal() else multiplicity
    calculation = parse_method(method, charges_scheme, spin)
    with _busy("reading"):
        molecules = as_molecules(data, labels=False)
    start = time.perf_counter()
    result = label_file(molecules, calculation, output, jobs)
    report = {
        "output": str(output),
        "molecules": len(result.molecules),
        "resumed": result.resumed,
        "failed": result.failures,
        **calculation.provenance(),
        "seconds": time.perf_counter() - start,
    }
    _show(report, as_json, err=True)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", show_default=False)],
    dipole: DipoleOption = None,
    charges: ChargesOption = None,
) -> None:
    """Read molecules in one format and write them in another, labels included."""
    from ..data.io import write
    from .writers import MOLECULE_SUFFIXES, check_output

    check_output(target, MOLECULE_SUFFIXES)
    molecules = _read(source, dipole, charges)
    with _busy("writing"):
        write(target, molecules)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path(
        "dipkit-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
) -> None:
    """Fit the bundled molecules, compare with simpler models, write the results."""
    from rich.console import Console

    from .demo import run_demo

    run_demo(output, Console(highlight=False), seed=seed)


def _read(data: Path, dipole: str | None, charges: str | None) -> Any:
    from ..data.io import read

    with _busy("reading"):
        return read(data, dipole_key=dipole, charges_key=charges)


def _busy(what: str) -> Any:
    """Show that work goes on, on a terminal; nothing in a pipe."""
    from rich.console import Console

    return Console(stderr=True).status(what)


@contextmanager
def _log_of(name: str) -> Iterator[None]:
    """Show what a module logs, on stderr, as it happens."""
    logger, handler = logging.getLogger(name), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("dipkit: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _show(values: Mapping[str, Any], as_json: bool, err: bool = False) -> None:
    """Print values: JSON on stdout, or lines of name and value."""
    if as_json:
        typer.echo(json.dumps(values, indent=2, allow_nan=False))
        return
    from .writers import lines_of

    typer.echo("\n".join(lines_of(values)), err=err)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"dipkit: warning: {' '.join(str(message).split())}", err=True)
