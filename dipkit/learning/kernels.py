"""Kernels of two atomic environments: a weighted mean over SOAP scales.

At each scale, a kernel is a function of the dot product t = x . z of two descriptors of unit
length, t = 1 for equal environments, with k(1) = 1. Equation (7) of the theory page. Symbols:
descriptors x (n, d_s) and z (M, d_s) at scale s, weights w_s. Both environments belong to the same
element. The loop over elements is in `basis.py`, the products x z^T are in `sparse_products.py`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from numbers import Real

from sklearn.base import BaseEstimator

from ..exceptions import InputError
from ..support.backend import NUMPY, Array, Backend
from .sparse_products import dot


class EnvironmentKernel(BaseEstimator):
    """Base of all kernels.

    To add a kernel, write a subclass with `of_dot_products`. The kernel must be positive definite
    on descriptors of atoms. Directions of negative eigenvalue are dropped like those below the
    eigenvalue cut.
    """

    @abstractmethod
    def of_dot_products(self, t: Array, backend: Backend) -> Array:
        """Compute kernel values from dot products, in place where that saves memory.

        Parameters
        ----------
        t : array of shape (n, M), float32 or float64
            Dot products, at most 1 up to rounding; may be overwritten.
        backend : Backend

        Returns
        -------
        array of shape (n, M)
        """

    def derivative(self, t: Array, backend: Backend) -> Array:
        """Compute the derivatives of kernel values with respect to the dot products.

        Only derivatives of charges and dipoles need them.

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
            f"kernel: expected a kernel with a derivative, got {type(self).__name__}. Write its "
            "method derivative(t, backend), or use finite differences of predictions."
        )

    def check(self) -> None:
        """Refuse parameters that do not give a kernel. The base class refuses none."""

    def __call__(
        self,
        x: Iterable[Array],
        z: Sequence[Array],
        weights: Sequence[float],
        backend: Backend = NUMPY,
    ) -> Array:
        """Compute kernel values.

        Parameters
        ----------
        x : iterable of array of shape (n, d_s)
            Unit-length descriptors, one array per scale.
        z : sequence of array of shape (M, d_s)
        weights : sequence of float
            Weight of each scale. The weights are divided by their sum here.
        backend : Backend

        Returns
        -------
        array of shape (n, M)
            Of the wider floating type of all x and z.
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
        At least 1. With a higher degree, similar environments differ more. Only integer degrees
        are positive definite on all vectors. Other degrees were positive definite on descriptors
        of atoms, apart from rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from dipkit.learning import PowerKernel
    >>> x = [np.array([[1.0, 0.0], [0.8, 0.6]])]
    >>> PowerKernel(degree=2)(x, x, [1.0])
    array([[1.  , 0.64],
           [0.64, 1.  ]])
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(self, degree: float = 2.2):
        self.degree = degree

    def check(self) -> None:
        """Refuse a degree below 1: roots of dot products are not positive definite."""
        if not (isinstance(self.degree, Real) and 1 <= self.degree < math.inf):
            raise InputError(f"degree: expected a number >= 1, got {self.degree!r}. Use 1 or more.")

    def of_dot_products(self, t: Array, backend: Backend) -> Array:
        """Return max(t, 0) ** degree."""
        xp = backend.xp
        backend.into(t, xp.maximum, t, 0)
        return t if self.degree == 1 else backend.into(t, xp.pow, t, float(self.degree))

    def derivative(self, t: Array, backend: Backend) -> Array:
        """Return degree max(t, 0) ** (degree - 1), and 0 where t <= 0."""
        xp = backend.xp
        slope = self.degree * xp.maximum(t, 0) ** (self.degree - 1)
        return xp.where(t > 0, slope, 0.0)


class GaussianKernel(EnvironmentKernel):
    """``k(t) = exp(-2 gamma (1 - t))``, which is ``exp(-gamma |x - z|^2)`` at unit length.

    Parameters
    ----------
    gamma : float, default=1.0
        Positive. With a higher gamma, similar environments differ more.
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(self, gamma: float = 1.0):
        self.gamma = gamma

    def check(self) -> None:
        """Refuse a gamma that is not positive."""
        if not (isinstance(self.gamma, Real) and 0 < self.gamma < math.inf):
            raise InputError(
                f"gamma: expected a positive number, got {self.gamma!r}. Use a finite one."
            )

    def of_dot_products(self, t: Array, backend: Backend) -> Array:
        """Return exp(-2 gamma (1 - t))."""
        t -= 1
        t *= 2 * self.gamma
        return backend.into(t, backend.xp.exp, t)

    def derivative(self, t: Array, backend: Backend) -> Array:
        """Return 2 gamma times the kernel."""
        return 2 * self.gamma * self.of_dot_products(t, backend)
