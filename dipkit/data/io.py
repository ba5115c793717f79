"""Reading and writing molecules.

==================================  ================================================
suffix                              format
==================================  ================================================
``.xyz``, ``.extxyz``               XYZ frames: plain, extended, or raw QM9
``.sdf``, ``.sd``, ``.mol``         V2000 records, QMugs among them; ``gdb9.sdf.csv``
``.log``, ``.out``                  outputs of Gaussian and ORCA
``.db``, ``.json``                  ASE database
``.traj``                           ASE trajectory
``.npz``                            flat arrays, see `dipkit.data.formats.npz`
``structures.csv``, or its folder   CSV files of CHAMPS
a folder                            XYZ files, SD files or outputs inside
``.tar``, ``.tar.gz``, ``.zip``     the same, XYZ and SD files, streamed
==================================  ================================================

Files of XYZ and of SD may be compressed by gzip: ``.xyz.gz``, ``.sdf.gz``.

Labels are looked for under these keys, the first one present counts:

- magnitude, debye: ``dipole_debye``, ``mu``, ``mu_debye``;
- vector, e*angstrom: ``dipole``, as ASE keeps it;
- charges, e: ``mulliken``, ``mulliken_charges``, ``charges``;
- total charge, e: ``charge``, ``total_charge``, ``net_charge``, ``q``, ``PUBCHEM_TOTAL_CHARGE``
  in any spelling, the sum of ASE's initial charges, formal charges of SD records; places that
  disagree are an error, see `dipkit.data.total_charge`;
- quadrupole, debye*angstrom: ``quadrupole_debye_angstrom``, see `Molecules`.

Keys such as ``dipole_au``, ``mu_D`` or ``dipole_eA`` are read too, in the unit at their end. A unit
that the file declares is obeyed, and one that the user gives (``dipole_unit``, ``length_unit``)
must not contradict it, see `dipkit.data.declared_units`. Positions are in angstrom unless declared.

A key named by the user replaces the usual ones: under ``dipole_key`` one number is a magnitude
in debye and three are a vector in e*angstrom, if no unit is given. One number under ``dipole``
could be in either unit: it is an error unless a unit is given, the user names this key or the
molecule has a magnitude under another key. Sizes that are those of another unit are warned of. A
key that is absent from a molecule means a missing label; NaN in a file is an error, and so is text.
Words without a value in the comment of an XYZ frame are no keys. How each format is read is in
`dipkit.data.formats`.

Names are titles (``name``, the first line of an SD record); without one the stem of the file names
its molecule, or ``stem_0``, ``stem_1``, ... where it has several. Symbols of elements are read in
one way by all formats, see `dipkit.data.elements.read_element`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from ase import Atoms

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, atomic_write
from .dipole_size import warn_size
from .formats import npz
from .formats.ase_atoms import from_atoms, to_atoms
from .formats.data_frames import (
    atoms_of_frame,
    frames_of_texts,
    is_data_frame,
    is_series,
)
from .formats.predicted_atoms import predictions_to_atoms
from .molecules import Molecules
from .read_files import read, read_parts, with_table
from .read_options import UNREAD, ReadKeywords, ReadOptions

__all__ = [
    "as_molecules",
    "atomic_write",
    "from_atoms",
    "predictions_to_atoms",
    "read",
    "read_parts",
    "to_atoms",
    "write",
    "write_atoms",
]

_WRITABLE = ".xyz, .extxyz, .db, .json, .npz"
_XYZ_SUFFIXES = (".xyz", ".extxyz")
_DATABASE_SUFFIXES = (".db", ".json")


def as_molecules(x: Any, **options: Unpack[ReadKeywords]) -> Molecules:
    """Return molecules in any of the accepted forms as `Molecules`.

    Parameters
    ----------
    x : Molecules, ase.Atoms, sequence of either, str or path, data frame
        `Molecules` are returned as they are. A data frame has a column of Atoms or of the text of
        XYZ files; its other columns are labels and names under the usual keys. A list of such
        texts will do as well, and so does an array of objects of shape (n_molecules, 1). SMILES
        are refused: they have no geometry.
    **options
        Keys, units and what else to read, as in `read`.

    Raises
    ------
    InputError
        As `read`; also if `Molecules`, which carry their labels, come with keys or units.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from dipkit.data.io import as_molecules
    >>> as_molecules([molecule("H2O"), molecule("NH3")])
    Molecules(2 molecules, 7 atoms, elements H N O, labels: none)
    """
    if isinstance(x, str | os.PathLike):
        return read(x, **options)
    said = ReadOptions(**options)
    if isinstance(x, np.ndarray) and x.dtype.kind in "OUT" and x.shape[1:] in ((), (1,)):
        x = list(x.flat)  # also one column, as `Molecules.column` gives it
    if isinstance(x, Molecules):
        return _as_they_are(x, said)
    frames: list[Any] | None = [x] if isinstance(x, Atoms) else _frames_of(x)
    if frames is None:
        return _as_they_are(Molecules.concatenate(list(x)), said)
    if said.labels_file is not None:
        # The key and the unit are those of the table.
        options |= {"labels_file": None, "dipole_key": UNREAD, "dipole_unit": "auto"}
    molecules = with_table(from_atoms(frames, **options), said)
    if said.labels_file is not None:
        warn_size(molecules, molecules.notes.dipole_unit)
    return molecules


def _frames_of(x: Any) -> list[Any] | None:
    """Return what a collection holds, texts as Atoms; None where these are `Molecules`."""
    if is_data_frame(x):
        return atoms_of_frame(x)
    if is_series(x):
        x = list(x)
    if not isinstance(x, Sequence):
        raise InputError(
            "molecules: expected ase.Atoms, a list of them, Molecules, a data frame or a path, got "
            f"{type(x).__name__}."
        )
    if len(x) == 0:
        raise InputError("molecules: expected at least one molecule, got an empty list.")
    if all(isinstance(part, Molecules) for part in x):
        return None
    return frames_of_texts(x) if all(isinstance(part, str) for part in x) else list(x)


def _as_they_are(molecules: Molecules, options: ReadOptions) -> Molecules:
    if options.about_labels:
        raise InputError(
            f"{', '.join(options.about_labels)}: keys and units are for files and Atoms, but "
            "Molecules already carry their labels. Give them when reading."
        )
    return molecules


def write(path: PathLike, molecules: Molecules, *, info: Mapping[str, str] | None = None) -> None:
    """Write molecules and their labels; `read` gives them back. Features are not kept.

    Parameters
    ----------
    path : str or path
        The suffix names the format: .xyz, .extxyz, .db, .json or .npz.
    molecules : Molecules
    info : mapping of str to str, default=None
        The same for every molecule: entries of ``atoms.info``, or arrays of that name in an npz
        file.
    """
    info = info or {}
    if Path(path).suffix.lower() == ".npz":
        npz.write_npz(Path(path), molecules, info)
        return
    frames = to_atoms(molecules)
    for frame in frames:
        frame.info.update(info)
    write_atoms(path, frames)


def write_atoms(path: PathLike, frames: Iterable[Atoms]) -> None:
    """Write ASE Atoms, for example of `predictions_to_atoms`, as extended XYZ or ASE database.

    XYZ is written frame by frame as they come.
    """
    # Imported here, because ASE's databases take time.
    from .formats import ase_files

    file = Path(path)
    suffix = file.suffix.lower()
    if suffix in _XYZ_SUFFIXES:
        ase_files.write_xyz_frames(file, frames)
    elif suffix in _DATABASE_SUFFIXES:
        ase_files.write_database(file, list(frames))
    else:
        raise FileFormatError(f"{file}: unknown suffix {suffix!r}. Writable: {_WRITABLE}.")
