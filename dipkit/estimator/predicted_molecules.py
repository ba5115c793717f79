"""Predictions for molecules: their values, and molecules that a model cannot predict.

Symbols: N molecules, n atoms; charges (n,) in e, dipoles (N, 3) in debye. How they are computed is
in `prediction.py`, from which molecules in `pipeline.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..data.bad_records import BadRecord, find_refused
from ..data.elements import chemical_symbols
from ..data.molecules import Molecules
from ..data.molecules_html import rows_html
from ..learning.multipoles import quadrupoles_of_atoms

__all__ = ["Prediction", "predict_usable"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Prediction:
    """Predictions for N molecules with n atoms.

    Parameters
    ----------
    molecules : Molecules
        The molecules, without features.
    charges : ndarray of shape (n_atoms,), e
        They sum to the total charge of each molecule. NaN where the model's baseline failed.
    dipole : ndarray of shape (n_molecules, 3), debye
        About the centre of mass where a molecule is charged. NaN where the baseline failed.
    std : ndarray of shape (n_molecules,), debye, or None
        Standard deviations of the magnitudes' errors, where they were asked for.
    atomic_dipoles : ndarray of shape (n_atoms, 3), debye, or None
        Dipoles of single atoms in addition to their charges, where the model has some.
    failures : mapping of int to str
        Why a molecule could not be predicted, by its index; its values are NaN.
    """

    molecules: Molecules
    charges: FloatArray
    dipole: FloatArray
    std: FloatArray | None = None
    atomic_dipoles: FloatArray | None = None
    failures: Mapping[int, str] = field(default_factory=dict)

    @property
    def magnitude(self) -> FloatArray:
        """Dipole magnitudes (n_molecules,), debye."""
        magnitudes: FloatArray = np.linalg.norm(self.dipole, axis=1)
        return magnitudes

    @property
    def quadrupole(self) -> FloatArray:
        """Traceless quadrupole moments (n_molecules, 3, 3), debye*angstrom, of the atoms (14)."""
        dipoles = self.atomic_dipoles
        dipoles = np.zeros((len(self.charges), 3)) if dipoles is None else dipoles
        return quadrupoles_of_atoms(self.charges, dipoles, self.dipole, self.molecules)

    def bad_records(self, first: int) -> list[BadRecord]:
        """Return records that were left out or not predicted, in the order of the file.

        Parameters
        ----------
        first : int
            Place of the first record of this part in the file.
        """
        left_out = self.molecules.notes.bad
        places = {one.row for one in left_out}
        rows = [
            row
            for row in range(first, first + len(self.molecules) + len(places))
            if row not in places
        ]
        failed = [
            BadRecord(rows[index], str(self.molecules.names[index]), reason)
            for index, reason in self.failures.items()
        ]
        return sorted([*left_out, *failed])

    def charges_of(self, index: int) -> FloatArray:
        """Charges of one molecule (n_atoms of it,), e; -1 is the last one."""
        return self.charges[self.molecules.atom_index(index)]

    def _repr_html_(self) -> str:
        vectors = {f"{axis} (D)": column for axis, column in zip("xyz", self.dipole.T, strict=True)}
        std = {} if self.std is None else {"std (D)": self.std}
        predicted = {"predicted |μ| (D)": self.magnitude}
        return rows_html("Prediction for ", self.molecules, predicted | std | vectors)


def predict_usable(
    molecules: Molecules,
    elements: IntArray,
    predict: Callable[[IntArray], Prediction],
    with_std: bool = False,
) -> Prediction:
    """Predict all molecules that a model can predict; the others get NaN and a reason.

    Parameters
    ----------
    molecules : Molecules
        Without features.
    elements : ndarray of int
        Atomic numbers that the model knows.
    predict : callable
        Predicts the molecules of an index array, or raises `InputError`.
    with_std : bool, default=False
        Whether it gives standard deviations.

    Returns
    -------
    Prediction
    """
    failures = _unknown_elements(molecules, elements)
    usable = np.array([i for i in range(len(molecules)) if i not in failures], dtype=np.int64)
    parts = _predict_parts(usable, predict, failures)
    result = Prediction(
        molecules,
        np.full(molecules.n_atoms, np.nan),
        np.full((len(molecules), 3), np.nan),
        std=np.full(len(molecules), np.nan) if with_std else None,
        failures=failures,
    )
    if any(part.atomic_dipoles is not None for _, part in parts):
        result = replace(result, atomic_dipoles=np.full((molecules.n_atoms, 3), np.nan))
    for index, part in parts:
        atoms = molecules.atom_index(index)
        result.charges[atoms], result.dipole[index] = part.charges, part.dipole
        if result.std is not None and part.std is not None:
            result.std[index] = part.std
        if result.atomic_dipoles is not None and part.atomic_dipoles is not None:
            result.atomic_dipoles[atoms] = part.atomic_dipoles
    return result


def _unknown_elements(molecules: Molecules, elements: IntArray) -> dict[int, str]:
    """Find molecules with other elements, which are most failures, without any prediction."""
    unknown = np.flatnonzero(~np.isin(molecules.numbers, elements))
    symbols, known = chemical_symbols(), np.asarray(elements).tolist()
    return {
        int(molecules.molecule_index[atom]): (
            f"{symbols[int(molecules.numbers[atom])]} is none of the elements that the model knows "
            f"({' '.join(symbols[number] for number in known)})"
        )
        for atom in unknown[::-1]  # the first of a molecule stays
    }


def _predict_parts(
    index: IntArray, predict: Callable[[IntArray], Prediction], failures: dict[int, str]
) -> list[tuple[IntArray, Prediction]]:
    """Predict these molecules, in halves where one of them cannot be predicted."""
    parts: list[tuple[IntArray, Prediction]] = []

    def attempt(start: int, stop: int) -> None:
        parts.append((index[start:stop], predict(index[start:stop])))

    for place, error in find_refused(len(index), attempt).items():
        failures[int(index[place])] = str(error)
    return parts
