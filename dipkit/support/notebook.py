"""What notebooks show: small HTML tables, and a bar of progress.

The bar needs only IPython, which every notebook has. Bars on a terminal are in `parallel.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

__all__ = ["in_notebook", "notebook_bar", "table_of"]

# A task that ends within this many seconds shows no bar; a bar is drawn anew after the second.
DELAY, EVERY = 1.0, 0.2

_CELL = "text-align:{};padding:.15em .6em"


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def table_of(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a small table as HTML.

    Parameters
    ----------
    caption : str
        Above the table.
    columns : sequence of str
        Headings, with units; empty for none.
    rows : sequence of sequence
        Floats are shown with three decimals, None as a dash. The first column is text.

    Examples
    --------
    >>> from dipkit.support.notebook import table_of
    >>> "<td" in table_of("2 molecules", ("name", "dipole (D)"), [["<a>", 1.85]])
    True
    """
    head = "".join(_cell("th", column, index) for index, column in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(_cell('td', value, index) for index, value in enumerate(row))}</tr>"
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if columns else ""
    return f"<div><p>{escape(caption)}</p><table>{top}<tbody>{body}</tbody></table></div>"


@contextmanager
def notebook_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar below the cell while a task runs; give the function that moves it by one step.

    Parameters
    ----------
    what : str
        Stands before the bar.
    total : int
        Steps.
    """
    bar = _Bar(what, total)
    try:
        yield bar.advance
    finally:
        bar.close()


class _Bar:
    """A bar; only one is shown at a time, so that a search does not show that of each fit."""

    shown: _Bar | None = None

    def __init__(self, what: str, total: int):
        self.what, self.total, self.done = what, total, 0
        self.drawn = time.monotonic() + DELAY - EVERY
        self.handle: Any = None

    def advance(self) -> None:
        """Move by one step, and draw where it is time to."""
        self.done += 1
        now = time.monotonic()
        if now - self.drawn < EVERY or _Bar.shown not in (None, self):
            return
        from IPython.display import HTML, display

        self.drawn, _Bar.shown = now, self
        if self.handle is None:
            self.handle = display(HTML(self.html()), display_id=True)
        else:
            self.handle.update(HTML(self.html()))

    def html(self) -> str:
        """Return the bar as it stands."""
        text = f"{escape(self.what)}: {self.done:,} of {self.total:,}"
        return f'<label>{text} <progress value="{self.done}" max="{self.total}"></progress></label>'

    def close(self) -> None:
        """Remove the bar."""
        if self.handle is not None:
            from IPython.display import HTML

            self.handle.update(HTML(""))
        if _Bar.shown is self:
            _Bar.shown = None


def _cell(tag: str, value: object, index: int) -> str:
    side = "right" if index else "left"
    return f'<{tag} style="{_CELL.format(side)}">{escape(_text(value))}</{tag}>'


def _text(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
