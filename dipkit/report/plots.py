"""Figures, and one HTML page that contains them. No other module imports matplotlib.

Figures are made without pyplot: no window opens, and figures share no state. Symbols: N molecules,
magnitudes in debye. The page is composed in `html_page.py`, errors are computed in
`dipkit.estimator.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimator.metrics import error_report
from ..exceptions import InputError, MissingDependencyError
from ..support.files import PathLike, atomic_write
from .html_page import Table, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..estimator.metrics import Report

__all__ = [
    "plot_convergence",
    "plot_learning_curve",
    "plot_parity",
    "require_matplotlib",
    "save_figure",
    "write_html_report",
]

FloatArray = NDArray[np.float64]

BLUE, ORANGE, GREY = "#1f5fa8", "#d9742b", "#8a8f98"
_COLOURS = (BLUE, ORANGE, "#3d8f5f", "#8c5aa8", "#b03a48", GREY)
_MARKERS = "osD^vP"
# With more points than this, points are small and drawn as pixels: vector files would be too large.
_MANY = 2000


class _Style(TypedDict, total=False):
    color: str
    marker: str


class SolveHistory(Protocol):
    """What a solver returns, as far as it is drawn."""

    @property
    def history(self) -> Sequence[float]:
        """Objective at the start and after each iteration, debye^2."""


class FittedHistory(Protocol):
    """What a fitted estimator has, as far as it is drawn."""

    history_: NDArray[np.float64]


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


@contextmanager
def borrowed_pyplot() -> Iterator[None]:
    """Let another library draw with pyplot, and restore pyplot's style and figures afterwards."""
    from matplotlib import pyplot, rc_context

    before = set(pyplot.get_fignums())
    with rc_context():
        yield
    for number in set(pyplot.get_fignums()) - before:
        pyplot.close(number)


def plot_parity(
    true: ArrayLike, predicted: ArrayLike, *, title: str = "", label: str = "reference"
) -> Figure:
    """Plot predicted against reference magnitudes, and a histogram of the errors.

    Parameters
    ----------
    true, predicted : array-like of shape (n_molecules,), debye
    title : str, default=""
    label : str, default="reference"
        Name of the reference, for the axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    true, predicted = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    if true.ndim != 1:
        raise InputError(f"true: expected magnitudes of shape (n_molecules,), got {true.shape}.")
    figure = new_figure(9.0, 4.6)
    parity, errors = figure.subplots(1, 2)
    _draw_parity(parity, true, predicted)
    parity.set(xlabel=f"|μ| {label} (D)", ylabel="|μ| predicted (D)")
    _draw_errors(errors, predicted - true)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontweight="bold")
    return figure


def plot_learning_curve(
    sizes: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    ylabel: str = "test MAE (D)",
    title: str = "",
) -> Figure:
    """Plot errors against the number of training molecules, on logarithmic axes.

    Parameters
    ----------
    sizes : array-like of shape (n_sizes,)
    curves : mapping of str to array-like of shape (n_sizes,) or (n_sizes, n_seeds), debye
        By name of the model. For several seeds the line is the mean and the band is the range.
    ylabel, title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    sizes = np.asarray(sizes)
    figure = new_figure(6.6, 4.6)
    axes = figure.subplots()
    for index, (name, values) in enumerate(curves.items()):
        values = np.asarray(values, np.float64).reshape(len(sizes), -1)
        style: _Style = {"color": _COLOURS[index % 6], "marker": _MARKERS[index % 6]}
        axes.plot(sizes, values.mean(axis=1), label=name, lw=1.8, ms=5.5, **style)
        axes.fill_between(sizes, values.min(1), values.max(1), color=style["color"], alpha=0.15)
    axes.set(xscale="log", yscale="log", xlabel="training molecules", ylabel=ylabel, title=title)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes.tolist()])
    axes.xaxis.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter("{x:g}" if high < 15 * low else "")
    axes.grid(which="both", alpha=0.25)
    axes.legend(frameon=False)
    return figure


