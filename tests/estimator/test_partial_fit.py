"""Adding molecules to a fitted model equals the fit to all of them with the same environments."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.parts import all_at_once, exact_ridge, in_parts
from sklearn.base import clone

import dipkit.estimator.fit
import dipkit.estimator.regression
import dipkit.estimator.std_calibration
from dipkit import DipoleKernelRidge, InducingBasis, Reweighted, load_model, save_model
from dipkit.data.molecules import Molecules
from dipkit.estimator.std_calibration import CalibrationSample
from dipkit.exceptions import InputError
from dipkit.learning.labels import read_labels
from dipkit.learning.objective import DipoleTarget


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"charge_weight": 0.0},
        {"start": "electronegativity", "charge_weight": 0.01},
        {"loss": "huber", "solver__max_iter": 300},
        {"start__prior": False},
        {"alpha": 1e-3},
    ],
    ids=str,
)
def test_equals_the_fit_to_all(described: Molecules, parameters: dict[str, object]) -> None:
    first, second, third = described[:20], described[20:33], described[33:]
    parts = in_parts(exact_ridge(**parameters), first, second, third)
    whole = all_at_once(exact_ridge(**parameters), first, described)
    assert parts.label_summary_ == whole.label_summary_
    assert parts.alpha_ == whole.alpha_
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-6)
    np.testing.assert_allclose(
        parts.predict_dipole(described), whole.predict_dipole(described), atol=1e-5
    )


def test_the_statistics_are_those_of_all(described: Molecules) -> None:
    first, rest = described[:25], described[25:]
    parts = in_parts(exact_ridge(), first, rest)._statistics
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        learn = dipkit.estimator.regression.learn
        patch.setattr(
            dipkit.estimator.regression,
            "learn",
            lambda settings, statistics: (seen.append(statistics), learn(settings, statistics))[1],
        )
        all_at_once(exact_ridge(), first, described)
    (whole,) = seen
    assert parts is not None
    for found, expected in (
        (parts.rows, whole.rows),
        (parts.charges.gram, whole.charges.gram),
        (parts.charges.rhs, whole.charges.rhs),
        (parts.charges.constant, whole.charges.constant),
        (parts.constant, whole.constant),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("init", ["auto", "electronegativity"])
def test_charges_that_come_later(described: Molecules, init: str) -> None:
    bare = described[20:].replace(charges=None)
    for first, second in ((described[:20], bare), (bare, described[:20])):
        parts = in_parts(exact_ridge(start=init), first, second)
        whole = all_at_once(exact_ridge(start=init), first, Molecules.concatenate([first, second]))
        assert parts.charge_weight_ == whole.charge_weight_ > 0
        np.testing.assert_allclose(
            parts.predict_dipole(described), whole.predict_dipole(described), atol=1e-5
        )


def test_one_part_is_a_fit(described: Molecules) -> None:
    np.testing.assert_array_equal(
        exact_ridge().partial_fit(described).dual_coef_, exact_ridge().fit(described).dual_coef_
    )


def test_environments_stay(described: Molecules) -> None:
    model = exact_ridge().partial_fit(described[:20])
    before = [scale.copy() for scale in model.inducing_features_]
    model.partial_fit(described[20:])
    for old, new in zip(before, model.inducing_features_, strict=True):
        np.testing.assert_array_equal(old, new)


def test_fit_forgets_earlier_parts(described: Molecules) -> None:
    model = exact_ridge().partial_fit(described[:20]).fit(described[20:])
    np.testing.assert_array_equal(model.dual_coef_, exact_ridge().fit(described[20:]).dual_coef_)
    assert model._statistics is None


def test_a_failed_part_changes_nothing(described: Molecules) -> None:
    model = exact_ridge().partial_fit(described[:20])
    with pytest.raises(InputError, match="y: expected shape"):
        model.partial_fit(described[20:], [1.0])
    parts = model.partial_fit(described[20:])
    assert parts.label_summary_["n_molecules"] == len(described)
    np.testing.assert_array_equal(
        parts.dual_coef_, in_parts(exact_ridge(), described[:20], described[20:]).dual_coef_
    )


def test_unseen_elements_are_refused(described: Molecules) -> None:
    hydrocarbons = [i for i, part in enumerate(described) if set(part.numbers) <= {1, 6}]
    with pytest.raises(InputError, match="were not among those of fit"):
        exact_ridge(basis__n_inducing=20).partial_fit(described[hydrocarbons]).partial_fit(
            described
        )


def test_statistics_are_not_saved(described: Molecules, tmp_path: Path) -> None:
    model = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=60), solver=Reweighted(tol=1e-3)
    ).partial_fit(described)
    copy = pickle.loads(pickle.dumps(model))
    save_model(model, tmp_path / "model.dipkit")
    for other in (copy, load_model(tmp_path / "model.dipkit")):
        assert other._statistics is None
        np.testing.assert_array_equal(other.predict(described), model.predict(described))


def test_standard_deviations_are_those_of_all_molecules(described: Molecules) -> None:
    """The scale comes from molecules of all parts: within what the choice of them changes."""
    first, second = described[:25], described[25:]
    ridge = exact_ridge(basis__n_inducing=120)
    parts = in_parts(clone(ridge), first)
    alone = parts.predict(described, return_std=True)[1]
    std = in_parts(parts, second).predict(described, return_std=True)[1]
    whole = all_at_once(ridge, first, described).predict(described, return_std=True)[1]
    assert np.median(np.abs(std / whole - 1)) < 0.15
    assert np.median(np.abs(alone / whole - 1)) > 0.05


def test_samples_of_parts_are_one_of_the_whole(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dipkit.estimator.std_calibration, "N_CALIBRATION", 12)
    monkeypatch.setattr(dipkit.estimator.std_calibration, "N_NOVELTY", 4)
    target = read_labels(described, None, None, None).target
    keys = np.random.default_rng(0).random(40)

    class Keys:
        def __init__(self, part: slice) -> None:
            self.random = lambda n: keys[part]

    def sample(part: slice) -> CalibrationSample:
        names = ("magnitudes", "vectors", "weights")
        some = DipoleTarget(*(getattr(target, name)[part] for name in names))
        return CalibrationSample.of(described[part], some, Keys(part))  # type: ignore[arg-type]

    whole = sample(slice(0, 40))
    joined = sample(slice(0, 18)).joined(sample(slice(18, 40)), 18)
    np.testing.assert_array_equal(whole.places, np.argsort(keys)[:12])
    np.testing.assert_array_equal(joined.places, whole.places)
    np.testing.assert_array_equal(joined.keys, whole.keys)
    assert list(joined.described.names) == list(whole.described.names)
    assert list(whole.described.names) == [described.names[i] for i in whole.places[:4]]
    np.testing.assert_array_equal(
        joined.described.features.scales[0], whole.described.features.scales[0]
    )


def test_the_memory_budget_counts_in_every_call(
    described: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exact_ridge(memory_budget="8GB").partial_fit(described[:20])
    model.partial_fit(described[20:])
    assert model.memory_plan_["budget_gb"] == 8.0
    before = model.label_summary_
    model.set_params(memory_budget="100MB")
    with pytest.raises(InputError, match=r"memory_budget: .* molecules added to 40"):
        model.partial_fit(described[:10])
    assert model.label_summary_ is before
