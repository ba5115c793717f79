"""File formats, one module each: what a file calls its labels, and in which unit.

Begin with `records.py`, which all readers share; then `champs.py`, the shortest one. `ase_atoms.py`
serves all formats that ASE reads, `ase_files.py` opens them. Which module reads a file is decided
in `dipkit.data.io`; whether labels make sense is checked in `dipkit.data.label_checks`.
"""
