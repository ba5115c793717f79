"""What a fit minimises, from its definition: starts, weights of the terms, parts of J."""

from typing import Any

import numpy as np
import pytest

from dipkit import DipoleKernelRidge, GivenBaseline, Molecules, ZeroStart
from dipkit.estimator.defaults import resolve_direction_weight
from dipkit.learning.labels import read_labels

N_INDUCING = 40


def small_ridge(**parameters: Any) -> DipoleKernelRidge:
    return DipoleKernelRidge().set_params(basis__n_inducing=N_INDUCING, **parameters)


@pytest.fixture
def given(described: Molecules) -> Molecules:
    """Molecules with magnitudes, charges, and a baseline that is off by some debye."""
    off = 0.4 * np.random.default_rng(0).standard_normal((len(described), 3))
    return described.replace(
        baseline_dipole=described.dipole_vector + off, baseline_charges=None, dipole_vector=None
    )


def scaled_baseline(model: DipoleKernelRidge, molecules: Molecules) -> np.ndarray:
    """Baseline of neutral molecules times the factor of the model (N, 3), debye."""
    assert molecules.baseline_dipole is not None
    assert not molecules.total_charge.any()
    return model.baseline_factor_ * molecules.baseline_dipole


@pytest.mark.parametrize("memory", [0, 8])
def test_a_zero_start_begins_with_no_correction(given: Molecules, memory: int) -> None:
    model = small_ridge(start=ZeroStart(), baseline=GivenBaseline(), solver__memory=memory)
    model.fit(given)
    e = np.linalg.norm(scaled_baseline(model, given), axis=1) - given.dipole_magnitude
    assert model.history_[0] == pytest.approx(np.mean(e**2), rel=1e-12)
    # The usual start with a baseline is this one.
    usual = small_ridge(baseline=GivenBaseline(), solver__memory=memory).fit(given)
    np.testing.assert_array_equal(usual.history_, model.history_)


def test_a_zero_start_without_baseline_begins_without_charges(described: Molecules) -> None:
    molecules = described.replace(dipole_vector=None)
    # The penalty of auxiliary dipoles is not zero there.
    model = small_ridge(start=ZeroStart(), charge_weight=0.0, auxiliary=None).fit(molecules)
    expected = np.mean(molecules.dipole_magnitude**2)
    assert model.history_[0] == pytest.approx(expected, rel=1e-12)
    assert model.objective_ < 0.1 * expected


@pytest.mark.parametrize("kappa", ["auto", 0.05])
def test_the_pull_towards_directions_has_its_weight(given: Molecules, kappa: Any) -> None:
    """J is the error, the pull times kappa, and hardly anything else where alpha is small."""
    baseline = GivenBaseline(direction_weight=kappa)
    # Atomic dipoles would have weights so large that their penalty counts.
    settings = {"basis__atomic_dipoles": 0.0, "alpha": 1e-9, "solver__tol": 1e-10}
    model = small_ridge(baseline=baseline, **settings).fit(given)
    weight = resolve_direction_weight(baseline, read_labels(given, None, None, None))
    assert weight == pytest.approx(4.0 / len(given) if kappa == "auto" else 0.05)
    mu_b = scaled_baseline(model, given)
    change = model.predict_dipole(given) - mu_b
    unit = mu_b / np.linalg.norm(mu_b, axis=1, keepdims=True)
    transverse = change - unit * (change * unit).sum(axis=1, keepdims=True)
    error = model.predict(given) - given.dipole_magnitude
    pull = weight * np.mean((transverse**2).sum(axis=1))
    assert pull > 0.05 * model.objective_
    assert model.objective_ == pytest.approx(np.mean(error**2) + pull, rel=1e-2)


def test_with_a_baseline_charges_have_no_weight_unless_asked_for(given: Molecules) -> None:
    usual = small_ridge(baseline="given").fit(given)
    none = small_ridge(baseline="given", charge_weight=0.0).fit(given)
    some = small_ridge(baseline="given", charge_weight=1e-3).fit(given)
    assert usual.charge_weight_ == 0.0
    np.testing.assert_array_equal(usual.predict(given), none.predict(given))
    assert np.abs(some.predict(given) - none.predict(given)).max() > 1e-6


def test_charges_have_the_weight_that_is_asked_for(described: Molecules) -> None:
    """J is the error, the charge term times lambda, and alpha |w|^2, which is small."""
    molecules = described.replace(dipole_vector=None)
    model = small_ridge(charge_weight=0.3, alpha=1e-9, start__prior=False, solver__tol=1e-10).fit(
        molecules
    )
    error = model.predict(molecules) - molecules.dipole_magnitude
    off = model.predict_charges(molecules) - molecules.charges
    charges = 0.3 * np.mean(off**2)
    assert charges > 0.05 * model.objective_
    assert model.objective_ == pytest.approx(np.mean(error**2) + charges, rel=1e-2)
