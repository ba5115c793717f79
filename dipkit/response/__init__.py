"""How dipoles answer to moving atoms: derivatives, vibrations, an ASE calculator.

Begin with `derivatives.py`. Predictions at a fixed geometry are in `dipkit.estimator`.
"""

from __future__ import annotations

from .ase_calculator import DipkitCalculator
from .derivatives import charge_derivatives, dipole_derivatives
from .vibrations import NormalModes, infrared_intensities, normal_modes, thermal_geometries

__all__ = [
    "DipkitCalculator",
    "NormalModes",
    "charge_derivatives",
    "dipole_derivatives",
    "infrared_intensities",
    "normal_modes",
    "thermal_geometries",
]
