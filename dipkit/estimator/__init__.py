"""`DipoleKernelRidge`: parameters, fit, predictions, standard deviations, saved models.

Begin with `regression.py`, then `fit.py` and `minimum.py` (fitting), `predictor.py` and
`prediction.py` (methods that predict, and their computation). Groups of parameters are in
`parameters.py`, baselines in `baseline.py`, standard deviations in `std_calibration.py` and
`std_prediction.py`, files of models in `persistence.py`.

Not here: the equations that a fit solves (`dipkit.learning`), and the choice of parameters by
cross-validation (`dipkit.search`).
"""

from __future__ import annotations

from .auxiliary import AuxiliaryDipoles
from .baseline import Baseline, GFN2Baseline, GivenBaseline
from .metrics import SCORERS, charge_errors, compare, error_report, mae_scorer, rmse_scorer
from .parameters import ChargeStart, InducingBasis, RandomStart, Reweighted, Start, ZeroStart
from .persistence import load_model, read_metadata, save_model
from .pipeline import default_model, predict_all, predict_parts
from .predicted_molecules import Prediction
from .regression import DipoleKernelRidge

__all__ = [
    "SCORERS",
    "AuxiliaryDipoles",
    "Baseline",
    "ChargeStart",
    "DipoleKernelRidge",
    "GFN2Baseline",
    "GivenBaseline",
    "InducingBasis",
    "Prediction",
    "RandomStart",
    "Reweighted",
    "Start",
    "ZeroStart",
    "charge_errors",
    "compare",
    "default_model",
    "error_report",
    "load_model",
    "mae_scorer",
    "predict_all",
    "predict_parts",
    "read_metadata",
    "rmse_scorer",
    "save_model",
]
