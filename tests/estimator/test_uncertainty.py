"""Standard deviations: identities of the posterior, leaving out, calibration, novelty."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from sklearn.pipeline import make_pipeline

import dipkit.estimator.fit
from dipkit import DipoleKernelRidge, InducingBasis, Reweighted, load_model, predict_all, save_model
from dipkit.cli.writers import write_predictions
from dipkit.data.io import read
from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.estimator import std_calibration as unc
from dipkit.estimator import std_prediction as spread
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import conserve_charge
from dipkit.learning.losses import SquaredLoss
from dipkit.learning.multipoles import constant_dipoles
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.learning.quadratic_term import QuadraticTerm

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def objective_of(
    rng: np.random.Generator, n: int = 12, r: int = 7, n_vectors: int = 0, charges: bool = True
) -> JointObjective:
    """Random rows with magnitudes, or vectors for the first, and unequal weights."""
    vectors = np.where(np.arange(n)[:, None] < n_vectors, rng.normal(size=(n, 3)), np.nan)
    target = DipoleTarget(rng.uniform(1, 3, n), vectors, rng.uniform(0.5, 2, n))
    c = rng.normal(size=(20, r))
    term = QuadraticTerm(c.T @ c, c.T @ rng.normal(size=20), 1.0, 20.0) if charges else None
    constant = rng.normal(size=(n, 3))
    rows = rng.normal(size=(3 * n, r))
    return JointObjective(rows, constant, target, [(term, 0.3)], 0.1, SquaredLoss())


@pytest.mark.parametrize("n_vectors", [0, 4, 12])
def test_the_curvature_is_that_of_the_linearised_objective(n_vectors: int) -> None:
    rng = np.random.default_rng(0)
    objective = objective_of(rng, n_vectors=n_vectors)
    w = rng.normal(size=7)
    mu = objective.dipoles(objective.at(w))
    dense = 0.1 * np.eye(7) + objective.term_scale * objective.term.gram
    for a, rows in enumerate(objective.rows.reshape(-1, 3, 7)):
        held = rows if a < n_vectors else (mu[a] / np.linalg.norm(mu[a]))[None] @ rows
        dense += objective.weights[a] * held.T @ held
    np.testing.assert_allclose(unc._curvature(objective, mu), dense, atol=1e-12)


@pytest.mark.parametrize("n_vectors", [0, 5])
def test_leaving_out_equals_solving_again(n_vectors: int) -> None:
    """Exact for a linear model: here magnitudes stay linear since directions are frozen."""
    rng = np.random.default_rng(1)
    objective = objective_of(rng, n_vectors=n_vectors, charges=False)
    n, r, weights = 12, 7, objective.weights
    rows = objective.rows.reshape(n, 3, r)
    # A linear problem whose residuals are those of the objective at its own solution.
    w = rng.normal(size=r)
    mu = objective.dipoles(objective.at(w))
    unit = spread.directions(mu)
    held = [np.eye(3) if a < n_vectors else unit[a][None] for a in range(n)]
    residual = mu - objective.target_vectors(mu)
    hessian = 0.1 * np.eye(r)
    for a in range(n):
        hessian += weights[a] * rows[a].T @ held[a].T @ held[a] @ rows[a]
    chosen = np.array([0, 3, 7, 11])
    factor = objective.backend.factor(unc._curvature(objective, mu))
    errors, variances = unc._left_out(objective, mu, factor, chosen, n)
    for place, a in enumerate(chosen):
        map_a = held[a] @ rows[a]
        without = hessian - weights[a] * map_a.T @ map_a
        # Removing A shifts the weights by the pull that it no longer exerts.
        shift = np.linalg.solve(without, weights[a] * map_a.T @ (held[a] @ residual[a]))
        error = unit[a] @ (residual[a] + rows[a] @ shift)
        g = rows[a].T @ unit[a]
        assert errors[place] == pytest.approx(abs(error), rel=1e-9)
        assert variances[place] == pytest.approx(g @ np.linalg.solve(without, g) / n, rel=1e-9)


def test_draws_have_the_covariance_of_the_posterior(described: Molecules) -> None:
    """With many draws, the first term of (12) is the quadratic form it stands for."""
    caught: list[Any] = []
    original = unc.fit_spread

    def catch(*args: Any) -> spread.Spread:
        caught.extend(args)
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dipkit.estimator.fit, "fit_spread", catch)
        patch.setattr(unc, "N_SAMPLES", 20_000)
        model = DipoleKernelRidge(basis=InducingBasis(n_inducing=40)).fit(described[:30])
    objective, weights, basis, *_ = caught
    mu = objective.dipoles(objective.at(weights))
    curvature = unc._with_constants(unc._curvature(objective, mu), objective.alpha, basis)
    inverse = np.linalg.inv(curvature) / 30
    scale = model.std_floor_ / np.sqrt(unc.NOISE_FLOOR)
    gradient = np.einsum("ac,acr->ar", spread.directions(mu), objective.rows.reshape(30, 3, -1))
    expected = scale**2 * np.einsum("ar,rs,as->a", gradient, inverse, gradient)
    model.std_novelty_ = model.std_floor_ = 0.0
    found = model.predict(described[:30], return_std=True)[1] ** 2
    np.testing.assert_allclose(found, expected, rtol=0.1, atol=1e-6)


@pytest.fixture(scope="module")
def fitted(described: Molecules) -> DipoleKernelRidge:
    return DipoleKernelRidge(basis=InducingBasis(n_inducing=150, precision="double")).fit(
        described[:30]
    )


def test_magnitudes_are_the_same_bits(fitted: DipoleKernelRidge, described: Molecules) -> None:
    magnitudes, std = fitted.predict(described, return_std=True)
    np.testing.assert_array_equal(magnitudes, fitted.predict(described))
    charges, dipole, again = fitted.predict_together(described, return_std=True)
    np.testing.assert_array_equal(dipole, fitted.predict_dipole(described))
    np.testing.assert_array_equal(charges, fitted.predict_charges(described))
    np.testing.assert_array_equal(again, std)
    assert std.shape == (len(described),)
    assert (std >= fitted.std_floor_).all()


def test_parts_and_order_do_not_matter(fitted: DipoleKernelRidge, described: Molecules) -> None:
    whole = fitted.predict(described, return_std=True)[1]
    some = np.array([31, 4, 17])
    np.testing.assert_allclose(
        fitted.predict(described[some], return_std=True)[1], whole[some], rtol=1e-6
    )


def test_turning_and_moving_changes_nothing(
    fitted: DipoleKernelRidge, described: Molecules
) -> None:
    angle = 0.7
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    moved = described.replace(positions=described.positions @ turn.T + 3.0)
    moved = moved.replace(features=described.features)
    expected = fitted.predict(described, return_std=True)[1]
    np.testing.assert_allclose(fitted.predict(moved, return_std=True)[1], expected, rtol=1e-9)


def test_a_dipole_of_zero_may_grow_along_any_axis(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(4, 5))
    rng = np.random.default_rng(0)
    samples, novelty = rng.normal(size=(9, 50)), rng.random(9)
    axes = [np.tile(axis, (2, 1)) for axis in np.eye(3)]
    none = np.empty((9, 0, 50))
    along = [spread._variance(molecules, axis, samples, novelty, [], none) for axis in axes]
    told = spread.PredictedSpread.__new__(spread.PredictedSpread)
    told.floor, told.n_samples, told.around = 0.0, 50, []
    for dipoles, expected in (
        (np.zeros((2, 3)), sum(along)),
        (np.tile([0.0, 0.0, 2.0], (2, 1)), along[2]),
        (np.array([[0.0, 0.0, 0.0], [0.0, 3.0, 0.0]]), [sum(along)[0], along[1][1]]),
    ):
        drawn = [(np.arange(9), samples, novelty)]
        np.testing.assert_allclose(told.std(molecules, dipoles, drawn) ** 2, expected)


def test_far_environments_are_less_certain(fitted: DipoleKernelRidge, described: Molecules) -> None:
    """Descriptors like nothing seen: the draws know nothing there, the novelty does."""
    assert described.features is not None
    known = fitted.predict(described[:30], return_std=True)[1]
    rng = np.random.default_rng(0)
    strange = []
    for scale in described.features.scales:
        noise = np.abs(rng.normal(size=scale.shape)).astype(np.float32)
        strange.append(noise / np.linalg.norm(noise, axis=1, keepdims=True))
    features = Features(tuple(strange), described.features.weights)
    unlike = fitted.predict(described.replace(features=features)[:30], return_std=True)[1]
    assert np.median(unlike) > 3 * np.median(known)
    assert np.mean(unlike > known) > 0.9


def test_novelty_vanishes_at_inducing_environments(
    fitted: DipoleKernelRidge, described: Molecules
) -> None:
    """With every training atom an inducing one, only float32 is left of the residual."""
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=10_000, eigenvalue_cut=1e-12)).fit(
        described[:6]
    )
    with_novelty = model.predict(described[:6], return_std=True)[1]
    model.std_novelty_ = 0.0
    without = model.predict(described[:6], return_std=True)[1]
    np.testing.assert_allclose(with_novelty, without, rtol=0.05)
    assert spread.residual_kernel(np.array([[1.0, 0.0], [0.6, 0.0], [1.0, 1.0]])).tolist() == [
        0.0,
        pytest.approx(0.64),
        0.0,
    ]


def test_single_atoms_are_certain(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    with pytest.warns(UserWarning, match="single atoms"):
        model = DipoleKernelRidge().fit(molecules, np.where(molecules.natoms > 1, 1.0, 0.0))
    std = model.predict(molecules, return_std=True)[1]
    assert std[molecules.natoms == 1].tolist() == [0.0]
    assert (std[molecules.natoms > 1] > 0).all()
    assert np.abs(constant_dipoles(molecules)).max() > 0  # ions are among them


def test_dipoles_of_single_atoms_alone_are_refused(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    single = molecules.natoms == 1
    y, weight = np.where(single, 0.0, 1.0), single.astype(float)
    with pytest.raises(InputError, match=r"got only single atoms .* of positive weight"):
        DipoleKernelRidge().fit(molecules, y, sample_weight=weight)


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
def test_every_loss_and_vectors(described: Molecules, loss: str) -> None:
    for y in (described.dipole_magnitude, described.dipole_vector):
        model = DipoleKernelRidge(
            basis=InducingBasis(n_inducing=60), loss=loss, solver=Reweighted(max_iter=2000)
        )
        std = model.fit(described[:20], y[:20]).predict(described[20:], return_std=True)[1]
        assert np.isfinite(std).all()
        assert (std > 0).all()


def test_molecules_without_dipole_labels_do_not_calibrate(described: Molecules) -> None:
    magnitude = described.dipole_magnitude.copy()
    magnitude[20:] = np.nan
    some = described.replace(dipole_magnitude=magnitude, dipole_vector=None)
    some = some.replace(features=described.features)
    std = (
        DipoleKernelRidge(basis=InducingBasis(n_inducing=60))
        .fit(some)
        .predict(described, return_std=True)[1]
    )
    assert np.isfinite(std).all()


def test_ions_with_charge_labels(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    charges = conserve_charge(np.random.default_rng(0).normal(size=molecules.n_atoms), molecules)
    molecules = molecules.replace(charges=charges)
    assert molecules.total_charge.any()
    some = molecules[molecules.natoms > 1]
    std = DipoleKernelRidge().fit(some, np.ones(len(some))).predict(some, return_std=True)[1]
    assert (std > 0).all()


def test_it_is_repeatable(described: Molecules) -> None:
    def fit() -> FloatArray:
        model = DipoleKernelRidge(basis=InducingBasis(n_inducing=60), random_state=3).fit(
            described[:20]
        )
        std: FloatArray = model.predict(described, return_std=True)[1]
        return std

    np.testing.assert_array_equal(fit(), fit())


def test_the_device_does_not_matter(described: Molecules, device: str) -> None:
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=60), device=device).fit(described[:20])
    other = DipoleKernelRidge(basis=InducingBasis(n_inducing=60), device="cpu").fit(described[:20])
    np.testing.assert_allclose(
        model.predict(described, return_std=True)[1],
        other.predict(described, return_std=True)[1],
        rtol=1e-3,
    )


def test_scale_holds_both_shares() -> None:
    rng = np.random.default_rng(0)
    errors = np.abs(rng.normal(size=100_000)) * 0.3
    assert unc._scale(errors, np.full(100_000, 2.0)) == pytest.approx(0.15, rel=0.01)


# Saving, pipelines, files


def test_saved_models_tell_the_same_bits(
    fitted: DipoleKernelRidge, described: Molecules, tmp_path: Path
) -> None:
    save_model(fitted, tmp_path / "model.dipkit")
    loaded = load_model(tmp_path / "model.dipkit")
    for one, other in zip(
        loaded.predict(described, return_std=True),
        fitted.predict(described, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_models_saved_before(
    fitted: DipoleKernelRidge, described: Molecules, tmp_path: Path
) -> None:
    older = DipoleKernelRidge(basis=InducingBasis(n_inducing=150))
    older.__dict__ |= {k: v for k, v in fitted.__dict__.items() if not k.startswith("std_")}
    save_model(older, tmp_path / "older.dipkit")
    loaded = load_model(tmp_path / "older.dipkit")
    np.testing.assert_array_equal(loaded.predict(described), fitted.predict(described))
    with pytest.raises(InputError, match=r"return_std: this model was fitted by an older dipkit"):
        loaded.predict(described, return_std=True)
    assert predict_all(loaded, described).std is None


def test_a_pipeline_passes_it_on(coarse_pipeline: Any, bare: Molecules, tmp_path: Path) -> None:
    magnitudes, std = coarse_pipeline.predict(bare, return_std=True)
    found = predict_all(coarse_pipeline, bare, return_std=True)
    np.testing.assert_array_equal(found.magnitude, magnitudes)
    np.testing.assert_array_equal(found.std, std)
    assert predict_all(coarse_pipeline, bare).std is None


@pytest.fixture(scope="module")
def bare(described: Molecules) -> Molecules:
    return described[30:].replace(features=None)


@pytest.fixture(scope="module")
def coarse_pipeline(fitted: DipoleKernelRidge, coarse_soap: Any) -> Any:
    return make_pipeline(coarse_soap, fitted)


def test_files(coarse_pipeline: Any, bare: Molecules, tmp_path: Path) -> None:
    prediction = predict_all(coarse_pipeline, bare, return_std=True)
    write_predictions(tmp_path / "out.csv", prediction)
    header, first, *_ = (tmp_path / "out.csv").read_text().splitlines()
    assert header.endswith("dipole_z,dipole_std_debye")
    assert float(first.split(",")[-1]) == pytest.approx(prediction.std[0], abs=1e-6)
    write_predictions(tmp_path / "out.xyz", prediction)
    frames: list[Atoms] = ase.io.read(tmp_path / "out.xyz", ":")
    stds = [frame.info["dipole_std_debye"] for frame in frames]
    np.testing.assert_allclose(stds, prediction.std, atol=1e-7)
    assert read(tmp_path / "out.xyz").has_magnitude.all()
