"""The grid over folds: each fold as a fit to its training part alone, in a basis of its own."""

from typing import Any

import numpy as np
import pytest
from helpers.fold_fits import fit_fold
from sklearn.base import clone
from sklearn.model_selection import KFold, ShuffleSplit

import dipkit.search.fold_grid
from dipkit import ChargeStart, DipoleKernelRidge, Molecules
from dipkit.estimator.defaults import ANNEALING, has_prior, resolve_cut, resolve_start
from dipkit.estimator.metrics import mae_scorer
from dipkit.exceptions import InputError
from dipkit.learning.accumulate import accumulate
from dipkit.learning.basis import build_basis
from dipkit.learning.charge_labels import ChargeLabels
from dipkit.learning.initial_charges import charge_start, start_charges
from dipkit.learning.labels import read_labels
from dipkit.learning.multipoles import constant_dipoles, quadrupoles
from dipkit.learning.normal_matrices import TRANSVERSE_SHARE, shared_directions
from dipkit.learning.objective import JointObjective
from dipkit.learning.reweighted import minimise, solve_annealed
from dipkit.learning.solve_result import Minimum
from dipkit.search.fold_grid import FoldGrid, cross_validate_grid
from dipkit.search.fold_problem import FoldedProblem
from dipkit.search.splits import Splits

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
ALPHA = 1e-3


def small_ridge(**parameters: Any) -> DipoleKernelRidge:
    """Without bond charges: their directions are not those of a basis of the fold alone.

    Bond charges are compared with fits in the same basis in `test_bond_charges.py`.
    """
    settings = {"basis__n_inducing": 40, "basis__bond_charges": 0.0}
    return DipoleKernelRidge().set_params(**settings | parameters)


def plain_ridge(**parameters: Any) -> DipoleKernelRidge:
    """Model whose folds in a grid equal fits.

    Bond charges and atomic dipoles have the leading directions of all environments in a grid. With
    auxiliary dipoles a fold of so few molecules may end in another minimum than its fit.
    """
    plain = {"basis__bond_charges": 0.0, "basis__atomic_dipoles": 0.0}
    return small_ridge(**plain | {"auxiliary": None} | parameters)


def refit_magnitudes(
    problem: FoldedProblem, train: Any, test: Any, charge_weight: float
) -> FloatArray:
    """Fit one fold separately, in the basis of the environments of its training molecules."""
    molecules, settings = problem.labels.molecules[train], problem.settings
    environments = {
        number: tuple(z[np.isin(problem.owners[number], train)] for z in element.environments)
        for number, element in problem.basis.elements.items()
    }
    # Kernel values in double precision, as the grid has them for so few molecules: in single
    # precision they differ by 1e-7, and the predictions by 1e-3 debye.
    cut, basis = resolve_cut(settings.basis.eigenvalue_cut, precise=True), problem.basis
    basis = build_basis(environments, basis.kernel, basis.weights, cut, precise=True)
    labels = read_labels(molecules, None, None, problem.labels.target.weights[train])
    start = start_charges(molecules, labels.charges, resolve_start(settings.start, labels))
    assert start is not None
    learned = labels.charges if charge_weight > 0 else start
    sets = [ChargeLabels.of(part, molecules, labels.target.weights) for part in (start, learned)]
    rows, (start_term, term) = accumulate(molecules, basis, sets)
    constant, target = constant_dipoles(molecules), labels.target
    objective = JointObjective(
        rows, constant, target, [(term, charge_weight)], ALPHA, settings.loss
    )
    w = charge_start(start_term, objective.backend)
    if has_prior(settings.start):
        objective = objective.with_prior(w)
    result = solve_annealed(objective, w, ANNEALING, tol=1e-14)
    rest = problem.labels.molecules[test]
    held_out, _ = accumulate(rest, basis)
    mu = constant_dipoles(rest) + (held_out @ result.weights).reshape(-1, 3)
    return np.linalg.norm(mu, axis=1)


