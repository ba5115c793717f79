"""How dipoles change when atoms move: derivatives, infrared spectra, an ASE calculator.

Here: derivatives of predicted charges and dipoles with respect to the positions
(`derivatives.py`), normal modes, thermal geometries and infrared intensities (`vibrations.py`),
charges and dipoles for ASE (`ase_calculator.py`). Not here: predictions at a fixed geometry
(`dipkit.estimator`), calculations of labels (`dipkit.quantum`), energies and forces, which come
from another ASE calculator. Begin with `derivatives.py`.
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
