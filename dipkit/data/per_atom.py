"""Interface of the data that `Molecules` may carry for each atom, such as descriptors.

The container uses only this interface, so that `dipkit.data` does not import `dipkit.descriptors`,
which implements it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..support.backend import NUMPY, Array, Backend
from ..support.ragged_index import Index


class PerAtomData(Protocol):
    """Numbers of each atom, in one array of shape (n_atoms, d_s) per scale s."""

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each scale in the kernel."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns d_s of each scale."""

    @property
    def made_by(self) -> str | None:
        """Origin of the numbers; None is unknown. Numbers of different origin are not joined."""

    @property
    def scales(self) -> tuple[NDArray[np.float32], ...]:
        """One array of shape (n_atoms, d_s), float32, per scale."""

    @property
    def in_memory(self) -> bool:
        """Whether the arrays are in memory, and not computed when they are read."""

    def __len__(self) -> int:
        """Count atoms."""

    def take(self, atoms: Index) -> PerAtomData:
        """Select atoms."""

    def concatenate(self, parts: Sequence[Any]) -> PerAtomData:
        """Join parts of the same kind, in order; a static method of the class."""

    def compute(self, backend: Backend = NUMPY) -> PerAtomData:
        """Return the same data in memory."""

    def on(self, backend: Backend) -> tuple[Array, ...]:
        """Return the scales as arrays of a device."""


def check_per_atom(features: PerAtomData | None, n_atoms: int) -> None:
    """Refuse features whose number of atoms is not that of the molecules.

    Raises
    ------
    InputError
        If the numbers of atoms differ.
    """
    if features is not None and len(features) != n_atoms:
        raise InputError(
            f"features: expected descriptors of {n_atoms} atoms, got {len(features)}. "
            "Describe the same molecules."
        )


def join_per_atom(parts: Sequence[PerAtomData | None]) -> PerAtomData | None:
    """Concatenate features that all parts have, or none.

    Raises
    ------
    InputError
        If only some parts have features, or the features are of different kinds.
    """
    present = [part for part in parts if part is not None]
    if present and len(present) < len(parts):
        raise InputError(
            f"features: {len(present)} of {len(parts)} parts have them: expected all or none. "
            "Describe all parts, or drop them with replace(features=None)."
        )
    # Features computed on demand raise an error when they are joined with others.
    on_demand = [part for part in present if not part.in_memory]
    return (on_demand or present)[0].concatenate(present) if present else None
