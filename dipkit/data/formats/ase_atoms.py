"""Conversion between `Molecules` and lists of ASE Atoms.

ASE keeps dipoles in e*angstrom and charges in e. Reading a file, it moves ``dipole`` and charge
columns into the results of a calculator, so labels are looked for in ``info``, in ``arrays`` and in
``calc.results`` (unless the atoms have moved since). No calculation is ever started. Files that ASE
reads are opened in `ase_files.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from ...exceptions import InputError
from ...units import DEBYE_PER_E_ANGSTROM
from ..label_keys import (
    CHARGES_KEYS,
    DIPOLE_KEYS,
    QUADRUPOLE_KEY,
    SCHEME_KEY,
    TOTAL_CHARGE_KEYS,
    VECTOR_KEYS,
    warn_mixed_schemes,
)
from ..molecules import Molecules
from ..predicted_keys import holds_predicted_results
from .records import LabelKeys, Record, assemble

_GEOMETRY_ARRAYS = ("numbers", "positions")
_BASELINE_DIPOLE = "baseline_dipole_debye"
_BASELINE_CHARGES = "baseline_charges"

FloatArray = NDArray[np.float64]


class AtomsReader:
    """Turns Atoms into records, one by one, and collects the keys that occur.

    Parameters
    ----------
    keys : LabelKeys
        Which labels to read.
    first : int, default=0
        Number of the first molecule, for names and messages.
    """

    def __init__(self, keys: LabelKeys, first: int = 0) -> None:
        self.keys, self.first = keys, first
        self.records: list[Record] = []
        self.present: dict[str, None] = {}
        self.found: set[str] = set()
        self.schemes: Counter[str] = Counter()

    def add(self, atoms: Atoms) -> None:
        """Read one molecule."""
        index = self.first + len(self.records)
        name = str(atoms.info.get("name", index))
        where = f"molecule {index} ({name!r})"
        if atoms.pbc.any():
            raise InputError(
                f"{where} has a periodic cell: periodic systems are not supported. If it is a "
                'molecule in a box, set atoms.pbc = False (and pbc="F F F" in a file).'
            )
        values = self._values(atoms)
        record = Record(atoms.numbers, atoms.positions, name)
        charge = _first(atoms.info, TOTAL_CHARGE_KEYS)
        if charge is not None:
            record.total_charge = float(_numbers(charge, (1,), "charge", where)[0])
        if self.keys.wanted:
            record.magnitude, record.vector = self._dipole(values, where)
            record.charges = self._charges(values, len(atoms), where)
            if QUADRUPOLE_KEY in values:
                nine = values[QUADRUPOLE_KEY]
                record.quadrupole = _numbers(nine, (3, 3), QUADRUPOLE_KEY, where)
            if record.charges is not None and (scheme := values.get(SCHEME_KEY)) is not None:
                self.schemes[str(scheme)] += 1
        self._baseline(record, values, where)
        self.records.append(record)

    def molecules(self) -> Molecules:
        """Assemble what was read."""
        self.keys.check_found(self.found, self.present)
        warn_mixed_schemes(self.schemes)
        return assemble(self.records, self.present)

    def _values(self, atoms: Atoms) -> dict[str, Any]:
        """Collect everything that may be a label, by key; info goes first."""
        arrays = {k: v for k, v in atoms.arrays.items() if k not in _GEOMETRY_ARRAYS}
        values = arrays | _current_results(atoms) | atoms.info
        values = {str(key): value for key, value in values.items() if value is not None}
        self.present |= dict.fromkeys(values)
        self.found |= set(self.keys.named.values()) & set(values)
        return values

    def _dipole(
        self, values: Mapping[str, Any], where: str
    ) -> tuple[float | None, FloatArray | None]:
        """Return the magnitude in debye and the vector in debye."""
        key = self.keys.dipole
        if key is not None:
            return _named_dipole(values.get(key), key, where)
        magnitude = None
        for key in DIPOLE_KEYS:
            if key in values:
                if np.size(values[key]) == 3:
                    raise InputError(
                        f"{where}: {key!r} holds 3 numbers: expected 1, a magnitude in debye. If "
                        "it is a vector, give it in e*angstrom under 'dipole', or name the key "
                        f"(a vector in e*angstrom is then read): dipole_key={key!r} "
                        f"(--dipole {key})."
                    )
                magnitude = float(_numbers(values[key], (1,), key, where)[0])
                break
        vector = _first(values, VECTOR_KEYS)
        if vector is None or (magnitude is not None and np.size(vector) == 1):
            return magnitude, None
        if np.size(vector) == 1:
            raise InputError(
                f"{where}: 'dipole' holds one number: expected a vector in e*angstrom. If it is "
                "a magnitude in debye, name it: dipole_key='dipole' (--dipole dipole)."
            )
        return magnitude, _numbers(vector, (3,), "dipole", where) * DEBYE_PER_E_ANGSTROM

    def _charges(self, values: Mapping[str, Any], n_atoms: int, where: str) -> FloatArray | None:
        for key in (self.keys.charges,) if self.keys.charges else CHARGES_KEYS:
            if key in values:
                return _numbers(values[key], (n_atoms,), key, where)
        return None

    def _baseline(self, record: Record, values: Mapping[str, Any], where: str) -> None:
        if _BASELINE_DIPOLE in values:
            value = values[_BASELINE_DIPOLE]
            record.baseline_dipole = _numbers(value, (3,), _BASELINE_DIPOLE, where)
        if _BASELINE_CHARGES in values:
            shape = (len(record.numbers),)
            value = values[_BASELINE_CHARGES]
            record.baseline_charges = _numbers(value, shape, _BASELINE_CHARGES, where)


def from_atoms(
    frames: Iterable[Atoms],
    *,
    dipole_key: str | None = None,
    charges_key: str | None = None,
    labels: bool = True,
) -> Molecules:
    """Read labels from ASE Atoms; see `dipkit.data.io.read` for keys and units.

    Parameters
    ----------
    frames : iterable of ase.Atoms
    dipole_key, charges_key : str, default=None
        Keys of the labels; None looks for the usual ones.
    labels : bool, default=True
        False reads geometries and total charges only.
    """
    reader = AtomsReader(LabelKeys(dipole_key, charges_key, labels))
    for index, atoms in enumerate(frames):
        if not isinstance(atoms, Atoms):
            raise InputError(
                f"molecules: expected a list of ase.Atoms alone, got {type(atoms).__name__} at "
                f"position {index}. Join several Molecules with Molecules.concatenate."
            )
        reader.add(atoms)
    return reader.molecules()


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
    info = {
        "name": str(molecules.names[index]),
        "charge": float(molecules.total_charge[index]),
    }
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
    dipole, charges = molecules.baseline_dipole, molecules.baseline_charges
    if dipole is not None and not np.isnan(dipole[index]).any():
        frame.info[_BASELINE_DIPOLE] = dipole[index].copy()
    if charges is not None:
        part = charges[_atoms(molecules, index)]
        if not np.isnan(part).any():
            frame.new_array(_BASELINE_CHARGES, part)


def _current_results(atoms: Atoms) -> dict[str, Any]:
    """Results that belong to the present geometry, and are no predictions of dipkit."""
    if holds_predicted_results(atoms):
        return {}
    results = getattr(atoms.calc, "results", None) or {}
    check_state = getattr(atoms.calc, "check_state", None)
    if results and check_state is not None and check_state(atoms):
        return {}
    return dict(results)


def _named_dipole(value: Any, key: str, where: str) -> tuple[float | None, FloatArray | None]:
    """One number is a magnitude in debye, three are a vector in e*angstrom."""
    if value is None:
        return None, None
    if np.size(value) == 3:
        return None, _numbers(value, (3,), key, where) * DEBYE_PER_E_ANGSTROM
    return float(_numbers(value, (1,), key, where)[0]), None


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
            "Correct it or name another key."
        )
    if not np.isfinite(numbers).all():
        raise InputError(
            f"{where}: {key!r} holds NaN or infinity. Correct it, or leave the key out where "
            "the label is missing."
        )
    return numbers.reshape(shape)


def _first(values: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((values[key] for key in keys if values.get(key) is not None), None)
