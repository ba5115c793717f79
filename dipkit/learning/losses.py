"""Losses rho(e) of the residual e of a dipole, and the weights of their majorisers.

Symbols: residual e in debye, rho(e) in debye^2. At a residual e the parabola
omega(e) x^2 + constant with omega(e) = rho'(e) / (2 e) touches rho and lies above it everywhere:
this makes iterative reweighting possible. To add a loss, write a subclass of `Loss` that is even in
e and concave in e^2. How the objective uses losses is in `objective.py`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from numbers import Real
from types import ModuleType

import numpy as np
from sklearn.base import BaseEstimator

from ..exceptions import InputError
from ..support.backend import Array

__all__ = ["AbsoluteLoss", "HuberLoss", "Loss", "SquaredLoss", "make_loss"]

# Residuals below this, in debye, count as zero in the weight of the absolute loss.
ABSOLUTE_FLOOR = 1e-3


class Loss(BaseEstimator):
    """rho(e), even in e and concave in e^2, so that a parabola through e majorises it."""

    #: True where `weight` is 1 for every residual: the normal matrix never changes.
    constant_weight = False

    @abstractmethod
    def value(self, e: Array, xp: ModuleType = np) -> Array:
        """rho(e), elementwise, debye^2."""

    @abstractmethod
    def weight(self, e: Array, xp: ModuleType = np) -> Array:
        """omega(e) = rho'(e) / (2 e), elementwise."""

    @abstractmethod
    def curvature(self, e: Array, xp: ModuleType = np) -> Array:
        """kappa(e) = rho''(e) / 2, elementwise; never above omega(e)."""

    def check(self) -> None:
        """Refuse parameters that give no loss."""


class SquaredLoss(Loss):
    """rho(e) = e^2.

    Examples
    --------
    >>> import numpy as np
    >>> SquaredLoss().value(np.array([0.5, -2.0]))
    array([0.25, 4.  ])
    """

    __module__ = "dipkit"  # the path that saved models name

    constant_weight = True

    def value(self, e: Array, xp: ModuleType = np) -> Array:
        """Square of the residual."""
        return e * e

    def weight(self, e: Array, xp: ModuleType = np) -> Array:
        """Ones."""
        return xp.ones_like(e)

    def curvature(self, e: Array, xp: ModuleType = np) -> Array:
        """Ones."""
        return xp.ones_like(e)


class HuberLoss(Loss):
    """``rho(e) = e^2 for |e| <= t, else 2 t |e| - t^2``.

    Parameters
    ----------
    threshold : float, default=0.2
        t, the residual where the loss becomes linear, debye.

    Examples
    --------
    >>> import numpy as np
    >>> HuberLoss(threshold=1.0).value(np.array([0.5, -2.0]))
    array([0.25, 3.  ])
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(self, threshold: float = 0.2):
        self.threshold = threshold

    def value(self, e: Array, xp: ModuleType = np) -> Array:
        """Square below the threshold, linear above."""
        size, t = xp.abs(e), self.threshold
        return xp.where(size <= t, e * e, 2 * t * size - t * t)

    def weight(self, e: Array, xp: ModuleType = np) -> Array:
        """min(1, t / |e|)."""
        return self.threshold / xp.maximum(xp.abs(e), self.threshold)

    def curvature(self, e: Array, xp: ModuleType = np) -> Array:
        """1 up to the threshold, 0 above."""
        return xp.where(xp.abs(e) <= self.threshold, xp.ones_like(e), xp.zeros_like(e))

    def check(self) -> None:
        """Refuse a threshold that is not a finite number above 0.

        Raises
        ------
        InputError
        """
        t = self.threshold
        number = isinstance(t, Real) and not isinstance(t, bool)
        if not (number and math.isfinite(t) and t > 0):
            raise InputError(
                f"threshold: expected a finite number of debye > 0, got {t!r}. For a loss that is "
                "nowhere linear, use SquaredLoss()."
            )


class AbsoluteLoss(Loss):
    """``rho(e) = u |e|`` with u = 1 debye, and a parabola below the floor.

    It is Huber's loss with a threshold of `ABSOLUTE_FLOOR`, scaled to slope 1: smooth enough
    for reweighting, and equal to ``|e|`` at the accuracy of a dipole.

    Examples
    --------
    >>> import numpy as np
    >>> AbsoluteLoss().value(np.array([0.5, -2.0])).round(2)
    array([0.5, 2. ])
    """

    __module__ = "dipkit"  # the path that saved models name

    def value(self, e: Array, xp: ModuleType = np) -> Array:
        """Absolute value, with a parabola near 0."""
        return HuberLoss(ABSOLUTE_FLOOR).value(e, xp) / (2 * ABSOLUTE_FLOOR)

    def weight(self, e: Array, xp: ModuleType = np) -> Array:
        """1 / (2 max(|e|, floor))."""
        return 0.5 / xp.maximum(xp.abs(e), ABSOLUTE_FLOOR)

    def curvature(self, e: Array, xp: ModuleType = np) -> Array:
        """1 / (2 floor) up to the floor, 0 above."""
        return HuberLoss(ABSOLUTE_FLOOR).curvature(e, xp) / (2 * ABSOLUTE_FLOOR)


_NAMED: dict[str, type[Loss]] = {
    "squared": SquaredLoss,
    "huber": HuberLoss,
    "absolute": AbsoluteLoss,
}


def make_loss(loss: str | Loss) -> Loss:
    """Return the loss of a name, or the loss itself, with its parameters checked.

    Parameters
    ----------
    loss : {"squared", "huber", "absolute"} or Loss

    Raises
    ------
    InputError
        If the name is unknown, or a parameter of the loss cannot be used.

    Examples
    --------
    >>> make_loss("huber")
    HuberLoss()
    """
    made = _NAMED[loss]() if isinstance(loss, str) and loss in _NAMED else loss
    if not isinstance(made, Loss):
        raise InputError(
            'loss: expected "squared", "huber", "absolute" or a Loss such as HuberLoss(0.2), got '
            f"{loss!r}."
        )
    made.check()
    return made