@pytest.mark.parametrize(
    "parameters", [{}, {"start__source": "electronegativity", "start__prior": False}], ids=str
)
@pytest.mark.parametrize("charge_weight", [0.0, 1e-2])
@pytest.mark.parametrize("splitter", [KFold(3), ShuffleSplit(2, test_size=0.3, random_state=0)])
def test_folds_by_difference_equal_folds_by_recomputation(
    described: Molecules, parameters: dict[str, Any], charge_weight: float, splitter: Any
) -> None:
    """With vectors J is convex: both must end in one minimum.

    What is left differs by the rounding of kernel values over the eigenvalue cut, 1e-16 / 1e-10.
    """
    ridge = plain_ridge(start="auto", **parameters)
    weights = 1.0 + np.arange(len(described)) % 3
    folds = list(splitter.split(np.arange(len(described))))
    labels = read_labels(described, None, None, weights)
    grid = FoldGrid(labels, ridge, folds, [ALPHA], [charge_weight])
    found = grid.held_out_errors(tol=1e-14, max_iter=500)
    for (train, test), errors in zip(folds, found, strict=True):
        lengths = refit_magnitudes(grid.problem, train, test, charge_weight)
        expected = lengths - described.dipole_magnitude[test]
        np.testing.assert_allclose(errors[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("charge_weight", [0.0, 1e-2])
def test_folds_of_magnitudes_equal_fits(described: Molecules, charge_weight: float) -> None:
    """J is not convex: the same start, prior and annealing lead both to the same minimum."""
    molecules = described.replace(dipole_vector=None)
    ridge = plain_ridge(
        alpha=ALPHA, charge_weight=charge_weight, solver__tol=1e-13, solver__max_iter=2000
    )
    folds = list(KFold(3).split(np.arange(len(molecules))))
    labels = read_labels(molecules, None, None, None)
    grid = FoldGrid(labels, ridge, folds, [ALPHA], [charge_weight])
    found = grid.held_out_errors(tol=1e-13, max_iter=2000)
    for (train, test), errors in zip(folds, found, strict=True):
        model = fit_fold(clone(ridge), grid.problem, molecules, train)
        expected = model.predict(molecules[test]) - molecules.dipole_magnitude[test]
        np.testing.assert_allclose(errors[0, 0], expected, atol=1e-5)


def test_a_point_of_the_grid_is_that_of_a_grid_of_one(described: Molecules) -> None:
    """Neighbours share a matrix and starts, which only changes how fast it converges."""
    folds = list(KFold(3).split(np.arange(len(described))))
    labels = read_labels(described, None, None, None)
    alphas, weights = [1e-2, 4e-3, 1e-3], [0.0, 0.1]
    whole = FoldGrid(labels, small_ridge(), folds, alphas, weights).held_out_errors(1e-14, 500)
    for i, alpha in enumerate(alphas):
        for j, weight in enumerate(weights):
            alone = FoldGrid(labels, small_ridge(), folds, [alpha], [weight])
            for errors, expected in zip(whole, alone.held_out_errors(1e-14, 500), strict=True):
                np.testing.assert_allclose(errors[i, j], expected[0, 0], atol=1e-6)


def test_grid_does_not_depend_on_its_order(described: Molecules) -> None:
    folds = list(KFold(3).split(np.arange(len(described))))
    settings: dict[str, Any] = {"folds": folds, "ridge": small_ridge()}
    up = cross_validate_grid(described, alphas=[1e-4, 1e-2], charge_weights=[0.0, 0.1], **settings)
    down = cross_validate_grid(
        described, alphas=[1e-2, 1e-4], charge_weights=[0.1, 0.0], **settings
    )
    assert up.shape == (3, 2, 2)
    np.testing.assert_array_equal(up, down[:, ::-1, ::-1])


def test_the_matrix_of_vectors_solves_a_problem_in_one_step(described: Molecules) -> None:
    """Vectors make J a quadratic: its matrix holds every term, the quadrupoles as well."""
    molecules = described.replace(quadrupole=quadrupoles(described.charges, described))
    folds = list(KFold(3).split(np.arange(len(molecules))))
    labels = read_labels(molecules, molecules.dipole_vector, None, None)
    ridge = small_ridge(quadrupole_weight=0.5)
    problem = FoldGrid(labels, ridge, folds, [ALPHA], [0.1]).problem
    fold, weight = np.arange(3), np.full(3, 0.1)
    objective = problem.objective(fold, weight).with_alpha(ALPHA)
    W = np.random.default_rng(0).standard_normal((3, problem.basis.n_columns))
    W = objective.project(W)
    before = objective.half_gradient(objective.at(W))
    step = problem.matrices.factors(objective, W, fold, weight).solve(before, fold)
    after = objective.half_gradient(objective.at(W - objective.project(step)))
    assert np.linalg.norm(after) < 1e-4 * np.linalg.norm(before)


def test_the_matrix_of_magnitudes_is_stiff_along_the_dipoles(described: Molecules) -> None:
    """Without it the steps are too long: a grid takes more of them, and may end elsewhere."""
    molecules, weights = described.replace(dipole_vector=None), 1.0 + np.arange(40) % 3
    labels = read_labels(molecules, None, None, weights)
    folds = list(KFold(3).split(np.arange(40)))
    problem = FoldGrid(labels, plain_ridge(), folds, [ALPHA], [0.0]).problem
    fold, charge_weight = np.arange(3), np.zeros(3)
    objective = problem.objective(fold, charge_weight).with_alpha(ALPHA)
    W, right = np.random.default_rng(0).standard_normal((2, 3, problem.basis.n_columns))
    matrices = problem.matrices.factors(objective, W, fold, charge_weight)
    solved = matrices.solve(right, fold)
    change = (problem.rows @ solved.T).T.reshape(3, 40, 3)
    axes = shared_directions(objective, W)
    along = np.sum(change * axes, axis=-1, keepdims=True) * axes
    bent = weights[:, None] * (along + TRANSVERSE_SHARE * (change - along)) / weights.sum()
    expected = bent.reshape(3, -1) @ problem.rows + ALPHA * solved
    np.testing.assert_allclose(expected, right, atol=1e-6)


@pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf, "auto"])
def test_charge_weights_that_are_no_weights_are_refused(described: Molecules, weight: Any) -> None:
    labels = read_labels(described, None, None, None)
    folds = list(KFold(3).split(np.arange(len(described))))
    with pytest.raises(InputError, match="charge_weight: expected a number >= 0"):
        FoldGrid(labels, small_ridge(), folds, [ALPHA], [0.0, weight])


