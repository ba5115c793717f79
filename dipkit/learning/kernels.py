"""Kernels between atomic environments: a weighted sum over SOAP scales.

Each kernel is a function of the dot product t = x . z of two unit-length descriptors, t = 1 for
equal environments, and k(1) = 1; see equation (7) of the theory page. Symbols: x (n, d_s) and
z (M, d_s) at scale s, weight w_s. Environments of different elements never meet here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from sklearn.base import BaseEstimator

from ..exceptions import InputError
from ..support.backend import NUMPY, Backend
from .sparse_products import dot


class EnvironmentKernel(BaseEstimator):
    """Base of all kernels: subclasses say what becomes of the dot products.

    To add a kernel, write `of_dot_products`; it must be positive definite on descriptors of atoms.
    Directions of negative eigenvalue are dropped like those below the eigenvalue cut.
    """

    @abstractmethod
    def of_dot_products(self, t: Any, backend: Backend) -> Any:
        """Turn dot products into kernel values, in place where that saves memory.

        Parameters
        ----------
        t : array of shape (n, M), float32 or float64
            Dot products, in [0, 1] up to rounding.
        backend : Backend

        Returns
        -------
        array of shape (n, M)
        """

    def derivative(self, t: Any, backend: Backend) -> Any:
        """Derive the kernel by the dot products; only derivatives of dipoles need it.

        Parameters
        ----------
        t : array of shape (n, M)
            Dot products; may be overwritten.
        backend : Backend

        Returns
        -------
        array of shape (n, M)
        """
        raise InputError(
            f"kernel: {type(self).__name__} has no derivative. Write its method derivative(t, "
            "backend), or take differences of predictions."
        )

    def check(self) -> None:
        """Refuse parameters that give no kernel."""

    def __call__(
        self,
        x: Iterable[Any],
        z: Sequence[Any],
        weights: Sequence[float],
        backend: Backend = NUMPY,
    ) -> Any:
        """Compute kernel values.

        Parameters
        ----------
        x : iterable of array of shape (n, d_s)
            Unit-length descriptors, one array per scale.
        z : sequence of array of shape (M, d_s)
        weights : sequence of float
            Weight of each scale; they are divided by their sum.

        Returns
        -------
        array of shape (n, M)
            Of the wider floating type of x and z.
        """
        total = float(sum(weights))
        result = None
        for x_s, z_s, weight in zip(x, z, weights, strict=True):
            values = self.of_dot_products(dot(x_s, z_s, backend.on_host), backend)
            values *= weight / total
            if result is None or values.dtype != result.dtype:
                result = values if result is None else result + values
            else:
                result += values
        return result


class PowerKernel(EnvironmentKernel):
    """k(t) = max(t, 0) ** degree.

    Parameters
    ----------
    degree : float, default=2.2
        At least 1. Higher powers tell similar environments apart more sharply. Only whole numbers
        are positive definite on any vectors; on descriptors of atoms others were, to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from dipkit.learning.kernels import PowerKernel
    >>> x = [np.array([[1.0, 0.0], [0.8, 0.6]])]
    >>> PowerKernel(degree=2)(x, x, [1.0])
    array([[1.  , 0.64],
           [0.64, 1.  ]])
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(self, degree: float = 2.2):
        self.degree = degree

    def check(self) -> None:
        """Refuse a degree below 1: roots of dot products are no kernel."""
        if not (isinstance(self.degree, Real) and 1 <= self.degree < math.inf):
            raise InputError(f"degree: expected a number >= 1, got {self.degree!r}.")

    def of_dot_products(self, t: Any, backend: Backend) -> Any:
        """Raise to the power."""
        xp = backend.xp
        backend.into(t, xp.maximum, t, 0)
        return t if self.degree == 1 else backend.into(t, xp.pow, t, float(self.degree))

    def derivative(self, t: Any, backend: Backend) -> Any:
        """Return degree max(t, 0) ** (degree - 1)."""
        return self.degree * backend.xp.maximum(t, 0) ** (self.degree - 1)


class GaussianKernel(EnvironmentKernel):
    """k(t) = exp(-2 gamma (1 - t)), which is Gaussian in the distance of unit-length descriptors.

    Parameters
    ----------
    gamma : float, default=1.0
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(self, gamma: float = 1.0):
        self.gamma = gamma

    def check(self) -> None:
        """Refuse a width that is not positive."""
        if not (isinstance(self.gamma, Real) and 0 < self.gamma < math.inf):
            raise InputError(f"gamma: expected a positive number, got {self.gamma!r}.")

    def of_dot_products(self, t: Any, backend: Backend) -> Any:
        """Exponentiate."""
        t -= 1
        t *= 2 * self.gamma
        return backend.into(t, backend.xp.exp, t)

    def derivative(self, t: Any, backend: Backend) -> Any:
        """Return 2 gamma times the kernel."""
        return 2 * self.gamma * self.of_dot_products(t, backend)
