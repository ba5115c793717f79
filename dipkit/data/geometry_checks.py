"""Checks of geometries: types, shapes, offsets, values, coincident atoms.

Symbols: N molecules, n atoms in all, offsets (N+1,), positions (n,3) angstrom.
Each check raises `InputError` and names the first bad molecule. Labels are checked in
`label_checks.py`; the container that uses the checks is in `molecules.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..exceptions import InputError

Array = NDArray[Any]
FloatArray = NDArray[np.float64]

# Atoms closer than this (angstrom) are taken for the same atom listed twice.
MIN_DISTANCE = 0.1
# Coordinates and total charges that no molecule has: angstrom, and e for molecules of few atoms.
MAX_COORDINATE = 1e4
MAX_CHARGE = 20.0
# Atoms that are checked at once, with temporary arrays of about 100 bytes an atom.
_BLOCK_ATOMS = 10_000
# How `Locator` and readers name molecules in messages.
_NAMED_MOLECULE = re.compile(r"\bmolecule (\d+) ")


def coerce(
    name: str, value: Any, dtype: DTypeLike, shape: tuple[int, ...], copy: bool = True
) -> Array:
    """Turn `value` into a read-only array of this dtype and shape; -1 takes any length.

    Without `copy` an array that fits already is made read-only itself.
    """
    try:
        array = np.array(value, dtype=dtype, order="C", copy=copy or None)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name}: expected values of type {np.dtype(dtype).name}, got {value!r:.80}: {error}."
        ) from error
    if array.shape != shape and not _fits(array.shape, shape):
        expected = str(shape).replace("-1", "any")
        raise InputError(f"{name}: expected shape {expected}, got {array.shape}.")
    array.flags.writeable = False
    return array


def _fits(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(found) == len(expected) and all(
        want in (-1, got) for want, got in zip(expected, found, strict=True)
    )


def whole_numbers(name: str, value: Any, copy: bool = True) -> NDArray[np.int64]:
    """Read whole numbers, refusing fractions that a cast would drop."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        numbers = coerce(name, value, np.float64, (-1,))
        if not np.array_equal(numbers, np.trunc(numbers)):
            raise InputError(f"{name}: expected whole numbers, got {array!r:.80}.")
    return coerce(name, array, np.int64, (-1,), copy)


def check_offsets(offsets: NDArray[np.int64], n_atoms: int) -> None:
    """Offsets run from 0 to n_atoms and every molecule has at least one atom."""
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != n_atoms:
        raise InputError(
            f"offsets: expected shape (n_molecules + 1,), first 0 and last {n_atoms} (the number "
            f"of atoms), got {offsets!r:.80}."
        )
    lengths = np.diff(offsets)
    if np.any(lengths < 0):
        raise InputError(f"offsets: expected increasing values, got {offsets!r:.80}.")
    if np.any(lengths == 0):
        raise InputError(
            f"molecule {int(np.argmin(lengths != 0))} is empty: expected at least one atom. "
            "Leave empty molecules out."
        )


class Locator:
    """Names molecules and atoms in messages.

    Parameters
    ----------
    names : ndarray of shape (n_molecules,)
    offsets : ndarray of shape (n_molecules + 1,)
    first : int, default=0
        Number of the first of these molecules among all of them.
    """

    def __init__(self, names: Array, offsets: NDArray[np.int64], first: int = 0) -> None:
        self.names = names
        self.offsets = offsets
        self.first = first

    def blocks(self) -> Iterator[tuple[slice, Locator]]:
        """Yield the atoms of some molecules after another, and the names of these."""
        start, n_molecules = 0, len(self.offsets) - 1
        while start < n_molecules:
            most = self.offsets[start] + _BLOCK_ATOMS
            stop = max(start + 1, int(np.searchsorted(self.offsets, most, side="right")) - 1)
            offsets = self.offsets[start : stop + 1]
            atoms = slice(int(offsets[0]), int(offsets[-1]))
            yield atoms, Locator(self.names[start:stop], offsets - offsets[0], self.first + start)
            start = stop

    def molecule(self, index: int) -> str:
        """Return 'molecule 3 ('water')'."""
        return f"molecule {self.first + index} ({str(self.names[index])!r})"

    def of_atom(self, atom: int) -> int:
        """Return the molecule that holds this atom."""
        return int(np.searchsorted(self.offsets, atom, side="right")) - 1

    def atom(self, atom: int) -> str:
        """Return 'atom 2 of molecule 3 ('water')', counted within the molecule."""
        molecule = self.of_atom(atom)
        return f"atom {atom - int(self.offsets[molecule])} of {self.molecule(molecule)}"


