"""Molecules of several files as one set. One file is read in `read_files.py`.

A table of labels belongs to all files together. Places of bad records count through all files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

from ..exceptions import InputError
from ..support.files import PathLike
from .bad_records import warn_left_out
from .far_atoms import warn_far
from .molecules import Molecules
from .read_files import read, read_quietly, with_table
from .read_options import ReadKeywords, ReadOptions
from .unit_checks import warn_of_units

__all__ = ["read_several", "shifted"]


def read_several(paths: Sequence[PathLike], **options: Unpack[ReadKeywords]) -> Molecules:
    """Read molecules and their labels from several files or folders, in order.

    Parameters
    ----------
    paths : sequence of (str or path)
        At least one.
    **options
        As in `dipkit.data.io.read`. With ``skip_invalid`` a file of which nothing can be used is
        left out with a warning.

    Raises
    ------
    FileFormatError, InputError
        As `read`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.data.io import write
    >>> from dipkit.data.several_files import read_several
    >>> folder = tempfile.TemporaryDirectory()
    >>> files = [Path(folder.name) / name for name in ("one.xyz", "two.npz")]
    >>> write(files[0], load_organics()[:3])
    >>> write(files[1], load_organics()[3:5])
    >>> len(read_several(files))
    5
    >>> folder.cleanup()
    """
    if len(paths) == 1:
        return read(paths[0], **options)
    said = ReadOptions(**options)
    parts: list[Molecules] = []
    errors: list[InputError] = []
    n_records = 0
    for path in paths:
        try:
            part = read_quietly(path, said.for_geometries)
        except InputError as error:
            if not said.skip_invalid:
                raise
            errors.append(error)
            continue
        n_here = len(part) + len(part.notes.bad)
        parts.append(shifted(part, n_records))
        n_records += n_here
    if not parts:
        raise errors[0]
    molecules = with_table(Molecules.concatenate(parts), said)
    warn_of_units(molecules)
    warn_far(molecules)
    for left_out in errors:
        warnings.warn(f"{left_out} This file was left out.", stacklevel=2)
    warn_left_out(molecules.notes.bad, n_records)
    return molecules


def shifted(molecules: Molecules, n_before: int) -> Molecules:
    """Return the same molecules, whose bad records stand behind other records."""
    bad = tuple(one._replace(row=one.row + n_before) for one in molecules.notes.bad)
    return molecules.with_notes(replace(molecules.notes, bad=bad)) if bad else molecules
