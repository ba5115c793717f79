"""Conversion to values that JSON can hold. Writing files is not here (`files.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: object) -> Any:
    """Turn a value into one that JSON can hold; other objects become their repr."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return repr(value)
