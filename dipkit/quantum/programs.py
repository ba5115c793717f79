"""Optional programs: import of a program, and the origin of labels for a file.

What each program calculates is in `xtb.py` and `mean_field.py`.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from types import ModuleType

from ..exceptions import MissingDependencyError

__all__ = ["load", "provenance"]


def load(name: str) -> ModuleType:
    """Import a module of an optional program.

    Raises
    ------
    MissingDependencyError
        If the program is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{name.partition('.')[0]} is needed for this calculation and cannot be imported "
            f'({error}). Install it with: pip install "dipkit[labels]"'
        ) from error


def provenance(program: str, method: str, basis: str, scheme: str) -> dict[str, str]:
    """Return the origin of labels as words to keep in a file; empty words are left out."""
    words = {
        "label_program": program,
        "label_version": version(program),
        "label_method": method,
        "label_basis": basis,
        "label_charges": scheme,
    }
    return {key: word for key, word in words.items() if word}
