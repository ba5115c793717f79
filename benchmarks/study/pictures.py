"""Pictures of the study: curves of errors and drawn molecules, each as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .results import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of Okabe and Ito, and two more: colour-blind readers can tell them apart, with the markers.
COLOURS = (
    "#999999", "#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7",
    "#e69f00", "#b0a000", "#a8323e", "#5b3a8c", "#000000",
)  # fmt: skip
MARKERS = "osD^vP<>hX*"


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a picture as SVG and as PNG, with the same bytes for the same picture."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "dipkit"}):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})


def error_curves(rows: Sequence[Row], title: str, cited: bool = False) -> Figure:
    """Draw the error over N, a line for each variant; cited points have no line.

    Parameters
    ----------
    rows : sequence of row
        With ``words``, ``n``, ``mae`` and ``mae_se``.
    title : str
    cited : bool, default=False
        Whether variants of a single point are open symbols.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    names = list(dict.fromkeys(row["words"] for row in rows))
    # One column: two of the longest names are wider than the picture.
    figure = Figure(figsize=(8.5, 4.8 + 0.19 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        mine = sorted((row for row in rows if row["words"] == name), key=lambda row: row["n"])
        n = [row["n"] for row in mine]
        error = [row["mae"] for row in mine]
        spread = np.nan_to_num([_number(row.get("mae_se")) for row in mine])
        style: dict[str, Any] = {
            "color": COLOURS[place % len(COLOURS)],
            "marker": MARKERS[place % len(MARKERS)],
            # Colours come again after the last one: their lines are dashed.
            "linestyle": "-" if place < len(COLOURS) else "--",
            "markersize": 5,
        }
        if cited and len(mine) == 1:
            style |= {"linestyle": "none", "markerfacecolor": "none", "markersize": 9}
        axes.errorbar(n, error, spread, label=name, capsize=2, **style)
    axes.set(xscale="log", yscale="log", xlabel="molecules with a magnitude, N")
    axes.set(ylabel="mean absolute error, D", title=title)
    ticks = sorted({row["n"] for row in rows})
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks], rotation=45 if len(ticks) > 8 else 0)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.grid(alpha=0.3, which="both")
    figure.legend(loc="outside lower center", fontsize=8, frameon=False, handlelength=4)
    return figure


def bars(rows: Sequence[Row], group: str, label: str, value: str, title: str, unit: str) -> Figure:
    """Draw bars in groups.

    Parameters
    ----------
    rows : sequence of row
    group, label, value : str
        Names of the columns for groups, labels within a group, and lengths.
    title, unit : str
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    groups = list(dict.fromkeys(row[group] for row in rows))
    labels = list(dict.fromkeys(row[label] for row in rows))
    width = 0.8 / max(len(labels), 1)
    for place, name in enumerate(labels):
        mine = {row[group]: row[value] for row in rows if row[label] == name}
        x = np.arange(len(groups)) + (place - (len(labels) - 1) / 2) * width
        heights = [mine.get(each, np.nan) for each in groups]
        axes.bar(x, heights, width, label=name, color=COLOURS[(place + 2) % len(COLOURS)])
    axes.set_xticks(np.arange(len(groups)), groups, rotation=30, ha="right")
    axes.set(ylabel=unit, title=title)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def molecules_drawn(frames: Sequence[tuple[Any, str]], columns: int = 5) -> Figure:
    """Draw molecules in a grid.

    Parameters
    ----------
    frames : sequence of (ase.Atoms, str)
        Each with its caption.
    columns : int, default=5
    """
    from ase.visualize.plot import plot_atoms
    from matplotlib.figure import Figure

    rows = -(-len(frames) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows), layout="constrained")
    for place, (atoms, caption) in enumerate(frames, 1):
        axes = figure.add_subplot(rows, columns, place)
        plot_atoms(_flattened(atoms), axes, radii=0.45)
        axes.set_axis_off()
        axes.set_title(caption, fontsize=7)
    return figure


def _flattened(atoms: Any) -> Any:
    """Turn a molecule so that most of it lies in the plane of the paper."""
    found = atoms.copy()
    positions = found.positions - found.positions.mean(axis=0)
    axes = np.linalg.svd(positions, full_matrices=False)[2]
    axes[2] *= np.sign(np.linalg.det(axes))
    found.positions = positions @ axes.T
    return found
