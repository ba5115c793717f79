"""Sample weights: whole ones are copies, others are relative; scores have them too."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score

import dipkit.estimator.fit
from dipkit import DipoleKernelRidge
from dipkit.data.molecules import Molecules
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import conserve_charge
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import PowerKernel
from dipkit.learning.labels import read_labels
from dipkit.learning.normal_matrices import FactorizationError

TIMES = np.array([1, 2, 3, 0, 1, 1, 2, 1, 0, 1, 1, 2])


def quick(**parameters: Any) -> DipoleKernelRidge:
    usual = {"solver__tol": 1e-12, "basis__eigenvalue_cut": 1e-5, "device": "cpu"}
    return DipoleKernelRidge().set_params(**usual | parameters)


@pytest.fixture
def molecules(toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch) -> Molecules:
    """Molecules with all labels; every fit uses the same environments, of all of them."""
    bare = toy(sizes=(3, 4, 5, 2, 6, 3, 4, 4, 5, 3, 3, 2))
    rng = np.random.default_rng(0)
    charges = conserve_charge(rng.standard_normal(bare.n_atoms), bare)
    baseline = rng.standard_normal((12, 3))
    labels = {"dipole_magnitude": 3 * rng.random(12), "charges": charges}
    chosen = choose_environments(bare, 40, PowerKernel(), np.random.default_rng(0))
    monkeypatch.setattr(dipkit.estimator.fit, "choose_environments", lambda *_: chosen)
    return bare.replace(baseline_dipole=baseline, **labels)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"baseline": "given"}, {"charge_discrepancy": 1e-2}, {"loss": "huber"}],
    ids=["usual", "baseline", "discrepancy", "huber"],
)
def test_whole_weights_are_copies_for_automatic_penalties(
    molecules: Molecules, parameters: dict[str, Any]
) -> None:
    model = quick(**parameters)
    weighted = clone(model).fit(molecules, sample_weight=TIMES)
    copies = clone(model).fit(molecules[np.repeat(np.arange(12), TIMES)])
    assert weighted.alpha_ == copies.alpha_
    assert weighted.charge_weight_ == copies.charge_weight_
    assert weighted.objective_ == pytest.approx(copies.objective_, rel=1e-5)
    found, expected = (fit.predict_dipole(molecules) for fit in (weighted, copies))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def n_effective(molecules: Molecules, weights: object) -> float:
    return read_labels(molecules, None, None, weights).n_effective


def test_whole_weights_are_counts(molecules: Molecules) -> None:
    assert n_effective(molecules, None) == 12
    assert n_effective(molecules, TIMES) == 15
    assert n_effective(molecules, 2 * np.ones(12)) == 24


@pytest.mark.parametrize("scale", [1e-200, 1e-2, 0.5, 1e5])
def test_the_scale_of_other_weights_does_not_count(molecules: Molecules, scale: float) -> None:
    weights = scale * np.where(TIMES > 0, 1.0 / 3.0, 0.0)
    assert n_effective(molecules, weights) == pytest.approx(10)
    weights = np.sqrt(np.arange(12) + 0.5)
    expected = weights.sum() ** 2 / (weights**2).sum()
    assert n_effective(molecules, scale * weights) == pytest.approx(expected)


def test_weights_near_0_count_next_to_nothing(molecules: Molecules) -> None:
    weights = np.where(TIMES > 0, 0.7, 1e-9)
    assert n_effective(molecules, weights) == pytest.approx(10)


def test_only_labelled_molecules_count(molecules: Molecules) -> None:
    some = np.where(np.arange(12) < 5, molecules.dipole_magnitude, np.nan)
    part = molecules.replace(dipole_magnitude=some)
    assert n_effective(part, TIMES) == TIMES[:5].sum()


def test_whole_weights_that_are_no_counts_are_named(molecules: Molecules) -> None:
    """The ridge penalty for so many copies would be lost in rounding."""
    weights = np.append(np.ones(11), 1e12)
    with pytest.raises(FactorizationError, match=r"sample_weight: .*make 1e\+12 labels of 12"):
        quick(basis__eigenvalue_cut=1e-12).fit(molecules, sample_weight=weights)
    for remedy in (
        quick().fit(molecules, sample_weight=weights / weights.max()),
        quick(alpha=1e-3).fit(molecules, sample_weight=weights),
    ):
        assert np.isfinite(remedy.predict(molecules)).all()


@pytest.mark.parametrize("large", [2.0**53, 1e300])
def test_numbers_that_are_all_whole_are_no_counts(molecules: Molecules, large: float) -> None:
    assert n_effective(molecules, np.full(12, large)) == pytest.approx(12)
    assert n_effective(molecules, np.append(np.ones(11), large)) == pytest.approx(1)


def test_weights_without_a_finite_sum_are_refused(molecules: Molecules) -> None:
    with pytest.raises(InputError, match=r"sample_weight: .* a finite sum"):
        n_effective(molecules, np.full(12, 1.5e308))


def test_alpha_does_not_depend_on_the_scale_of_relative_weights(molecules: Molecules) -> None:
    weights = 0.1 + np.random.default_rng(1).random(12)
    alphas = {
        quick().fit(molecules, sample_weight=scale * weights).alpha_ for scale in (1.0, 2.0**-9)
    }
    assert len(alphas) == 1
    assert 0.02 / 12 < alphas.pop() < 0.02 / 6


def test_score_is_weighted(molecules: Molecules) -> None:
    model = quick(alpha=1.0).fit(molecules)
    y, predicted = molecules.dipole_magnitude, model.predict(molecules)
    expected = r2_score(y, predicted, sample_weight=TIMES)
    assert abs(expected - r2_score(y, predicted)) > 0.01
    assert model.score(molecules, sample_weight=TIMES) == pytest.approx(expected, rel=1e-9)
    assert model.score(molecules, y, sample_weight=TIMES) == pytest.approx(expected, rel=1e-9)
