"""Sections of the page about a model that show a plot with a table beside it.

Symbols: N molecules with a label and a prediction, errors (N,) = predicted - reference in debye.
The page is put together in `model_page.py`.
"""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from ..estimator.predicted_molecules import Prediction
from . import error_groups
from .error_plots import draw_calibration, draw_groups
from .html_page import Table, picture, table_html
from .learning_curve import LearningCurveDisplay
from .parity import ParityDisplay
from .plots import new_figure

__all__ = ["curve_section", "error_sections", "section"]

FloatArray = NDArray[np.float64]


def error_sections(prediction: Prediction, errors: FloatArray) -> list[str]:
    """Return the plots of the errors of a prediction, whose molecules all have a label."""
    molecules, std = prediction.molecules, prediction.std
    display = ParityDisplay(molecules.dipole_magnitude, prediction.magnitude, std)
    parity, histogram = new_figure(5.4, 5.4), new_figure(5.4, 4.2)
    display.plot(ax=parity.subplots())
    display.plot("errors", ax=histogram.subplots())
    histogram.axes[0].set_box_aspect(0.65)
    bars = " Bars: predicted standard deviations." if std is not None else ""
    sizes, elements, magnitudes = (
        group(molecules, errors)
        for group in (error_groups.by_size, error_groups.by_element, error_groups.by_magnitude)
    )
    parts = [
        _pair(
            "Predicted and reference dipoles",
            picture(f"Predicted against reference magnitudes.{bars}", parity),
            magnitudes.table(),
        ),
        _pair(
            "Distribution of the errors",
            picture("Errors of the magnitudes, predicted minus reference.", histogram),
            _quantile_table(errors),
        ),
    ]
    for groups, heading in ((sizes, "Errors by size"), (elements, "Errors by element")):
        caption = f"{heading}: mean, median and 95th percentile of absolute errors."
        parts.append(_pair(heading, picture(caption, draw_groups(groups)), groups.table()))
    if std is not None:
        parts.append(_calibration(error_groups.calibration(std, errors)))
    return parts


def curve_section(curve: LearningCurveDisplay) -> str:
    """Return the errors over the number of training molecules."""
    figure = new_figure(6.6, 4.8)
    curve.plot(ax=figure.subplots())
    plot = picture(f"Errors over the number of training molecules. {curve.band_words()}", figure)
    return _pair("Learning curve", plot, curve.table())


def _calibration(found: error_groups.Calibration) -> str:
    one, two = (round(100 * share) for share in found.shares)
    caption = (
        f"Errors over predicted standard deviations. {one} % of the errors are within one "
        f"standard deviation (68 % expected), {two} % within 1.96 (95 % expected)."
    )
    plot = picture(caption, draw_calibration(found))
    return _pair("Errors by predicted standard deviation", plot, found.table())


def _quantile_table(errors: FloatArray) -> Table:
    shares = (0, 2.5, 16, 50, 84, 97.5, 100)
    names: dict[float, str] = {0: "lowest", 50: "50 % (median)", 100: "highest"}
    rows = [
        [names.get(share, f"{share:g} %"), f"{value:+.3f}"]
        for share, value in zip(shares, np.percentile(errors, shares).tolist(), strict=True)
    ]
    return Table("Quantiles of the errors", ("share of the errors below", "error (D)"), rows)


def section(heading: str, content: str, anchor: str = "") -> str:
    """Return a heading and what is below it, as HTML."""
    mark = f' id="{anchor}"' if anchor else ""
    return f"<h2{mark}>{escape(heading)}</h2>\n{content}"


def _pair(heading: str, plot: str, table: Table) -> str:
    beside = f"<div><h3>{escape(table.title)}</h3>{table_html(table)}</div>"
    return section(heading, f'<div class="pair">{plot}{beside}</div>')
