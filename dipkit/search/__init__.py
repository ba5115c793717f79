"""Choosing parameters: Optuna studies, cross-validation that shares work between folds.

Begin with `search_cv.py`, the estimator; `fold_grid.py` evaluates a grid of penalties for the
price of little more than one fit.
"""

from __future__ import annotations

from .fold_grid import cross_validate_grid
from .search_cv import DipoleSearchCV, default_grid, default_space
from .study import space_from_json

__all__ = [
    "DipoleSearchCV",
    "cross_validate_grid",
    "default_grid",
    "default_space",
    "space_from_json",
]
