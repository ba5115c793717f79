"""Tools that readers share: numbers in text, records, molecules from records.

A reader makes one `Record` for each molecule and gives all records to `assemble`. Units are those
of `Molecules`: angstrom, e, debye; None marks a missing value. File formats are not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError, InputError
from ..dipole_origin import warn_origin
from ..geometry_checks import molecule_named_in
from ..molecules import Molecules
from ..read_notes import ReadNotes

FloatArray = NDArray[np.float64]


@dataclass(slots=True)
class Record:
    """One molecule as read."""

    numbers: Sequence[int] | NDArray[Any]
    positions: Sequence[Sequence[float]] | NDArray[Any]
    name: str
    total_charge: float = 0.0
    magnitude: float | None = None
    vector: FloatArray | None = None
    charges: Sequence[float] | FloatArray | None = None
    baseline_dipole: FloatArray | None = None
    baseline_charges: FloatArray | None = None
    quadrupole: FloatArray | None = None
    multiplicity: float | None = None
    where: str = ""
    """The file and the line or member, for messages; empty where the reader is told by others."""
    stem: str = ""
    """Stem of the file, by which tables of labels may name the molecule."""


def finite_number(field: str, where: str) -> float:
    """Read a finite number of a text file; `where` names the file and the line."""
    try:
        value = float(field)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileFormatError(f"{where}: expected a finite number, got {field!r}.")
    return value


def assemble(
    records: Sequence[Record], source_keys: Iterable[str], assumed: Iterable[str] = ()
) -> Molecules:
    """Build checked molecules from records; errors name the record's place in the files.

    `assumed` are sentences for `ReadNotes`.
    """
    try:
        molecules = _assemble(records, source_keys, assumed)
    except InputError as error:
        index = molecule_named_in(str(error))
        where = "" if index is None else records[index].where
        if not where:
            raise
        raise InputError(f"{where}: {error}") from error
    warn_origin(molecules)
    return molecules


def _assemble(
    records: Sequence[Record], source_keys: Iterable[str], assumed: Iterable[str]
) -> Molecules:
    lengths = [len(record.numbers) for record in records]
    filled = [record for record in records if len(record.numbers)]
    magnitudes = [np.nan if r.magnitude is None else r.magnitude for r in records]
    return Molecules(
        numbers=_concatenate([r.numbers for r in filled], np.zeros(0)),
        positions=_concatenate([r.positions for r in filled], np.zeros((0, 3))),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        names=np.array([r.name for r in records]),
        total_charge=np.array([r.total_charge for r in records]),
        dipole_magnitude=np.array(magnitudes),
        dipole_vector=_stack([r.vector for r in records], (3,)),
        charges=_per_atom([r.charges for r in records], lengths),
        baseline_dipole=_stack([r.baseline_dipole for r in records], (3,)),
        baseline_charges=_per_atom([r.baseline_charges for r in records], lengths),
        source_keys=tuple(source_keys),
        quadrupole=_stack([r.quadrupole for r in records], (3, 3)),
        multiplicity=_numbers_or_none([r.multiplicity for r in records]),
        notes=ReadNotes(tuple(assumed)),
    )


def _numbers_or_none(values: Sequence[float | None]) -> Any:
    """NaN where missing, None where none is known."""
    if all(value is None for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values])


def _concatenate(values: Sequence[Any], empty: Any) -> Any:
    return np.concatenate(values) if values else empty


def _stack(values: Sequence[FloatArray | None], shape: tuple[int, ...]) -> Any:
    """Stack arrays of one shape; NaN where missing, None where none is known."""
    if all(value is None for value in values):
        return None
    return np.array([np.full(shape, np.nan) if value is None else value for value in values])


def _per_atom(values: Sequence[Any], lengths: Sequence[int]) -> Any:
    """Concatenate; NaN where missing, None where none is known."""
    if all(value is None for value in values):
        return None
    pairs = zip(values, lengths, strict=True)
    return np.concatenate([np.full(n, np.nan) if v is None else v for v, n in pairs])
