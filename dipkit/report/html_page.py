"""One HTML page in one file: title, notes, tables, pictures and settings.

The content comes from the callers (`plots.py` and the rooms above).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from string import Template

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1d2530; --soft: #66707d; --line: #d9dee5;
  --paper: #ffffff; --tint: #f3f6fa; --accent: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #98a2b0;
  --line: #343c48; --paper: #161b22; --tint: #1e2530; --accent: #7db4ee; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; color: var(--ink);
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
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; }
</style>
</head>
<body>
<h1>$title</h1>
$body
<footer>Charges in e, lengths in &aring;ngstr&ouml;m, dipoles in debye (D).</footer>
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


def page(
    title: str,
    *,
    tables: Sequence[Table] = (),
    pictures: Mapping[str, bytes] | None = None,
    settings: Mapping[str, object] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return the text of a page.

    Parameters
    ----------
    title : str
    tables : sequence of Table
    pictures : mapping of str to bytes, default=None
        PNG files by caption.
    settings : mapping of str to object, default=None
        Parameters that are shown, by name.
    notes : sequence of str
        Paragraphs below the title.
    """
    parts = [f"<p>{escape(note)}</p>" for note in notes]
    parts += [_table(table) for table in tables]
    parts += [_picture(caption, png) for caption, png in (pictures or {}).items()]
    if settings:
        parts.append(_settings(settings))
    return _PAGE.substitute(title=escape(title), body="\n".join(parts))


def cell(value: object) -> str:
    """Format a value for a table, as plain text."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def setting(value: object) -> str:
    """Format a parameter: numbers as one would type them."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    body = "\n".join(
        f"<tr{_BOLD if index == table.highlight else ''}>{_cells(row)}</tr>"
        for index, row in enumerate(table.rows)
    )
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _settings(settings: Mapping[str, object]) -> str:
    shown = [(name, setting(value)) for name, value in settings.items()]
    rows = "\n".join(f"<tr>{_cells(row)}</tr>" for row in shown)
    return f'<h2>Settings</h2>\n<div class="scroll"><table class="settings">{rows}</table></div>'


def _cells(row: Sequence[object]) -> str:
    return "".join(f"<td>{escape(cell(value))}</td>" for value in row)


def _picture(caption: str, png: bytes) -> str:
    data = b64encode(png).decode()
    text = escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
