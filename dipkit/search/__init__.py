"""Choice of parameters: Optuna studies, cross-validation that shares work between folds.

Begin with `search_cv.py`, the estimator `DipoleSearchCV`. It draws from a space (`space.py`), runs
trials (`trial.py`) in a study (`study.py`) and compares the best one with the untuned estimator
(`guard.py`). `fold_grid.py` scores a grid of penalties in little more time than one fit.
Names of the model's parameters are only in `ridge_parameters.py`.

Not here: the model and its errors (`estimator/`), figures that are not of a study (`report/`), the
command `dipkit tune` (`cli/`).
"""

from __future__ import annotations

from .fold_grid import cross_validate_grid
from .grid import default_grid
from .search_cv import DipoleSearchCV
from .space import default_space, space_from_json
from .study_report import grid_errors, plot_study, write_study_report

__all__ = [
    "DipoleSearchCV",
    "cross_validate_grid",
    "default_grid",
    "default_space",
    "grid_errors",
    "plot_study",
    "space_from_json",
    "write_study_report",
]
