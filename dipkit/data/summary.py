"""Counts and ranges of a `Molecules`.

Symbols: N molecules, n atoms in all; magnitudes in debye, total charges in e. The container is in
`molecules.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..support.notebook import table_of
from .elements import chemical_symbols
from .label_hints import hint
from .odd_electrons import has_odd_electrons
from .read_notes import ReadNotes

# How fields are called where their name does not say the unit or the order.
_WORDS = {
    "n_molecules": "molecules",
    "n_atoms": "atoms",
    "elements": "atoms of each element",
    "atoms_per_molecule": "atoms of the smallest and largest molecule",
    "n_magnitudes": "molecules with a dipole magnitude",
    "n_vectors": "molecules with a dipole vector",
    "n_charges": "molecules with charges",
    "magnitude_range": "smallest, median and largest magnitude, debye",
    "total_charges": "molecules of each total charge, e",
    "n_baseline": "molecules with a baseline",
    "n_one_atom": "molecules of one atom",
    "source_keys": "keys found",
    "n_quadrupoles": "molecules with a quadrupole",
    "n_odd_electrons": "molecules with an odd number of electrons",
    "assumed": "assumed by the reader",
    "numeric_keys": "numbers under the keys",
}


@dataclass(frozen=True)
class Summary:
    """Contents of a set of molecules."""

    n_molecules: int
    n_atoms: int
    elements: dict[str, int]
    """Atoms of each element, by symbol."""
    atoms_per_molecule: tuple[int, int] | None
    """Smallest and largest molecule."""
    n_magnitudes: int
    n_vectors: int
    n_charges: int
    """Molecules that have a magnitude, a vector, reference charges."""
    magnitude_range: tuple[float, float, float] | None
    """Smallest, median and largest magnitude, debye."""
    total_charges: dict[str, int]
    """Molecules of each total charge, e."""
    n_baseline: int
    """Molecules that have a baseline dipole."""
    n_one_atom: int
    """Molecules of one atom, whose dipole is zero for any charge."""
    source_keys: tuple[str, ...]
    """Keys found where the molecules were read."""
    n_quadrupoles: int = 0
    """Molecules that have a quadrupole."""
    n_odd_electrons: int = 0
    """Molecules with an odd number of electrons: radicals, or ions whose charge is missing."""
    assumed: tuple[str, ...] = ()
    """What the reader assumed, such as units that the file does not name."""
    numeric_keys: dict[str, str] = field(default_factory=dict)
    """What numbers stand under each key; empty where all labels were found."""
    hints: tuple[str, ...] = ()
    """Likely keys of labels that were not found."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; hints are left out where there are none."""
        values = asdict(self)
        optional = ("numeric_keys", "hints")
        return {name: v for name, v in values.items() if v or name not in optional}

    def _repr_html_(self) -> str:
        shown = {name: value for name, value in self.as_dict().items() if value not in (None, ())}
        rows = [[_WORDS.get(name, name), _words(value)] for name, value in shown.items()]
        return table_of(self.one_line(), (), rows)

    def one_line(self) -> str:
        """Describe in a few words."""
        found = [
            _count(self.n_magnitudes, "magnitude"),
            _count(self.n_vectors, "vector"),
            _count(self.n_quadrupoles, "quadrupole"),
            f"{self.n_charges} with charges" if self.n_charges else "",
        ]
        labels = ", ".join(text for text in found if text) or "none"
        return (
            f"{_count(self.n_molecules, 'molecule') or '0 molecules'}, "
            f"{_count(self.n_atoms, 'atom') or '0 atoms'}, "
            f"elements {' '.join(self.elements) or 'none'}, labels: {labels}"
        )


class Labelled(Protocol):
    """The part of `Molecules` that is read here."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers (n,)."""

    @property
    def molecule_index(self) -> NDArray[np.int64]:
        """Molecule of each atom (n,)."""

    @property
    def natoms(self) -> NDArray[np.int64]:
        """Atoms of each molecule (N,)."""

    @property
    def n_atoms(self) -> int:
        """Atoms in all."""

    @property
    def total_charge(self) -> NDArray[np.float64]:
        """(N,), e."""

    @property
    def dipole_magnitude(self) -> NDArray[np.float64]:
        """(N,), debye; NaN where missing."""

    @property
    def baseline_dipole(self) -> NDArray[np.float64] | None:
        """(N, 3), debye, or None."""

    @property
    def source_keys(self) -> tuple[str, ...]:
        """Keys found where the molecules were read."""

    @property
    def notes(self) -> ReadNotes:
        """What the reader assumed."""

    @property
    def has_magnitude(self) -> NDArray[np.bool_]:
        """(N,)."""

    @property
    def has_vector(self) -> NDArray[np.bool_]:
        """(N,)."""

    @property
    def has_charges(self) -> NDArray[np.bool_]:
        """(N,)."""

    @property
    def has_quadrupole(self) -> NDArray[np.bool_]:
        """(N,)."""

    def __len__(self) -> int:
        """Count molecules."""


def summarise(molecules: Labelled) -> Summary:
    """Count and measure."""
    natoms, magnitude = molecules.natoms, molecules.dipole_magnitude
    known = magnitude[molecules.has_magnitude]
    elements, counts = np.unique(molecules.numbers, return_counts=True)
    table = chemical_symbols()
    baseline = molecules.baseline_dipole
    return Summary(
        n_molecules=len(molecules),
        n_atoms=molecules.n_atoms,
        elements={table[z]: int(c) for z, c in zip(elements, counts, strict=True)},
        atoms_per_molecule=(int(natoms.min()), int(natoms.max())) if len(natoms) else None,
        n_magnitudes=len(known),
        n_vectors=int(molecules.has_vector.sum()),
        n_charges=int(molecules.has_charges.sum()),
        magnitude_range=_range(known),
        total_charges=_charge_counts(molecules.total_charge),
        n_baseline=0 if baseline is None else int((~np.isnan(baseline[:, 0])).sum()),
        n_one_atom=int((natoms == 1).sum()),
        source_keys=molecules.source_keys,
        n_quadrupoles=int(molecules.has_quadrupole.sum()),
        n_odd_electrons=int(has_odd_electrons(molecules).sum()),
        assumed=molecules.notes.assumed,
        **_hints(molecules),
    )


def _words(value: object) -> str:
    """Show counts, ranges and lists as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_words(each) for each in value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _hints(molecules: Labelled) -> dict[str, Any]:
    """Propose keys of labels that no molecule has."""
    numeric = molecules.notes.numeric_keys
    missing = {"dipole": molecules.has_magnitude, "charges": molecules.has_charges}
    found = [hint(kind, numeric) for kind, has in missing.items() if not has.any()]
    hints = tuple(text for text in found if text)
    shown = hints or not molecules.has_magnitude.any()
    return {"numeric_keys": dict(numeric) if shown else {}, "hints": hints}


def _range(known: NDArray[np.float64]) -> tuple[float, float, float] | None:
    if not len(known):
        return None
    return float(known.min()), float(np.median(known)), float(known.max())


def _charge_counts(total_charge: NDArray[np.float64]) -> dict[str, int]:
    rounded = Counter(np.round(total_charge, 3).tolist())
    return {f"{charge + 0.0:+g}" if charge else "0": rounded[charge] for charge in sorted(rounded)}


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}" if number else ""
