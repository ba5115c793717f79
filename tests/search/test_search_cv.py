"""Cross-validation over a grid: folds by difference against folds anew."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold, ShuffleSplit

from dipkit import (
    DipoleKernelRidge,
    InducingBasis,
    PowerKernel,
    Reweighted,
)
from dipkit.estimator.metrics import mae_scorer
from dipkit.learning.labels import read_labels
from dipkit.search.fold_grid import cross_validate_grid
from dipkit.search.fold_problem import FoldedProblem


def refit_predictions(problem, train, test, alpha, charge_weight):
    """Fit one fold anew, in the basis of those environments that its training molecules have."""
    from dipkit.estimator.parameters import resolve_init
    from dipkit.learning.accumulate import accumulate
    from dipkit.learning.basis import build_basis
    from dipkit.learning.charge_labels import ChargeLabels
    from dipkit.learning.initial_charges import charge_start, start_charges
    from dipkit.learning.losses import make_loss
    from dipkit.learning.multipoles import constant_dipoles
    from dipkit.learning.objective import DipoleTarget, JointObjective
    from dipkit.learning.reweighted import solve_annealed

    molecules, ridge = problem.labels.molecules[train], problem.ridge
    environments = {}
    for number, element in problem.basis.elements.items():
        kept = np.isin(problem.owners[number], train)
        environments[number] = tuple(scale[kept] for scale in element.environments)
    basis = build_basis(
        environments, problem.basis.kernel, problem.basis.weights, ridge.eigenvalue_cut
    )
    labels = read_labels(molecules, None, None, problem.labels.target.weights[train])
    start = start_charges(molecules, labels.charges, resolve_init(ridge.init, labels))
    term = labels.charges if charge_weight > 0 else start
    sets = [ChargeLabels.of(part, molecules, labels.target.weights) for part in (start, term)]
    rows, (start, term) = accumulate(molecules, basis, sets)
    target = DipoleTarget(labels.target.magnitudes, labels.target.vectors, labels.target.weights)
    objective = JointObjective(
        rows, constant_dipoles(molecules), target, [(term, charge_weight)], alpha,
        make_loss(ridge.loss),
    )  # fmt: skip
    w = charge_start(start, objective.backend)
    if ridge.prior == "start":
        objective = objective.with_prior(w)
    result = solve_annealed(objective, w, ridge.annealing, tol=1e-12)
    held, _ = accumulate(problem.labels.molecules[test], basis)
    return constant_dipoles(problem.labels.molecules[test]) + (held @ result.weights).reshape(-1, 3)


@pytest.mark.parametrize("parameters", [{}, {"start": "electronegativity", "start__prior": False}])
@pytest.mark.parametrize("charge_weight", [0.0, 1e-2])
@pytest.mark.parametrize("splitter", [KFold(3), ShuffleSplit(2, test_size=0.3, random_state=0)])
def test_folds_by_difference_equal_folds_anew(described, parameters, charge_weight, splitter):
    """With vectors J is convex: both must end in one minimum, whatever the rounding."""
    # No direction falls below the cut: it would do so at other places in the basis of a fold.
    ridge = DipoleKernelRidge().set_params(
        basis__n_inducing=40, basis__eigenvalue_cut=1e-8, **parameters
    )
    weights = 1.0 + np.arange(len(described)) % 3
    folds = list(splitter.split(np.arange(len(described))))
    labels = read_labels(described, None, None, weights)
    problem = FoldedProblem(labels, ridge, folds, [1e-3], [charge_weight])
    found = problem.held_out_errors(tol=1e-14, passes=500)
    for (train, test), errors in zip(folds, found, strict=True):
        mu = refit_predictions(problem, train, test, 1e-3, charge_weight)
        expected = np.linalg.norm(mu, axis=1) - described.dipole_magnitude[test]
        # Small groups of molecules round more: the folds of ShuffleSplit cut into many.
        atol = 1e-3 if isinstance(splitter, KFold) else 5e-3
        np.testing.assert_allclose(errors[0, 0], expected, atol=atol)


def test_grid_does_not_depend_on_its_order(described):
    folds = list(KFold(3).split(np.arange(len(described))))
    settings = {"folds": folds, "ridge": DipoleKernelRidge(basis=InducingBasis(n_inducing=40))}
    up = cross_validate_grid(described, alphas=[1e-4, 1e-2], charge_weights=[0.0, 0.1], **settings)
    down = cross_validate_grid(
        described, alphas=[1e-2, 1e-4], charge_weights=[0.1, 0.0], **settings
    )
    assert up.shape == (3, 2, 2)
    np.testing.assert_array_equal(up, down[:, ::-1, ::-1])


def test_grid_comes_near_separate_fits(described):
    """Their inducing environments are chosen on the training part alone: a small difference."""
    folds = list(KFold(3).split(np.arange(len(described))))
    ridge = DipoleKernelRidge(alpha=1e-3, charge_weight=1e-3)
    grid = cross_validate_grid(
        described, alphas=[1e-3], charge_weights=[1e-3], folds=folds, ridge=ridge
    )
    separate = [
        -mae_scorer(clone(ridge).fit(described[train]), described[test]) for train, test in folds
    ]
    np.testing.assert_allclose(grid[:, 0, 0], separate, rtol=0.05)


def test_unlabelled_molecules_are_never_scored(described):
    some = described.dipole_magnitude.copy()
    some[::4] = np.nan
    missing = np.full((len(described), 3), np.nan)
    part = described.replace(dipole_magnitude=some, dipole_vector=missing)
    folds = list(KFold(3).split(np.arange(len(described))))
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=40))
    assert np.isfinite(cross_validate_grid(part, alphas=[1e-3], folds=folds, ridge=ridge)).all()


@pytest.mark.parametrize("degree", [1.0, 2.2])
def test_directions_below_the_cut_bar_nothing_else(described, degree):
    """All atoms are inducing and many directions fall below the cut, as in a fit of a fold."""
    folds = list(KFold(3).split(np.arange(len(described))))
    ridge = DipoleKernelRidge(
        alpha=1e-3, charge_weight=0.0, basis=InducingBasis(kernel=PowerKernel(degree))
    )
    grid = cross_validate_grid(described, alphas=[1e-3], folds=folds, ridge=ridge)
    separate = [
        -mae_scorer(clone(ridge).fit(described[train]), described[test]) for train, test in folds
    ]
    np.testing.assert_allclose(grid[:, 0, 0].mean(), np.mean(separate), rtol=0.1)


def test_alpha_too_small_to_factor_gives_nan(described):
    folds = list(KFold(3).split(np.arange(len(described))))
    ridge = DipoleKernelRidge(solver=Reweighted(annealing=(10.0,)))
    errors = cross_validate_grid(described, alphas=[1e-30], folds=folds, ridge=ridge)
    assert np.isnan(errors).all()
