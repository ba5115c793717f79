"""`OnDemandFeatures`: descriptors that are computed when asked for, and not kept.

Symbols: n atoms in all, scale s with d_s columns. The interface is that of `features.Features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.backend import NUMPY, Backend
from ..support.ragged_index import Index, cut
from .features import Features, check_memory, forecast_bytes

# Atoms described at once where only some of them are wanted.
BLOCK_ATOMS = 8192


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
        return OnDemandFeatures(lazy[0].describer, Molecules.concatenate(sets), atoms)


def _all_atoms(part: OnDemandFeatures) -> NDArray[np.intp]:
    return np.arange(part.molecules.n_atoms) if part.atoms is None else part.atoms


def _as_slice(index: NDArray[np.intp]) -> Index:
    """Turn consecutive indices into a slice, which copies nothing."""
    if len(index) and index[-1] - index[0] == len(index) - 1:
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
