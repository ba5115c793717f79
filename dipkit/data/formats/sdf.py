"""MDL molfiles and SD files in the V2000 format, with labels in their data items.

A record is three lines of header, a line of counts, one line for each atom in fixed columns (x, y,
z in angstrom, symbol), bonds, properties up to ``M  END``, and data items ``> <TAG>``; it ends with
``$$$$``. Bonds are not kept. Records without a title are named after their file, see `names.py`.
The total charge is in an item of a usual key (``charge``, ``PUBCHEM_TOTAL_CHARGE``, ...) or the sum
of the formal charges; an error is raised where these disagree, see `dipkit.data.total_charge`.

Labels are looked for under the usual keys, then under those of QMugs (Isert et al., Sci. Data 9,
273 (2022)): ``DFT:DIPOLE``, ``x|y|z|total`` in debye, and ``DFT:MULLIKEN_CHARGES``, one value for
each atom. Only the total of the dipole is used: its components refer to axes of the program that
computed them, which may differ from those of the coordinates. Molecules are made of the records in
`assembly.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError, InputError
from ..declared_units import DeclaredUnits
from ..elements import read_element
from ..label_keys import CHARGES_KEYS, MULTIPLICITY_KEYS
from .boundary import boundary
from .dipole_labels import read_dipole, usual_keys
from .entries import Context, Entry
from .names import with_stem
from .records import Record
from .text_sources import TextSource

SUFFIXES = (".sdf", ".sd", ".mol")
QMUGS_DIPOLE, QMUGS_CHARGES = "DFT:DIPOLE", "DFT:MULLIKEN_CHARGES"

# The place of formal charges in messages, and as a key.
FORMAL = "M  CHG"
_HEADER_LINES = 3
_MOST_LINES = 1_000_000
_TAG = re.compile(r"<([^>]*)>")
_SEPARATORS = re.compile(r"[|,;\s]+")
# Charge code of the atom line; 4 marks a radical.
_OLD_CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}
# Components of a dipole are printed to a few digits: allowed difference of the total, debye.
_TOTAL_TOLERANCE = 0.01

FloatArray = NDArray[np.float64]


def sdf_entries(source: TextSource, context: Context) -> Iterator[Entry]:
    """Yield the records of an SD file or molfile."""
    with closing(source.lines()) as lines:
        found = _records_or_error(lines, source.where)
        for name, item in with_stem(found, source.stem):
            if isinstance(item, InputError):
                yield Entry(item, source.where, source.stem)
                continue
            start, text = item
            try:
                with boundary(f"{source.where}, line {start}"):
                    record, items = _Record(text, source.where, start).parse(context, name)
            except InputError as error:
                yield Entry(error, f"{source.where}, line {start}", source.stem, name)
            else:
                keys = tuple(items)
                yield Entry(record, record.where, source.stem, name, keys=keys, values=items)


def _records_or_error(
    text: Iterable[str], where: str
) -> Iterator[tuple[int, list[str]] | InputError]:
    """Yield the records, then the error that ends the file, if any."""
    try:
        yield from _records(text, where)
    except InputError as error:
        yield error


def _records(text: Iterable[str], where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the lines of each record, one after another."""
    start, lines, number = 1, list[str](), 0
    for number, line in enumerate(text, start=1):
        if line.startswith("$$$$"):
            yield start, lines
            start, lines = number + 1, []
        else:
            lines.append(line.rstrip("\r\n"))
            if len(lines) > _MOST_LINES:
                raise FileFormatError(
                    f"{where}, line {start}: the record has more than {_MOST_LINES:,} lines, and "
                    "no $$$$ at its end: it is damaged, or of another format."
                )
    if any(line.startswith(">") for line in lines):
        raise FileFormatError(
            f"{where}, line {number}: the last record holds data items, and $$$$ is missing at "
            "its end: the file is cut."
        )
    if any(line.strip() for line in lines):  # a molfile, which has no end mark
        yield start, lines


