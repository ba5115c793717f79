"""Simple models to compare with: the mean, kernel ridge on averaged SOAP, given charges.

The demonstration and the benchmark both take them from here. Symbols: molecules A = 1..N, atoms
i = 1..n, descriptors x_i of one SOAP scale (n, d), positions r_i in angstrom, charges in e.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import ShuffleSplit

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..learning.multipoles import dipoles

__all__ = ["AveragedSOAPRidge", "averaged_soap", "charge_dipoles", "mean_predictor"]

# Molecules whose descriptors are read at once.
_BLOCK = 500

FloatArray = NDArray[np.float64]


def mean_predictor() -> DummyRegressor:
    """Return a model that predicts the mean of its training magnitudes."""
    return DummyRegressor(strategy="mean")


def charge_dipoles(molecules: Molecules, charges: ArrayLike | None = None) -> FloatArray:
    """Dipole vectors of given charges, sum_i q_i (r_i - c), c the centre of mass.

    Parameters
    ----------
    molecules : Molecules
    charges : array-like of shape (n_atoms,), e, default=None
        None takes the reference charges of the molecules.

    Returns
    -------
    ndarray of shape (n_molecules, 3), debye
        NaN where a molecule has no charges.
    """
    q = molecules.charges if charges is None else np.asarray(charges, dtype=np.float64)
    return dipoles(q, molecules)


def averaged_soap(molecules: Molecules) -> list[FloatArray]:
    """Average the descriptors over the atoms of each molecule, and scale to unit length.

    Parameters
    ----------
    molecules : Molecules
        Described.

    Returns
    -------
    list of ndarray of shape (n_molecules, d_s)
        One for each SOAP scale.
    """
    if molecules.features is None:
        raise InputError("molecules: expected described ones. Put a SOAPTransformer in front.")
    # Block by block: descriptors may be computed when they are read.
    starts = range(0, len(molecules), _BLOCK)
    blocks = [_block_averages(molecules[start : start + _BLOCK]) for start in starts]
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _block_averages(block: Molecules) -> list[FloatArray]:
    assert block.features is not None
    # A sparse product: np.add.reduceat is many times slower along the first axis.
    n, ones = block.n_atoms, np.ones(block.n_atoms, np.float32)
    members = scipy.sparse.csr_array((ones, np.arange(n), block.offsets), shape=(len(block), n))
    sums = [np.asarray(members @ x, dtype=np.float64) for x in block.features.scales]
    return [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in sums]


class AveragedSOAPRidge(RegressorMixin, BaseEstimator):
    """Kernel ridge regression of magnitudes on averaged SOAP: the usual way without dipkit.

    A Gaussian kernel ``exp(-gamma |x_A - x_B|^2)`` of one averaged descriptor for each molecule.
    SOAP scale, gamma and alpha are chosen by validation within the training molecules, on at
    most `n_search` of them; then the model is fitted to all.

    Parameters
    ----------
    alphas : tuple of float, default=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    widths : tuple of float, default=(0.03, 0.1, 0.3, 1.0, 3.0)
        Values tried for gamma times the median of ``|x_A - x_B|^2``.
    n_search : int, default=1000
        Training molecules that take part in the choice.
    random_state : int, default=0
        Seed of the validation splits.

    Attributes
    ----------
    scale_ : int
    gamma_, alpha_ : float
        What was chosen.
    """

    def __init__(
        self,
        alphas: tuple[float, ...] = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        widths: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0),
        n_search: int = 1000,
        random_state: int = 0,
    ):
        self.alphas = alphas
        self.widths = widths
        self.n_search = n_search
        self.random_state = random_state

    def fit(self, X: Molecules, y: ArrayLike) -> Self:
        """Choose and fit.

        Parameters
        ----------
        X : Molecules
            Described.
        y : array-like of shape (n_molecules,), debye
        """
        y = np.asarray(y, dtype=np.float64)
        self.mean_ = float(y.mean())
        averages = averaged_soap(X)
        self._choose([rows[: self.n_search] for rows in averages], y[: self.n_search])
        model = KernelRidge(kernel="rbf", alpha=self.alpha_, gamma=self.gamma_)
        self.model_ = model.fit(averages[self.scale_], y - self.mean_)
        return self

    def predict(self, X: Molecules) -> FloatArray:
        """Predict magnitudes.

        Parameters
        ----------
        X : Molecules
            Described.

        Returns
        -------
        ndarray of shape (n_molecules,), debye
        """
        return self.model_.predict(averaged_soap(X)[self.scale_]) + self.mean_

    def _choose(self, averages: list[FloatArray], y: FloatArray) -> None:
        """Set scale_, gamma_ and alpha_ to the best in validation."""
        folds = ShuffleSplit(n_splits=2, test_size=0.25, random_state=self.random_state)
        splits = list(folds.split(y))
        best = np.inf
        for scale, rows in enumerate(averages):
            distances = euclidean_distances(rows, squared=True)
            typical = float(np.median(distances[np.triu_indices(len(rows), 1)]))
            for gamma in np.array(self.widths) / max(typical, 1e-12):
                kernel = np.exp(-gamma * distances)
                parts = [_validate(kernel, y - self.mean_, self.alphas, *split) for split in splits]
                errors = np.mean(parts, axis=0)
                if errors.min() < best:
                    best = errors.min()
                    self.scale_, self.gamma_ = scale, float(gamma)
                    self.alpha_ = float(self.alphas[int(errors.argmin())])

    def __sklearn_tags__(self) -> Any:
        """Declare that X is not an array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _validate(
    kernel: FloatArray,
    y: FloatArray,
    alphas: Sequence[float],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
) -> FloatArray:
    """Mean absolute error for each alpha, from one eigendecomposition."""
    values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)])
    coefficients = (vectors.T @ y[train])[:, None] / (values[:, None] + np.array(alphas))
    predicted = kernel[np.ix_(test, train)] @ (vectors @ coefficients)
    errors: FloatArray = np.abs(predicted - y[test, None]).mean(axis=0)
    return errors
