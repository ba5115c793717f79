"""One HTML page in one file: title, notes, tables, pictures and settings.

Pictures are SVG, so that they stay sharp when a reader enlarges them. A page needs no other file,
and its content policy keeps it from loading any. What is on a page comes from the callers.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from typing import TYPE_CHECKING

from ..support.files import PathLike, atomic_write
from .plots import svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Table", "cell", "document", "picture", "setting", "table_html", "write_html_report"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5c6672; --line: #d9dee5;
  --paper: #ffffff; --tint: #f3f6fa; --accent: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #a3adba;
  --line: #343c48; --paper: #161b22; --tint: #1e2530; --accent: #7db4ee; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; color: var(--accent); }
p { margin: .5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 600; font-size: .88rem; }
tr.bold td { background: var(--tint); font-weight: 600; }
.settings td { text-align: left; font-family: ui-monospace, monospace; font-size: .85rem;
  overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; }
figcaption, footer { color: var(--soft); font-size: .88rem; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0 1.5rem; }
.pair h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; }
@media (min-width: 52rem) { .pair { grid-template-columns: minmax(0, 1.15fr) minmax(0, 1fr); } }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; }
$style
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
<footer>Charges in e, lengths in &aring;ngstr&ouml;m, dipoles in debye (D).</footer>
$scripts
</body>
</html>
""")
_BOLD = ' class="bold"'


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Parameters
    ----------
    title : str
    columns : sequence of str
        Headings, with units.
    rows : sequence of sequence
        Floats are shown with three decimals, None as a dash.
    highlight : int, default=None
        Row that is emphasised.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    highlight: int | None = None


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
    figures : mapping of str to Figure, default=None
        By caption.
    settings : mapping, default=None
        Parameters that are shown, by name.
    notes : sequence of str, default=()
        Paragraphs below the title.
    """
    parts = [f"<p>{escape(note)}</p>" for note in notes]
    parts += [f"<h2>{escape(table.title)}</h2>\n{table_html(table)}" for table in tables]
    parts += [picture(caption, figure) for caption, figure in (figures or {}).items()]
    if settings:
        parts.append(_settings(settings))
    text = document(title, parts)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def document(
    title: str, parts: Sequence[str], *, style: str = "", scripts: Sequence[str] = ()
) -> str:
    """Return the text of a page.

    Parameters
    ----------
    title : str
        Plain text.
    parts : sequence of str
        HTML, one below the other.
    style : str, default=""
        CSS in addition to that of every page.
    scripts : sequence of str, default=()
        Whole script elements, at the end of the page.
    """
    return _PAGE.substitute(
        title=escape(title),
        policy=_POLICY,
        style=style,
        body="\n".join(parts),
        scripts="\n".join(scripts),
    )


def picture(caption: str, figure: Figure) -> str:
    """Return a figure with its caption as HTML."""
    data = b64encode(svg_of(figure).encode()).decode()
    text = escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def table_html(table: Table) -> str:
    """Return a table as HTML, without its title; wide ones scroll within the page."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    body = "\n".join(
        f"<tr{_BOLD if index == table.highlight else ''}>{_cells(row)}</tr>"
        for index, row in enumerate(table.rows)
    )
    label = escape(table.title)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def cell(value: object) -> str:
    """Format a value for a table, as plain text."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def setting(value: object) -> str:
    """Format a parameter: numbers as one would type them."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _settings(settings: Mapping[str, object]) -> str:
    shown = [(name, setting(value)) for name, value in settings.items()]
    rows = "\n".join(f"<tr>{_cells(row)}</tr>" for row in shown)
    table = f'<table class="settings">{rows}</table>'
    return f'<h2>Settings</h2>\n<div class="scroll" tabindex="0">{table}</div>'


def _cells(row: Sequence[object]) -> str:
    return "".join(f"<td>{escape(cell(value))}</td>" for value in row)