def molecule_named_in(message: str) -> int | None:
    """Return the index of the molecule that `Locator` named in this message, if it did."""
    found = _NAMED_MOLECULE.search(message)
    return int(found[1]) if found else None


def check_geometry(numbers: Array, positions: FloatArray, locate: Locator) -> None:
    """Atomic numbers are elements, positions are finite, no two atoms coincide."""
    for atoms, block in locate.blocks():
        _check_block(numbers[atoms], positions[atoms], block)


def _check_block(numbers: Array, positions: FloatArray, locate: Locator) -> None:
    wrong = (numbers < 1) | (numbers > 118)
    if wrong.any():
        atom = int(np.argmax(wrong))
        raise InputError(
            f"numbers: expected atomic numbers 1 to 118, got {int(numbers[atom])} for "
            f"{locate.atom(atom)}."
        )
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        atom = int(np.argmin(finite))
        raise InputError(
            f"positions: expected finite values in angstrom, got {positions[atom].tolist()} for "
            f"{locate.atom(atom)}. Repair this geometry or leave the molecule out."
        )
    far = np.abs(positions).max(axis=1, initial=0.0) > MAX_COORDINATE
    if far.any():
        atom = int(np.argmax(far))
        raise InputError(
            f"positions: no molecule has coordinates beyond {MAX_COORDINATE:g} angstrom, got "
            f"{positions[atom].tolist()} for {locate.atom(atom)}. Correct the number, shift the "
            "molecule to the origin, or leave it out."
        )
    _check_extent(positions, locate)
    _check_distances(positions, locate)


def _check_extent(positions: FloatArray, locate: Locator) -> None:
    """Molecules of several atoms at one point, zero as a rule, have no geometry at all."""
    starts, natoms = locate.offsets[:-1], np.diff(locate.offsets)
    spread = np.abs(positions - np.repeat(positions[starts], natoms, axis=0)).max(axis=1)
    no_extent = (np.maximum.reduceat(spread, starts) == 0) & (natoms > 1)
    if no_extent.any():
        index = int(np.argmax(no_extent))
        point = positions[starts[index]]
        what = "zero" if not point.any() else f"the same, {point.tolist()}"
        raise InputError(
            f"positions: all coordinates of {locate.molecule(index)} are {what}: the file has no "
            "geometry for its atoms. Make one (with RDKit or xtb), or leave the molecule out."
        )


def _check_distances(positions: FloatArray, locate: Locator) -> None:
    """Sweep each molecule along one direction: only neighbours in the sweep can be close."""
    n_atoms, offsets = len(positions), locate.offsets
    molecule = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    # A direction along which the atoms of symmetric and planar molecules rarely align.
    along = positions @ np.array([0.48, 0.62, 0.6206])
    order = np.lexsort((along, molecule))
    sorted_along, sorted_molecule = along[order], molecule[order]
    left = np.arange(n_atoms)
    for step in range(1, n_atoms):
        left = left[left < n_atoms - step]
        right = left + step
        near = sorted_molecule[left] == sorted_molecule[right]
        near &= sorted_along[right] - sorted_along[left] < MIN_DISTANCE * 1.001
        left = left[near]
        if not len(left):
            return
        first, second = order[left], order[left + step]
        distance = np.linalg.norm(positions[first] - positions[second], axis=1)
        if distance.min() < MIN_DISTANCE:
            at = int(np.argmin(distance))
            _raise_coincident(int(first[at]), int(second[at]), float(distance[at]), locate)


def _raise_coincident(first: int, second: int, distance: float, locate: Locator) -> None:
    molecule = locate.of_atom(first)
    start = int(locate.offsets[molecule])
    one, other = sorted((first - start, second - start))
    raise InputError(
        f"positions: atoms {one} and {other} of {locate.molecule(molecule)} are {distance:.3g} "
        f"angstrom apart: expected at least {MIN_DISTANCE}. Remove the atom listed twice, or "
        "check that positions are in angstrom."
    )


def check_total_charge(values: FloatArray, locate: Locator) -> None:
    """Total charges are finite, and of a size that a molecule can have."""
    check_finite("total_charge", values, locate)
    wrong = np.abs(values) > np.maximum(MAX_CHARGE, np.diff(locate.offsets))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputError(
            f"total_charge: no molecule has {values[index]:g} e, which {locate.molecule(index)} "
            f"has: expected at most {MAX_CHARGE:g} e, or one for each atom. Correct it, or set it: "
            "--total-charge KEY|N (total_charge= in Python)."
        )


def check_finite(what: str, values: FloatArray, locate: Locator) -> None:
    """Values per molecule that may not be missing."""
    if not np.isfinite(values).all():
        index = int(np.argmin(np.isfinite(values)))
        raise InputError(
            f"{what}: expected finite values, got {values[index]} for {locate.molecule(index)}."
        )
