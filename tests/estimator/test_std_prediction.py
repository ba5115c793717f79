"""Standard deviations of predictions: invariances, dense formula, single atoms, files."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import threadpoolctl
from ase import Atoms
from sklearn.pipeline import make_pipeline

from dipkit import DipoleKernelRidge, InducingBasis, load_model, predict_all, save_model
from dipkit.cli.prediction_files import stream_predictions
from dipkit.data.io import read
from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.estimator import std_prediction
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import conserve_charge, molecule_sums, project
from dipkit.learning.compensation import EVEN, Compensation
from dipkit.learning.multipoles import constant_dipoles
from dipkit.support.backend import NUMPY
from dipkit.units import DEBYE_PER_E_ANGSTROM

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


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


@pytest.mark.parametrize("changes", [{}, {"bond_charges": 0.0}, {"compensation": "bonds"}], ids=str)
def test_it_is_the_dense_formula(
    fitted: DipoleKernelRidge, described: Molecules, changes: dict[str, Any]
) -> None:
    """Draws, novelty with its ceiling and floor, molecule by molecule, from the kernel."""
    assert described.features is not None
    if changes:
        basis = InducingBasis(n_inducing=150, precision="double", **changes)
        fitted = DipoleKernelRidge(basis=basis).fit(described[:30])
    fitted = copy.copy(fitted)
    has_bonds = changes.get("bond_charges") is None
    assert (fitted.std_bond_coef_ is not None) == has_bonds
    maps = [Compensation(stiffness) for stiffness in fitted.stiffness_]
    fitted.std_ceiling_ = 0.2 * fitted.std_novelty_
    found = fitted.predict(described, return_std=True)[1]
    dipoles, limited = fitted.predict_dipole(described), 0
    environments = [scale.astype(np.float64) for scale in fitted.inducing_features_]
    scales = [scale.astype(np.float64) for scale in described.features.scales]
    k = fitted.kernel_(scales, environments, fitted.scale_weights_.tolist())
    for molecule in np.flatnonzero(np.linalg.norm(dipoles, axis=1) > 0.01).tolist():
        atoms = described.atom_index(molecule)
        unit = dipoles[molecule] / np.linalg.norm(dipoles[molecule])
        one = described[molecule]
        arms, bond_arms = (
            4.80320471 * how.matrix(one, NUMPY).toarray() @ one.positions @ unit for how in maps
        )
        drawn = np.zeros(fitted.std_coef_.shape[1])
        variance = fitted.std_floor_**2
        places = np.arange(described.n_atoms)[atoms]
        for atom, arm, bond_arm in zip(places, arms, bond_arms, strict=True):
            place = int(np.flatnonzero(fitted.elements_ == described.numbers[atom])[0])
            row = k[atom, fitted.inducing_numbers_ == described.numbers[atom]]
            mine = fitted.inducing_numbers_ == described.numbers[atom]
            drawn += arm * (
                row @ fitted.std_coef_[mine].astype(float) + fitted.std_intercept_[place]
            )
            if has_bonds:
                drawn += bond_arm * (row @ fitted.std_bond_coef_[mine])
            phi = row @ std_prediction.whitenings(fitted)[place]
            charge = fitted.std_novelty_ * np.sqrt(min(max(1 - phi @ phi, 0.0), 1.0))
            limited += charge > fitted.std_ceiling_
            variance += (arm * min(charge, fitted.std_ceiling_)) ** 2
        variance += drawn @ drawn
        assert found[molecule] == pytest.approx(np.sqrt(variance), rel=1e-5)
    assert 0 < limited < described.n_atoms


def test_a_dipole_of_zero_may_grow_along_any_axis(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(4, 5))
    rng = np.random.default_rng(0)
    samples, novelty = rng.normal(size=(9, 50)), rng.random(9)
    along = []
    for axis in np.eye(3):
        arms = DEBYE_PER_E_ANGSTROM * project(molecules.positions, molecules) @ axis
        moments = molecule_sums(arms[:, None] * samples, molecules.offsets)
        variance = (moments**2).sum(axis=1)
        along.append(variance + molecule_sums((arms * novelty) ** 2, molecules.offsets))
    predictor = std_prediction.StdPredictor.__new__(std_prediction.StdPredictor)
    predictor.floor, predictor.n_samples, predictor.dipole_elements = 0.0, 50, []
    predictor.compensations = [EVEN]
    for dipoles, expected in (
        (np.zeros((2, 3)), sum(along)),
        (np.tile([0.0, 0.0, 2.0], (2, 1)), along[2]),
        (np.array([[0.0, 0.009, 0.0], [0.0, 0.011, 0.0]]), [sum(along)[0], along[1][1]]),
        (np.array([[0.0, 0.0, 0.0], [0.0, 3.0, 0.0]]), [sum(along)[0], along[1][1]]),
    ):
        drawn = [(np.arange(9), samples, novelty)]
        np.testing.assert_allclose(predictor.std(molecules, dipoles, drawn) ** 2, expected)


def test_far_environments_are_less_certain(fitted: DipoleKernelRidge, described: Molecules) -> None:
    """Descriptors unlike all seen: the draws vanish there, the novelty does not."""
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
    assert std_prediction.residual_kernel(
        np.array([[1.0, 0.0], [0.6, 0.0], [1.0, 1.0]])
    ).tolist() == [
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


def test_dipoles_of_single_atoms_alone_give_none(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    single = molecules.natoms == 1
    y, weight = np.where(single, 0.0, 1.0), single.astype(float)
    with pytest.raises(InputError, match=r"got only single atoms .* of positive weight"):
        DipoleKernelRidge().fit(molecules, y, sample_weight=weight)


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
        # Draws are made along eigenvectors, and two libraries rotate those of equal eigenvalues
        # differently: the standard deviations then differ as those of two sets of draws do.
        rtol=1e-3 if device == "cpu" else 0.3,
    )


# Saving, pipelines, files


def test_saved_models_give_the_same_bits(
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
    with pytest.raises(InputError, match=r"return_std: .* fitted by an older dipkit"):
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
    stream_predictions(tmp_path / "out.csv", [prediction], "a model")
    header, first, *_ = (tmp_path / "out.csv").read_text().splitlines()
    assert header.endswith("predicted_z,predicted_std_debye")
    assert float(first.split(",")[-1]) == pytest.approx(prediction.std[0], abs=1e-6)
    stream_predictions(tmp_path / "out.xyz", [prediction], "a model")
    frames: list[Atoms] = ase.io.read(tmp_path / "out.xyz", ":")
    stds = [frame.info["predicted_std_debye"] for frame in frames]
    np.testing.assert_allclose(stds, prediction.std, atol=1e-7)
    assert not read(tmp_path / "out.xyz").has_magnitude.any()


def test_whitenings_have_the_same_bits_with_any_number_of_threads(
    toy: Callable[..., Molecules],
) -> None:
    environments = toy(sizes=(6,) * 100, widths=(40,), elements=(1,))
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=500)).fit(
        environments, np.ones(len(environments))
    )
    found = []
    for n_threads in (1, 2, 4):
        ridge._std_whitening = None
        with threadpoolctl.threadpool_limits(n_threads):
            found.append(std_prediction.whitenings(ridge))
    assert len(found[0][0]) == 500
    for other in found[1:]:
        np.testing.assert_array_equal(other[0], found[0][0])
