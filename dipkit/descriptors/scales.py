"""`SOAPScale`: parameters of one SOAP power spectrum and its weight; the usual sets of scales.

How descriptors of a scale are computed is not here (`radial_tables.py`), nor is the transformer
that has several scales (`soap.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import NamedTuple

from sklearn.base import BaseEstimator

from ..exceptions import InputError
from .radial_channels import RadialChannels

__all__ = [
    "MANY_MOLECULES",
    "SOAPScale",
    "ScaleKey",
    "baseline_scales",
    "default_scales",
    "is_whole",
]

# Above so many molecules descriptors are finer: there is enough to learn the difference from.
MANY_MOLECULES = 10_000


class ScaleKey(NamedTuple):
    """What determines the power spectra of a scale; see `SOAPScale`.

    `channels` are learned, see `channel_learning.py`; None for dscribe's own radial functions.
    """

    r_cut: float
    n_max: int
    l_max: int
    sigma: float
    rbf: str
    channels: RadialChannels | None = None

    def parameters(self) -> dict[str, float | str]:
        """Return the parameters alone, without the learned channels."""
        return {name: value for name, value in self._asdict().items() if name != "channels"}


class SOAPScale(BaseEstimator):
    """One SOAP power spectrum and its weight in the kernel.

    Parameters
    ----------
    r_cut : float, default=2.0
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
        r_cut: float = 2.0,
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
        """Refuse parameters that no power spectrum can have.

        Parameters
        ----------
        name : str, default="scale"
            Name of this scale in messages.

        Raises
        ------
        InputError
        """
        least = 1.0 if self.rbf == "gto" else 0.0
        rules: tuple[tuple[str, str, Callable[[object], bool]], ...] = (
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

    def key(self) -> ScaleKey:
        """Return the parameters that determine the power spectra, in plain types."""
        return ScaleKey(
            float(self.r_cut), int(self.n_max), int(self.l_max), float(self.sigma), str(self.rbf)
        )


def default_scales(n_molecules: int = 0) -> tuple[SOAPScale, ...]:
    """Return the usual scales, the shortest cutoff first.

    Parameters
    ----------
    n_molecules : int, default=0
        Molecules of the fit. Above 10,000 the first cutoff is 2.2 in place of 2.0 angstrom.
    """
    return (
        SOAPScale(2.2 if n_molecules > MANY_MOLECULES else 2.0, 8, 5, 0.17, "polynomial", 1.0),
        SOAPScale(3.5, 6, 4, 0.3, "gto", 0.0025),
        SOAPScale(5.0, 6, 4, 0.5, "gto", 0.001),
    )


def baseline_scales() -> tuple[SOAPScale, ...]:
    """Return the scales for a model with a baseline: long cutoffs have larger weights."""
    inner, middle, outer = default_scales()
    return inner, middle.set_params(weight=0.02), outer.set_params(r_cut=4.4, weight=0.002)


def _above(least: float) -> Callable[[object], bool]:
    """Return the test for a finite number greater than `least`."""

    def is_right(value: object) -> bool:
        return isinstance(value, Real) and least < float(value) < math.inf

    return is_right


def is_whole(least: int | None, most: int | None) -> Callable[[object], bool]:
    """Return the test for a whole number from `least` to `most`, where None sets no bound."""

    def is_right(value: object) -> bool:
        if not isinstance(value, Integral) or isinstance(value, bool):
            return False
        return (least is None or int(value) >= least) and (most is None or int(value) <= most)

    return is_right
