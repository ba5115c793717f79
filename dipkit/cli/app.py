"""The command ``dipkit`` and its subcommands.

Results go to stdout; progress, tables of `fit` and errors go to stderr. A mistake in the input ends
with one line on stderr and exit status 2; ``DIPKIT_DEBUG=1`` shows the traceback. Modules of the
library are imported when a command runs, so that ``dipkit --help`` is quick. The commands
themselves are in `commands/`, their errors in `group.py`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .collection import leave_all
from .commands.convert import convert
from .commands.demo import demo
from .commands.doctor import doctor
from .commands.evaluate import evaluate
from .commands.fit import fit
from .commands.info import info
from .commands.label import label
from .commands.predict import predict
from .commands.report import report
from .commands.suggest import suggest
from .commands.tune import tune
from .group import INTERRUPTED, Commands
from .signals import answer_signals, end_output, exit_code, is_of_a_signal, open_streams

app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Atomic charges and dipole moments, learned from dipole magnitudes.",
)
for command in (fit, tune, predict, evaluate, report, suggest, info, label, convert, demo, doctor):
    app.command()(command)


def main() -> None:
    """Entry point of the command."""
    open_streams()
    answer_signals()
    code: object = INTERRUPTED
    try:
        app(prog_name="dipkit")
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        pass
    except Exception as error:
        if not is_of_a_signal(error):
            raise
    end_output()
    leave_all()
    # A signal may come while arguments are read, which typer turns into another code.
    sys.exit(exit_code() or code)  # type: ignore[arg-type]


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
