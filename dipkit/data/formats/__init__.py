"""File formats, one module each: what a file calls its labels, and in which unit.

Each module turns a file into `Molecules` or back; `ase_atoms.py` serves all formats that ASE reads.
Which module reads a file is decided in `dipkit.data.io`.
"""
