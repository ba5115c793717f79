"""MDL molfiles and SD files in the V2000 format, with labels in their data items.

A record is three lines of header, a line of counts, one line for each atom in fixed columns (x, y,
z in angstrom, symbol), bonds, properties up to ``M  END``, and data items ``> <TAG>``; it ends with
``$$$$``. Bonds are not kept. The total charge is the item ``charge`` or ``total_charge``, else the
sum of the formal charges.

Labels are looked for under the usual keys, then under those of QMugs (Isert et al., Sci. Data 9,
273 (2022)): ``DFT:DIPOLE``, ``x|y|z|total`` in debye, and ``DFT:MULLIKEN_CHARGES``, one value for
each atom. Only the total of the dipole is used: its components refer to axes of the program that
computed them, which may differ from those of the coordinates. Molecules are made of the records in
`records.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError
from ...support.files import existing_file
from ...units import DEBYE_PER_E_ANGSTROM
from ..elements import atomic_numbers
from ..label_keys import CHARGES_KEYS, DIPOLE_KEYS, MULTIPLICITY_KEYS, TOTAL_CHARGE_KEYS
from ..molecules import Molecules
from ..read_options import ReadOptions
from .records import Record, assemble

SUFFIXES = (".sdf", ".sd", ".mol")
QMUGS_DIPOLE, QMUGS_CHARGES = "DFT:DIPOLE", "DFT:MULLIKEN_CHARGES"

_HEADER_LINES = 3
_TAG = re.compile(r"<([^>]*)>")
_SEPARATORS = re.compile(r"[|,;\s]+")
# Charge code of the atom line; 4 marks a radical.
_OLD_CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}
# Components of a dipole are printed to a few digits: allowed difference of the total, debye.
_TOTAL_TOLERANCE = 0.01

FloatArray = NDArray[np.float64]


def read_sdf(path: Path, options: ReadOptions) -> Molecules:
    """Read an SD file, a molfile, or all SD files in a folder and its subfolders."""
    records: list[Record] = []
    present: dict[str, None] = {}
    for file in _files(path):
        for line, text in _records(file):
            record, items = _Record(text, f"{file}, line {line}").parse(options, len(records))
            records.append(record)
            present |= dict.fromkeys(items)
    options.check_found(set(options.named.values()) & set(present), present)
    return assemble(records, present)


def has_sdf(folder: Path) -> bool:
    """Whether there are SD files in a folder or its subfolders."""
    return next(folder.rglob("*.sdf"), None) is not None


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.sdf")) if path.is_dir() else [path]


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the lines of each record."""
    try:
        lines = existing_file(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: expected text, got binary data.") from error
    start = 0
    for number, line in enumerate(lines):
        if line.startswith("$$$$"):
            yield start + 1, lines[start:number]
            start = number + 1
    rest = lines[start:]
    if any(line.startswith(">") for line in rest):
        raise FileFormatError(
            f"{path}, line {len(lines)}: the last record holds data items, and $$$$ is missing at "
            "its end: the file is cut."
        )
    if any(line.strip() for line in rest):  # a molfile, which has no end mark
        yield start + 1, rest


class _Record:
    """One record while it is parsed; `where` names its first line in messages."""

    def __init__(self, lines: list[str], where: str) -> None:
        self.lines, self.where = lines, where

    def parse(self, options: ReadOptions, index: int) -> tuple[Record, dict[str, str]]:
        """Return the molecule, and the data items by tag."""
        n_atoms, n_bonds = self._counts()
        first = _HEADER_LINES + 1
        rows = [self._atom(line) for line in self.lines[first : first + n_atoms]]
        last = self._end(first + n_atoms + n_bonds)
        if len(rows) < n_atoms or last is None:
            raise self._error("the record ends before 'M  END': it is cut")
        items = _items(self.lines[last + 1 :])
        record = Record(
            numbers=[number for number, _, _ in rows],
            positions=[position for _, position, _ in rows],
            name=_name(self.lines[0].strip(), items, index),
            total_charge=self._total_charge(items, [old for *_, old in rows], last),
        )
        if (key := _first(items, MULTIPLICITY_KEYS)) is not None:
            record.multiplicity = float(self._numbers(items[key], key, (1,))[0])
        if options.read_dipole:
            record.magnitude, record.vector = self._dipole(items, options.dipole_key)
        if options.read_charges:
            record.charges = self._charges(items, options.charges_key, n_atoms)
        return record, items

    def _counts(self) -> tuple[int, int]:
        line = self.lines[_HEADER_LINES] if len(self.lines) > _HEADER_LINES else ""
        if "V3000" in line:
            raise self._error("a V3000 record; only V2000 is read. Convert it (Open Babel, RDKit)")
        try:
            n_atoms, n_bonds = int(line[0:3]), int(line[3:6])
        except ValueError:
            n_atoms = n_bonds = 0
        if n_atoms < 1:
            raise self._error(f"expected the numbers of atoms and bonds, got {line!r:.40}")
        if self.lines[1][20:22].upper() == "2D":
            raise self._error("coordinates in two dimensions; make a 3D geometry first")
        return n_atoms, n_bonds

    def _atom(self, line: str) -> tuple[int, list[float], int]:
        """Atomic number, position and the charge of the old notation."""
        try:
            position = [float(line[10 * axis : 10 * axis + 10]) for axis in range(3)]
            number = _ATOMIC_NUMBERS[line[31:34].strip()]
            code = line[36:39].strip()
            return number, position, _OLD_CHARGES.get(int(code), 0) if code else 0
        except (ValueError, KeyError):
            raise self._error(f"expected x, y, z and symbol, got {line!r:.50}") from None

    def _end(self, start: int) -> int | None:
        lines = enumerate(self.lines[start:], start=start)
        return next((number for number, line in lines if line.startswith("M  END")), None)

    def _total_charge(self, items: dict[str, str], old: list[int], last: int) -> float:
        """Read the item; else the lines M  CHG, which go before the codes of the atom lines."""
        for key in TOTAL_CHARGE_KEYS:
            if key in items:
                return float(self._numbers(items[key], key, (1,))[0])
        lines = [line.split()[3:] for line in self.lines[:last] if line.startswith("M  CHG")]
        if not lines:
            return float(sum(old))
        return float(sum(int(field) for fields in lines for field in fields[1::2]))

    def _dipole(
        self, items: dict[str, str], named: str | None
    ) -> tuple[float | None, FloatArray | None]:
        """Magnitude in debye and vector in debye."""
        key = _first(items, (named,) if named else (*DIPOLE_KEYS, QMUGS_DIPOLE))
        if key is None:
            return None, None
        values = self._numbers(items[key], key, (1, 3, 4))
        if len(values) == 3:
            if named is None:
                raise self._error(f"<{key}> holds 3 numbers: expected a magnitude, or four")
            return None, values * DEBYE_PER_E_ANGSTROM
        if len(values) == 4 and abs(np.linalg.norm(values[:3]) - values[3]) > _TOTAL_TOLERANCE:
            raise self._error(f"<{key}>: the fourth number is not the length of the other three")
        return float(values[-1]), None

    def _charges(self, items: dict[str, str], named: str | None, n_atoms: int) -> FloatArray | None:
        key = _first(items, (named,) if named else (*CHARGES_KEYS, QMUGS_CHARGES))
        return None if key is None else self._numbers(items[key], key, (n_atoms,))

    def _numbers(self, text: str, key: str, counts: Sequence[int]) -> FloatArray:
        fields = [field for field in _SEPARATORS.split(text) if field]
        try:
            values = np.array([float(field) for field in fields])
        except ValueError:
            raise self._error(f"<{key}> holds {text!r:.40}: expected numbers") from None
        if len(values) not in counts or not np.isfinite(values).all():
            expected = " or ".join(map(str, counts))
            raise self._error(f"<{key}> holds {len(values)} numbers: expected {expected}, finite")
        return values

    def _error(self, message: str) -> FileFormatError:
        return FileFormatError(f"{self.where} (start of the record): {message}.")


def _items(lines: Sequence[str]) -> dict[str, str]:
    """Return data items by tag; the lines of one are joined by blanks."""
    items: dict[str, str] = {}
    tag = None
    for line in lines:
        if line.startswith(">"):
            found = _TAG.search(line)
            tag = found.group(1).strip() if found else None
            if tag is not None:
                items[tag] = ""
        elif not line.strip():
            tag = None
        elif tag is not None:
            items[tag] = f"{items[tag]} {line.strip()}".strip()
    return items


def _name(title: str, items: dict[str, str], index: int) -> str:
    """Molecule and conformer in files of QMugs, else the title, else the place in the file."""
    if "CHEMBL_ID" in items:
        return "_".join(items[key] for key in ("CHEMBL_ID", "CONF_ID") if key in items)
    return title or str(index)


def _first(items: dict[str, str], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if items.get(key)), None)


_ATOMIC_NUMBERS = atomic_numbers() | {"D": 1, "T": 1}
