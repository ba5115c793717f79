"""Checks of scalar parameters and of arrays of numbers: argument, expected, got.

Arrays of molecules are checked in `dipkit.data`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import InputError

# Kinds of NumPy that are no real numbers.
_KINDS = {"U": "text", "S": "text", "T": "text", "b": "truth values", "c": "complex numbers"}
_KINDS |= {"M": "dates", "m": "times"}


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


def real_array(
    name: str, value: ArrayLike | Sequence[ArrayLike], unit: str = "", bools: bool = False
) -> NDArray[np.float64]:
    """Return an array of floats; text, complex numbers and truth values are no numbers here.

    Parameters
    ----------
    name : str
        Argument, for the message.
    value : array-like
    unit : str, default=""
        Unit, for the message.
    bools : bool, default=False
        Whether truth values count as 0 and 1.

    Raises
    ------
    InputError
    """
    expected = f"{name}: expected numbers{f' in {unit}' if unit else ''}, got"
    try:
        array = np.asarray(value)
        kinds = {array.dtype.kind}
        if kinds == {"O"}:
            kinds = {np.asarray(item).dtype.kind for item in array.ravel().tolist()}
        odd = kinds - set("iufOb" if bools else "iufO")
        if array.size and odd:
            raise InputError(f"{expected} {_KINDS.get(min(odd), 'something else')}.")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{expected} {type(value).__name__}: {error}.") from None
