from . import exceptions, units
from .data.formats.ase_atoms import to_atoms
from .data.io import as_molecules, read, write
from .data.molecules import Molecules
from .descriptors.scales import SOAPScale
from .descriptors.soap import SOAPTransformer
from .estimator.auxiliary import AuxiliaryDipoles
from .estimator.baseline import GFN2Baseline, GivenBaseline
from .estimator.label_suggestions import LabelSuggestion, suggest_labels
from .estimator.parameters import ChargeStart, InducingBasis, RandomStart, Reweighted, ZeroStart
from .estimator.persistence import load_model, save_model
from .estimator.pipeline import default_model, predict_all
from .estimator.predicted_molecules import Prediction
from .estimator.regression import DipoleKernelRidge
from .exceptions import DipkitError
from .learning.kernels import GaussianKernel, PowerKernel
from .learning.losses import AbsoluteLoss, HuberLoss, SquaredLoss
from .search.search_cv import DipoleSearchCV

__version__: str

__all__ = [
    "AbsoluteLoss",
    "AuxiliaryDipoles",
    "ChargeStart",
    "DipkitError",
    "DipoleKernelRidge",
    "DipoleSearchCV",
    "GFN2Baseline",
    "GaussianKernel",
    "GivenBaseline",
    "HuberLoss",
    "InducingBasis",
    "LabelSuggestion",
    "Molecules",
    "PowerKernel",
    "Prediction",
    "RandomStart",
    "Reweighted",
    "SOAPScale",
    "SOAPTransformer",
    "SquaredLoss",
    "ZeroStart",
    "as_molecules",
    "default_model",
    "exceptions",
    "load_model",
    "predict_all",
    "read",
    "save_model",
    "suggest_labels",
    "to_atoms",
    "units",
    "write",
]
