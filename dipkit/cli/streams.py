"""Inputs and outputs as users name them: several files, patterns, and - for stdin and stdout.

Text of stdin is kept in a temporary file while a command runs. What goes to stdout is written to a
temporary file first: it appears only when it is complete. Both are extended XYZ.
"""

from __future__ import annotations

import functools
import glob
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from ..exceptions import InputError
from ..support.files import is_scratch, locked_output, scratch_folder

__all__ = ["STREAM", "expand", "name_of", "without_scratch", "writes"]

STREAM = Path("-")
_STDIN, _STDOUT = "stdin.xyz", "stdout.xyz"
_SCRATCH = re.compile(r"[^\s']*\.dipkit-tmp-\d+-\w+[/\\\\]")


def expand(context: typer.Context, given: list[Path] | None) -> list[Path] | None:
    """Return the files that the user means; typer calls this for an argument of inputs.

    Raises
    ------
    InputError
        If no file matches a pattern, or - is given twice.
    """
    if not given or context.resilient_parsing:
        return given
    if given.count(STREAM) > 1:
        raise InputError("-: given twice, but stdin can be read only once.")
    files: dict[str, Path] = {}
    for path in given:
        found = [_stdin(context)] if path == STREAM else _matching(path)
        for file in found:
            if files.setdefault(os.path.realpath(file), file) is not file:
                warnings.warn(f"{file}: given twice. The file is read once.", stacklevel=2)
    return list(files.values())


def writes(
    *names: str, to_stdout: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command: its outputs of these names are its own while it runs.

    With `to_stdout` an output may be -, and the command gets the path of a temporary file for it.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(*args: Any, **values: Any) -> None:
            held: set[str] = set()
            with ExitStack() as stack:
                for name in names:
                    output = values[name]
                    if output == STREAM and to_stdout and name == names[0]:
                        _refuse_json(values)
                        values[name] = stack.enter_context(_stdout())
                        continue
                    if output is None or output == STREAM or os.path.realpath(output) in held:
                        continue  # two outputs in one file are refused by the command
                    stack.enter_context(locked_output(output))
                    held.add(os.path.realpath(output))
                command(*args, **values)

        return wrapped

    return decorate


def name_of(path: Path) -> str:
    """Return the name of an output as the user gave it."""
    return str(STREAM) if path.name == _STDOUT and is_scratch(path) else str(path)


def without_scratch(message: str) -> str:
    """Return a message with the names of temporary files alone, without their folders."""
    return _SCRATCH.sub("", message)


def _matching(path: Path) -> Sequence[Path]:
    """Files of a pattern that the shell left as it is; a file of this very name counts first."""
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    found = sorted(glob.glob(str(path), recursive=True))
    if not found:
        raise InputError(f"{path}: no file matches this pattern. Check it with ls.")
    return [Path(name) for name in found]


def _stdin(context: typer.Context) -> Path:
    file = Path(context.with_resource(scratch_folder())) / _STDIN
    with file.open("wb") as handle:
        shutil.copyfileobj(typer.get_binary_stream("stdin"), handle)
    if not file.stat().st_size:
        raise InputError("-: stdin is empty. Expected molecules as extended XYZ.")
    return file


@contextmanager
def _stdout() -> Iterator[Path]:
    with scratch_folder() as folder:
        file = folder / _STDOUT
        yield file
        with file.open(encoding="utf-8") as handle:
            for line in handle:
                typer.echo(line, nl=False)
        sys.stdout.flush()


def _refuse_json(values: dict[str, Any]) -> None:
    if values.get("as_json"):
        raise InputError(
            "--json: the molecules of `-o -` go to stdout, where JSON stands alone. Name a file, "
            "or leave --json out."
        )
