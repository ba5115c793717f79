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

A key named by the user replaces the usual ones: under ``dipole_key`` one number is a magnitude
in debye and three are a vector in e*angstrom. One number under ``dipole`` could be in either unit:
it is an error unless the user names this key or the molecule has a magnitude under another key. A
key that is absent from a molecule means a missing label; NaN in a file is an error, and so is text.
Words without a value in the comment of an XYZ frame are no keys. How each format is read is in
`dipkit.data.formats`.

Names are titles (``name``, the first line of an SD record); without one the stem of the file names
its molecule, or ``stem_0``, ``stem_1``, ... where it has several. Symbols of elements are read in
one way by all formats, see `dipkit.data.elements.read_element`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from ase import Atoms

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, atomic_write, existing_file
from .formats import ase_files, champs, npz
from .formats.ase_atoms import from_atoms, predictions_to_atoms, to_atoms
from .formats.entry_reader import EntryReader, companion_table
from .formats.label_join import add_table
from .formats.label_table import read_label_table
from .formats.molecule_files import holds_many_files, is_readable, metadata_of, read_entries
from .molecules import Molecules
from .read_options import ReadKeywords, ReadOptions

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
    ".xyz, .extxyz, .sdf, .sd, .mol (also .gz), .db, .json, .traj, .npz, outputs of Gaussian and "
    "ORCA (.log, .out), archives (.tar, .zip) or folders of these, structures.csv"
)
_WRITABLE = ".xyz, .extxyz, .db, .json, .npz"
_XYZ_SUFFIXES = (".xyz", ".extxyz")
_DATABASE_SUFFIXES = (".db", ".json")