class _Record:
    """One record while it is parsed; `start` is its first line in the file, from 1."""

    def __init__(self, lines: list[str], file: str, start: int) -> None:
        self.lines, self.file, self.start = lines, file, start

    def parse(self, context: Context, name: str) -> tuple[Record, dict[str, str]]:
        """Return the molecule, and the data items by tag; `name` is for a record without title."""
        n_atoms, n_bonds = self._counts()
        first = _HEADER_LINES + 1
        atoms = enumerate(self.lines[first : first + n_atoms], start=self.start + first)
        rows = [self._atom(line, f"{self.file}, line {number}") for number, line in atoms]
        last = self._end(first + n_atoms + n_bonds)
        if len(rows) < n_atoms or last is None:
            raise self._error("the record ends before 'M  END': it is cut")
        if self._end(last + 1) is not None:
            raise self._error("two molecules without $$$$ between them: a line is missing")
        items, options = _items(self.lines[last + 1 :]), context.options
        numbers = np.array([number for number, _, _ in rows])
        positions = np.array([position for _, position, _ in rows])
        units, old = context.units, sum(charge for *_, charge in rows)
        record = Record(
            numbers=numbers,
            positions=positions * units.length_factor(numbers, positions, items, self._where),
            name=_name(self.lines[0].strip(), items, name),
            where=f"{self.file}, line {self.start}",
            total_charge=context.total_charges.find(items, self._where, self._formal(old, last)),
        )
        if (key := _first(items, MULTIPLICITY_KEYS)) is not None:
            record.multiplicity = float(self._numbers(items[key], key, (1,))[0])
        if options.read_dipole:
            record.magnitude, record.vector = self._dipole(items, options.dipole_key, units)
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

    def _atom(self, line: str, where: str) -> tuple[int, list[float], int]:
        """Atomic number, position and the charge of the old notation."""
        try:
            position = [float(line[10 * axis : 10 * axis + 10]) for axis in range(3)]
            code = line[36:39].strip()
            charge = _OLD_CHARGES.get(int(code), 0) if code else 0
        except ValueError:
            position, charge = [], 0
        if not position or not line[31:34].strip():
            raise FileFormatError(f"{where}: expected x, y, z and symbol, got {line!r:.50}.")
        return read_element(line[31:34], where), position, charge

    def _end(self, start: int) -> int | None:
        lines = enumerate(self.lines[start:], start=start)
        return next((number for number, line in lines if line.startswith("M  END")), None)

    def _formal(self, old: int, last: int) -> dict[str, float]:
        """Sum of the formal charges, by their place; nothing where the record has none.

        By the format, lines of charges or radicals set aside all codes of the atom lines.
        """
        lines = [line for line in self.lines[:last] if line.startswith(("M  CHG", "M  RAD"))]
        charged = [line for line in lines if line.startswith("M  CHG")]
        if charged:
            return {FORMAL: float(sum(self._charges_of(line) for line in charged))}
        return {"charges of the atom lines": float(old)} if old and not lines else {}

    def _charges_of(self, line: str) -> int:
        """Sum the charges of one line: their number, then pairs of atom and charge."""
        try:
            count, *pairs = (int(field) for field in line[6:].split())
        except ValueError:
            count, pairs = 0, []
        if count < 1 or len(pairs) != 2 * count:
            raise self._error(f"expected 'M  CHG', a number and pairs of it, got {line!r:.40}")
        return sum(pairs[1::2])

    def _dipole(
        self, items: dict[str, str], named: str | None, units: DeclaredUnits
    ) -> tuple[float | None, FloatArray | None]:
        """Magnitude in debye and vector in debye."""
        keys = [named] if named else usual_keys(items)
        numbers = {key: self._numbers(items[key], key, (1, 3, 4)) for key in keys if items.get(key)}
        if not numbers and not named and items.get(QMUGS_DIPOLE):
            numbers = {QMUGS_DIPOLE: self._numbers(items[QMUGS_DIPOLE], QMUGS_DIPOLE, (1, 4))}
        numbers = {key: self._total(key, values) for key, values in numbers.items()}
        return read_dipole(units, numbers, items, self._where, named)

    def _total(self, key: str, values: FloatArray) -> FloatArray:
        """Take the total of x|y|z|total, as QMugs writes dipoles."""
        if len(values) != 4:
            return values
        if abs(np.linalg.norm(values[:3]) - values[3]) > _TOTAL_TOLERANCE:
            raise self._error(f"<{key}>: the fourth number is not the length of the other three")
        return values[3:]

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
        return FileFormatError(f"{self._where}: {message}.")

    @property
    def _where(self) -> str:
        return f"{self.file}, line {self.start} (start of the record)"


def _items(lines: Sequence[str]) -> dict[str, str]:
    """Return data items by tag; the lines of one are joined by blanks."""
    items: dict[str, list[str]] = {}
    tag = None
    for line in lines:
        if line.startswith(">"):
            found = _TAG.search(line)
            tag = found.group(1).strip() if found else None
            if tag is not None:
                items[tag] = []
        elif not line.strip():
            tag = None
        elif tag is not None:
            items[tag].append(line.strip())
    return {tag: " ".join(found).strip() for tag, found in items.items()}


def _name(title: str, items: dict[str, str], untitled: str) -> str:
    """Molecule and conformer in files of QMugs, else the title, else the name from the file."""
    if "CHEMBL_ID" in items:
        return "_".join(items[key] for key in ("CHEMBL_ID", "CONF_ID") if key in items)
    return title or untitled


def _first(items: dict[str, str], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if items.get(key)), None)
