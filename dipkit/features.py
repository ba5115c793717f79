"""`Features`: the descriptors of all atoms, one array per SOAP scale.

Symbols: n atoms in all, scale s with d_s columns and weight w_s in the kernel.
`OnDemandFeatures` has the same interface for sets whose descriptors do not fit into memory.
How they are computed is not here (`soap.py`), nor how they are compared (`kernels.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ._backend import NUMPY, Backend, host_memory
from ._ragged import Index
from .exceptions import InputError

if TYPE_CHECKING:
    from .molecules import Molecules

# Atoms described at once where only some of them are wanted.
BLOCK_ATOMS = 8192


@dataclass(frozen=True, eq=False)
class Features:
    """Descriptors of all atoms, one array per scale.

    Arrays are held as read-only views, not copies: they are large.

    Parameters
    ----------
    scales : tuple of ndarray of shape (n_atoms, d_s), float32
        Descriptors, one array per scale.
    weights : tuple of float
        Weight of each scale in the kernel.
    """

    scales: tuple[NDArray[np.float32], ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the shapes and take read-only views."""
        scales = tuple(_frozen_view(scale) for scale in self.scales)
        _check_scales(scales, self.weights)
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))

    def __len__(self) -> int:
        """Count atoms."""
        return len(self.scales[0])

    def __repr__(self) -> str:
        """Show the shapes."""
        widths = ", ".join(map(str, self.widths))
        name = type(self).__name__
        return f"{name}({len(self)} atoms, scales of {widths} columns, weights {self.weights})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the read-only flags, which pickle forgets."""
        state["scales"] = tuple(_frozen_view(scale) for scale in state["scales"])
        self.__dict__.update(state)

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns d_s of each scale."""
        return tuple(scale.shape[1] for scale in self.scales)

    @property
    def in_memory(self) -> bool:
        """Whether `compute` takes no memory besides."""
        return True

    def compute(self, backend: Backend = NUMPY) -> Features:
        """Return descriptors held in memory; here, these.

        Parameters
        ----------
        backend : Backend
            Where those are computed that are not held.
        """
        return self

    def on(self, backend: Backend) -> tuple[Any, ...]:
        """Return the scales as arrays of a device, for one block of molecules.

        Parameters
        ----------
        backend : Backend

        Returns
        -------
        tuple of array of shape (n_atoms, d_s), float32
        """
        return tuple(backend.asarray(scale) for scale in self.scales)

    def take(self, atoms: Index) -> Features:
        """Return the descriptors of the atoms at these positions; a slice copies nothing."""
        return Features(tuple(scale[atoms] for scale in self.scales), self.weights)

    def is_compatible(self, other: Features) -> bool:
        """Tell whether both have the same scales, widths and weights."""
        return self.weights == other.weights and self.widths == other.widths

    @staticmethod
    def concatenate(parts: Sequence[Features]) -> Features:
        """Join the descriptors of several sets of atoms, in order."""
        if not parts:
            raise InputError("Features.concatenate: expected at least one part, got none.")
        first = parts[0]
        for part in parts[1:]:
            if not first.is_compatible(part):
                raise InputError(
                    "Features.concatenate: parts differ in their scales: expected "
                    f"{first!r}, got {part!r}. Describe all of them with the same transformer."
                )
        columns = zip(*(part.scales for part in parts), strict=True)
        return Features(tuple(np.concatenate(arrays) for arrays in columns), first.weights)


class Describer(Protocol):
    """What computes the descriptors of molecules."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns d_s of each scale."""

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each scale in the kernel."""

    def describe(self, molecules: Molecules) -> tuple[NDArray[np.float32], ...]:
        """Return one array of shape (n_atoms, d_s) per scale."""

    def describe_on(self, molecules: Molecules, backend: Backend) -> tuple[Any, ...]:
        """Return the same as arrays of a device, and computed there."""


class OnDemandFeatures(Features):
    """Descriptors that are computed when asked for, and not kept.

    Slicing the molecules selects without computing, so an estimator that walks over blocks
    holds the descriptors of one block at a time. Reading `scales` computes all scales anew:
    read it once per block, or call `compute`.

    Parameters
    ----------
    describer : Describer
    molecules : Molecules
        Geometries to describe.
    atoms : ndarray of shape (n_selected,), default=None
        Atoms of these molecules that are wanted; None for all.
    """

    def __init__(
        self, describer: Describer, molecules: Molecules, atoms: NDArray[np.intp] | None = None
    ) -> None:
        self.__setstate__(
            {
                "describer": describer,
                "molecules": molecules.replace(features=None),
                "atoms": atoms,
                "weights": describer.weights,
            }
        )

    describer: Describer
    molecules: Molecules
    atoms: NDArray[np.intp] | None

    @property
    def scales(self) -> tuple[NDArray[np.float32], ...]:
        """Descriptors, computed now."""
        return self.compute().scales

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns d_s of each scale."""
        return self.describer.widths

    def __len__(self) -> int:
        """Count atoms."""
        return self.molecules.n_atoms if self.atoms is None else len(self.atoms)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle."""
        self.__dict__.update(state)

    @property
    def in_memory(self) -> bool:
        """They are not: each piece is computed when it is read."""
        return False

    def compute(self, backend: Backend = NUMPY) -> Features:
        """Return these descriptors held in memory.

        Parameters
        ----------
        backend : Backend
            Where they are computed.

        Raises
        ------
        InputError
            If they do not fit into memory.
        """
        check_memory(forecast_bytes(len(self), self.widths))
        if self.atoms is None and backend.on_host:
            return Features(self.describer.describe(self.molecules), self.weights)
        wanted = _all_atoms(self)
        scales = tuple(np.empty((len(self), width), np.float32) for width in self.widths)
        for block in cut(self.molecules.offsets, BLOCK_ATOMS):
            start, stop = self.molecules.offsets[[block.start, block.stop]]
            rows = np.flatnonzero((wanted >= start) & (wanted < stop))
            if len(rows):
                columns = zip(scales, self._described(self.molecules[block], backend), strict=True)
                for scale, values in columns:
                    scale[rows] = backend.to_host(backend.take(values, wanted[rows] - start))
        return Features(scales, self.weights)

    def on(self, backend: Backend) -> tuple[Any, ...]:
        """Return the scales as arrays of a device, computed there."""
        if backend.on_host:
            return self.scales
        scales = self._described(self.molecules, backend)
        if self.atoms is None:
            return scales
        return tuple(backend.take(scale, self.atoms) for scale in scales)

    def _described(self, molecules: Molecules, backend: Backend) -> tuple[Any, ...]:
        if backend.on_host:
            return self.describer.describe(molecules)
        return self.describer.describe_on(molecules, backend)

    def take(self, atoms: Index) -> OnDemandFeatures:
        """Select atoms; only their molecules will be described."""
        if isinstance(atoms, slice):
            chosen = np.arange(*atoms.indices(len(self)))
        else:
            chosen = np.arange(len(self))[atoms]
        chosen = chosen if self.atoms is None else self.atoms[chosen]
        molecule = self.molecules.molecule_index[chosen]
        touched, place = np.unique(molecule, return_inverse=True)
        part = self.molecules[_as_slice(touched)]
        local = chosen - self.molecules.offsets[molecule] + part.offsets[place]
        everything = len(local) == part.n_atoms and bool((local == np.arange(len(local))).all())
        return OnDemandFeatures(self.describer, part, None if everything else local)

    @staticmethod
    def concatenate(parts: Sequence[Features]) -> OnDemandFeatures:
        """Join selections that the same describer will compute."""
        lazy = [part for part in parts if isinstance(part, OnDemandFeatures)]
        if len(lazy) < len(parts) or any(part.describer != lazy[0].describer for part in lazy):
            raise InputError(
                "features: parts described on demand join only with others of the same "
                "transformer. Describe all of them together."
            )
        sets = [part.molecules for part in lazy]
        starts = np.cumsum([0, *(molecules.n_atoms for molecules in sets)])
        atoms = None
        if any(part.atoms is not None for part in lazy):
            pairs = zip(starts, lazy, strict=False)
            atoms = np.concatenate([start + _all_atoms(part) for start, part in pairs])
        return OnDemandFeatures(lazy[0].describer, type(sets[0]).concatenate(sets), atoms)


def _all_atoms(part: OnDemandFeatures) -> NDArray[np.intp]:
    return np.arange(part.molecules.n_atoms) if part.atoms is None else part.atoms


def _as_slice(index: NDArray[np.intp]) -> Index:
    """Turn consecutive indices into a slice, which copies nothing."""
    if len(index) and index[-1] - index[0] == len(index) - 1:
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def cut(offsets: NDArray[np.int64], n_atoms: int) -> list[slice]:
    """Cut molecules into runs of at most so many atoms, one molecule at least.

    Parameters
    ----------
    offsets : ndarray of shape (n_molecules + 1,)
        Atoms of molecule A are ``offsets[A]:offsets[A + 1]``.
    n_atoms : int
    """
    runs, start, stop = [], 0, 0
    while start < len(offsets) - 1:
        stop = int(np.searchsorted(offsets, offsets[start] + n_atoms, side="right")) - 1
        stop = max(stop, start + 1)
        runs.append(slice(start, stop))
        start = stop
    return runs


def forecast_bytes(n_atoms: int, widths: Sequence[int]) -> int:
    """Bytes that the descriptors of so many atoms take, float32.

    Parameters
    ----------
    n_atoms : int
    widths : sequence of int
        Columns of each scale.
    """
    return 4 * n_atoms * sum(widths)


def check_memory(needed: int) -> None:
    """Refuse descriptors that would not fit into memory.

    Raises
    ------
    InputError
        If more bytes are needed than are free.
    """
    free = host_memory()
    if needed > free:
        raise InputError(
            f"features: the descriptors take {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free. "
            'Walk over blocks of molecules described with on_demand=True (or "auto").'
        )


def _frozen_view(scale: Any) -> NDArray[np.float32]:
    view = np.asarray(scale, dtype=np.float32).view()
    view.flags.writeable = False
    return view


def _check_scales(scales: tuple[NDArray[np.float32], ...], weights: Sequence[float]) -> None:
    if not scales or len(scales) != len(weights):
        raise InputError(
            f"Features: expected at least one scale and one weight for each, got {len(scales)} "
            f"scales and {len(weights)} weights."
        )
    shapes = [scale.shape for scale in scales]
    if any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) != 1:
        raise InputError(
            f"Features: expected arrays of shape (n_atoms, d_s) with equal n_atoms, got {shapes}."
        )


def check_features(features: Features | None, n_atoms: int) -> None:
    """Features, where there are any, describe as many atoms as there are."""
    if features is not None and len(features) != n_atoms:
        raise InputError(
            f"features: expected descriptors of {n_atoms} atoms, got {len(features)}. "
            "Describe these very molecules."
        )


def join_features(parts: Sequence[Features | None]) -> Features | None:
    """Concatenate features that all parts have, or none."""
    present = [part for part in parts if part is not None]
    if present and len(present) < len(parts):
        raise InputError(
            f"features: {len(present)} of {len(parts)} parts have them: expected all or none. "
            "Describe all parts, or drop them with replace(features=None)."
        )
    if any(isinstance(part, OnDemandFeatures) for part in present):
        return OnDemandFeatures.concatenate(present)
    return Features.concatenate(present) if present else None
