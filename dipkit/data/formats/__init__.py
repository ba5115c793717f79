"""File formats, one module each: the names of labels in files, and their units.

Begin with `records.py`, which all readers share; then `champs.py`, the shortest one. `ase_atoms.py`
serves all formats that ASE reads, `ase_files.py` opens them. Not here: the choice of the module
that reads a file (`dipkit.data.io`), and checks of labels (`dipkit.data.label_checks`).
"""
