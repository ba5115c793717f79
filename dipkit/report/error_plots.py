"""Figures of `error_groups.py`: bars of groups, and errors over predicted standard deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .error_groups import Calibration, Groups
from .plots import BLUE, GREY, ORANGE, log_marks, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_calibration", "draw_groups"]


def draw_groups(groups: Groups) -> Figure:
    """Draw means as bars, medians as diamonds, and the 95th percentiles as lines above them."""
    figure = new_figure(6.2, 3.9)
    axes = figure.subplots()
    places = np.arange(len(groups.labels))
    tops = np.array(groups.p95)
    axes.vlines(places, groups.means, tops, color=GREY, lw=1.5)
    axes.plot(places, tops, "_", color=GREY, ms=14, mew=2, label="95 %")
    axes.bar(places, groups.means, width=0.65, color=BLUE, alpha=0.85, label="mean")
    axes.plot(places, groups.medians, "D", color=ORANGE, mec="white", ms=7, label="median")
    turned = max(len(label) for label in groups.labels) * len(groups.labels) > 45
    axes.set_xticks(
        places, groups.labels, rotation=35 if turned else 0, ha="right" if turned else "center"
    )
    axes.set(xlabel=groups.quantity, ylabel="of absolute errors (D)", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def draw_calibration(found: Calibration) -> Figure:
    """Draw errors against predicted standard deviations, on logarithmic axes."""
    figure = new_figure(6.2, 4.4)
    axes = figure.subplots()
    std, rms = np.maximum(found.std, 1e-4), np.maximum(found.rms, 1e-4)
    low, high = 0.8 * min(std.min(), rms.min()), 1.25 * max(std.max(), rms.max())
    axes.plot([low, high], [low, high], color=GREY, lw=1, label="std = error")
    axes.plot(std, rms, "o-", color=BLUE, lw=1.6, ms=6, label="groups of molecules")
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), box_aspect=0.75)
    axes.set(xlabel="predicted standard deviation (D)", ylabel="RMS error (D)")
    ticks = log_marks(low, high)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure
