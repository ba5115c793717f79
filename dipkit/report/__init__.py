"""Plots and pages that show results, with the extra `plot` (matplotlib).

`plots.py` draws figures and writes them; `html_page.py` puts tables and figures on one page that
needs no other file.

Not here: the errors that are shown (`dipkit.estimator.metrics`), and the figures of a search
(`dipkit.search.study_report`).

Begin with `plots.py`.
"""

from __future__ import annotations

from .html_page import Table
from .plots import (
    plot_convergence,
    plot_learning_curve,
    plot_parity,
    save_figure,
    write_html_report,
)

__all__ = [
    "Table",
    "plot_convergence",
    "plot_learning_curve",
    "plot_parity",
    "save_figure",
    "write_html_report",
]
