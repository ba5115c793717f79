"""`DipolePredictor`: the methods of a fitted `DipoleKernelRidge` that predict and score.

Symbols: N described molecules with n atoms, magnitudes (N,) and dipoles (N, 3) in debye, charges
(n,) in e. The computation is in `prediction.py`, standard deviations are in `std_prediction.py`,
parameters and fitting are in `regression.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from ..data.label_keys import missing_labels_error
from ..data.molecules import Molecules
from ..descriptors.requirements import require_described
from ..learning.multipoles import quadrupoles_of_atoms
from ..support.nested_parameters import NestedParameters
from ..support.validation import real_array
from .prediction import predict_blocks

__all__ = ["DipolePredictor"]

FloatArray = NDArray[np.float64]


class DipolePredictor(RegressorMixin, NestedParameters):
    """Base class of `DipoleKernelRidge`: everything that a fitted model predicts.

    The subclass has the parameters, and sets the fitted attributes that predictions read.
    """

    def predict(
        self, X: Molecules, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Predict dipole magnitudes.

        Parameters
        ----------
        X : Molecules
            Described by the transformer that described the training molecules.
        return_std : bool, default=False
            Return standard deviations too.

        Returns
        -------
        magnitudes : ndarray of shape (n_molecules,), debye
        std : ndarray of shape (n_molecules,), debye
            Only with ``return_std=True``: of the error of each magnitude, the noise of labels
            included. About two thirds of the errors are below one standard deviation, and a little
            more than 90 % below 1.96 of them.

        Raises
        ------
        InputError
            If `X` is not described, holds elements unseen in fit, or the model was saved by a
            version that kept no standard deviations.
        """
        found = predict_blocks(self, X, return_std)
        magnitudes: FloatArray = np.linalg.norm(found.dipole, axis=1)
        return magnitudes if found.std is None else (magnitudes, found.std)

    def predict_dipole(self, X: Molecules) -> FloatArray:
        """Predict dipole vectors, about the centre of mass where a molecule is charged.

        Returns
        -------
        ndarray of shape (n_molecules, 3), debye
            NaN where the baseline failed.
        """
        return predict_blocks(self, X).dipole

    def predict_quadrupole(self, X: Molecules) -> FloatArray:
        """Predict traceless quadrupole moments about the centres of mass, from the charges.

        Atomic dipoles contribute as well. A model that did not learn from quadrupole labels
        (`quadrupole_weight`) predicts them with charges that were fitted to dipoles alone.

        Returns
        -------
        ndarray of shape (n_molecules, 3, 3), debye*angstrom
            In Buckingham's convention (14).

        Raises
        ------
        InputError
            If charges and atomic dipoles do not make the dipoles, as with a baseline that holds
            more than charges.
        """
        found = predict_blocks(self, X)
        return quadrupoles_of_atoms(found.charges, found.atomic_dipoles, found.dipole, X)

    def predict_charges(self, X: Molecules) -> FloatArray:
        """Predict atomic charges; they sum to the total charge of each molecule.

        Where the model has atomic dipoles, or a baseline that holds more than charges, they alone
        do not make its dipoles.

        Returns
        -------
        ndarray of shape (n_atoms,), e
            Of all molecules, concatenated as in ``X.numbers``; NaN where the baseline failed.
        """
        return predict_blocks(self, X).charges

    def predict_atomic_dipoles(self, X: Molecules) -> FloatArray:
        """Predict the dipoles of single atoms, which add to those of their charges.

        The dipole of a molecule is that of its charges plus the sum of these dipoles, and with a
        baseline also the part of the baseline's dipole that is not in its charges (9).

        Returns
        -------
        ndarray of shape (n_atoms, 3), debye
            Of all molecules, concatenated as in ``X.numbers``; NaN where the baseline failed. Zero
            where the model has none: ``atomic_dipoles`` is 0, or ``"auto"`` without a baseline.
        """
        return predict_blocks(self, X).atomic_dipoles

    def predict_together(
        self, X: Molecules, return_std: bool = False
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Predict charges, dipole vectors and standard deviations in one calculation.

        The dipoles are those of the charges and of single atoms (`predict_atomic_dipoles`; usual
        with a baseline). With a baseline they also hold the part of its dipole that is not in its
        charges (9).

        Parameters
        ----------
        X : Molecules
        return_std : bool, default=False

        Returns
        -------
        charges : ndarray of shape (n_atoms,), e
            As `predict_charges` gives them.
        dipole : ndarray of shape (n_molecules, 3), debye
            As `predict_dipole` gives them.
        std : ndarray of shape (n_molecules,), debye, or None
            As `predict` gives them with ``return_std=True``; else None.
        """
        found = predict_blocks(self, X, return_std)
        return found.charges, found.dipole, found.std

    def score(self, X: Molecules, y: Any = None, sample_weight: Any = None) -> float:
        """Coefficient of determination R^2 of the magnitudes.

        Parameters
        ----------
        X : Molecules
        y : array-like of shape (n_molecules,), debye, default=None
            None takes the magnitudes of the molecules, and leaves out those without. Molecules that
            cannot be predicted (NaN) are left out as well.
        sample_weight : array-like of shape (n_molecules,), default=None

        Returns
        -------
        float
        """
        molecules = require_described(X)
        if y is None:
            known = molecules.has_magnitude
            if not known.any():
                raise missing_labels_error(
                    "dipole", molecules.source_keys, molecules.notes.numeric_keys
                )
            molecules, y = molecules[known], molecules.dipole_magnitude[known]
            sample_weight = None if sample_weight is None else _weights(sample_weight)[known]
        magnitudes = real_array("y", y, "debye")
        if magnitudes.ndim == 2:
            magnitudes = np.linalg.norm(magnitudes, axis=1)
        predicted = self.predict(molecules)
        done = ~np.isnan(predicted)
        weight = None if sample_weight is None else _weights(sample_weight)[done]
        from sklearn.metrics import r2_score  # takes time, and predictions do not need it

        return float(r2_score(magnitudes[done], predicted[done], sample_weight=weight))


def _weights(sample_weight: Any) -> FloatArray:
    return real_array("sample_weight", sample_weight, bools=True)
