"""Checks of scalar parameters: argument, expected, got.

Arrays of molecules are checked in `dipkit.data`.
"""

from __future__ import annotations

import math
import numbers

from ..exceptions import InputError


def check_number(name: str, value: object, above: float | None) -> None:
    """Refuse what is not a finite number greater than `above`, or >= 0 where that is None."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if real else math.nan  # type: ignore[arg-type]
    if not math.isfinite(number) or (number < 0 if above is None else number <= above):
        expected = "a number >= 0" if above is None else f"a number > {above:g}"
        raise InputError(f"{name}: expected {expected}, got {value!r}.")


def check_whole(name: str, value: object, least: int) -> None:
    """Refuse what is not an integer of at least `least`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or int(value) < least:
        raise InputError(f"{name}: expected an integer >= {least}, got {value!r}.")


def check_jobs(name: str, value: object) -> None:
    """Refuse what is not a number of processes: a whole number other than 0, or None."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if value is not None and (not whole or value == 0):
        raise InputError(
            f"{name}: expected a whole number other than 0, got {value!r}. 1 works in this process "
            "alone, -1 takes all cores."
        )
