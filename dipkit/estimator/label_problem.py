"""Which labels a fitted model should get next, and the error to expect with them.

Symbols: N described molecules, labelled ones and candidates; k labels to choose. The covariance of
the molecules is in `label_covariance.py`, the choice by it in `label_choice.py`, the public
function in `label_suggestions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from .label_choice import LabelPosterior, choose_labels
from .label_covariance import DipoleRows
from .linearised import unit_vectors
from .prediction import predict_blocks
from .regression import DipoleKernelRidge

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Mean absolute error over the mean standard deviation. It is 0.80 for normal errors; the standard
# deviations follow the typical errors, and the largest ones add to the mean.
ERROR_OVER_STD = 0.86


@dataclass(frozen=True)
class LabelProblem:
    """Molecules, labelled ones among them, seen by a fitted model.

    Parameters
    ----------
    rows : ndarray of shape (n_molecules, r)
        Derivatives of the magnitudes, from `DipoleRows.along`.
    beyond : ndarray of shape (n_molecules,)
        Their variance outside the basis.
    label_noise : float
        Variance of a label in units of the prior variance.
    std : ndarray of shape (n_molecules,), debye
        Standard deviations that the model predicts.
    scale : float, debye
        Standard deviation of a weight under the prior.
    floor : float, debye
        Standard deviation of the most certain magnitude.
    labelled, candidates : ndarray of int
        Indices of the molecules that have a label, and of those that may get one.
    """

    rows: FloatArray
    beyond: FloatArray
    label_noise: float
    std: FloatArray
    scale: float
    floor: float
    labelled: IntArray
    candidates: IntArray

    @classmethod
    def of(
        cls,
        model: DipoleKernelRidge,
        molecules: Molecules,
        labelled: IntArray,
        rows: DipoleRows | None = None,
    ) -> LabelProblem:
        """Look at described molecules with a fitted model.

        Parameters
        ----------
        model : DipoleKernelRidge
        molecules : Molecules
            Described. All that are not labelled are candidates.
        labelled : ndarray of shape (n_labelled,)
            Indices of the molecules of the fit.
        rows : DipoleRows, default=None
            Of the same molecules, where they are known.
        """
        found = predict_blocks(model, molecules, with_std=True)
        assert found.std is not None
        rows = DipoleRows.of(molecules, model) if rows is None else rows
        directed, beyond = rows.along(unit_vectors(found.dipole))
        n_labels = model.label_summary_["n_magnitudes"] + model.label_summary_["n_vectors"]
        return cls(
            directed,
            beyond,
            model.alpha_ * n_labels,
            found.std,
            float(model.std_novelty_) / rows.basis.compensation.scale,
            float(model.std_floor_),
            labelled,
            np.setdiff1d(np.arange(len(molecules)), labelled),
        )

    def choose(self, k: int) -> tuple[IntArray, FloatArray]:
        """Choose the labels that lower the errors of all candidates most.

        Returns
        -------
        chosen : ndarray of shape (k,)
            Indices of molecules, the best one first.
        errors : ndarray of shape (k + 1,), debye
            As `expected_errors` gives them.
        """
        chosen = choose_labels(self._posterior(k), self.candidates, k)
        return chosen, self.expected_errors(chosen)

    def expected_errors(self, chosen: IntArray) -> FloatArray:
        """Mean absolute error to expect with none, one, ... all of these labels.

        Parameters
        ----------
        chosen : ndarray of shape (k,)

        Returns
        -------
        ndarray of shape (k + 1,), debye
            Of molecules like the candidates. Those that have a label by then count as if it were
            left out.
        """
        posterior = self._posterior(len(chosen))
        widths = [self._mean_width(posterior, chosen[:0])]
        for place, molecule in enumerate(chosen.tolist(), start=1):
            posterior.add(posterior.gain(molecule))
            widths.append(self._mean_width(posterior, chosen[:place]))
        now = ERROR_OVER_STD * float(self.std[self.candidates].mean())
        return now * np.array(widths) / widths[0]

    def _posterior(self, n_more: int) -> LabelPosterior:
        # What the basis does not represent of a molecule is noise of its label.
        noise = self.label_noise + self.beyond
        return LabelPosterior(self.rows, noise, self.labelled, n_more)

    def _mean_width(self, posterior: LabelPosterior, chosen: IntArray) -> float:
        variance = posterior.variance.copy()
        noise = posterior.noise[chosen]
        # c = v s / (s - v) is the variance without the own label, of which v is the one with it.
        variance[chosen] *= noise / np.maximum(noise - variance[chosen], 1e-6 * noise)
        beyond = variance[self.candidates] + self.beyond[self.candidates]
        return float(np.sqrt(self.scale**2 * beyond + self.floor**2).mean())
