"""Raw frames of QM9 (Ramakrishnan et al., Sci. Data 1, 140022 (2014)).

Line 1 is the number of atoms, line 2 ``gdb INDEX A B C mu ...`` with mu in debye, then one line for
each atom: symbol, x, y, z (angstrom), Mulliken charge (e). Frequencies, SMILES and InChI may follow
on three more lines, and further frames after these. Some numbers are written ``1.23*^-5``. All
molecules are neutral. Downloading QM9 is in `dipkit.data.datasets`; files, folders and archives are
opened in `molecule_files.py`.
"""

from __future__ import annotations

from ...exceptions import FileFormatError
from ..elements import read_element
from .numbered_lines import NumberedLines, count_in
from .records import Record, finite_number

SOURCE_KEYS = ("mu", "mulliken")

_HEADER_COLUMNS = 17
_ATOM_COLUMNS = 5
# Frequencies, SMILES, InChI.
_TAIL_LINES = 3
# Six digits are printed, so 29 atoms can round to 1.5e-5; a last number cut short shows up here.
_CHARGE_SUM_TOLERANCE = 2e-5


def is_raw(second_line: str) -> bool:
    """Whether a frame is one of raw QM9, by its second line."""
    return second_line.startswith(("gdb ", "gdb\t"))


def read_raw_frame(lines: NumberedLines) -> tuple[int, Record]:
    """Read one frame.

    Returns
    -------
    index : int
        The molecule's QM9 index.
    record : Record

    Raises
    ------
    FileFormatError
        If the frame is cut or damaged.
    """
    n_atoms = _count(lines)
    index, mu = _header(lines)
    rows = [_atom(lines, n_atoms, taken) for taken in range(n_atoms)]
    last = lines.number
    _skip_tail(lines)
    charges = [row[4] for row in rows]
    if abs(sum(charges)) > _CHARGE_SUM_TOLERANCE:
        raise FileFormatError(
            f"{lines.where}, line {last}: Mulliken charges sum to {sum(charges):.6f} e, expected "
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


def _count(lines: NumberedLines) -> int:
    line = lines.take()
    n_atoms = count_in(line.strip())
    if n_atoms < 1:
        raise FileFormatError(f"{_here(lines)}: expected the number of atoms, got {line!r:.60}.")
    return n_atoms


def _header(lines: NumberedLines) -> tuple[int, float]:
    """Read the index and mu."""
    line = lines.take()
    fields = line.split()
    if len(fields) < _HEADER_COLUMNS or fields[0] != "gdb" or not count_in(fields[1]):
        raise FileFormatError(
            f"{_here(lines)}: expected 'gdb', the index and {_HEADER_COLUMNS - 2} properties, "
            f"got {line!r:.60} ({len(fields)} columns): not a raw QM9 file, or cut."
        )
    return int(fields[1]), _number(fields[5], lines)


def _atom(lines: NumberedLines, n_atoms: int, taken: int) -> tuple[float, ...]:
    line = lines.take()
    if not line:
        raise FileFormatError(
            f"{lines.where}, line {lines.number + 1}: the file ends after {taken} of {n_atoms} "
            "atoms: it is cut. Fetch it again."
        )
    fields = line.split()
    if len(fields) != _ATOM_COLUMNS:
        raise FileFormatError(
            f"{_here(lines)}: expected symbol, x, y, z and charge, got {line!r:.60}: the "
            "file is cut or damaged. Fetch it again."
        )
    element = read_element(fields[0], _here(lines))
    return (element, *(_number(field, lines) for field in fields[1:]))


def _skip_tail(lines: NumberedLines) -> None:
    """Take the three lines after the atoms, where they are not the next frame."""
    next_line = lines.peek()
    if not next_line.strip() or is_raw(lines.peek(1)) or next_line.strip().isdigit():
        return
    for taken in range(_TAIL_LINES):
        line = lines.take()
        cut = taken < _TAIL_LINES - 1 and lines.peek().strip().isdigit()
        if cut or not line.strip():
            raise FileFormatError(
                f"{lines.where}, line {max(lines.number, 1)}: expected nothing or three lines "
                "(frequencies, SMILES, InChI) after the atoms: the file is cut or damaged."
            )
        if taken == 0:
            for field in line.split():
                _number(field, lines)


def _number(field: str, lines: NumberedLines) -> float:
    # Some numbers of the archive are written 1.23*^-5.
    return finite_number(field.replace("*^", "e"), _here(lines))


def _here(lines: NumberedLines) -> str:
    return f"{lines.where}, line {lines.number}"
