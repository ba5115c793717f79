"""How a model file is told from others; `dipkit info` asks this without loading the estimators."""

from __future__ import annotations

import zipfile

from .files import PathLike

__all__ = ["DESCRIPTION", "is_model"]

# The member of the zip that describes the model.
DESCRIPTION = "dipkit.json"


def is_model(path: PathLike) -> bool:
    """Whether the content of a file is that of a dipkit model, of any version."""
    try:
        with zipfile.ZipFile(path) as archive:
            return DESCRIPTION in archive.namelist()
    except Exception:  # a zip that is no model raises nearly anything
        return False
