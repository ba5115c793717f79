"""Reading and printing of commands: progress to stderr, results to stdout.

Files that commands write are in `writers.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..data.molecules import Molecules
    from ..data.read_options import ReadKeywords


def read_molecules(data: Sequence[Path], reading: ReadKeywords) -> Molecules:
    """Read molecules and their labels; odd numbers of electrons give a warning."""
    from ..data.odd_electrons import OddElectrons
    from ..data.several_files import read_several

    with busy("reading"):
        molecules = read_several(data, **reading)
    odd = OddElectrons()
    odd.add(molecules)
    odd.warn()
    return molecules


def read_unlabelled(data: Sequence[Path], reading: ReadKeywords) -> Molecules:
    """Read molecules without their dipole labels."""
    molecules = read_molecules(data, reading | {"dipole_key": "none", "labels_file": None})
    return molecules.replace(quadrupole=None)


def busy(what: str) -> AbstractContextManager[Any]:
    """Show a sign of progress on a terminal; nothing in a pipe."""
    from rich.console import Console

    return Console(stderr=True).status(what)


@contextmanager
def log_of(name: str) -> Iterator[None]:
    """Show the log messages of a module on stderr, as they come."""
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


def show(values: Mapping[str, object], as_json: bool, err: bool = False) -> None:
    """Print values: JSON on stdout, or lines of name and value."""
    if as_json:
        typer.echo(json.dumps(values, indent=2, allow_nan=False))
        return
    from .writers import lines_of

    typer.echo("\n".join(lines_of(values)), err=err)
