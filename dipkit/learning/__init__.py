"""The numerics of the method: kernels, basis, linear maps, terms, objective, solver.

Begin with `objective.py`, equation (4) of the theory page, then `reweighted.py`. Nothing here reads
a parameter of an estimator or stores a fitted attribute (`dipkit.estimator`).
"""

from __future__ import annotations

from .kernels import EnvironmentKernel, GaussianKernel, PowerKernel

__all__ = [
    "EnvironmentKernel",
    "GaussianKernel",
    "PowerKernel",
]
