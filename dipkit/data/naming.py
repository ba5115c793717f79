"""Molecules in sentences: how many, and the first few by name."""

from __future__ import annotations

from collections.abc import Sequence

_N_NAMED = 3


def counted(number: int) -> str:
    """Return '1 molecule' or '3 molecules'."""
    return f"{number} molecule{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Name the first three, and count the others.

    Examples
    --------
    >>> from dipkit.data.naming import listed
    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(names[:_N_NAMED])
    return f"{shown} and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else shown
