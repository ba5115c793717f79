"""With a baseline a model is the mean of two, with and without dipoles of single atoms."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.parts import in_parts
from sklearn.model_selection import KFold

import dipkit.estimator.fit
import dipkit.search.fold_grid
from dipkit import DipoleKernelRidge, Molecules, PowerKernel
from dipkit.learning.labels import read_labels
from dipkit.search.fold_grid import FoldGrid

ALPHA = 1e-3
WITH = {"basis__atomic_dipoles": 0.3, "alpha": 16 * ALPHA}
WITHOUT = {"basis__atomic_dipoles": 0.0, "alpha": ALPHA / 8}
COEFFICIENTS = ("dual_coef_", "intercept_", "bond_coef_")
DIPOLES = ("atomic_dipole_coef_", "atomic_dipole_intercept_")


def ridge(**parameters: Any) -> DipoleKernelRidge:
    usual = {
        "baseline": "given",
        "basis__kernel": PowerKernel(1.7),
        "basis__n_inducing": 30,
        "alpha": ALPHA,
        "solver__tol": 1e-12,
        "solver__max_iter": 3000,
        "device": "cpu",
    }
    return DipoleKernelRidge().set_params(**usual | parameters)


@pytest.fixture
def molecules(described: Molecules) -> Molecules:
    """Molecules with the dipoles of another method; no label is a vector."""
    rng = np.random.default_rng(4)
    rough = 0.8 * described.dipole_vector + 0.1 * rng.standard_normal((len(described), 3))
    return described.replace(
        baseline_dipole=rough, dipole_vector=None, charges=None, features=described.features
    )


def in_two_parts(model: DipoleKernelRidge, molecules: Molecules) -> DipoleKernelRidge:
    return in_parts(model, molecules[:25], molecules[25:])


def at_once(model: DipoleKernelRidge, molecules: Molecules) -> DipoleKernelRidge:
    return model.fit(molecules)


@pytest.mark.parametrize("fit", [at_once, in_two_parts])
def test_coefficients_are_the_mean_of_two_fits(molecules: Molecules, fit: Any) -> None:
    mean = fit(ridge(), molecules)
    first, second = (fit(ridge(**each), molecules) for each in (WITH, WITHOUT))
    for name in COEFFICIENTS:
        expected = (getattr(first, name) + getattr(second, name)) / 2
        np.testing.assert_allclose(getattr(mean, name), expected, rtol=1e-5, atol=1e-8)
    for name in DIPOLES:
        np.testing.assert_allclose(getattr(mean, name), getattr(first, name) / 2, atol=1e-8)
    dipoles = [each.predict_dipole(molecules) for each in (first, second)]
    np.testing.assert_allclose(mean.predict_dipole(molecules), np.mean(dipoles, axis=0), atol=1e-5)
    assert np.abs(dipoles[0] - dipoles[1]).max() > 1e-3
    assert mean.n_iter_ == first.n_iter_ + second.n_iter_
    assert mean.n_factorizations_ == first.n_factorizations_ + second.n_factorizations_
    assert mean.alpha_ == ALPHA
    assert mean.objective_ == first.objective_


def test_rows_in_a_file_give_the_same(
    molecules: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ridge().fit(molecules).dual_coef_
    plan = dipkit.estimator.fit.plan_fit
    monkeypatch.setattr(
        dipkit.estimator.fit, "plan_fit", lambda *a: replace(plan(*a), rows_on_disk=True)
    )
    found = ridge().fit(molecules)
    assert found.memory_plan_["rows_in"] == "file"
    np.testing.assert_allclose(found.dual_coef_, expected, rtol=1e-6, atol=1e-9)


def grid_errors(molecules: Molecules, alphas: list[float], **parameters: Any) -> Any:
    """Errors of a grid over two folds, and the dipoles that they are of."""
    folds = list(KFold(2).split(np.arange(len(molecules))))
    labels, dipoles = read_labels(molecules, None, None, None), []
    held_out = dipkit.search.fold_grid._Path.held_out

    def noting(*arguments: Any) -> list[np.ndarray]:
        dipoles.append(held_out(*arguments))
        return dipoles[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dipkit.search.fold_grid._Path, "held_out", noting)
        grid = FoldGrid(labels, ridge(**parameters), folds, alphas, [0.0])
        return grid.held_out_errors(1e-12, 1000), dipoles


def test_a_grid_scores_the_mean(molecules: Molecules) -> None:
    alphas = np.array([10 * ALPHA, ALPHA])
    errors, both = grid_errors(molecules, alphas.tolist())
    assert len(both) == 2
    for expected, factor, scale in zip(both, (16, 1 / 8), (0.3, 0.0), strict=True):
        _, (alone,) = grid_errors(
            molecules, (factor * alphas).tolist(), basis__atomic_dipoles=scale
        )
        for found, other in zip(alone, expected, strict=True):
            np.testing.assert_allclose(found, other, atol=1e-9)
    held_out = [test for _, test in KFold(2).split(np.arange(len(molecules)))]
    for test, found, first, second in zip(held_out, errors, *both, strict=True):
        lengths = np.linalg.norm((first + second) / 2, axis=-1)
        expected = lengths - molecules.dipole_magnitude[test]
        np.testing.assert_allclose(found, expected, atol=1e-9)
        assert np.abs(np.linalg.norm(first - second, axis=-1)).max() > 1e-2


def test_iterations_that_end_early_are_said(molecules: Molecules) -> None:
    with pytest.warns(UserWarning, match=r"max_iter=2, alpha=0\.001"):
        model = ridge(solver__max_iter=2).fit(molecules)
    assert not model.converged_
