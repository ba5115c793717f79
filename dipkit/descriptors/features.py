"""`Features`: the descriptors of all atoms, one array per SOAP scale.

Symbols: n atoms in all, scale s with d_s columns and weight w_s in the kernel.
Descriptors that do not fit into memory have the same interface (`on_demand.py`).
How descriptors are computed is not here (`soap.py`), nor how they are compared
(`learning/kernels.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..support.backend import NUMPY, Backend
from ..support.ragged_index import Index
from ..support.system_memory import host_memory


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
            if not (part.in_memory and first.is_compatible(part)):
                raise InputError(
                    "Features.concatenate: parts differ in their scales: expected "
                    f"{first!r}, got {part!r}. Describe all of them with the same transformer."
                )
        columns = zip(*(part.scales for part in parts), strict=True)
        return Features(tuple(np.concatenate(arrays) for arrays in columns), first.weights)


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
