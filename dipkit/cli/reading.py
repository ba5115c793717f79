"""Options about reading molecules, declared once for all commands.

A command that is decorated with `reads_labels` or `reads_geometries` takes these options on the
command line, and gets them as one argument ``reading``: keywords of `dipkit.data.io.read`, where
each of them is described.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..data.read_options import ReadKeywords
    from ..support.files import PathLike

    Reading = ReadKeywords
else:  # the rooms of the library are imported when a command runs
    Reading = dict

# Words as in `dipkit.data.read_options`, which is not imported here: `dipkit --help` is quick.
DipoleUnit = StrEnum(
    "DipoleUnit", {"auto": "auto", "debye": "debye", "e_angstrom": "e-angstrom", "au": "au"}
)
LengthUnit = StrEnum("LengthUnit", ["auto", "angstrom", "bohr"])

Option = tuple[Any, object]  # type, default

_GEOMETRY: dict[str, Option] = {
    "length_unit": (
        Annotated[LengthUnit, typer.Option("--length-unit", help="Unit of the positions.")],
        LengthUnit.auto,
    ),
    "total_charge": (
        Annotated[
            str | None,
            typer.Option(
                "--total-charge",
                metavar="KEY|N",
                help="Key of the total charge, or the charge of every molecule, e.",
            ),
        ],
        None,
    ),
    "ignore_pbc": (
        Annotated[
            bool,
            typer.Option(
                "--ignore-pbc", help="Read molecules in periodic boxes as isolated molecules."
            ),
        ],
        False,
    ),
    "max_unpacked": (
        Annotated[
            str | None,
            typer.Option(
                "--max-unpacked",
                metavar="SIZE",
                help="Size that compressed files may unpack to, such as 8GB.",
            ),
        ],
        None,
    ),
}
_LABELS: dict[str, Option] = {
    "dipole_key": (
        Annotated[
            str | None,
            typer.Option(
                "--dipole",
                metavar="KEY",
                help="Key of the dipole labels; with none they are not read.",
            ),
        ],
        None,
    ),
    "dipole_unit": (
        Annotated[DipoleUnit, typer.Option("--dipole-unit", help="Unit of the dipole labels.")],
        DipoleUnit.auto,
    ),
    "charges_key": (
        Annotated[
            str | None,
            typer.Option(
                "--charges",
                metavar="KEY",
                help="Key of the reference charges; with none they are not read.",
            ),
        ],
        None,
    ),
    "labels_file": (
        Annotated[
            Path | None,
            typer.Option(
                "--labels",
                metavar="CSV",
                help="Table of dipoles, joined by the names of the molecules.",
            ),
        ],
        None,
    ),
    **_GEOMETRY,
}
_SKIPPING: dict[str, Option] = {
    "skip_invalid": (
        Annotated[
            bool, typer.Option("--skip-invalid", help="Leave out bad records, with a warning.")
        ],
        False,
    ),
}


def reads_labels(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options about labels and geometries."""
    return _with_options(command, _LABELS | _SKIPPING)


def reads_references(command: Callable[..., None]) -> Callable[..., None]:
    """Add the same, for a command that never stops at a bad record unless asked to."""
    return _with_options(command, _LABELS)


def reads_geometries(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options about geometries, for commands that read no labels."""
    return _with_options(command, _GEOMETRY)


def files_read(data: Sequence[PathLike], reading: ReadKeywords) -> list[PathLike | None]:
    """Return what a command reads with these options, so that no output replaces any of it."""
    from ..data.read_files import label_files

    beside = [file for path in data for file in label_files(path)]
    return [*data, reading.get("labels_file"), *beside]


def _with_options(
    command: Callable[..., None], options: Mapping[str, Option]
) -> Callable[..., None]:
    """Replace the parameter ``reading`` by one parameter for each option, as typer reads them."""

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        given = {name: values.pop(name) for name in options}
        command(**values, reading={name: _plain(name, value) for name, value in given.items()})

    signature = inspect.signature(command, eval_str=True)
    parameters = [p for name, p in signature.parameters.items() if name != "reading"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters += [
        inspect.Parameter(name, keyword, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    parameters = [parameter.replace(kind=keyword) for parameter in parameters]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapped


def _plain(name: str, value: object) -> object:
    """Return the value as `dipkit.data.io.read` takes it."""
    if name == "total_charge" and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return str(value) if isinstance(value, StrEnum) else value
