"""Reading of files, folders and archives, as a whole or part by part.

Formats, keys and units are listed in `dipkit.data.io`, which offers these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Unpack

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, existing_file
from .bad_records import BadRecord, refuse, warn_left_out
from .far_atoms import FarAtoms, warn_far
from .formats import champs, npz
from .formats.boundary import boundary
from .formats.entry_reader import EntryReader, companion_of, companion_table
from .formats.label_join import add_table
from .formats.label_table import LabelTable, read_label_table
from .formats.molecule_files import holds_many_files, is_readable, metadata_of, read_entries
from .formats.text_sources import content_suffix, is_packed
from .formats.unpacking import Allowance
from .molecules import Molecules
from .read_options import ReadKeywords, ReadOptions
from .unit_checks import warn_of_units

__all__ = ["label_files", "read", "read_parts", "read_quietly", "with_table"]

_READABLE = (
    ".xyz, .extxyz, .sdf, .sd, .mol (also .gz), .db, .json, .traj, .npz, outputs of Gaussian and "
    "ORCA (.log, .out), archives (.tar, .zip) or folders of these, structures.csv"
)

# Molecules read, and predicted, at once where a file is streamed.
PART_MOLECULES = 5000
_LONGEST_MESSAGE = 1500


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
    max_unpacked: int | str | None = None,
) -> Molecules:
    """Read molecules and their labels from a file or a folder.

    Parameters
    ----------
    path : str or path
        Formats and keys are listed in `dipkit.data.io`.
    dipole_key, charges_key : str, default=None
        Keys of the labels; None looks for the usual ones, ``"none"`` leaves this label unread (a
        key with the name "none" must be renamed).
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
    max_unpacked : int or str, default=None
        Bytes, or text such as "8GB", that a compressed file, an archive or an npz file may unpack
        to; None is 100 MB and 100 times its size.

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
        max_unpacked=max_unpacked,
    )
    molecules = read_quietly(path, options)
    warn_of_units(molecules)
    warn_far(molecules)
    warn_left_out(molecules.notes.bad, len(molecules) + len(molecules.notes.bad))
    return molecules


def read_quietly(path: PathLike, options: ReadOptions) -> Molecules:
    """Read all molecules, without warnings; records left out are in their notes."""
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
        Records of a part.
    **options
        As in `read`; labels are never read.

    Yields
    ------
    Molecules
        With ``skip_invalid`` bad records are left out without a warning: ``notes.bad`` has those of
        this part. A part, but not all of them, may then be empty.

    Raises
    ------
    FileFormatError, InputError
        As `read`, when the part with the error is reached.
    """
    options["labels"] = False
    file = Path(path)
    file = file if file.is_dir() else existing_file(file)
    if _array_reader(file) or holds_many_files(file):
        molecules = read_quietly(path, ReadOptions(**options))
        warn_of_units(molecules)
        warn_far(molecules)
        yield from _parts_of(molecules, n_molecules)
        return
    start, present, n_good, all_bad = 0, dict[str, None](), 0, list[BadRecord]()
    far = FarAtoms()
    context = EntryReader(ReadOptions(**options), metadata=metadata_of(file)).context
    entries = read_entries(file, context)
    while entry := next(entries, None):
        part = EntryReader(context.options, first=start, shared=context)
        with _naming(file):
            part.add_entries(chain([entry], islice(entries, n_molecules - 1)))
            start = part.next_index
            molecules = part.molecules(may_be_empty=True)
        if not n_good and len(molecules):
            warn_of_units(molecules)
        far.add(molecules)
        present |= part.present
        n_good += len(molecules)
        all_bad += molecules.notes.bad
        yield molecules
    if not start:
        raise FileFormatError(f"{file}: no molecules inside. Expected at least one.")
    if not n_good:
        raise refuse(all_bad, start)
    far.warn()
    context.total_charges.sentences(present)


def _parts_of(molecules: Molecules, n_molecules: int) -> Iterator[Molecules]:
    """Cut molecules into parts; each takes the bad records among its rows of the file."""
    notes, n_records = molecules.notes, len(molecules) + len(molecules.notes.bad)
    places = {one.row for one in notes.bad}
    rows = [index for index in range(n_records) if index not in places]
    for start in range(0, len(molecules), n_molecules):
        stop = start + n_molecules
        first = rows[start] if start else 0
        end = rows[stop] if stop < len(rows) else n_records
        bad = tuple(one for one in notes.bad if first <= one.row < end)
        yield molecules[start:stop].with_notes(replace(notes, bad=bad))


def _read_file(file: Path, options: ReadOptions) -> Molecules:
    """Read by the suffix; arrays have readers of their own, all else is read entry by entry."""
    if array_reader := _array_reader(file):
        return with_table(array_reader(file, options.for_geometries), options)
    table = _table(options)
    allowance = Allowance(file, options.most_unpacked) if is_packed(file) else None
    reader = EntryReader(options, metadata=metadata_of(file), allowance=allowance)
    with closing(read_entries(file, reader.context)) as entries:
        reader.add_entries(entries)
    if holds_many_files(file):
        reader.sort()
    if table is not None:
        reader.join(table)
    elif not reader.records.has_dipoles and (beside := companion_table(file, options)):
        reader.join(beside, subset=True)
    return reader.molecules()


def label_files(path: PathLike) -> list[Path]:
    """Return the files of labels that are read without being named, beside a file of geometries."""
    file = Path(path)
    if file.name == champs.STRUCTURES:
        return [file.with_name(name) for name in (champs.DIPOLES, champs.CHARGES)]
    beside = companion_of(file)
    return [] if beside is None else [beside]


def with_table(molecules: Molecules, options: ReadOptions) -> Molecules:
    """Join the table of labels that the user named, if any, by the names of the molecules."""
    table = _table(options)
    return molecules if table is None else add_table(table, molecules)


def _table(options: ReadOptions) -> LabelTable | None:
    if options.labels_file is None or not options.labels:
        return None
    table = existing_file(options.labels_file)
    with boundary(str(table)):
        return read_label_table(table, options)


def _array_reader(file: Path) -> Callable[[Path, ReadOptions], Molecules] | None:
    """Return the reader of a format that holds many molecules in arrays or tables."""
    if (file / champs.STRUCTURES).exists() or file.name == champs.STRUCTURES:
        return champs.read_champs
    if file.suffix.lower() == ".npz":
        return npz.read_npz
    if not is_readable(file):
        table = " A table of labels goes beside geometries: --labels (labels_file=)."
        raise FileFormatError(
            f"{file}: unknown suffix {file.suffix!r}. Readable: {_READABLE}."
            f"{table if content_suffix(file.name) in ('.csv', '.tsv') else ''}"
        )
    return None


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Name the file in errors that do not name it yet, and let none of other libraries pass."""
    try:
        with boundary(str(file)):
            yield
    except InputError as error:
        said = str(error)
        named = isinstance(error, FileFormatError) or str(file) in said
        message = said if named else f"{file}: {said}"
        if len(message) > _LONGEST_MESSAGE:  # with words of the file, which may be of any length
            message = f"{message[:_LONGEST_MESSAGE]}..."
        if message == said:
            raise
        raise type(error)(message) from error
