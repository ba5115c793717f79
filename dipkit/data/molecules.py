"""`Molecules`: a frozen, ragged container of geometries with their labels.

Symbols: molecules A = 1..N, atoms i = 1..n (all molecules concatenated), offsets (N+1,);
positions in angstrom, charges in e, dipoles in debye. NaN marks a missing label.
Reading and writing files is not here (`io.py`), nor are descriptors (`descriptors/soap.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..support import ragged_index
from ..support.frozen_arrays import FrozenArrays, read_only
from . import geometry_checks, label_checks
from .elements import atomic_masses, hill_formulas
from .geometry_checks import Locator
from .label_masks import LabelMasks
from .molecules_html import molecules_html
from .outdated import without_outdated
from .per_atom import PerAtomData, check_per_atom, join_per_atom
from .read_notes import NO_NOTES, ReadNotes
from .summary import Summary, summarise

__all__ = ["Molecules", "Summary"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Default of a label that is absent everywhere; the constructor puts an array in its place.
_ABSENT = cast(Any, None)


@dataclass(frozen=True, eq=False, repr=False)
class Molecules(LabelMasks, FrozenArrays):
    """Geometries and labels of N molecules with n atoms in all.

    Arrays are copied, checked and read-only. A molecule without a label has NaN in its place.
    Indexing by an integer, slice, index array or boolean mask gives a `Molecules` again, so
    scikit-learn splits it like an array.

    Parameters
    ----------
    numbers : array-like of shape (n_atoms,)
        Atomic numbers of all molecules, concatenated.
    positions : array-like of shape (n_atoms, 3), angstrom
    offsets : array-like of shape (n_molecules + 1,)
        Atoms of molecule A are ``offsets[A]:offsets[A + 1]``.
    names : array-like of shape (n_molecules,), default="0", "1", ...
    total_charge : array-like of shape (n_molecules,), e, default=0
    dipole_magnitude : array-like of shape (n_molecules,), debye, default=missing
        Where missing, the norm of the vector takes its place.
    dipole_vector : array-like of shape (n_molecules, 3), debye, default=missing
        Of a charged molecule, about its centre of mass.
    charges : array-like of shape (n_atoms,), e, default=missing
        Reference charges, for example Mulliken; they sum to the total charge.
    features : PerAtomData, default=None
        Descriptors of the atoms, such as `dipkit.descriptors.Features`.
    baseline_dipole : array-like of shape (n_molecules, 3), debye, default=None
        Dipole vectors of a cheap calculation of the same geometries.
    baseline_charges : array-like of shape (n_atoms,), e, default=None
        Charges of that calculation.
    descriptor_charges : array-like of shape (n_atoms,), e, default=None
        Charges of a second cheap calculation, which only enter the descriptors of a model with a
        baseline.
    source_keys : tuple of str, default=()
        Keys found where the molecules were read, for messages about missing labels.
    quadrupole : array-like of shape (n_molecules, 3, 3), debye*angstrom, default=None
        Reference quadrupoles: traceless, in Buckingham's convention, about the centres of mass.
    multiplicity : array-like of shape (n_molecules,), default=None
        Spin multiplicities, for calculations; NaN where the file names none.
    notes : ReadNotes, default=ReadNotes()
        What the reader assumed, such as units that the file does not name.

    Examples
    --------
    >>> from dipkit.data.molecules import Molecules
    >>> water = [[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]
    >>> molecules = Molecules([8, 1, 1], water, [0, 3], dipole_magnitude=[1.85])
    >>> molecules
    Molecules(1 molecule, 3 atoms, elements H O, labels: 1 magnitude)
    >>> molecules[[0, 0]].natoms
    array([3, 3])
    """

    numbers: IntArray
    positions: FloatArray
    offsets: IntArray
    names: NDArray[np.str_] = _ABSENT
    total_charge: FloatArray = _ABSENT
    dipole_magnitude: FloatArray = _ABSENT
    dipole_vector: FloatArray = _ABSENT
    charges: FloatArray = _ABSENT
    features: PerAtomData | None = None
    baseline_dipole: FloatArray | None = None
    baseline_charges: FloatArray | None = None
    source_keys: tuple[str, ...] = ()
    quadrupole: FloatArray | None = None
    notes: ReadNotes = NO_NOTES
    multiplicity: FloatArray | None = None
    descriptor_charges: FloatArray | None = None

    def __post_init__(self) -> None:
        """Copy and check every field."""
        self._coerce()
        self._check()

    @classmethod
    def of_new_arrays(cls, **fields: Any) -> Molecules:
        """Check arrays that nobody else holds, and keep those of the right type without a copy.

        For readers of files, whose arrays may fill half of the memory.
        """
        instance = cls.__new__(cls)
        instance._set(**fields)
        instance._coerce(copy=False)
        instance._check()
        return instance

    def _check(self) -> None:
        locate = Locator(self.names, self.offsets)
        geometry_checks.check_geometry(self.numbers, self.positions, locate)
        geometry_checks.check_total_charge(self.total_charge, locate)
        magnitude = label_checks.check_labels(
            self.dipole_magnitude, self.dipole_vector, self.charges, self.total_charge, locate
        )
        self._set(dipole_magnitude=magnitude)
        label_checks.check_baseline(
            self.baseline_dipole,
            {name: getattr(self, name) for name in ("baseline_charges", "descriptor_charges")},
            self.total_charge,
            locate,
        )
        label_checks.check_quadrupoles(self.quadrupole, locate)
        label_checks.check_multiplicity(self.multiplicity, locate)
        check_per_atom(self.features, self.n_atoms)

    def _coerce(self, copy: bool = True) -> None:
        """Turn every input into a read-only array of its type and shape."""
        offsets = geometry_checks.whole_numbers("offsets", self.offsets, copy)
        numbers = geometry_checks.whole_numbers("numbers", self.numbers, copy)
        geometry_checks.check_offsets(offsets, len(numbers))
        n, n_atoms = len(offsets) - 1, len(numbers)
        self._set(offsets=offsets, numbers=numbers, source_keys=tuple(self.source_keys))
        names = np.arange(n).astype(str) if self.names is None else self.names
        self._set(names=geometry_checks.coerce("names", names, np.str_, (n,), copy))
        for name, shape, absent in (
            ("positions", (n_atoms, 3), None),
            ("total_charge", (n,), 0.0),
            ("dipole_magnitude", (n,), np.nan),
            ("dipole_vector", (n, 3), np.nan),
            ("charges", (n_atoms,), np.nan),
            ("baseline_dipole", (n, 3), None),
            ("baseline_charges", (n_atoms,), None),
            ("descriptor_charges", (n_atoms,), None),
            ("quadrupole", (n, 3, 3), None),
            ("multiplicity", (n,), None),
        ):
            value = getattr(self, name)
            if value is None and absent is not None:
                value = np.full(shape, absent)
            if value is not None or name == "positions":
                array = geometry_checks.coerce(name, value, np.float64, shape, copy)
                self._set(**{name: array})

    # Shape and indexing

    def __len__(self) -> int:
        """Count molecules."""
        return len(self.offsets) - 1

    @property
    def shape(self) -> tuple[int]:
        """(n_molecules,), by which scikit-learn counts samples."""
        return (len(self),)

    @property
    def n_atoms(self) -> int:
        """Atoms of all molecules together."""
        return len(self.numbers)

    def __getitem__(self, key: Any) -> Molecules:
        """Select molecules; scikit-learn uses the key ``(indices, ...)``."""
        return self._select(ragged_index.normalise_index(key, len(self)))

    def __iter__(self) -> Iterator[Molecules]:
        """Yield the molecules one by one, each as a `Molecules` of length 1."""
        return (self[index] for index in range(len(self)))

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refuse: NumPy would take the container for a nested list."""
        raise TypeError(
            "Molecules cannot become an array: molecules differ in size. Use its fields, for "
            "example molecules.positions, or index it as it is. Tools of scikit-learn that take "
            "tables alone, such as BaggingRegressor and permutation_importance, take "
            "molecules.column()."
        )

    def column(self) -> NDArray[np.object_]:
        """Return one molecule a row, shape (n_molecules, 1), which estimators take as X.

        Tools of scikit-learn that take tables alone need it, such as `BaggingRegressor`,
        `AdaBoostRegressor` and `permutation_importance`. To them a molecule is one feature.
        """
        rows = np.empty((len(self), 1), dtype=object)
        for index, molecule in enumerate(self):
            rows[index, 0] = molecule
        return rows

    def _select(self, index: ragged_index.Index) -> Molecules:
        lengths = self.natoms[index]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        atoms = ragged_index.atoms_of(index, self.offsets)
        values = self._fields()
        for name in _PER_MOLECULE:
            values[name] = None if values[name] is None else values[name][index]
        for name in _PER_ATOM:
            values[name] = None if values[name] is None else values[name][atoms]
        features = None if self.features is None else self.features.take(atoms)
        return Molecules._trusted(**values | {"offsets": offsets, "features": features})

    def atom_index(self, molecules: Any) -> NDArray[np.intp]:
        """Return the positions of all atoms of these molecules, in order.

        Parameters
        ----------
        molecules : int, slice, array-like of int or of bool
            Molecules, as in indexing; they may repeat.
        """
        index = ragged_index.atoms_of(
            ragged_index.normalise_index(molecules, len(self)), self.offsets
        )
        return np.arange(self.n_atoms)[index] if isinstance(index, slice) else index

    # Joining and changing

    @classmethod
    def concatenate(cls, parts: Sequence[Molecules]) -> Molecules:
        """Join several sets of molecules, in order.

        Features must be of the same scales in all parts, or absent in all. A baseline that
        only some parts have is missing (NaN) for the molecules of the others.
        """
        parts = list(parts)
        if not parts:
            raise InputError("Molecules.concatenate: expected at least one part, got none.")
        if len(parts) == 1:
            return parts[0]
        sizes, atoms = [len(part) for part in parts], [part.n_atoms for part in parts]
        values: dict[str, Any] = {}
        for names, lengths in ((_PER_MOLECULE, sizes), (_PER_ATOM, atoms)):
            for name in names:
                values[name] = ragged_index.join([getattr(part, name) for part in parts], lengths)
        natoms = np.concatenate([part.natoms for part in parts])
        values["offsets"] = np.concatenate(([0], np.cumsum(natoms)))
        values["features"] = join_per_atom([part.features for part in parts])
        keys = dict.fromkeys(key for part in parts for key in part.source_keys)
        notes = ReadNotes.join(part.notes for part in parts)
        return cls._trusted(**values, source_keys=tuple(keys), notes=notes)

    def replace(self, **changes: Any) -> Molecules:
        """Return a copy with these fields changed; what changed is checked.

        A value that a change makes invalid is dropped unless a new one is given, see
        `dipkit.data.outdated`: with another geometry features, baseline, and vectors and
        quadrupoles of molecules that were not only shifted; with another total charge the baseline;
        with another vector the magnitude, which becomes the length of the new vector.

        Raises
        ------
        InputError
            If a field is unknown, a value does not fit the molecules, or labels contradict each
            other: a new magnitude and the vector that stays, charges that stay and a new total
            charge. Give both, or drop one with ``None``.
        """
        values = self._fields()
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise InputError(f"Molecules.replace: no field {unknown}; fields are {list(values)}.")
        if set(changes) <= {"features"}:
            # Thousands of pieces of described molecules are made in this way: skip slow checks.
            check_per_atom(changes.get("features"), self.n_atoms)
            return Molecules._trusted(**values | changes)
        return Molecules(**without_outdated(values, changes) | changes)

    def with_notes(self, notes: ReadNotes) -> Molecules:
        """Return the same molecules with other notes of the reader."""
        return Molecules._trusted(**self._fields() | {"notes": notes})

    # What follows from the fields

    @cached_property
    def natoms(self) -> IntArray:
        """Atoms of each molecule, shape (n_molecules,)."""
        return read_only(np.diff(self.offsets))

    @cached_property
    def molecule_index(self) -> IntArray:
        """Molecule of each atom, shape (n_atoms,)."""
        return read_only(np.repeat(np.arange(len(self)), self.natoms))

    @cached_property
    def elements(self) -> IntArray:
        """Atomic numbers that occur, sorted."""
        return read_only(np.unique(self.numbers))

    def centers_of_mass(self) -> FloatArray:
        """Centres of mass, shape (n_molecules, 3), angstrom."""
        if not len(self):
            return np.zeros((0, 3))
        mass = atomic_masses()[self.numbers]
        starts = self.offsets[:-1]
        moment = np.add.reduceat(mass[:, None] * self.positions, starts, axis=0)
        centers: FloatArray = moment / np.add.reduceat(mass, starts)[:, None]
        return centers

    def formulas(self) -> NDArray[np.str_]:
        """Sum formulas in Hill order, shape (n_molecules,)."""
        return hill_formulas(self.numbers, self.molecule_index, len(self))

    def summary(self) -> Summary:
        """Count molecules, labels and elements."""
        return summarise(self)

    def __repr__(self) -> str:
        return f"Molecules({self.summary().one_line()})"

    def _repr_html_(self) -> str:
        return molecules_html(self)


_PER_MOLECULE = (
    "names",
    "total_charge",
    "dipole_magnitude",
    "dipole_vector",
    "baseline_dipole",
    "quadrupole",
    "multiplicity",
)
_PER_ATOM = ("numbers", "positions", "charges", "baseline_charges", "descriptor_charges")
