"""Text outputs of Gaussian and ORCA: last geometry, total charge, dipole and Mulliken charges.

Everything is taken from the text, because labels must belong to the coordinates beside them. ASE's
readers of these files give Gaussian's dipole, which is printed in the standard orientation, beside
the coordinates of the input orientation; charges with hydrogens summed into heavy atoms; the dipole
of an ion from ORCA about the origin of the coordinates; and no total charge.

====================  ==========================  ======================
what                  Gaussian                    ORCA
====================  ==========================  ======================
coordinates           angstrom, last orientation  angstrom, last block
dipole                debye                       e*bohr
origin for ions       centre of nuclear charge    centre of mass
====================  ==========================  ======================

A dipole goes into `Record` in debye, about the centre of mass. What is not certain is left unread,
with the reason. Outputs of other programs are named in the error, with the way to their geometry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError
from ...units import ANGSTROM_PER_BOHR, DEBYE_PER_E_ANGSTROM
from ..elements import atomic_masses, read_element
from .entries import Context
from .records import Record, finite_number

SUFFIXES = (".log", ".out")
PRESENT = ("dipole", "mulliken", "charge")

# The name of the program stands near the start, after what a queue of jobs may have written.
_LINES_OF_START = 400
_PROGRAMS = (
    ("Gaussian", re.compile(r"Entering Gaussian System")),
    ("ORCA", re.compile(r"\* O   R   C   A \*")),
    ("xtb", re.compile(r"x T B\s|xtb version")),
    ("PySCF", re.compile(r"PySCF version|converged SCF energy")),
    ("Psi4", re.compile(r"Psi4: An Open-Source")),
    ("NWChem", re.compile(r"Northwest Computational Chemistry Package")),
    ("Q-Chem", re.compile(r"Welcome to Q-Chem")),
)
_READ = ("Gaussian", "ORCA")
_ORIENTATIONS = ("Input orientation:", "Standard orientation:", "Z-Matrix orientation:")
_GAUSSIAN_DIPOLE = re.compile(r"X=\s*(\S+)\s+Y=\s*(\S+)\s+Z=\s*(\S+)\s+Tot=\s*(\S+)")
_GAUSSIAN_CHARGE = re.compile(r"^ ?Charge =\s*(-?\d+) Multiplicity =")
_GAUSSIAN_MULLIKEN = re.compile(r"^ ?Mulliken (atomic )?charges( and spin densities)?:\s*$")
_ORCA_CHARGE = re.compile(r"Total Charge\s+Charge\s+\.+\s*(-?\d+)")
_ORCA_ORIGIN = "The origin for moment calculation is the"
# Printed decimals: allowed difference of a magnitude and the length of its vector, debye.
_PRINTED = 0.002
# Distance of the centre of nuclear charge from the origin below which they are one, angstrom.
_CENTRED = 1e-3

FloatArray = NDArray[np.float64]
Row = tuple[int, list[float]]  # atomic number, position


@dataclass
class _Found:
    """What an output holds, in its own units and frame."""

    numbers: list[int] = field(default_factory=list)
    positions: list[list[float]] = field(default_factory=list)
    total_charge: int | None = None
    dipole: FloatArray | None = None
    """(3,), debye, of the last geometry."""
    magnitude: float | None = None
    """Debye, as printed beside it."""
    origin: str = "unknown"
    charges: list[float] | None = None
    n_geometries: int = 0
    n_dipoles: int = 0
    """Of the last geometry, for example before and after a correction for correlation."""
    ended: bool = False

    def start_geometry(self, rows: Sequence[Row]) -> None:
        """Start anew: labels that were printed before belong to another geometry."""
        self.numbers = [z for z, _ in rows]
        self.positions = [position for _, position in rows]
        self.dipole = self.magnitude = self.charges = None
        self.n_geometries += 1
        self.n_dipoles, self.ended = 0, False

    def add_dipole(self, vector: FloatArray, magnitude: float | None) -> None:
        """Take a dipole, debye; the last one counts."""
        self.dipole, self.magnitude = vector, magnitude
        self.n_dipoles += 1


def program_of(start: Iterable[str]) -> str | None:
    """Return the name of the program that wrote an output, by its first lines."""
    for _, line in zip(range(_LINES_OF_START), start, strict=False):
        for name, pattern in _PROGRAMS:
            if pattern.search(line):
                return name
    return None


def is_readable(start: Iterable[str]) -> bool:
    """Whether this is an output of a program that is read here."""
    return program_of(start) in _READ


def parse_output(
    lines: Sequence[str], where: str, name: str, context: Context
) -> tuple[Record, list[str]]:
    """Read one output.

    Parameters
    ----------
    lines : sequence of str
    where : str
        The file's name, for messages.
    name : str
        Name of the molecule.
    context : Context

    Returns
    -------
    record : Record
    notes : list of str
        What was left unread, with the reason.

    Raises
    ------
    FileFormatError
        If the program is not read here, did not end normally, or printed no geometry.
    """
    program = program_of(lines)
    if program not in _READ:
        raise _unknown_program(program, where)
    found = _gaussian(lines, where) if program == "Gaussian" else _orca(lines, where)
    if not found.ended:
        raise FileFormatError(
            f"{where}: this calculation with {program} did not end normally: its labels cannot be "
            "trusted. Run it again, or leave the file out."
        )
    if not found.numbers:
        raise FileFormatError(f"{where}: this output of {program} holds no geometry.")
    notes = list(context.fixed_units(f"outputs of {program}"))
    printed = {} if found.total_charge is None else {"charge": found.total_charge}
    total_charge = context.total_charges.find(printed, where)
    record = Record(found.numbers, found.positions, name, total_charge)
    record.vector = _vector(found, record, where, notes)
    record.charges = _charges(found, record, where, notes)
    return record, notes


def _unknown_program(program: str | None, where: str) -> FileFormatError:
    if program is None:
        return FileFormatError(
            f"{where}: no output of Gaussian or ORCA, which are read under this suffix. Convert "
            "it to extended XYZ."
        )
    way = _OTHER_WAYS.get(program, "Write geometry and dipole to extended XYZ, with ASE.")
    return FileFormatError(
        f"{where}: this is an output of {program}; outputs of Gaussian and ORCA are read. {way}"
    )


_OTHER_WAYS = {
    "xtb": "It does not hold every geometry: read xtbopt.xyz or the XYZ file of the input, and "
    "label it with `dipkit label FILE --method gfn2 -o LABELLED.xyz`, which does the same "
    "calculation.",
    "PySCF": "It has no fixed form: write the geometry with mol.tofile('FILE.xyz') and label it "
    "with `dipkit label FILE.xyz --method FUNCTIONAL/BASIS -o LABELLED.xyz`, or write "
    "mf.dip_moment() to a CSV file for --labels.",
}


def _gaussian(lines: Sequence[str], where: str) -> _Found:
    found = _Found()
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped in _ORIENTATIONS:
            found.start_geometry(_gaussian_rows(lines, number + 5, where))
        elif match := _GAUSSIAN_CHARGE.match(line):
            found.total_charge = int(match[1])
        elif stripped.startswith("Dipole moment (") and "Debye" in stripped:
            match = _GAUSSIAN_DIPOLE.search(lines[number + 1] if number + 1 < len(lines) else "")
            if match:
                place = f"{where}, line {number + 2}"
                vector = _three(match.groups()[:3], place)
                found.add_dipole(vector, finite_number(match[4], place))
        elif _GAUSSIAN_MULLIKEN.match(line):
            found.charges = _column_of_charges(lines, number + 2)
        elif stripped.startswith("Normal termination of Gaussian"):
            found.ended = True
        elif stripped.startswith("Error termination"):
            found.ended = False
    if found.numbers:
        nuclear = np.average(found.positions, axis=0, weights=found.numbers)
        found.origin = "zero" if np.linalg.norm(nuclear) < _CENTRED else "unknown"
    return found


def _gaussian_rows(lines: Sequence[str], start: int, where: str) -> list[Row]:
    """Read rows: centre, atomic number, type, x, y, z."""
    rows = []
    for number, line in enumerate(lines[start:], start=start + 1):
        fields = line.split()
        if len(fields) != 6 or not fields[0].isdigit():
            break
        place = f"{where}, line {number}"
        z = int(finite_number(fields[1], place))
        if z < 1:
            raise FileFormatError(
                f"{place}: atomic number {z}: dummy atoms, ghost atoms and periodic cells are not "
                "read."
            )
        rows.append((z, [finite_number(word, place) for word in fields[3:]]))
    return rows


def _orca(lines: Sequence[str], where: str) -> _Found:
    found = _Found()
    for number, line in enumerate(lines):
        if "CARTESIAN COORDINATES (ANGSTROEM)" in line:
            found.start_geometry(_orca_rows(lines, number + 2, where))
            found.origin = "unknown"
        elif match := _ORCA_CHARGE.search(line):
            found.total_charge = int(match[1])
        elif _ORCA_ORIGIN in line:
            found.origin = "mass" if "CENTER OF MASS" in line else "unknown"
        elif line.strip().startswith("Total Dipole Moment"):
            atomic = _three(line.split(":")[-1].split(), f"{where}, line {number + 1}")
            found.add_dipole(atomic * ANGSTROM_PER_BOHR * DEBYE_PER_E_ANGSTROM, None)
        elif line.strip().startswith("Magnitude (Debye)"):
            found.magnitude = finite_number(line.split()[-1], f"{where}, line {number + 1}")
        elif line.startswith("MULLIKEN ATOMIC CHARGES"):
            found.charges = _column_of_charges(lines, number + 2)
        elif "ORCA TERMINATED NORMALLY" in line:
            found.ended = True
    return found


def _orca_rows(lines: Sequence[str], start: int, where: str) -> list[Row]:
    """Read rows: symbol, x, y, z."""
    rows = []
    for number, line in enumerate(lines[start:], start=start + 1):
        fields = line.split()
        if len(fields) != 4:
            break
        place = f"{where}, line {number}"
        rows.append(
            (read_element(fields[0], place), [finite_number(word, place) for word in fields[1:]])
        )
    return rows


def _three(words: Sequence[str], where: str) -> FloatArray:
    if len(words) != 3:
        raise FileFormatError(f"{where}: expected three components, got {len(words)}.")
    return np.array([finite_number(word, where) for word in words])


def _column_of_charges(lines: Sequence[str], start: int) -> list[float] | None:
    """Read rows: number of the atom, symbol, charge, and spins where there are."""
    values = []
    for number in range(start, len(lines)):
        fields = lines[number].replace(":", " ").split()
        if len(fields) < 3 or not fields[0].isdigit():
            break
        try:
            values.append(float(fields[2]))
        except ValueError:
            return None
    return values or None


def _vector(found: _Found, record: Record, where: str, notes: list[str]) -> FloatArray | None:
    """Return the dipole about the centre of mass, debye."""
    if found.dipole is None:
        if found.n_geometries:
            notes.append(f"{where}: no dipole is printed after the last geometry; left unread.")
        return None
    if found.n_dipoles > 1:
        notes.append(
            f"{where}: {found.n_dipoles} dipoles are printed after the last geometry; the last one "
            "is read."
        )
    length = float(np.linalg.norm(found.dipole))
    if found.magnitude is not None and abs(length - found.magnitude) > _PRINTED * (1 + length):
        raise FileFormatError(
            f"{where}: the dipole has components of length {length:.4f} debye, and its magnitude "
            f"is printed as {found.magnitude:.4f} debye: the output is damaged."
        )
    if not record.total_charge or found.origin == "mass":
        return found.dipole
    if found.origin == "unknown":
        notes.append(
            f"{where}: the molecule is charged, and the output does not say about which point the "
            "dipole is; left unread."
        )
        return None
    masses = atomic_masses()[np.asarray(record.numbers)]
    centre = np.average(np.asarray(record.positions), axis=0, weights=masses)
    return found.dipole - record.total_charge * centre * DEBYE_PER_E_ANGSTROM


def _charges(found: _Found, record: Record, where: str, notes: list[str]) -> list[float] | None:
    charges = found.charges
    if charges is None:
        return None
    off = abs(sum(charges) - record.total_charge)
    # Six digits are printed.
    if len(charges) != len(record.numbers) or off > 1e-6 * (len(charges) + 1):
        notes.append(
            f"{where}: {len(charges)} Mulliken charges sum to {sum(charges):.6f} e, expected "
            f"{len(record.numbers)} that sum to {record.total_charge:g} e; left unread."
        )
        return None
    return charges
