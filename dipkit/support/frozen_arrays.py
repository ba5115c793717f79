"""A base for frozen dataclasses of arrays: read-only flags, pickling, unchecked construction.

The arrays of molecules are in `dipkit.data.molecules`, which uses this base.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Clear the write flag of an array that nobody else holds."""
    array.flags.writeable = False
    return array


class FrozenArrays:
    """Base of frozen dataclasses whose arrays are read-only; other values may be cached."""

    @classmethod
    def _trusted(cls, **values: Any) -> Self:
        """Build from arrays that were checked before."""
        instance = cls.__new__(cls)
        instance.__setstate__(values)
        return instance

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __getstate__(self) -> dict[str, Any]:
        """Leave cached values out of the pickle."""
        return self._fields()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the read-only flags, which a pickle does not contain."""
        self._set(**state)
        for value in state.values():
            if isinstance(value, np.ndarray):
                read_only(value)
