"""Brackets within brackets: how deeply the content of a file may be nested.

Parsers go one level down in the stack of the process for each bracket, and some build an object
for each, so that a file of brackets alone fails in odd ways.
"""

from __future__ import annotations

import re

from ...exceptions import FileFormatError

# Data of molecules have five levels or so.
DEEPEST = 50

_BRACKET = re.compile(r"[\[\]{}]")


def check_nesting(text: str, where: str) -> None:
    """Refuse brackets nested more deeply than `DEEPEST`; brackets in words count too.

    Parameters
    ----------
    text : str
    where : str
        The file or the record, for messages.

    Raises
    ------
    FileFormatError

    Examples
    --------
    >>> from dipkit.data.formats.nesting import check_nesting
    >>> check_nesting("[[1, 2], [3, 4]]", "here")
    >>> check_nesting("[" * 100, "here")
    Traceback (most recent call last):
    dipkit.exceptions.FileFormatError: here: brackets are nested more than 50 levels deep: expected
    data of a molecule. The file is damaged or of another kind.
    """
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > DEEPEST:
            raise FileFormatError(
                f"{where}: brackets are nested more than {DEEPEST} levels deep: expected data of "
                "a molecule. The file is damaged or of another kind."
            )
