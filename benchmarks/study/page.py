"""The page docs/study.md: its tables and its first paragraph come from the CSV files alone.

The page is written by hand but for passages between two comments, ``<!-- study: NAME -->`` and
``<!-- end of study -->``, which are replaced. A passage without any result says so.
"""

from __future__ import annotations

import re
from pathlib import Path

MISSING = "*No result yet.*"
_PASSAGE = re.compile(
    r"(?P<begin><!-- study: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end of study -->)", re.DOTALL
)


def filled(text: str, passages: dict[str, str], keep_others: bool = False) -> str:
    """Put passages into a page.

    Parameters
    ----------
    text : str
        The page.
    passages : dict
        Text by name. A name without a place in the page is left out.
    keep_others : bool, default=False
        Whether places without a passage keep what they have.
    """

    def put(match: re.Match[str]) -> str:
        if keep_others and match["name"] not in passages:
            return match[0]
        passage = passages.get(match["name"], MISSING).strip("\n")
        return f"{match['begin']}\n{passage}\n\n{match['end']}"

    return _PASSAGE.sub(put, text)


def fill(path: Path, passages: dict[str, str], keep_others: bool = False) -> None:
    """Put passages into the file of a page, if there is one."""
    if path.exists():
        text = filled(path.read_text(encoding="utf-8"), passages, keep_others)
        path.write_text(text, encoding="utf-8")
