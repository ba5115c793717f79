"""Records of a file that cannot be used: which ones, why, and what is said about them.

A record is bad where it cannot be read, or its geometry or its labels contradict themselves.
Readers collect bad records; whether they are an error or are left out is the choice of the user
(`ReadOptions.skip_invalid`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..exceptions import FileFormatError, InputError

__all__ = ["BadRecord", "describe", "find_refused", "refuse", "warn_left_out"]

_N_NAMED = 3


class BadRecord(NamedTuple):
    """A record that cannot be used.

    Parameters
    ----------
    row : int
        Place among all records of the file or the folder, from 0.
    name : str
        Empty where it could not be read.
    reason : str
    damaged : bool
        Whether the record could not be read at all.
    """

    row: int
    name: str
    reason: str
    damaged: bool = False


def find_refused(n: int, attempt: Callable[[int, int], object]) -> dict[int, InputError]:
    """Find the items that are refused: tries all, then halves of what is refused.

    Parameters
    ----------
    n : int
        Number of items.
    attempt : callable
        ``attempt(start, stop)`` uses these items, or raises `InputError`.

    Returns
    -------
    dict
        The error of each item that is refused by itself.
    """
    refused: dict[int, InputError] = {}

    def search(start: int, stop: int) -> None:
        if start == stop:
            return
        try:
            attempt(start, stop)
        except InputError as error:
            if stop - start == 1:
                refused[start] = error
                return
            middle = (start + stop) // 2
            search(start, middle)
            search(middle, stop)

    search(0, n)
    return refused


def describe(bad: Sequence[BadRecord], n_records: int, what: str = "records are bad") -> str:
    """Count bad records and name the first few, with the reason of each.

    Examples
    --------
    >>> from dipkit.data.bad_records import BadRecord, describe
    >>> describe([BadRecord(2, "water", "two atoms coincide.")], 5)
    "1 of 5 records are bad: record 2 ('water'): two atoms coincide"
    """
    return f"{len(bad)} of {n_records} {what}: {_listed(bad)}"


def _listed(bad: Sequence[BadRecord]) -> str:
    """Name the first few records with their reasons."""
    named = [f"{_record(one)}: {one.reason.rstrip('.')}" for one in bad[:_N_NAMED]]
    return "; ".join(named + _more(bad))


def _named(bad: Sequence[BadRecord]) -> str:
    """Name the first few records, which are bad for one reason."""
    return ", ".join([_record(one) for one in bad[:_N_NAMED]] + _more(bad)) + ", alike"


def _record(one: BadRecord) -> str:
    return f"record {one.row}{f' ({one.name!r})' if one.name else ''}"


def _more(bad: Sequence[BadRecord]) -> list[str]:
    return [f"and {len(bad) - _N_NAMED} more"] if len(bad) > _N_NAMED else []


def _without_numbers(reason: str) -> str:
    """Leave out names and numbers, in which the same reason differs from record to record."""
    return re.sub(r"\(\'.*?\'\)|[-+]?\d[\d.e+-]*", "", reason)


def refuse(bad: Sequence[BadRecord], n_records: int) -> InputError:
    """Return the error for bad records that may not be left out."""
    kind = FileFormatError if bad[0].damaged else InputError
    if n_records == 1 or len({one.reason for one in bad}) == 1 < len(bad):
        return kind(bad[0].reason)
    first, others = bad[0].reason, bad[1:]
    alike = all(_without_numbers(one.reason) == _without_numbers(first) for one in others)
    also = f" (also {_named(others) if alike else _listed(others)})" if others else ""
    count = f"{len(bad)} of {n_records} records {'are' if others else 'is'} bad{also}"
    if len(bad) == n_records:
        return kind(f"{first} {count}.")
    return kind(
        f"{first} {count}. Repair them, or leave them out: --skip-invalid (skip_invalid=True)."
    )


def warn_left_out(bad: Sequence[BadRecord], n_records: int) -> None:
    """Give one warning for all records that were left out, if there are any."""
    if bad:
        warnings.warn(f"{describe(bad, n_records)}. They were left out.", stacklevel=3)
