"""The numerics of the method: how labels of molecules become weights of basis functions.

Begin with `objective.py`, equation (4) of the theory page. In the order in which data flow:

- What charges are made of: `kernels.py` and `sparse_products.py` (kernel values of atoms and
  environments), `inducing.py` (choice of the environments), `basis.py` (basis functions, and the
  coefficients that weights become).
- Linear maps from charges to what labels are given for: `charge_maps.py` (sums, the projector,
  maps of the atoms of one element), `multipoles.py` (dipoles and quadrupoles), `atomic_dipoles.py`.
- What is minimised: `labels.py` (labels and sample weights of one fit), the terms of the objective
  and their sums over blocks of molecules (`dipole_gram.py`, `blocking.py` and the modules that are
  named after a term).
- The minimum: `initial_charges.py` (starts), `reweighted.py` (iterations), `lbfgs.py` (their
  acceleration), `normal_matrices.py` (what is factored).

Not here: files and units (`dipkit.data`), descriptors (`dipkit.descriptors`), and parameters,
fitted attributes and predictions of the estimator (`dipkit.estimator`).
"""

from __future__ import annotations

from .kernels import EnvironmentKernel, GaussianKernel, PowerKernel

__all__ = [
    "EnvironmentKernel",
    "GaussianKernel",
    "PowerKernel",
]
