"""Lines of a text with their numbers, and a look at those that follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

# Digits of a number of atoms, and of the index of a molecule.
_MOST_DIGITS = 18


class NumberedLines:
    r"""Lines that are taken one after another.

    Parameters
    ----------
    lines : iterable of str
        With their ends.
    where : str
        The file, for messages.

    Examples
    --------
    >>> from dipkit.data.formats.numbered_lines import NumberedLines
    >>> lines = NumberedLines(["1\n", "\n", "He 0 0 0\n"], "he.xyz")
    >>> lines.peek(2), lines.take(), lines.number
    ('He 0 0 0\n', '1\n', 1)
    """

    def __init__(self, lines: Iterable[str], where: str) -> None:
        self._rest, self._ahead = iter(lines), deque[str]()
        self._taken: list[str] = []
        self.where = where
        self.number = 0
        """Number of the line taken last, from 1."""

    def peek(self, distance: int = 0) -> str:
        """Return a line without taking it: 0 is the next one; empty after the end."""
        missing = distance + 1 - len(self._ahead)
        if missing > 0:
            self._ahead.extend(islice(self._rest, missing))
        return self._ahead[distance] if distance < len(self._ahead) else ""

    def take(self) -> str:
        """Take the next line; empty after the end."""
        line = self.peek()
        if self._ahead:
            self._ahead.popleft()
            self.number += 1
            self._taken.append(line)
        return line

    def begin(self) -> None:
        """Mark this place, for `again`."""
        self._taken.clear()

    def again(self) -> None:
        """Go back to the place of the latest `begin`."""
        self._ahead.extendleft(reversed(self._taken))
        self.number -= len(self._taken)
        self._taken.clear()

    def take_many(self, count: int) -> list[str]:
        """Take some lines; fewer where the text ends."""
        lines = [self._ahead.popleft() for _ in range(min(count, len(self._ahead)))]
        lines += islice(self._rest, count - len(lines))
        self.number += len(lines)
        self._taken += lines
        return lines

    def skip_blank(self) -> bool:
        """Take blank lines; return whether a line follows."""
        while (line := self.peek()) and not line.strip():
            self.take()
        return bool(line)


def count_in(word: str) -> int:
    """Return the number of atoms that a word of digits names; 0 where it names none.

    Examples
    --------
    >>> from dipkit.data.formats.numbered_lines import count_in
    >>> count_in("12"), count_in("-1"), count_in("9" * 5000)
    (12, 0, 0)
    """
    return int(word) if len(word) <= _MOST_DIGITS and word.isascii() and word.isdigit() else 0
