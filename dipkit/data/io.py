"""Reading and writing molecules.

================================  ==================================================
suffix                            format
================================  ==================================================
``.xyz``, ``.extxyz``             extended XYZ; raw QM9 files, recognised by their second line
``.db``, ``.json``                ASE database
``.npz``                          flat arrays, see `dipkit.data.formats.npz`
``.tar``, ``.tar.bz2``, ...       archive of raw QM9 files, streamed
``.sdf``, ``.sd``, ``.mol``       V2000 records, QMugs among them, see `dipkit.data.formats.sdf`
``structures.csv``                CSV files of CHAMPS, see `dipkit.data.formats.champs`
a folder                          CSV files of CHAMPS, SD files, or raw QM9 files ``*.xyz``
================================  ==================================================

Labels are looked for under these keys, the first one present counts:

- magnitude, debye: ``dipole_debye``, ``mu``, ``mu_debye``;
- vector, e*angstrom: ``dipole``, as ASE keeps it;
- charges, e: ``mulliken``, ``mulliken_charges``, ``charges``;
- total charge, e: ``charge``, ``total_charge``;
- quadrupole, debye*angstrom: ``quadrupole_debye_angstrom``, see `Molecules`.

A key named by the user replaces the usual ones: under ``dipole_key`` one number is a magnitude
in debye and three are a vector in e*angstrom. One number under ``dipole`` could be in either unit:
it is an error unless the user names this key or the molecule has a magnitude under another key. A
key that is absent from a molecule means a missing label; NaN in a file is an error. How each format
is read is in `dipkit.data.formats`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, atomic_write, existing_file
from .formats import ase_files, champs, npz, qm9, sdf
from .formats.ase_atoms import AtomsReader, from_atoms, to_atoms
from .formats.predicted_atoms import predictions_to_atoms
from .formats.records import LabelKeys
from .molecules import Molecules

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

_READABLE = (
    ".xyz, .extxyz, .db, .json, .npz, .sdf, .mol, .tar(.bz2, .gz, .xz), structures.csv, or a "
    "folder of raw QM9 files, SD files or the CSV files of CHAMPS"
)
_WRITABLE = ".xyz, .extxyz, .db, .json, .npz"
_XYZ_SUFFIXES = (".xyz", ".extxyz")
_DATABASE_SUFFIXES = (".db", ".json")


def as_molecules(
    x: Any,
    *,
    dipole_key: str | None = None,
    charges_key: str | None = None,
    labels: bool = True,
) -> Molecules:
    """Return molecules in any of the accepted forms as `Molecules`.

    Parameters
    ----------
    x : Molecules, ase.Atoms, sequence of either, str or path
        `Molecules` are returned as they are.
    dipole_key, charges_key : str, default=None
        Keys of the labels, see `dipkit.data.io`; None looks for the usual ones.
    labels : bool, default=True
        False reads geometries and total charges only, as prediction does.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from dipkit.data.io import as_molecules
    >>> as_molecules([molecule("H2O"), molecule("NH3")])
    Molecules(2 molecules, 7 atoms, elements H N O, labels: none)
    """
    keys = {"dipole_key": dipole_key, "charges_key": charges_key}
    if isinstance(x, str | os.PathLike):
        return read(x, labels=labels, **keys)
    if isinstance(x, Atoms):
        return from_atoms([x], labels=labels, **keys)
    if isinstance(x, Molecules):
        return _without_keys(x, keys)
    if not isinstance(x, Sequence) and not (isinstance(x, np.ndarray) and x.dtype == object):
        raise InputError(
            "molecules: expected ase.Atoms, a list of them, Molecules or a path, got "
            f"{type(x).__name__}."
        )
    if len(x) == 0:
        raise InputError("molecules: expected at least one molecule, got an empty list.")
    if all(isinstance(part, Molecules) for part in x):
        return _without_keys(Molecules.concatenate(list(x)), keys)
    return from_atoms(x, labels=labels, **keys)


def _without_keys(molecules: Molecules, keys: dict[str, str | None]) -> Molecules:
    named = [argument for argument, key in keys.items() if key is not None]
    if named:
        raise InputError(
            f"{', '.join(named)}: keys are for files and Atoms, but Molecules already carry "
            "their labels. Name the key when reading."
        )
    return molecules


def read(
    path: PathLike,
    *,
    dipole_key: str | None = None,
    charges_key: str | None = None,
    labels: bool = True,
) -> Molecules:
    """Read molecules and their labels from a file or a folder.

    Parameters
    ----------
    path : str or path
        Formats and keys are listed in `dipkit.data.io`.
    dipole_key, charges_key : str, default=None
        Keys of the labels; None looks for the usual ones.
    labels : bool, default=True
        False reads geometries and total charges only.

    Raises
    ------
    FileFormatError
        If the file is empty, cut, damaged or of an unknown format.
    InputError
        If there is no such file, a named key is absent, or a geometry or label cannot be used.
    """
    keys = LabelKeys(dipole_key, charges_key, labels)
    file = Path(path)
    file = file if file.is_dir() else existing_file(file)
    reader = _reader(file)
    try:
        molecules = reader(file, keys)
    except FileFormatError:
        raise
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    if not len(molecules):
        raise FileFormatError(f"{file}: no molecules inside. Expected at least one.")
    return molecules


def read_parts(path: PathLike, n_molecules: int) -> Iterator[Molecules]:
    """Read geometries part by part, so that a large file is never in memory as a whole.

    Extended XYZ and ASE databases are streamed. Other formats, whose arrays are compact, are read
    as a whole first.

    Parameters
    ----------
    path : str or path
    n_molecules : int
        Molecules of a part.

    Raises
    ------
    FileFormatError, InputError
        As `read`, when the part with the error is reached.
    """
    file = Path(path)
    reader = _reader(file if file.is_dir() else existing_file(file))
    frames = _STREAMED[reader](file) if reader in _STREAMED else None
    if frames is None:
        molecules = read(path, labels=False)
        starts = range(0, len(molecules), n_molecules)
        yield from (molecules[start : start + n_molecules] for start in starts)
        return
    start = 0
    while frame := next(frames, None):
        part = AtomsReader(LabelKeys(wanted=False), first=start)
        try:
            for each in chain([frame], islice(frames, n_molecules - 1)):
                part.add(each)
            molecules = part.molecules()
        except FileFormatError:
            raise
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        start += len(molecules)
        yield molecules
    if not start:
        raise FileFormatError(f"{file}: no molecules inside. Expected at least one.")


def _reader(file: Path) -> Callable[[Path, LabelKeys], Molecules]:
    suffix = file.suffix.lower()
    if file.is_dir():
        return _folder_reader(file)
    if qm9.is_archive(file):
        return qm9.read_qm9
    if suffix in _XYZ_SUFFIXES:
        return qm9.read_qm9 if qm9.is_raw_file(file) else _read_xyz
    if suffix in _DATABASE_SUFFIXES:
        return _read_database
    if suffix == ".npz":
        return npz.read_npz
    if suffix in sdf.SUFFIXES:
        return sdf.read_sdf
    if file.name == champs.STRUCTURES:
        return champs.read_champs
    raise FileFormatError(f"{file}: unknown suffix {suffix!r}. Readable: {_READABLE}.")


def _folder_reader(folder: Path) -> Callable[[Path, LabelKeys], Molecules]:
    if (folder / champs.STRUCTURES).exists():
        return champs.read_champs
    return sdf.read_sdf if sdf.has_sdf(folder) else qm9.read_qm9


def _read_xyz(path: Path, keys: LabelKeys) -> Molecules:
    return _collect(ase_files.read_xyz_frames(path), keys)


def _read_database(path: Path, keys: LabelKeys) -> Molecules:
    return _collect(ase_files.read_database(path), keys)


_STREAMED = {_read_xyz: ase_files.read_xyz_frames, _read_database: ase_files.read_database}


def _collect(frames: Iterable[Atoms], keys: LabelKeys) -> Molecules:
    reader = AtomsReader(keys)
    for frame in frames:
        reader.add(frame)
    return reader.molecules()


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
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix in _XYZ_SUFFIXES:
        ase_files.write_xyz_frames(file, frames)
    elif suffix in _DATABASE_SUFFIXES:
        ase_files.write_database(file, list(frames))
    else:
        raise FileFormatError(f"{file}: unknown suffix {suffix!r}. Writable: {_WRITABLE}.")
