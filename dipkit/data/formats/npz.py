"""The flat npz layout: concatenated arrays of all molecules in one file.

==========================  =============  ==========================================
array                       shape          what
==========================  =============  ==========================================
natoms                      (N,)           atoms of each molecule
numbers                     (n,)           atomic numbers
positions                   (n, 3)         angstrom
dipole_debye                (N,)           dipole magnitudes, debye
dipole                      (N, 3)         dipole vectors, e*angstrom
mulliken                    (n,)           charges, e
charge                      (N,)           total charges, e; 0 where the array is absent
multiplicity                (N,)           spin multiplicities; NaN where unknown
name or gdb                 (N,)           names, or QM9 indices; else from the file's name
baseline_dipole             (N, 3)         dipole vectors of a cheap calculation, e*angstrom
baseline_charges            (n,)           charges of that calculation, e
descriptor_charges          (n,)           charges of a second cheap calculation, e
quadrupole_debye_angstrom   (N, 3, 3)      traceless quadrupoles, debye*angstrom
has_magnitude               (N,)           which molecules have a magnitude
has_vector                  (N,)           which have a vector
has_charges                 (N,)           which have charges
has_quadrupole              (N,)           which have a quadrupole
==========================  =============  ==========================================

The first three are required. NaN without a ``has_`` array that marks the label as missing is an
error. Nothing is pickled. Values are checked by `Molecules`, not here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...exceptions import FileFormatError, InputError
from ...support.files import atomic_write
from ...units import DEBYE_PER_E_ANGSTROM
from ..declared_units import DeclaredUnits
from ..geometry_checks import check_offsets
from ..label_hints import ATOMS, ATOMS_BY_3, ONE, OTHER, THREE
from ..label_keys import (
    CHARGES_KEYS,
    MULTIPLICITY_KEYS,
    QUADRUPOLE_KEY,
    SCHEME_KEY,
    VECTOR_KEYS,
    warn_mixed_schemes,
)
from ..molecules import Molecules
from ..read_options import ReadOptions
from ..total_charge import TotalCharges
from .boundary import boundary
from .dipole_labels import usual_keys, usual_unit
from .names import with_names
from .npz_arrays import EXPECTED, NpzArrays
from .usable_arrays import molecules_of_arrays

_GEOMETRY = ("natoms", "numbers", "positions")

Arrays = Mapping[str, NDArray[Any]]


def read_npz(path: Path, options: ReadOptions) -> Molecules:
    """Read molecules from the flat layout."""
    with boundary(str(path), EXPECTED), NpzArrays(path, options.most_unpacked) as arrays:
        return _read(path, arrays, options)


def _read(path: Path, arrays: NpzArrays, options: ReadOptions) -> Molecules:
    absent = [key for key in _GEOMETRY if key not in arrays]
    if absent:
        raise FileFormatError(
            f"{path}: arrays {', '.join(absent)} are missing; present: "
            f"{', '.join(arrays) or 'none'}. Expected the flat layout with "
            f"{', '.join(_GEOMETRY)}."
        )
    source_keys = tuple(key for key in arrays if key not in _GEOMETRY)
    options.check_found(source_keys, source_keys)
    totals, units = TotalCharges(options), DeclaredUnits(options)
    total_charge = totals.find_all(arrays, len(arrays["natoms"]))
    offsets = _offsets(arrays["natoms"], len(arrays["numbers"]))
    labels = _labels(arrays, options, units)
    fields = labels | {
        "numbers": arrays["numbers"],
        "positions": _positions(arrays, offsets, units),
        "names": _names(arrays, path),
        "total_charge": total_charge,
        "multiplicity": _first(arrays, MULTIPLICITY_KEYS),
        "baseline_dipole": _in_debye(arrays.get("baseline_dipole")),
        "baseline_charges": arrays.get("baseline_charges"),
        "descriptor_charges": arrays.get("descriptor_charges"),
        "source_keys": source_keys,
    }
    notes = units.notes(_numeric_keys(arrays)).also(totals.sentences(source_keys))
    return molecules_of_arrays(fields, offsets, notes, options.skip_invalid)


def write_npz(path: Path, molecules: Molecules, info: Mapping[str, str] | None = None) -> None:
    """Write molecules in the flat layout; features are not kept.

    Parameters
    ----------
    path : Path
    molecules : Molecules
    info : mapping of str to str, default=None
        The same text for every molecule, as arrays of shape (n_molecules,).
    """
    arrays: dict[str, Any] = {
        "natoms": molecules.natoms,
        "numbers": molecules.numbers,
        "positions": molecules.positions,
        "charge": molecules.total_charge,
        "name": molecules.names,
        "baseline_charges": molecules.baseline_charges,
        "descriptor_charges": molecules.descriptor_charges,
        "multiplicity": molecules.multiplicity,
    }
    if molecules.baseline_dipole is not None:
        arrays["baseline_dipole"] = molecules.baseline_dipole / DEBYE_PER_E_ANGSTROM
    for has, key, value in (
        ("has_magnitude", "dipole_debye", molecules.dipole_magnitude),
        ("has_vector", "dipole", molecules.dipole_vector / DEBYE_PER_E_ANGSTROM),
        ("has_charges", "mulliken", molecules.charges),
        ("has_quadrupole", QUADRUPOLE_KEY, molecules.quadrupole),
    ):
        known = getattr(molecules, has)
        if known.any():
            arrays |= {key: value} if known.all() else {key: value, has: known}
    arrays |= {key: np.full(len(molecules), value) for key, value in (info or {}).items()}
    present = {key: value for key, value in arrays.items() if value is not None}
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **present)


def _numeric_keys(arrays: NpzArrays) -> dict[str, str]:
    """Return what stands under each array for one molecule or atom."""
    n, n_atoms = len(arrays["natoms"]), len(arrays["numbers"])
    shapes = {(n,): ONE, (n, 1): ONE, (n, 3): THREE, (n_atoms,): ATOMS, (n_atoms, 3): ATOMS_BY_3}
    return {
        key: shapes.get(header.shape, OTHER)
        for key, header in arrays.headers.items()
        if key not in _GEOMETRY and header.dtype.kind in "fiu"
    }


def _offsets(natoms: NDArray[Any], n_atoms: int) -> NDArray[np.int64]:
    if natoms.ndim != 1 or natoms.dtype.kind not in "iu":
        raise InputError(
            f"natoms: expected whole numbers, one for each molecule, got shape {natoms.shape} of "
            f"type {natoms.dtype}."
        )
    # Before the sum, which could overflow; the sum itself is checked before anything is repeated.
    if len(natoms) and not 0 <= natoms.min() <= natoms.max() <= n_atoms:
        raise InputError(
            f"natoms: expected numbers that add up to the {n_atoms} atoms of numbers, got "
            f"{natoms.min()} to {natoms.max()}."
        )
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(natoms.astype(np.int64))))
    check_offsets(offsets, n_atoms)
    return offsets


def _names(arrays: Arrays, path: Path) -> Any:
    if "name" in arrays:
        return arrays["name"].astype(np.str_)
    if "gdb" in arrays:
        return np.char.add("gdb_", np.char.zfill(arrays["gdb"].astype(np.str_), 6))
    return [name for name, _ in with_names(arrays["natoms"], path)]


def _labels(arrays: Arrays, options: ReadOptions, units: DeclaredUnits) -> dict[str, Any]:
    """Find labels as keyword arguments of `Molecules`."""
    magnitude, vector = (
        _dipoles(arrays, options.dipole_key, units) if options.read_dipole else (None, None)
    )
    charges = _charges(arrays, options.charges_key) if options.read_charges else None
    if charges is not None and SCHEME_KEY in arrays:
        warn_mixed_schemes(Counter(arrays[SCHEME_KEY].astype(np.str_).tolist()))
    natoms = arrays["natoms"]
    has_charges = arrays.get("has_charges")
    if has_charges is not None:
        if has_charges.shape != natoms.shape:
            raise InputError(
                f"has_charges: expected shape {natoms.shape}, got {has_charges.shape}."
            )
        has_charges = np.repeat(has_charges.astype(bool), natoms)
    return {
        "dipole_magnitude": _announced("dipole magnitude", magnitude, arrays.get("has_magnitude")),
        "dipole_vector": _announced("dipole vector", vector, arrays.get("has_vector")),
        "charges": _announced("charges", charges, has_charges),
        "quadrupole": _announced(
            "quadrupole",
            arrays.get(QUADRUPOLE_KEY) if options.labels else None,
            arrays.get("has_quadrupole"),
        ),
    }


def _charges(arrays: Arrays, key: str | None) -> Any:
    return _first(arrays, (key,) if key else CHARGES_KEYS)


def _positions(arrays: Arrays, offsets: NDArray[np.int64], units: DeclaredUnits) -> Any:
    """Return positions in angstrom; the first molecule shows what ``units=atomic`` means."""
    numbers, positions = arrays["numbers"], arrays["positions"]
    first = slice(0, int(offsets[1]) if len(offsets) > 1 else 0)
    factor = units.length_factor(numbers[first], positions[first], arrays, "the file")
    return positions if factor == 1.0 else positions * factor


def _dipoles(arrays: Arrays, named: str | None, units: DeclaredUnits) -> tuple[Any, Any]:
    """Return magnitudes and vectors in debye, either may be None."""
    magnitude = vector = None
    for key in [named] if named else usual_keys(arrays):
        values = arrays[key]
        n_numbers = 1 if values.ndim == 1 else 3
        known = named is not None or units.is_known(key, arrays, "the file")
        if not known and (n_numbers == 3) != (key in VECTOR_KEYS):
            if n_numbers == 1 and magnitude is not None:
                continue
            raise _unclear(key, values)
        usual, why = usual_unit(n_numbers)
        factor = units.dipole_factor(key, usual, why, arrays, "the file")
        # `Molecules` refuses text; the product of text and a number would fail here.
        values = values * factor if values.dtype.kind in "fiu" else values
        if n_numbers == 3:
            vector = values if vector is None else vector
        else:
            magnitude = values if magnitude is None else magnitude
    return magnitude, vector


def _unclear(key: str, values: NDArray[Any]) -> InputError:
    if values.ndim == 1:
        return InputError(
            f"{key}: expected vectors of shape (N, 3) in e*angstrom, got one number for each "
            f"molecule. If these are magnitudes in debye, name the array: dipole_key={key!r}; in "
            "another unit, name that: dipole_unit=."
        )
    return InputError(
        f"{key}: expected one magnitude in debye for each molecule, got shape {values.shape}. "
        "Vectors go under 'dipole', in e*angstrom; or name their unit: dipole_unit='debye'."
    )


def _announced(what: str, values: Any, known: Any) -> Any:
    """Check that NaN stands only where the file says that a label is missing."""
    if values is None or values.dtype.kind not in "fiu":
        return values
    missing = np.isnan(values).any(axis=tuple(range(1, values.ndim)))
    if known is not None:
        if known.shape != missing.shape:
            raise InputError(f"{what}: expected {len(missing)} marks, got shape {known.shape}.")
        missing &= known.astype(bool)
        values = np.where(np.expand_dims(known, tuple(range(1, values.ndim))), values, np.nan)
    if missing.any():
        raise InputError(
            f"{what}: NaN in row {int(np.argmax(missing))}. Correct it, or mark missing labels "
            "with an array has_magnitude, has_vector, has_charges or has_quadrupole."
        )
    return values


def _first(arrays: Arrays, keys: tuple[str, ...]) -> Any:
    return next((arrays[key] for key in keys if key in arrays), None)


def _in_debye(vectors: Any) -> Any:
    return None if vectors is None else vectors * DEBYE_PER_E_ANGSTROM
