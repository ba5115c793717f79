"""Matplotlib for the displays and pages: axes, colours, files. No other module imports it.

pyplot is imported only where a display makes its own axes, so that it shows in a notebook. Figures
for files and pages are made without it (`new_figure`): no window opens, and figures share no state.
The displays themselves are in `parity.py`, `learning_curve.py`, `charges.py` and `convergence.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from math import ceil, floor, log10
from typing import TYPE_CHECKING, TypedDict

from numpy.typing import ArrayLike

from ..exceptions import MissingDependencyError
from ..support.files import PathLike, atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_curves",
    "figure_and_axes",
    "log_marks",
    "new_figure",
    "require_matplotlib",
    "save_figure",
    "svg_of",
]

# Of the colours of Okabe and Ito, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PURPLE, RED = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a8323e"
GREY = "#767c85"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
MARKERS = "osD^vP"
# With more points than this, points are small and drawn as pixels: vector files would be too large.
MANY_POINTS = 1000


class Style(TypedDict, total=False):
    """Style of a line."""

    color: str
    marker: str


def require_matplotlib() -> None:
    """Raise an error if matplotlib is not installed.

    Raises
    ------
    MissingDependencyError
        Names the extra to install.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError('plots need matplotlib: pip install "dipkit[plot]"') from error


def figure_and_axes(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Return axes to draw on, and their figure; None makes them with pyplot.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
    width, height : float
        Size of a new figure, inches.
    """
    require_matplotlib()
    if ax is not None:
        figure = ax.get_figure(root=True)
        assert figure is not None  # axes that can be drawn on belong to a figure
        return figure, ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, made without pyplot; width and height in inches."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def log_marks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10 and so on between two values: marks of a logarithmic axis.

    Examples
    --------
    >>> from dipkit.report.plots import log_marks
    >>> log_marks(0.04, 0.6)
    [0.05, 0.1, 0.2, 0.5]
    """
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    marks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [mark for mark in marks if low <= mark <= high]


def save_figure(figure: Figure, path: PathLike) -> None:
    """Write a figure to a file, which appears only when it is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path
        The suffix gives the format, for example ``.png`` or ``.pdf``.
    """
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=160)


def svg_of(figure: Figure) -> str:
    """Return a figure as the text of an SVG file; the same figure gives the same text."""
    from matplotlib import rc_context

    buffer = StringIO()
    with rc_context({"svg.hashsalt": "dipkit", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def draw_curves(
    axes: Axes, curves: Sequence[tuple[ArrayLike, ArrayLike]], labels: Sequence[str]
) -> None:
    """Draw the first curve in colour, above the others in pale grey.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : sequence of (x, y)
    labels : sequence of str
        Label of the first curve, and one label of all others.
    """
    for index, (x, y) in reversed(list(enumerate(curves))):
        first, label = index == 0, labels[min(index, 1)] if index < 2 else None
        style: Style = {"color": BLUE, "marker": "o"} if first else {"color": GREY}
        axes.plot(x, y, label=label, lw=2 if first else 1, alpha=1 if first else 0.5, **style)
