"""Fits to the training part of a fold, and grids whose folds use the whole basis."""

from typing import Any

import numpy as np
import pytest

from dipkit import DipoleKernelRidge, Molecules
from dipkit.learning.basis import Basis
from dipkit.search.fold_problem import FoldedProblem


def fit_fold(
    model: DipoleKernelRidge, problem: FoldedProblem, molecules: Molecules, train: Any
) -> DipoleKernelRidge:
    """Fit to the training part, with those environments of the grid that its molecules have."""
    environments = {
        number: tuple(z[np.isin(problem.owners[number], train)] for z in element.environments)
        for number, element in problem.basis.elements.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dipkit.estimator.fit.choose_environments", lambda *_: environments)
        return model.fit(molecules[train])


def exclude_no_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every fold of a grid use all basis functions."""

    def find_none(basis: Basis, *_: object) -> np.ndarray:
        return np.zeros((basis.n_columns, 0))

    monkeypatch.setattr("dipkit.search.fold_problem.find_excluded", find_none)