def test_memory_of_a_discrepancy_is_asked_for(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each problem then has a factor and a matrix of its own."""
    counts = []

    def record(n_molecules: int, n_columns: int, backend: Any, n_matrices: int, *_: Any) -> None:
        counts.append(n_matrices)

    monkeypatch.setattr("dipkit.search.fold_problem.require_memory", record)
    folds = list(KFold(3).split(np.arange(len(described))))
    labels = read_labels(described, None, None, None)
    for discrepancy in (None, 1e-3):
        ridge = small_ridge(charge_discrepancy=discrepancy)
        FoldGrid(labels, ridge, folds, [ALPHA], [0.1, 1.0])
    assert counts[1] >= counts[0] + 2 * 3 * 2


def test_minima_are_followed_while_alpha_falls(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the annealing of a fit: the strongest penalty has the fewest minima."""
    solved = []

    def recorded(objective: JointObjective, *rest: Any) -> Minimum:
        solved.append(objective.alpha)
        return minimise(objective, *rest)

    monkeypatch.setattr(dipkit.search.fold_grid, "minimise", recorded)
    folds = list(KFold(3).split(np.arange(len(described))))
    alphas = [1e-3, 1e-1, 1e-4, 1e-2]
    cross_validate_grid(
        described, alphas=alphas, charge_weights=[0.0, 0.1], folds=folds, ridge=small_ridge()
    )
    assert list(dict.fromkeys(solved))[-4:] == [1e-1, 1e-2, 1e-3, 1e-4]
    assert solved == sorted(solved, reverse=True)


def test_the_mean_error_comes_near_that_of_separate_fits(described: Molecules) -> None:
    """Fits choose their environments on the training part alone: other ones, as good on the whole.

    What is exact is tested above. Here the usual tolerance of the grid is seen as well.
    """
    folds = list(KFold(3).split(np.arange(len(described))))
    ridge = DipoleKernelRidge(alpha=ALPHA, charge_weight=1e-3)
    grid = cross_validate_grid(
        described, alphas=[ALPHA], charge_weights=[1e-3], folds=folds, ridge=ridge
    )
    separate = [
        -mae_scorer(clone(ridge).fit(described[train]), described[test]) for train, test in folds
    ]
    np.testing.assert_allclose(grid[:, 0, 0], separate, rtol=0.05)


# Labels that a fold may see


def test_unlabelled_molecules_are_never_scored(described: Molecules) -> None:
    some = described.dipole_magnitude.copy()
    some[::4] = np.nan
    missing = np.full((len(described), 3), np.nan)
    part = described.replace(dipole_magnitude=some, dipole_vector=missing)
    folds = list(KFold(3).split(np.arange(len(described))))
    grid = FoldGrid(read_labels(part, None, None, None), small_ridge(), folds, [ALPHA], [0.0])
    for (_, test), scored, errors in zip(folds, grid.scored(), grid.held_out_errors(), strict=True):
        np.testing.assert_array_equal(scored, test[test % 4 > 0])
        assert np.isfinite(errors).all()
        assert errors.shape == (1, 1, len(scored))


def test_charges_of_unlabelled_molecules_train_in_every_fold(described: Molecules) -> None:
    """Molecules without a dipole label are in every training part: their charges count there."""
    n, extra = len(described), np.arange(0, len(described), 3)
    magnitudes = described.dipole_magnitude.copy()
    magnitudes[extra] = np.nan
    charges = described.charges.copy()
    charges[np.isin(described.molecule_index, extra)] *= -1.0
    part = described.replace(dipole_magnitude=magnitudes, dipole_vector=None)
    folds = Splits(3, read_labels(part, None, None, None)).folds
    for train, test in folds:
        assert np.isin(extra, train).all()
        assert not np.isin(extra, test).any()
        assert len(train) + len(test) == n
    ridge = small_ridge()
    errors = [
        FoldGrid(read_labels(each, None, None, None), ridge, folds, [ALPHA], [0.1])
        .held_out_errors(tol=1e-9)
        for each in (part, part.replace(charges=charges))
    ]  # fmt: skip
    for one, other in zip(*errors, strict=True):
        assert np.abs(one - other).mean() > 1e-2


def baseline_molecules(described: Molecules) -> Molecules:
    """Some ions among molecules that carry a baseline with charges."""
    rng = np.random.default_rng(0)
    off = 0.2 * rng.standard_normal((len(described), 3))
    return described.replace(
        baseline_dipole=1.3 * described.dipole_vector + off,
        baseline_charges=1.3 * described.charges,
        dipole_vector=None,
    )


@pytest.mark.parametrize("source", ["auto", "electronegativity", "charges"])
@pytest.mark.parametrize("charge_weight", [0.0, 0.1])
def test_held_out_labels_do_not_change_a_fold(
    described: Molecules, charge_weight: float, source: str
) -> None:
    """The factor of a baseline is that of the training labels, in dipoles and in charges."""
    molecules = baseline_molecules(described)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    ridge = small_ridge(baseline="given", start=ChargeStart(source), solver__max_iter=2000)
    if source != "auto":
        # One model: under the weak penalty of the second, a path from charges may end elsewhere.
        ridge.set_params(basis__atomic_dipoles=0.06)
    for k, (_, test) in enumerate(folds):
        changed = molecules.dipole_magnitude.copy()
        changed[test] *= 3.0
        lengths = []
        for magnitudes in (molecules.dipole_magnitude, changed):
            labels = read_labels(molecules, magnitudes, None, None)
            grid = FoldGrid(labels, ridge, folds, [ALPHA], [charge_weight])
            lengths.append(grid.held_out_errors(tol=1e-13, max_iter=2000)[k] + magnitudes[test])
        # The other folds see the changed labels, and their dipoles take part in the shared matrix:
        # another way to the same minimum.
        np.testing.assert_allclose(lengths[1], lengths[0], atol=1e-5)
        factors = grid.problem.fold_labels.factors
        assert abs(factors[k] - grid.problem.fold_labels.factor) > 0.1


def test_folds_with_a_baseline_equal_fits(described: Molecules) -> None:
    """Each with the factor of its training labels, charges and pull towards directions."""
    molecules = baseline_molecules(described)
    folds = list(KFold(3).split(np.arange(len(molecules))))
    # Without a pull towards directions J has several minima, of which they may end in others.
    for weight, direction in ((0.0, 0.3), (0.1, 0.3), (0.1, 1.0)):
        ridge = plain_ridge(
            baseline="given", alpha=ALPHA, charge_weight=weight,
            solver__tol=1e-13, solver__max_iter=2000,
        ).set_params(baseline__direction_weight=direction)  # fmt: skip
        labels = read_labels(molecules, None, None, None)
        grid = FoldGrid(labels, ridge, folds, [ALPHA], [weight])
        found = grid.held_out_errors(tol=1e-13, max_iter=2000)
        for (train, test), errors in zip(folds, found, strict=True):
            model = fit_fold(clone(ridge), grid.problem, molecules, train)
            expected = model.predict(molecules[test]) - molecules.dipole_magnitude[test]
            np.testing.assert_allclose(errors[0, 0], expected, atol=1e-5)
