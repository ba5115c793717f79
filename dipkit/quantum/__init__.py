"""Dipoles and charges of given geometries by GFN2-xTB, Hartree-Fock and density functionals.

Here: the methods for one molecule (`xtb.py` with tblite, `mean_field.py` with PySCF), one method
over many molecules (`calculation.py`), derivatives by finite differences, files of labels
(`labelling.py`, which `dipkit label` runs). Not here: learning from the results, or correcting
them (`dipkit.estimator`); normal modes (`dipkit.response`). Begin with `calculation.py`, then
`xtb.py`. A new method is a class with `calculate`, see `Method`, and a name in
`labels.parse_method`.
"""

from __future__ import annotations

from .calculation import Calculated, Calculation, CalculationError, Method, calculate
from .labelling import Labelled, label_file
from .labels import gfn2, parse_method
from .mean_field import CHARGE_SCHEMES, MeanField
from .xtb import GFN2

__all__ = [
    "CHARGE_SCHEMES",
    "GFN2",
    "Calculated",
    "Calculation",
    "CalculationError",
    "Labelled",
    "MeanField",
    "Method",
    "calculate",
    "gfn2",
    "label_file",
    "parse_method",
]
