"""A kernel of your own.

You learn how to write a kernel, which is a function of the dot product of two environments, and how
to compare it with those of dipkit.

    python examples/own_kernel.py
"""

import os

import numpy as np
from sklearn.model_selection import train_test_split

from dipkit import DipoleKernelRidge, GaussianKernel, InducingBasis, PowerKernel, SOAPTransformer
from dipkit.data import load_organics
from dipkit.learning import EnvironmentKernel


class RationalKernel(EnvironmentKernel):
    """k(t) = 1 / (1 + 2 gamma (1 - t)): a Gaussian with heavier tails.

    Parameters
    ----------
    gamma : float, default=1.0
    """

    def __init__(self, gamma: float = 1.0):
        self.gamma = gamma

    def of_dot_products(self, t, backend):
        """Turn dot products into kernel values."""
        return 1 / (1 + 2 * self.gamma * (1 - t))


n = 120 if "DIPKIT_EXAMPLES_QUICK" in os.environ else None
described = SOAPTransformer().fit_transform(load_organics()[:n])
train, test = train_test_split(described, test_size=0.25, random_state=0)
for kernel in (PowerKernel(), GaussianKernel(gamma=1.0), RationalKernel(gamma=1.0)):
    model = DipoleKernelRidge(basis=InducingBasis(kernel=kernel)).fit(train, train.dipole_magnitude)
    error = np.abs(model.predict(test) - test.dipole_magnitude)
    print(f"{type(kernel).__name__:<16} MAE {error.mean():.3f} D")
