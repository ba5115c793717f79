"""Conversion between `Molecules` and lists of ASE Atoms.

ASE keeps dipoles in e*angstrom and charges in e. Reading a file, it moves ``dipole`` and charge
columns into the results of a calculator, so labels are looked for in ``info``, in ``arrays`` and in
``calc.results`` (unless the atoms have moved since). No calculation is ever started. Files that ASE
reads are opened in `ase_files.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from ...exceptions import FileFormatError, InputError
from ...units import DEBYE_PER_E_ANGSTROM
from ..bad_records import BadRecord, warn_left_out
from ..declared_units import DeclaredUnits
from ..far_atoms import warn_far
from ..label_hints import NumericKeys
from ..label_keys import (
    MULTIPLICITY_KEYS,
    QUADRUPOLE_KEY,
    SCHEME_KEY,
    warn_mixed_schemes,
)
from ..molecules import Molecules
from ..predicted_keys import holds_predicted_results
from ..read_options import ReadKeywords, ReadOptions
from ..total_charge import INITIAL, TotalCharges
from ..unit_checks import warn_of_units
from .assembly import assemble
from .atom_charges import AtomCharges
from .boxes import check_box
from .dipole_labels import read_dipole, usual_keys
from .record_columns import RecordColumns
from .records import Record

_GEOMETRY_ARRAYS = ("numbers", "positions")
_BASELINE_DIPOLE = "baseline_dipole_debye"
# Molecules whose keys are looked at for hints: a file has the same keys all through.
_MOST_LOOKED_AT = 50
_BASELINE_CHARGES, _DESCRIPTOR_CHARGES = "baseline_charges", "descriptor_charges"

FloatArray = NDArray[np.float64]


class AtomsReader:
    """Turns Atoms into records, one by one, and collects the keys that occur.

    Parameters
    ----------
    options : ReadOptions
        Which labels to read.
    first : int, default=0
        Number of the first molecule, for names and messages.
    total_charges : TotalCharges, default=None
        Shared by the parts of a file, whose reader asks it for sentences at the end.
    metadata : mapping, default=None
        Metadata of the whole file, where units may be declared.
    """

    def __init__(
        self,
        options: ReadOptions,
        first: int = 0,
        total_charges: TotalCharges | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        self.options, self.first = options, first
        self.records = RecordColumns()
        self.bad: list[BadRecord] = []
        self.present: dict[str, None] = {}
        self.found: set[str] = set()
        self.schemes: Counter[str] = Counter()
        self.is_part = total_charges is not None
        self.total_charges = total_charges or TotalCharges(options)
        self.charges = AtomCharges(options, _numbers)
        self.units = DeclaredUnits(options, metadata)
        self.numeric = NumericKeys.empty()
        # Sentences for `ReadNotes`; a dictionary keeps each once, in order.
        self.assumed: dict[str, None] = {}

    def record_of(self, atoms: Atoms, untitled: str | None = None, as_read: bool = False) -> Record:
        """Read one molecule.

        Parameters
        ----------
        atoms : ase.Atoms
        untitled : str, default=None
            Name of a molecule that has none; None takes its number.
        as_read : bool, default=False
            Whether ASE has just read them from a file, so that its results are of these positions.
        """
        index = self.next_index
        name = atoms.info.get("name")
        if name is None or _is_word(name):
            name = index if untitled is None else untitled
        name = str(name)
        where = f"molecule {index} ({name!r})"
        check_box(atoms, where, self.options.ignore_pbc)
        values = self._values(atoms, as_read)
        record = Record(atoms.numbers, self._positions(atoms, values, where), name)
        said = {key: values[key] for key in atoms.info if key in values}
        initial = {INITIAL: values[INITIAL]} if INITIAL in values else {}
        record.total_charge = self.total_charges.find(said, where, initial)
        multiplicity = _first(atoms.info, MULTIPLICITY_KEYS)
        # A word in the comment line of a plain XYZ file becomes True in ASE.
        if multiplicity is not None and not isinstance(multiplicity, bool | np.bool_):
            record.multiplicity = float(_numbers(multiplicity, (1,), "multiplicity", where)[0])
        if self.options.read_dipole:
            record.magnitude, record.vector = self._dipole(values, len(atoms), where)
        if self.options.read_charges:
            record.charges = self.charges.find(values, atoms.numbers, where)
            if record.charges is not None and (scheme := values.get(SCHEME_KEY)) is not None:
                self.schemes[str(scheme)] += 1
        if self.options.labels and QUADRUPOLE_KEY in values:
            nine = values[QUADRUPOLE_KEY]
            record.quadrupole = _numbers(nine, (3, 3), QUADRUPOLE_KEY, where)
        self._baseline(record, values, where)
        return record

    def keep(self, record: Record) -> None:
        """Take the next record."""
        record.index = self.next_index
        self.records.append(record)

    @property
    def next_index(self) -> int:
        """Place of the next record among all records."""
        return self.first + len(self.records) + len(self.bad)

    def reject(self, error: InputError, name: str = "") -> None:
        """Keep the reason why the next record cannot be used."""
        damaged = isinstance(error, FileFormatError)
        self.bad.append(BadRecord(self.next_index, name, str(error), damaged))

    def molecules(self, may_be_empty: bool = False) -> Molecules:
        """Assemble what was read; it is the end of this reader, which gives its arrays away.

        Parameters
        ----------
        may_be_empty : bool, default=False
            Whether bad records alone are no error, as in a part of a file.
        """
        if len(self.records) or not self.bad:
            self.options.check_found(self.found, self.present)
        warn_mixed_schemes(self.schemes)
        sentences = [] if self.is_part else self.total_charges.sentences(self.present)
        self.assumed |= dict.fromkeys(sentences + self.charges.sentences())
        notes = self.units.notes(self.numeric.result()).also(self.assumed)
        skip = self.options.skip_invalid
        return assemble(self.records, self.present, notes, skip, self.bad, may_be_empty)

    def _values(self, atoms: Atoms, as_read: bool) -> dict[str, Any]:
        """Collect everything that may be a label, by key; info goes first."""
        arrays = {k: v for k, v in atoms.arrays.items() if k not in _GEOMETRY_ARRAYS}
        values = arrays | _current_results(atoms, as_read) | atoms.info
        # ASE makes a word of a comment, without a value, true.
        values = {str(k): v for k, v in values.items() if v is not None and not _is_word(v)}
        self.present |= dict.fromkeys(values)
        if len(self.records) < _MOST_LOOKED_AT:
            self.numeric.see(values, len(atoms))
        self.found |= set(self.options.named.values()) & set(values)
        return values

    def _dipole(
        self, values: Mapping[str, Any], n_atoms: int, where: str
    ) -> tuple[float | None, FloatArray | None]:
        """Return the magnitude in debye and the vector in debye."""
        named = self.options.dipole_key
        keys = [key for key in (named,) if key in values] if named else usual_keys(values)
        numbers = {key: _dipole_numbers(values[key], key, n_atoms, where) for key in keys}
        return read_dipole(self.units, numbers, values, where, named)

    def _positions(self, atoms: Atoms, values: Mapping[str, Any], where: str) -> FloatArray:
        """Return positions in angstrom."""
        factor = self.units.length_factor(atoms.numbers, atoms.positions, values, where)
        return atoms.positions * factor if factor != 1.0 else atoms.positions

    def _baseline(self, record: Record, values: Mapping[str, Any], where: str) -> None:
        if _BASELINE_DIPOLE in values:
            value = values[_BASELINE_DIPOLE]
            record.baseline_dipole = _numbers(value, (3,), _BASELINE_DIPOLE, where)
        shape = (len(record.numbers),)
        for name in (_BASELINE_CHARGES, _DESCRIPTOR_CHARGES):
            if name in values:
                setattr(record, name, _numbers(values[name], shape, name, where))


def from_atoms(frames: Iterable[Atoms], **options: Unpack[ReadKeywords]) -> Molecules:
    """Read labels from ASE Atoms.

    Parameters
    ----------
    frames : iterable of ase.Atoms
    **options
        Keys, units and what else to read, as in `dipkit.data.io.read`.
    """
    said = ReadOptions(**options)
    if said.labels_file is not None:
        raise InputError("labels_file: give it to dipkit.data.as_molecules or read, which join it.")
    reader = AtomsReader(said)
    for index, atoms in enumerate(frames):
        if not isinstance(atoms, Atoms):
            raise InputError(
                f"molecules: expected a list of ase.Atoms alone, got {type(atoms).__name__} at "
                f"position {index}. Join several Molecules with Molecules.concatenate."
            )
        try:
            reader.keep(reader.record_of(atoms))
        except InputError as error:
            reader.reject(error)
    molecules = reader.molecules()
    warn_left_out(molecules.notes.bad, len(molecules) + len(molecules.notes.bad))
    warn_of_units(molecules)
    warn_far(molecules)
    return molecules


def to_atoms(molecules: Molecules) -> list[Atoms]:
    """Turn molecules into ASE Atoms that carry the labels.

    The magnitude is ``info["dipole_debye"]``, the total charge ``info["charge"]``, the quadrupole
    ``info["quadrupole_debye_angstrom"]``, of shape (3, 3); the vector
    (e*angstrom) and the charges (e) are results of a calculator, as ASE reads them from files.
    """
    frames = [_bare_atoms(molecules, index) for index in range(len(molecules))]
    masks = (molecules.has_magnitude, molecules.has_vector, molecules.has_charges)
    flags = zip(*(mask.tolist() for mask in masks), strict=True)
    for index, (frame, has) in enumerate(zip(frames, flags, strict=True)):
        if has[0]:
            frame.info["dipole_debye"] = float(molecules.dipole_magnitude[index])
        vector = molecules.dipole_vector[index] if has[1] else None
        charges = molecules.charges[_atoms(molecules, index)] if has[2] else None
        _attach(frame, vector, charges)
        _attach_baseline(frame, molecules, index)
    if molecules.quadrupole is not None:
        for index in np.flatnonzero(molecules.has_quadrupole).tolist():
            frames[index].info[QUADRUPOLE_KEY] = molecules.quadrupole[index].copy()
    return frames


def _bare_atoms(molecules: Molecules, index: int) -> Atoms:
    part = _atoms(molecules, index)
    info: dict[str, object] = {
        "name": str(molecules.names[index]),
        "charge": float(molecules.total_charge[index]),
    }
    if molecules.multiplicity is not None and not np.isnan(molecules.multiplicity[index]):
        info["multiplicity"] = int(molecules.multiplicity[index])
    return Atoms(molecules.numbers[part], molecules.positions[part], info=info)


def _atoms(molecules: Molecules, index: int) -> slice:
    return slice(int(molecules.offsets[index]), int(molecules.offsets[index + 1]))


def _attach(frame: Atoms, vector: FloatArray | None, charges: FloatArray | None) -> None:
    """Attach results in ASE's units."""
    results: dict[str, FloatArray] = {}
    if vector is not None:
        results["dipole"] = vector / DEBYE_PER_E_ANGSTROM
    if charges is not None:
        results["charges"] = charges
    if results:
        frame.calc = SinglePointCalculator(frame, **results)


