"""`SOAPScale`: one SOAP power spectrum and its weight in the kernel; the usual sets of scales.

How descriptors of a scale are computed is not here (`radial_tables.py`), nor who does so
(`soap.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from sklearn.base import BaseEstimator, clone

from ..exceptions import InputError

__all__ = ["SOAPScale", "baseline_scales", "changed_scales", "default_scales", "is_whole"]


class SOAPScale(BaseEstimator):
    """One SOAP power spectrum and its weight in the kernel.

    Parameters
    ----------
    r_cut : float, default=2.2
        Cutoff radius, angstrom; more than 1 for ``rbf="gto"``.
    n_max : int, default=8
        Radial basis functions.
    l_max : int, default=5
        Highest degree of the spherical harmonics, at most 20.
    sigma : float, default=0.17
        Width of the Gaussian on each atom, angstrom.
    rbf : {"polynomial", "gto"}, default="polynomial"
        Radial basis. ``"gto"`` is several times faster, ``"polynomial"`` resolves short
        distances better.
    weight : float, default=1.0
        Weight of this scale in the kernel; the weights are divided by their sum.
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(
        self,
        r_cut: float = 2.2,
        n_max: int = 8,
        l_max: int = 5,
        sigma: float = 0.17,
        rbf: str = "polynomial",
        weight: float = 1.0,
    ) -> None:
        self.r_cut = r_cut
        self.n_max = n_max
        self.l_max = l_max
        self.sigma = sigma
        self.rbf = rbf
        self.weight = weight

    def check(self, name: str = "scale") -> None:
        """Refuse parameters that describe nothing.

        Parameters
        ----------
        name : str, default="scale"
            How messages call this scale.

        Raises
        ------
        InputError
        """
        least = 1.0 if self.rbf == "gto" else 0.0
        rules: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
            ("rbf", '"polynomial" or "gto"', ("polynomial", "gto").__contains__),
            ("r_cut", f"a number above {least:g} angstrom", _above(least)),
            ("sigma", "a positive number, angstrom", _above(0.0)),
            ("weight", "a positive number", _above(0.0)),
            ("n_max", "a whole number, at least 1", is_whole(1, None)),
            ("l_max", "a whole number from 0 to 20", is_whole(0, 20)),
        )
        for argument, expected, is_right in rules:
            value = getattr(self, argument)
            if not is_right(value):
                raise InputError(f"{name}__{argument}: expected {expected}, got {value!r}.")

    def key(self) -> tuple[Any, ...]:
        """Return what determines the descriptors, in plain types."""
        numbers = float(self.r_cut), int(self.n_max), int(self.l_max), float(self.sigma)
        return (*numbers, str(self.rbf))


def default_scales() -> tuple[SOAPScale, ...]:
    """Return the usual scales, from the nearest neighbours outward."""
    return (
        SOAPScale(2.2, 8, 5, 0.17, "polynomial", 1.0),
        SOAPScale(3.5, 6, 4, 0.3, "gto", 0.0025),
        SOAPScale(5.0, 6, 4, 0.5, "gto", 0.001),
    )


def baseline_scales() -> tuple[SOAPScale, ...]:
    """Return the scales for a model that corrects a baseline: the outer ones weigh more."""
    inner, middle, outer = default_scales()
    return inner, middle.set_params(weight=0.02), outer.set_params(weight=0.006)


def changed_scales(
    scales: tuple[SOAPScale, ...], changes: dict[str, Any], valid: set[str]
) -> tuple[SOAPScale, ...]:
    """Return copies of scales with some parameters changed.

    Parameters
    ----------
    scales : tuple of SOAPScale
    changes : dict
        By name, ``scale0`` or ``scale0__r_cut``.
    valid : set of str
        Names that may be changed.

    Raises
    ------
    InputError
        If a name is not valid.
    """
    unknown = sorted(set(changes) - valid)
    if unknown:
        raise InputError(
            f"SOAPTransformer.set_params: no parameter {', '.join(unknown)}; expected some of "
            f"{', '.join(sorted(valid))}."
        )
    result = [clone(scale) for scale in scales]
    # Whole scales go first, so that "scale0__r_cut" changes the new "scale0".
    for name, value in sorted(changes.items()):
        head, _, parameter = name.partition("__")
        index = int(head.removeprefix("scale"))
        if parameter:
            result[index].set_params(**{parameter: value})
        else:
            result[index] = clone(value)
    return tuple(result)


def _above(least: float) -> Callable[[Any], bool]:
    def is_right(value: Any) -> bool:
        return isinstance(value, Real) and least < float(value) < math.inf

    return is_right


def is_whole(least: int | None, most: int | None) -> Callable[[Any], bool]:
    """Return the test for a whole number from `least` to `most`, where None sets no bound."""

    def is_right(value: Any) -> bool:
        if not isinstance(value, Integral) or isinstance(value, bool):
            return False
        return (least is None or int(value) >= least) and (most is None or int(value) <= most)

    return is_right