def plot_convergence(result: SolveHistory | FittedHistory, *, title: str = "") -> Figure:
    """Plot the objective minus its last value, after each iteration.

    Parameters
    ----------
    result : SolveResult or fitted DipoleKernelRidge
    title : str, default=""

    Returns
    -------
    matplotlib.figure.Figure
    """
    values = result.history_ if hasattr(result, "history_") else result.history
    history = np.asarray(values, np.float64)
    excess = (history - history[-1]) / max(abs(history[-1]), np.finfo(float).tiny)
    figure = new_figure(6.0, 4.0)
    axes = figure.subplots()
    # Zero, the last value, cannot be drawn on a logarithmic axis.
    drawn = excess > 0
    axes.semilogy(np.flatnonzero(drawn), excess[drawn], "o-", color=BLUE, lw=1.6, ms=4)
    axes.set(xlabel="iteration", ylabel="(J - J_last) / J_last")
    axes.set_title(title or f"{len(history) - 1} iterations, J = {history[-1]:.4g} D²")
    axes.grid(alpha=0.25)
    return figure


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


def write_html_report(
    path: PathLike,
    *,
    title: str,
    tables: Sequence[Table] = (),
    figures: Mapping[str, Figure] | None = None,
    settings: Mapping[str, object] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write one HTML page that contains its figures and needs no other file.

    Parameters
    ----------
    path : str or path
    title : str
    tables : sequence of Table
        See `dipkit.report.html_page.Table`.
    figures : mapping of str to Figure, default=None
        By caption.
    settings : mapping, default=None
        Parameters that are shown, by name.
    notes : sequence of str, default=()
        Paragraphs below the title.
    """
    pictures = {caption: _inline(figure) for caption, figure in (figures or {}).items()}
    text = page(title, tables=tables, pictures=pictures, settings=settings or {}, notes=notes)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _inline(figure: Figure) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, made without pyplot; width and height in inches."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


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
        style: _Style = {"color": BLUE, "marker": "o"} if first else {"color": GREY}
        axes.plot(x, y, label=label, lw=2 if first else 1, alpha=1 if first else 0.5, **style)


def _draw_parity(axes: Axes, true: FloatArray, predicted: FloatArray) -> None:
    top = 1.04 * max(float(true.max()), float(predicted.max()), 1e-3)
    many = len(true) > _MANY
    size, alpha = (6, 0.35) if many else (18, 0.6)
    axes.plot([0, top], [0, top], color=GREY, lw=1, zorder=1)
    axes.scatter(
        true, predicted, s=size, alpha=alpha, color=BLUE, linewidths=0, zorder=2, rasterized=many
    )
    axes.set(ylim=(0, top), xticks=axes.get_yticks(), box_aspect=1)
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.grid(alpha=0.25)
    axes.text(
        0.035, 0.965, _error_table(error_report(true, predicted)), transform=axes.transAxes,
        va="top", family="monospace", fontsize=8.5, linespacing=1.35,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 3},
    )  # fmt: skip


def _draw_errors(axes: Axes, errors: FloatArray) -> None:
    # With a few outliers all other errors would be in one bar: the outermost bins count all errors
    # beyond them.
    reach = max(float(np.percentile(np.abs(errors), 98)) * 1.15, 1e-3)
    bins = np.linspace(-reach, reach, int(np.clip(2 * np.sqrt(len(errors)), 12, 40))).tolist()
    axes.hist(np.clip(errors, -reach, reach), bins=bins, color=ORANGE, alpha=0.85)
    axes.axvline(0, color=GREY, lw=1)
    axes.set(xlabel="error, predicted - reference (D)", ylabel="molecules", box_aspect=1)
    axes.set_xlim(-reach, reach)
    axes.locator_params(axis="y", integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def _error_table(report: Report) -> str:
    """Format the errors as lines of text."""
    keys = {"MAE": "mae", "median": "median", "95 %": "p95", "RMSE": "rmse"}
    lines = [f"{name:7}{report[f'{key}_debye']:.3f} D" for name, key in keys.items()]
    lines += [] if report["r2"] is None else [f"{'R²':7}{report['r2']:.3f}"]
    return "\n".join([f"{'n':7}{report['n']:,}", *lines])