def as_molecules(x: Any, **options: Unpack[ReadKeywords]) -> Molecules:
    """Return molecules in any of the accepted forms as `Molecules`.

    Parameters
    ----------
    x : Molecules, ase.Atoms, sequence of either, str or path
        `Molecules` are returned as they are.
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
    if isinstance(x, Atoms):
        return from_atoms([x], **options)
    if isinstance(x, Molecules):
        return _as_they_are(x, ReadOptions(**options))
    if not isinstance(x, Sequence) and not (isinstance(x, np.ndarray) and x.dtype == object):
        raise InputError(
            "molecules: expected ase.Atoms, a list of them, Molecules or a path, got "
            f"{type(x).__name__}."
        )
    if len(x) == 0:
        raise InputError("molecules: expected at least one molecule, got an empty list.")
    if all(isinstance(part, Molecules) for part in x):
        return _as_they_are(Molecules.concatenate(list(x)), ReadOptions(**options))
    return from_atoms(x, **options)


def _as_they_are(molecules: Molecules, options: ReadOptions) -> Molecules:
    if options.about_labels:
        raise InputError(
            f"{', '.join(options.about_labels)}: keys and units are for files and Atoms, but "
            "Molecules already carry their labels. Give them when reading."
        )
    return molecules


def read(
    path: PathLike,
    *,
    dipole_key: str | None = None,
    charges_key: str | None = None,
    labels: bool = True,
    dipole_unit: str = "auto",
    length_unit: str = "auto",
    total_charge: str | float | None = None,
    skip_invalid: bool = False,
    ignore_pbc: bool = False,
    labels_file: PathLike | None = None,
) -> Molecules:
    """Read molecules and their labels from a file or a folder.

    Parameters
    ----------
    path : str or path
        Formats and keys are listed in `dipkit.data.io`.
    dipole_key, charges_key : str, default=None
        Keys of the labels; None looks for the usual ones, ``"none"`` leaves this label unread (a
        key that is really called so must be renamed).
    labels : bool, default=True
        False reads geometries and total charges only.
    dipole_unit : {"auto", "debye", "e-angstrom", "au"}, default="auto"
        Unit of the dipole labels; "auto" takes what the file or the key says, else the usual unit
        of the key.
    length_unit : {"auto", "angstrom", "bohr"}, default="auto"
        Unit of the positions; "auto" takes what the file says, else angstrom.
    total_charge : str or float, default=None
        Key of the total charge, or the charge of every molecule in e; None looks for the usual
        keys.
    skip_invalid : bool, default=False
        Leave out records that cannot be used, with a warning that counts them.
    ignore_pbc : bool, default=False
        Take molecules in periodic boxes as isolated.
    labels_file : str or path, default=None
        CSV file with the dipoles, joined by the names of the molecules or of their files, see
        `dipkit.data.formats.label_table`. Dipoles beside the geometries are then not read.

    Raises
    ------
    FileFormatError
        If the file is empty, cut, damaged or of an unknown format.
    InputError
        If there is no such file, a named key is absent, or a geometry or label cannot be used.
    """
    options = ReadOptions(
        dipole_key=dipole_key,
        charges_key=charges_key,
        labels=labels,
        dipole_unit=dipole_unit,
        length_unit=length_unit,
        total_charge=total_charge,
        skip_invalid=skip_invalid,
        ignore_pbc=ignore_pbc,
        labels_file=labels_file,
    )
    file = Path(path)
    file = file if file.is_dir() else existing_file(file)
    with _naming(file):
        molecules = _read_file(file, options)
    if not len(molecules):
        raise FileFormatError(f"{file}: no molecules inside. Expected at least one.")
    return molecules


def read_parts(
    path: PathLike, n_molecules: int, **options: Unpack[ReadKeywords]
) -> Iterator[Molecules]:
    """Read geometries part by part, so that a large file is never in memory as a whole.

    Single files are streamed. Arrays, which are compact, and folders and archives, whose molecules
    may have an order, are read as a whole first.

    Parameters
    ----------
    path : str or path
    n_molecules : int
        Molecules of a part.
    **options
        As in `read`; labels are never read.

    Raises
    ------
    FileFormatError, InputError
        As `read`, when the part with the error is reached.
    """
    options["labels"] = False
    file = Path(path)
    file = file if file.is_dir() else existing_file(file)
    if _array_reader(file) or holds_many_files(file):
        molecules = read(path, **options)
        starts = range(0, len(molecules), n_molecules)
        yield from (molecules[start : start + n_molecules] for start in starts)
        return
    start, present = 0, dict[str, None]()
    context = EntryReader(ReadOptions(**options), metadata=metadata_of(file)).context
    entries = read_entries(file, context)
    while entry := next(entries, None):
        part = EntryReader(context.options, first=start, shared=context)
        with _naming(file):
            part.add_entries(chain([entry], islice(entries, n_molecules - 1)))
            molecules = part.molecules()
        start += len(molecules)
        present |= part.present
        yield molecules
    if not start:
        raise FileFormatError(f"{file}: no molecules inside. Expected at least one.")
    context.total_charges.sentences(present)


def _read_file(file: Path, options: ReadOptions) -> Molecules:
    """Read by the suffix; arrays have readers of their own, all else is read entry by entry."""
    table = None
    if options.labels_file is not None and options.labels:
        table = read_label_table(existing_file(options.labels_file), options)
    if array_reader := _array_reader(file):
        molecules = array_reader(file, options.for_geometries)
        return molecules if table is None else add_table(table, molecules)
    reader = EntryReader(options, metadata=metadata_of(file))
    reader.add_entries(read_entries(file, reader.context))
    if holds_many_files(file):
        reader.sort()
    if table is not None:
        reader.join(table)
    elif not reader.has_dipoles and (beside := companion_table(file, options)):
        reader.join(beside, subset=True)
    return reader.molecules()


def _array_reader(file: Path) -> Callable[[Path, ReadOptions], Molecules] | None:
    """Return the reader of a format that holds many molecules in arrays or tables."""
    if (file / champs.STRUCTURES).exists() or file.name == champs.STRUCTURES:
        return champs.read_champs
    if file.suffix.lower() == ".npz":
        return npz.read_npz
    if not is_readable(file):
        raise FileFormatError(f"{file}: unknown suffix {file.suffix!r}. Readable: {_READABLE}.")
    return None


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Name the file in errors that do not name it yet."""
    try:
        yield
    except FileFormatError:
        raise
    except InputError as error:
        if str(file) in str(error):
            raise
        raise InputError(f"{file}: {error}") from error


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
