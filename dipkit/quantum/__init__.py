"""Cheap and less cheap quantum chemistry: dipoles and charges of given geometries.

Begin with `calculation.py`: one method over many molecules, failures counted; `xtb.py` and
`mean_field.py` are the methods. Learning from the results is not here (`dipkit.estimator`).
"""

from __future__ import annotations

from .calculation import Calculated, calculate
from .labels import gfn2, parse_method
from .mean_field import MeanField
from .xtb import GFN2

__all__ = [
    "GFN2",
    "Calculated",
    "MeanField",
    "calculate",
    "gfn2",
    "parse_method",
]
