"""dipkit: atomic charges by kernel ridge regression, learned from scalar dipole magnitudes.

Units everywhere: charges in e, lengths in angstrom, dipoles in debye.

Each public name loads its module at first use, so that ``import dipkit`` is quick. The same names
stand in ``__init__.pyi``, for type checkers and editors.
"""

from __future__ import annotations

from importlib import import_module

from . import exceptions as exceptions
from . import units as units

__version__ = "0.1.0"

_NAMES_OF_MODULES = {
    "data.formats.ase_atoms": ["to_atoms"],
    "data.io": ["as_molecules", "read", "write"],
    "data.molecules": ["Molecules"],
    "descriptors.scales": ["SOAPScale"],
    "descriptors.soap": ["SOAPTransformer"],
    "estimator.auxiliary": ["AuxiliaryDipoles"],
    "estimator.baseline": ["GFN2Baseline", "GivenBaseline"],
    "estimator.label_suggestions": ["LabelSuggestion", "suggest_labels"],
    "estimator.parameters": [
        *("ChargeStart", "InducingBasis", "RandomStart", "Reweighted", "ZeroStart")
    ],
    "estimator.persistence": ["load_model", "save_model"],
    "estimator.pipeline": ["default_model", "predict_all"],
    "estimator.predicted_molecules": ["Prediction"],
    "estimator.regression": ["DipoleKernelRidge"],
    "exceptions": ["DipkitError"],
    "learning.kernels": ["GaussianKernel", "PowerKernel"],
    "learning.losses": ["AbsoluteLoss", "HuberLoss", "SquaredLoss"],
    "search.search_cv": ["DipoleSearchCV"],
}
_MODULE_OF = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}
_ROOMS = ("data", "descriptors", "estimator", "learning", "quantum", "report", "response", "search")

__all__ = sorted([*_MODULE_OF, "exceptions", "units"])


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
