"""Molecules with their labels, and how they are read, checked and written.

Begin with `molecules.py`, the container. `io.py` reads and writes it through `formats/`, one module
for each file format; `label_keys.py` lists the names of labels in files. `geometry_checks.py` and
`label_checks.py` refuse bad values, `outdated.py` drops values that a change makes invalid.

Not here: descriptors (`dipkit.descriptors`), and calculations of labels (`dipkit.quantum`).
"""

from __future__ import annotations

from .datasets import fetch_qm9, load_organics
from .formats.ase_atoms import from_atoms, to_atoms
from .io import as_molecules, read, read_parts, write
from .molecules import Molecules
from .summary import Summary

__all__ = [
    "Molecules",
    "Summary",
    "as_molecules",
    "fetch_qm9",
    "from_atoms",
    "load_organics",
    "read",
    "read_parts",
    "to_atoms",
    "write",
]
