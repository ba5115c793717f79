"""The raw files of QM9 (Ramakrishnan et al., Sci. Data 1, 140022 (2014)).

Line 1 is the number of atoms, line 2 ``gdb INDEX A B C mu ...`` with mu in debye, then one line for
each atom: symbol, x, y, z (angstrom), Mulliken charge (e). Frequencies, SMILES and InChI may follow
on three more lines. Some numbers are written ``1.23*^-5``. All molecules are neutral. Downloading
QM9 is in `dipkit.data.datasets`.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from ...exceptions import FileFormatError
from ...support.files import existing_file
from ..elements import atomic_numbers
from ..molecules import Molecules
from ..read_options import ReadOptions
from .records import Record, assemble, finite_number

ARCHIVE_SUFFIXES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tbz2", ".tgz")
SOURCE_KEYS = ("mu", "mulliken")

_HEADER_COLUMNS = 17
_ATOM_COLUMNS = 5
# Six digits are printed, so 29 atoms can round to 1.5e-5; a last number cut short shows up here.
_CHARGE_SUM_TOLERANCE = 2e-5


def is_archive(path: Path) -> bool:
    """Whether this is a tar archive, by its name."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def is_raw_file(path: Path) -> bool:
    """Whether this is a raw QM9 file, by its second line."""
    with path.open(encoding="utf-8", errors="replace") as handle:
        handle.readline(1000)
        return handle.readline(1000).startswith(("gdb ", "gdb\t"))


def read_qm9(path: Path, options: ReadOptions) -> Molecules:
    """Read a raw file, a folder of them or a tar archive of them, in the order of the index."""
    options.check_found(SOURCE_KEYS, SOURCE_KEYS)
    indexed = [parse_qm9(text, where) for where, text in _texts(path)]
    if not indexed:
        raise FileFormatError(f"{path}: no raw QM9 files (dsgdb9nsd_*.xyz) inside.")
    indexed.sort(key=lambda pair: pair[0])
    records = [record for _, record in indexed]
    for record in records:
        record.magnitude = record.magnitude if options.read_dipole else None
        record.charges = record.charges if options.read_charges else None
    return assemble(records, SOURCE_KEYS)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield a name for messages and the text of each file."""
    if path.is_dir():
        for file in sorted(path.glob("*.xyz")):
            yield str(file), _decode(existing_file(file).read_bytes(), str(file))
    elif is_archive(path):
        yield from _members(path)
    else:
        yield str(path), _decode(path.read_bytes(), str(path))


def _members(path: Path) -> Iterator[tuple[str, str]]:
    """Stream an archive: one member in memory at a time, nothing unpacked."""
    try:
        with tarfile.open(path, mode="r|*") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name.endswith(".xyz") and not name.startswith("."):
                    handle = archive.extractfile(member)
                    where = f"{path}, {name}"
                    yield where, _decode(handle.read() if handle else b"", where)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FileFormatError(
            f"{path}: the archive is damaged or cut: {error}. Fetch it again."
        ) from error


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{where}: expected text, got binary data.") from error


def parse_qm9(text: str, where: str) -> tuple[int, Record]:
    """Parse one raw file.

    Parameters
    ----------
    text : str
        The content of the file.
    where : str
        The file's name, for messages.

    Returns
    -------
    index : int
        The molecule's QM9 index.
    record : Record
    """
    lines = text.rstrip().splitlines()
    if not lines:
        raise FileFormatError(f"{where}: the file is empty. Fetch it again.")
    n_atoms = _count(lines[0], where)
    index, mu = _header(lines[1] if len(lines) > 1 else "", where)
    atoms = lines[2 : 2 + n_atoms]
    rows = [_atom(line, where, number) for number, line in enumerate(atoms, start=3)]
    _check_complete(len(lines), n_atoms, where)
    charges = [row[4] for row in rows]
    if abs(sum(charges)) > _CHARGE_SUM_TOLERANCE:
        raise FileFormatError(
            f"{where}, line {n_atoms + 2}: Mulliken charges sum to {sum(charges):.6f} e, expected "
            "0: the file is cut or damaged. Fetch it again."
        )
    record = Record(
        numbers=[int(row[0]) for row in rows],
        positions=[row[1:4] for row in rows],
        name=f"gdb_{index:06d}",
        magnitude=mu,
        charges=charges,
    )
    return index, record


def _count(line: str, where: str) -> int:
    try:
        n_atoms = int(line)
    except ValueError:
        n_atoms = 0
    if n_atoms < 1:
        raise FileFormatError(f"{where}, line 1: expected the number of atoms, got {line!r:.60}.")
    return n_atoms


def _header(line: str, where: str) -> tuple[int, float]:
    """Read the index and mu."""
    fields = line.split()
    if len(fields) < _HEADER_COLUMNS or fields[0] != "gdb" or not fields[1].isdigit():
        raise FileFormatError(
            f"{where}, line 2: expected 'gdb', the index and {_HEADER_COLUMNS - 2} properties, "
            f"got {line!r:.60} ({len(fields)} columns): not a raw QM9 file, or cut."
        )
    return int(fields[1]), _number(fields[5], where, 2)


def _atom(line: str, where: str, number: int) -> tuple[float, ...]:
    fields = line.split()
    atomic_number = _ATOMIC_NUMBERS.get(fields[0]) if fields else None
    if len(fields) != _ATOM_COLUMNS or atomic_number is None:
        raise FileFormatError(
            f"{where}, line {number}: expected symbol, x, y, z and charge, got {line!r:.60}: the "
            "file is cut or damaged. Fetch it again."
        )
    return (atomic_number, *(_number(field, where, number) for field in fields[1:]))


def _number(field: str, where: str, number: int) -> float:
    # Some numbers of the archive are written 1.23*^-5.
    return finite_number(field.replace("*^", "e"), f"{where}, line {number}")


def _check_complete(n_lines: int, n_atoms: int, where: str) -> None:
    if n_lines < n_atoms + 2:
        raise FileFormatError(
            f"{where}, line {n_lines + 1}: the file ends after {n_lines - 2} of {n_atoms} atoms: "
            "it is cut. Fetch it again."
        )
    if n_lines - n_atoms - 2 not in (0, 3):
        raise FileFormatError(
            f"{where}, line {n_lines}: expected nothing or three lines (frequencies, SMILES, "
            f"InChI) after the atoms, got {n_lines - n_atoms - 2}: the file is cut or damaged."
        )


_ATOMIC_NUMBERS = atomic_numbers()
