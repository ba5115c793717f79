"""What `Molecules` may carry for each atom: anything that can be selected and joined by atoms.

Descriptors are the one example (`dipkit.descriptors`). The container knows this interface only, so
that data stay below descriptors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..exceptions import InputError
from ..support.backend import NUMPY, Backend
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
        """What made the numbers; None is unknown. Numbers of different origin are not joined."""

    @property
    def scales(self) -> tuple[Any, ...]:
        """One array of shape (n_atoms, d_s), float32, per scale."""

    @property
    def in_memory(self) -> bool:
        """Whether the arrays are held, rather than computed when they are read."""

    def __len__(self) -> int:
        """Count atoms."""

    def take(self, atoms: Index) -> PerAtomData:
        """Select atoms."""

    def concatenate(self, parts: Sequence[Any]) -> PerAtomData:
        """Join parts of the same kind, in order; a static method of the class."""

    def compute(self, backend: Backend = NUMPY) -> PerAtomData:
        """Return the same data held in memory."""

    def on(self, backend: Backend) -> tuple[Any, ...]:
        """Return the scales as arrays of a device."""


def check_per_atom(features: PerAtomData | None, n_atoms: int) -> None:
    """Features, where there are any, describe as many atoms as there are.

    Raises
    ------
    InputError
        If the numbers of atoms differ.
    """
    if features is not None and len(features) != n_atoms:
        raise InputError(
            f"features: expected descriptors of {n_atoms} atoms, got {len(features)}. "
            "Describe these very molecules."
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
    # Features computed on demand refuse to be joined with others, and say so.
    on_demand = [part for part in present if not part.in_memory]
    return (on_demand or present)[0].concatenate(present) if present else None
