"""Displays and pages that show results, with the extra `plot` (matplotlib).

`parity.py`, `learning_curve.py`, `charges.py` and `convergence.py` each hold one display in the
manner of scikit-learn: `from_estimator`, `plot(ax=)`, `figure_`, `ax_`. `model_page.py` shows a
model on one page: errors, and molecules in 3D. `html_page.py` is what all pages are made of.
`curve_table.py` reads and writes files of learning curves.

Not here: the errors that are shown (`dipkit.estimator.metrics`), and the figures of a search
(`dipkit.search.study_report`).

Begin with `parity.py`.
"""

from __future__ import annotations

from .charges import ChargesDisplay
from .convergence import ConvergenceDisplay
from .html_page import Table, write_html_report
from .learning_curve import LearningCurveDisplay
from .model_page import ModelReport, model_report
from .parity import ParityDisplay
from .plots import save_figure

__all__ = [
    "ChargesDisplay",
    "ConvergenceDisplay",
    "LearningCurveDisplay",
    "ModelReport",
    "ParityDisplay",
    "Table",
    "model_report",
    "save_figure",
    "write_html_report",
]
