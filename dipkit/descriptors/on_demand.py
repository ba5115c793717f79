"""`OnDemandFeatures`: descriptors that are computed each time they are read, and not stored.

Symbols: n atoms in all, scale s with d_s columns. The interface is that of `features.Features`. The
computation is not here (`describer.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.backend import NUMPY, Array, Backend
from ..support.ragged_index import Index, cut
from .features import Features, check_memory, forecast_bytes, require_joinable

# Atoms of one block where only some atoms of the molecules are selected: all atoms of a block are
# described, and the rows of the others are dropped.
BLOCK_ATOMS = 8192


class Describer(Protocol):
    """Object that computes the descriptors of molecules."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns d_s of each scale."""

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each scale in the kernel."""

    @property
    def made_by(self) -> str | None:
        """Origin of the descriptors, see `Features`."""

    def describe(self, molecules: Molecules) -> tuple[NDArray[np.float32], ...]:
        """Return one array of shape (n_atoms, d_s) per scale."""

    def describe_on(self, molecules: Molecules, backend: Backend) -> tuple[Array, ...]:
        """Compute the same on a device, and return arrays of the device."""


class OnDemandFeatures(Features):
    """Descriptors that are computed each time they are read, and not stored.

    Selecting molecules computes nothing, so an estimator that goes through blocks of molecules has
    the descriptors of one block in memory at a time. Reading `scales` computes all scales again:
    read `scales` once per block, or call `compute`.

    Parameters
    ----------
    describer : Describer
    molecules : Molecules
        Geometries to describe.
    atoms : ndarray of shape (n_selected,), default=None
        Selected atoms of these molecules; None selects all.
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
                "made_by": describer.made_by,
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
        """Restore from a pickle; there are no arrays to make read-only here."""
        self.__dict__.update(state)

    @property
    def in_memory(self) -> bool:
        """Return False: descriptors are computed when they are read."""
        return False

    def compute(self, backend: Backend = NUMPY) -> Features:
        """Return these descriptors in host memory.

        Parameters
        ----------
        backend : Backend
            Device that computes them.

        Raises
        ------
        InputError
            If they do not fit into memory.
        """
        check_memory(forecast_bytes(len(self), self.widths))
        if self.atoms is None and backend.on_host:
            return self._in_memory(self.describer.describe(self.molecules))
        scales = tuple(np.empty((len(self), width), np.float32) for width in self.widths)
        for rows, described in self._blocks(backend):
            for scale, values in zip(scales, described, strict=True):
                scale[rows] = backend.to_host(values)
        return self._in_memory(scales)

    def on(self, backend: Backend) -> tuple[Array, ...]:
        """Return the scales as arrays of a device, which computes them."""
        if backend.on_host:
            return self.scales
        if self.atoms is None:
            return self._describe(self.molecules, backend)
        shapes = [(len(self), width) for width in self.widths]
        scales = tuple(backend.empty(shape, backend.xp.float32) for shape in shapes)
        for rows, described in self._blocks(backend):
            for scale, values in zip(scales, described, strict=True):
                backend.put(scale, rows, values)
        return scales

    def _blocks(self, backend: Backend) -> Iterator[tuple[NDArray[np.intp], tuple[Array, ...]]]:
        """Yield rows of the result, and their descriptors on a device, for blocks of molecules."""
        selected = _selected_atoms(self)
        for block in cut(self.molecules.offsets, BLOCK_ATOMS):
            start, stop = self.molecules.offsets[[block.start, block.stop]]
            rows = np.flatnonzero((selected >= start) & (selected < stop))
            if len(rows):
                described = self._describe(self.molecules[block], backend)
                local = selected[rows] - start
                yield rows, tuple(backend.take(values, local) for values in described)

    def _in_memory(self, scales: tuple[NDArray[np.float32], ...]) -> Features:
        return Features(scales, self.weights, self.made_by)

    def _describe(self, molecules: Molecules, backend: Backend) -> tuple[Array, ...]:
        if backend.on_host:
            return self.describer.describe(molecules)
        return self.describer.describe_on(molecules, backend)

    def take(self, atoms: Index) -> OnDemandFeatures:
        """Select atoms; only molecules with selected atoms will be described."""
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
        """Join selections of atoms that the same describer will compute, in order.

        Raises
        ------
        InputError
            If a part is in memory, or has another describer.
        """
        on_demand = [part for part in parts if isinstance(part, OnDemandFeatures)]
        for part in on_demand[1:]:
            require_joinable(on_demand[0], part)
        describers = [part.describer for part in on_demand]
        if len(on_demand) < len(parts) or any(one != describers[0] for one in describers):
            raise InputError(
                "features: parts described on demand join only with others of the same "
                "transformer. Describe all of them together."
            )
        sets = [part.molecules for part in on_demand]
        starts = np.cumsum([0, *(molecules.n_atoms for molecules in sets)])
        atoms = None
        if any(part.atoms is not None for part in on_demand):
            pairs = zip(starts, on_demand, strict=False)
            atoms = np.concatenate([start + _selected_atoms(part) for start, part in pairs])
        return OnDemandFeatures(describers[0], Molecules.concatenate(sets), atoms)


def _selected_atoms(part: OnDemandFeatures) -> NDArray[np.intp]:
    return np.arange(part.molecules.n_atoms) if part.atoms is None else part.atoms


def _as_slice(index: NDArray[np.intp]) -> Index:
    """Turn consecutive indices into a slice, which copies nothing."""
    if len(index) and index[-1] - index[0] == len(index) - 1:
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
