"""`Features`: the descriptors of all atoms, one array per SOAP scale.

Symbols: n atoms in all, scale s with d_s columns and weight w_s in the kernel.
Descriptors that do not fit into memory have the same interface (`on_demand.py`).
How descriptors are computed is not here (`soap.py`), nor are kernels that compare them
(`learning/kernels.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import InputError
from ..support.backend import NUMPY, Array, Backend
from ..support.ragged_index import Index
from ..support.system_memory import host_memory
from .provenance import require_same_provenance, same_provenance


@dataclass(frozen=True, eq=False)
class Features:
    """Descriptors of all atoms, one array per scale.

    Arrays are read-only views, not copies, because they are large.

    Parameters
    ----------
    scales : tuple of ndarray of shape (n_atoms, d_s), float32
        Descriptors, one array per scale.
    weights : tuple of float
        Weight of each scale in the kernel.
    made_by : str, default=None
        Origin of the descriptors: elements and parameters as in `SOAPTransformer.made_by_`, or any
        other text. An estimator accepts only descriptors of the same origin as in its `fit`. None
        is an unknown origin: then only the numbers of columns are compared.
    """

    scales: tuple[NDArray[np.float32], ...]
    weights: tuple[float, ...]
    made_by: str | None = None

    def __post_init__(self) -> None:
        """Check the shapes and take read-only views."""
        scales = tuple(_read_only_view(scale) for scale in self.scales)
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
        """Restore the read-only flags, which a pickle does not hold."""
        state["scales"] = tuple(_read_only_view(scale) for scale in state["scales"])
        self.__dict__.update(state)

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns d_s of each scale."""
        return tuple(scale.shape[1] for scale in self.scales)

    @property
    def in_memory(self) -> bool:
        """Whether the arrays exist, so that `compute` allocates nothing."""
        return True

    def compute(self, backend: Backend = NUMPY) -> Features:
        """Return descriptors in host memory: these, which are in memory already.

        Parameters
        ----------
        backend : Backend
            Device that computes descriptors that are not in memory.
        """
        return self

    def on(self, backend: Backend) -> tuple[Array, ...]:
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
        return Features(tuple(scale[atoms] for scale in self.scales), self.weights, self.made_by)

    def is_compatible(self, other: Features) -> bool:
        """Whether both have the same widths and weights, and may have been made in the same way."""
        same_shape = self.weights == other.weights and self.widths == other.widths
        return same_shape and same_provenance(self.made_by, other.made_by)

    @staticmethod
    def concatenate(parts: Sequence[Features]) -> Features:
        """Join the descriptors of several sets of atoms, in order.

        Raises
        ------
        InputError
            If the parts differ in their scales or in their origin.
        """
        if not parts:
            raise InputError("Features.concatenate: expected at least one part, got none.")
        first = parts[0]
        for part in parts[1:]:
            require_joinable(first, part)
            if not (part.in_memory and first.is_compatible(part)):
                raise InputError(
                    "Features.concatenate: parts differ in their scales: expected "
                    f"{first!r}, got {part!r}. Describe all of them with the same transformer."
                )
        columns = zip(*(part.scales for part in parts), strict=True)
        same = all(part.made_by == first.made_by for part in parts)
        return Features(
            tuple(np.concatenate(arrays) for arrays in columns),
            first.weights,
            first.made_by if same else None,
        )


def require_joinable(first: Features, part: Features) -> None:
    """Refuse parts that were made in different ways."""
    require_same_provenance(
        "features",
        first.made_by,
        part.made_by,
        "Describe all parts with the same SOAPTransformer.",
    )


def forecast_bytes(n_atoms: int, widths: Sequence[int]) -> int:
    """Memory that the descriptors of `n_atoms` atoms take, in bytes, float32.

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
        If `needed`, in bytes, is more than the free memory.
    """
    free = host_memory()
    if needed > free:
        raise InputError(
            f"features: the descriptors take {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free. "
            'Use SOAPTransformer(on_demand=True) (or "auto") and compute blocks of molecules.'
        )


def _read_only_view(scale: ArrayLike) -> NDArray[np.float32]:
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
