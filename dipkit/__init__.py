"""dipkit: atomic charges by kernel ridge regression, learned from scalar dipole magnitudes.

Units everywhere: charges in e, lengths in angstrom, dipoles in debye.
"""

from __future__ import annotations

__version__ = "0.1.0"

from . import exceptions, units
from .exceptions import DipkitError
from .io import as_molecules, read, to_atoms, write
from .kernels import GaussianKernel, PowerKernel
from .molecules import Molecules
from .persistence import load_model, save_model
from .predicting import Prediction, default_model, predict_all
from .regression import DipoleKernelRidge
from .search import DipoleSearchCV
from .soap import SOAPScale, SOAPTransformer

__all__ = [
    "DipkitError",
    "DipoleKernelRidge",
    "DipoleSearchCV",
    "GaussianKernel",
    "Molecules",
    "PowerKernel",
    "Prediction",
    "SOAPScale",
    "SOAPTransformer",
    "as_molecules",
    "default_model",
    "exceptions",
    "load_model",
    "predict_all",
    "read",
    "save_model",
    "to_atoms",
    "units",
    "write",
]
