"""The peers of `peers.py` from scikit-learn: atomic charges by KernelRidge and by Nystroem + Ridge.

All three learn the same thing: reference charges, less the mean of each molecule, from the same
descriptors with the same kernel (x . z)^2, element by element, with the same ridge penalty. dipkit
and Nystroem span the model by the same number of atoms of each element, KernelRidge by all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _common import Stopwatch
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from dipkit import Molecules
from dipkit.learning.accumulate import accumulate
from dipkit.learning.basis import Basis, build_basis
from dipkit.learning.charge_labels import ChargeLabels
from dipkit.learning.inducing import choose_environments, share_out
from dipkit.learning.kernels import PowerKernel
from dipkit.support.backend import NUMPY

FloatArray = NDArray[np.float64]
DEGREE = 2
POLYNOMIAL = {"kernel": "poly", "degree": DEGREE, "gamma": 1.0, "coef0": 0.0}


@dataclass(frozen=True)
class Outcome:
    """What a model took and how well it did.

    Parameters
    ----------
    name : str
    fit, predict : Stopwatch
    error : float, e
        Mean absolute error of the charges of the test molecules.
    """

    name: str
    fit: Stopwatch
    predict: Stopwatch
    error: float


class _Ours:
    """dipkit's charge term alone, as for the charges that a fit starts from."""

    def __init__(self, n_inducing: int, alpha: float):
        self.n_inducing, self.alpha = n_inducing, alpha

    def fit(self, train: Molecules) -> None:
        assert train.features is not None
        assert train.charges is not None
        kernel, rng = PowerKernel(DEGREE), np.random.default_rng(0)
        chosen = choose_environments(train, self.n_inducing, kernel, rng)
        basis = build_basis(chosen, kernel, train.features.weights, 1e-8)
        labels = ChargeLabels.of(train.charges, train, np.ones(len(train)))
        _, (sums,) = accumulate(train, basis, [labels])
        matrix = sums.gram / sums.weight
        matrix[np.diag_indices_from(matrix)] += self.alpha
        w = NUMPY.solve(NUMPY.factor(matrix), sums.rhs / sums.weight)
        self.basis: Basis = basis
        self.coefficients = basis.dual(w)

    def predict(self, test: Molecules) -> FloatArray:
        assert test.features is not None
        charges = np.empty(test.n_atoms)
        for number in test.elements.tolist():
            atoms = np.flatnonzero(test.numbers == number)
            element, (coefficients, constant) = (
                self.basis.elements[number],
                self.coefficients[number],
            )
            x = [scale[atoms] for scale in test.features.scales]
            k = self.basis.kernel(x, element.environments, self.basis.weights)
            charges[atoms] = k @ coefficients + constant
        return _centred(charges, test)


class _ByElement:
    """A model of scikit-learn for each element."""

    def __init__(self, make: Callable[[int, int], Any]):
        self.make = make

    def fit(self, train: Molecules) -> None:
        assert train.charges is not None
        target = _centred(train.charges, train)
        self.models = {}
        for number in train.elements.tolist():
            x, atoms = _of_element(train, number)
            y = target[atoms]
            # The mean is not penalised, as dipkit's constant columns hardly are.
            mean = float(y.mean())
            self.models[number] = self.make(number, train.n_atoms).fit(x, y - mean), mean

    def predict(self, test: Molecules) -> FloatArray:
        charges = np.empty(test.n_atoms)
        for number in test.elements.tolist():
            x, atoms = _of_element(test, number)
            model, mean = self.models[number]
            charges[atoms] = model.predict(x) + mean
        return _centred(charges, test)


def _of_element(molecules: Molecules, number: int) -> tuple[FloatArray, NDArray[np.intp]]:
    assert molecules.features is not None
    atoms = np.flatnonzero(molecules.numbers == number)
    # In double precision: their factors fail on kernel matrices with the rounding of single.
    return molecules.features.scales[0][atoms].astype(np.float64), atoms


def _centred(charges: FloatArray, molecules: Molecules) -> FloatArray:
    """Charges that sum to nothing in each molecule."""
    sums = np.add.reduceat(charges, molecules.offsets[:-1])
    return charges - (sums / molecules.natoms)[molecules.molecule_index]


def compare(train: Molecules, test: Molecules, n_inducing: int, alpha: float) -> list[Outcome]:
    """Fit and test the three, one after the other.

    Parameters
    ----------
    train, test : Molecules
        Described at one scale, with charges.
    n_inducing : int
    alpha : float, e^2
        Ridge penalty where the squared errors are averaged over atoms.
    """
    numbers, counts = np.unique(train.numbers, return_counts=True)
    quota = share_out(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), n_inducing)

    def exact(_: int, n_atoms: int) -> Any:
        return KernelRidge(alpha=alpha * n_atoms, **POLYNOMIAL)

    def nystroem(number: int, n_atoms: int) -> Any:
        features = Nystroem(**POLYNOMIAL, n_components=quota[number], random_state=0)
        return make_pipeline(features, Ridge(alpha * n_atoms, fit_intercept=False))

    models = {
        "dipkit": _Ours(n_inducing, alpha),
        "Nystroem + Ridge": _ByElement(nystroem),
        "KernelRidge, all atoms": _ByElement(exact),
    }
    reference, found = _centred(np.asarray(test.charges), test), []
    for name, model in models.items():
        fit, predict = Stopwatch(), Stopwatch()
        with fit:
            model.fit(train)
        with predict:
            charges = model.predict(test)
        error = float(np.abs(charges - reference).mean())
        found.append(Outcome(name, fit, predict, error))
        print(f"  {name:<24} fit {fit.processor:8.2f} s, predict {predict.processor:6.2f} s, "
              f"{error:.5f} e", flush=True)  # fmt: skip
    return found
