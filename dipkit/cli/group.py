"""Errors of commands become one line on stderr and an exit code.

The commands are in `commands/`, the classes of errors in `dipkit.exceptions`.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from ..exceptions import DipkitError
from .signals import Terminated, drop_output
from .streams import without_scratch

INTERRUPTED, TERMINATED, PIPE_CLOSED, USER_ERROR = 130, 143, 141, 2

# Base of all usage errors: versions of typer take click from different packages.
UsageError: type[Any] = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """Turns errors into messages and exit codes."""

    def make_context(self, *args: Any, **keywords: Any) -> Any:
        """Read the arguments of ``dipkit`` itself; --version and --help print here."""
        try:
            return super().make_context(*args, **keywords)
        except OSError as error:
            raise _exit_after(error) from error

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = show_warning
                return super().invoke(ctx)
        except (DipkitError, OSError) as error:
            raise _exit_after(error) from error
        except UsageError as error:
            command = error.ctx.command_path if error.ctx else "dipkit"
            typer.echo(f"dipkit: {error.format_message()}\nTry '{command} --help'.", err=True)
            raise typer.Exit(USER_ERROR) from error
        except Terminated as error:
            raise typer.Exit(TERMINATED) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error


def _exit_after(error: DipkitError | OSError) -> Exception:
    """Say what went wrong; return what ends the command."""
    if isinstance(error, BrokenPipeError):  # ``dipkit info FILE | head -1``
        drop_output()
        return typer.Exit(PIPE_CLOSED)
    if os.environ.get("DIPKIT_DEBUG"):
        return error
    typer.echo(f"dipkit: {_line(error)}", err=True)
    return typer.Exit(USER_ERROR)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as one line on stderr."""
    typer.echo(f"dipkit: warning: {_line(message)}", err=True)


def _line(message: object) -> str:
    """Return a message in one line."""
    return without_scratch(" ".join(str(message).split()))
