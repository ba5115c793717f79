"""Texts of many records in few bytes: names, stems of files, and places in files.

A Python string takes 50 bytes besides its letters, and the place of each record repeats the path
of the file. Numbers of records are in `record_columns.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Texts that are strings at the same time while an array is made of them.
_SOME = 10_000


class Texts:
    """Texts one behind another.

    Examples
    --------
    >>> from dipkit.data.formats.text_columns import Texts
    >>> names = Texts()
    >>> names.append("water")
    >>> names.append("hydrogen fluoride")
    >>> len(names), names[1], names.longest
    (2, 'hydrogen fluoride', 17)
    """

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])
        self.longest = 0
        """Characters of the longest text."""

    def __len__(self) -> int:
        """Count texts."""
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        """Return a text; places count from 0."""
        part = self._bytes[self._ends[place] : self._ends[place + 1]]
        return part.decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        """Yield the texts one by one."""
        return (self[place] for place in range(len(self)))

    def append(self, text: str) -> None:
        """Take one more text."""
        self._bytes += text.encode(errors="surrogatepass")
        self._ends.append(len(self._bytes))
        self.longest = max(self.longest, len(text))

    def to_array(self, start: int, stop: int) -> NDArray[np.str_]:
        """Return the texts of these places as an array."""
        texts = np.empty(stop - start, dtype=f"<U{max(self.longest, 1)}")
        for first in range(start, stop, _SOME):
            some = range(first, min(first + _SOME, stop))
            texts[first - start : some.stop - start] = [self[place] for place in some]
        return texts


class Runs:
    """Texts of which neighbours are often the same, as the stem of a file."""

    def __init__(self) -> None:
        self._texts, self._which = Texts(), array("q")
        self._last: str | None = None

    def __len__(self) -> int:
        """Count texts."""
        return len(self._which)

    def __getitem__(self, place: int) -> str:
        """Return a text; places count from 0."""
        return self._texts[self._which[place]]

    def __iter__(self) -> Iterator[str]:
        """Yield the texts one by one."""
        return (self[place] for place in range(len(self)))

    def append(self, text: str) -> None:
        """Take one more text."""
        if text != self._last:
            self._texts.append(text)
            self._last = text
        self._which.append(len(self._texts) - 1)


class Places:
    """Places in files, such as ``set.xyz, line 12``: what is before the last word repeats."""

    def __init__(self) -> None:
        self._heads, self._words = Runs(), Texts()

    def __len__(self) -> int:
        """Count places."""
        return len(self._words)

    def __getitem__(self, place: int) -> str:
        """Return a place as it was given."""
        return self._heads[place] + self._words[place]

    def append(self, where: str) -> None:
        """Take one more place."""
        head, blank, word = where.rpartition(" ")
        self._heads.append(head + blank)
        self._words.append(word)
