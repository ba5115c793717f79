"""Sums of ASE calculators: a predicted dipole is not added to that of another calculator.

`ase.calculators.mixing` adds each property that all its calculators have, and tells a calculator
nothing about the others. So the callers are looked at.
"""

from __future__ import annotations

import sys
from types import FrameType

from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from ase.calculators.mixing import Mixer

# From ASE's sum to `get_property` of one calculator.
MOST_FRAMES = 6


def refuse_sum_with_others(name: str, calculator: BaseCalculator) -> None:
    """Refuse where this property is about to be added to that of a calculator of another kind.

    Averages over several models, and other calculators of weight 0, are allowed.

    Parameters
    ----------
    name : str
        Property.
    calculator : ase calculator
        The one that is asked.

    Raises
    ------
    PropertyNotImplementedError
        Says what to do instead.
    """
    mixer = _mixer(sys._getframe(1))
    if mixer is None:
        return
    others = [
        type(other).__name__
        for other, weight in zip(mixer.calcs, mixer.weights, strict=True)
        if not isinstance(other, type(calculator)) and weight != 0
    ]
    if others:
        raise PropertyNotImplementedError(
            f"{name}: this sum would add the {name} of {', '.join(others)} to the predicted one. "
            "Energies and forces of one and dipoles of the other: DipkitCalculator(model, base=...)"
        )


def _mixer(frame: FrameType | None) -> Mixer | None:
    """Return the sum that is among the callers, None without one."""
    for _ in range(MOST_FRAMES):
        if frame is None:
            return None
        caller = frame.f_locals.get("self")
        if isinstance(caller, Mixer):
            return caller
        frame = frame.f_back
    return None