def _attach_baseline(frame: Atoms, molecules: Molecules, index: int) -> None:
    dipole = molecules.baseline_dipole
    if dipole is not None and not np.isnan(dipole[index]).any():
        frame.info[_BASELINE_DIPOLE] = dipole[index].copy()
    for name in (_BASELINE_CHARGES, _DESCRIPTOR_CHARGES):
        charges = getattr(molecules, name)
        if charges is not None and not np.isnan(part := charges[_atoms(molecules, index)]).any():
            frame.new_array(name, part)


def _is_word(value: object) -> bool:
    return isinstance(value, bool | np.bool_) and bool(value)


def _current_results(atoms: Atoms, as_read: bool) -> dict[str, Any]:
    """Results that belong to the present geometry, and are no predictions of dipkit."""
    if holds_predicted_results(atoms):
        return {}
    results = getattr(atoms.calc, "results", None) or {}
    check_state = None if as_read else getattr(atoms.calc, "check_state", None)
    if results and check_state is not None and check_state(atoms):
        return {}
    return dict(results)


def _dipole_numbers(value: Any, key: str, n_atoms: int, where: str) -> FloatArray:
    """One number is a magnitude, three are a vector."""
    size = np.size(value)
    if size == 3 * n_atoms and size > 3:
        raise InputError(
            f"{where}: {key!r} holds {size} numbers, 3 for each atom: dipoles of atoms, not the "
            "dipole of the molecule, which is needed. Name another key, or leave this one unread: "
            "dipole_key='none' (--dipole none)."
        )
    return _numbers(value, (3,) if size == 3 else (1,), key, where)


def _numbers(value: Any, shape: tuple[int, ...], key: str, where: str) -> FloatArray:
    """Read finite numbers of this shape."""
    try:
        array = np.asarray(value)
        numbers = array.astype(np.float64) if array.dtype.kind != "b" else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None:
        raise InputError(f"{where}: {key!r} holds {value!r:.60}: expected numbers.")
    if numbers.size != np.prod(shape):
        raise InputError(
            f"{where}: {key!r} holds {numbers.size} numbers: expected {int(np.prod(shape))}. "
            "Correct it, name another key, or leave the label unread: the key 'none'."
        )
    if not np.isfinite(numbers).all():
        raise InputError(
            f"{where}: {key!r} holds NaN or infinity. Correct it, or leave the key out where "
            "the label is missing."
        )
    return numbers.reshape(shape)


def _first(values: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((values[key] for key in keys if values.get(key) is not None), None)
