"""A fit that fails leaves the estimator as it was, and nothing is forgotten without a word."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.parts import exact_ridge
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import dipkit.estimator.fit
import dipkit.estimator.minimum
import dipkit.estimator.regression
from dipkit import DipoleKernelRidge, Molecules, PowerKernel, load_model, save_model
from dipkit.estimator.parameters import InducingBasis
from dipkit.exceptions import InputError


def attributes(model: DipoleKernelRidge) -> dict[str, object]:
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


class Broken(Exception):
    """What goes wrong in the middle of a fit."""


def break_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Broken

    fit, minimum = dipkit.estimator.fit, dipkit.estimator.minimum
    monkeypatch.setattr(fit if hasattr(fit, name) else minimum, name, fail)


STEPS = ["choose_environments", "basis_of", "gather", "_solve", "calibrate_std"]


@pytest.mark.parametrize("step", STEPS)
def test_a_refit_that_fails_keeps_the_old_model(
    described: Molecules, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exact_ridge().fit(described)
    before, expected = dict(attributes(model)), model.predict(described, return_std=True)
    model.set_params(basis__kernel=PowerKernel(3.0), alpha=1e-2, basis__n_inducing=20)
    with monkeypatch.context() as patch:
        break_at(patch, step)
        with pytest.raises(Broken):
            model.fit(described[:20])
    after = attributes(model)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    for found, value in zip(model.predict(described, return_std=True), expected, strict=True):
        np.testing.assert_array_equal(found, value)


def test_a_bad_kernel_does_not_reach_the_model(described: Molecules) -> None:
    model = exact_ridge().fit(described)
    expected = model.predict(described)
    with pytest.raises(InputError, match="degree"):
        model.set_params(basis__kernel=PowerKernel(0.5)).fit(described)
    np.testing.assert_array_equal(model.predict(described), expected)


@pytest.mark.parametrize("step", STEPS)
def test_a_first_fit_that_fails_leaves_an_unfitted_model(
    described: Molecules, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exact_ridge()
    break_at(monkeypatch, step)
    with pytest.raises(Broken):
        model.fit(described)
    assert not attributes(model)
    with pytest.raises(NotFittedError):
        model.predict(described)


@pytest.mark.parametrize("step", ["gather", "_solve", "calibrate_std"])
def test_a_part_that_fails_counts_for_nothing(
    described: Molecules, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = described[:20], described[20:]
    model = exact_ridge().partial_fit(first)
    with monkeypatch.context() as patch:
        break_at(patch, step)
        with pytest.raises(Broken):
            model.partial_fit(second)
    assert model.label_summary_["n_molecules"] == 20
    again = exact_ridge().partial_fit(first).partial_fit(second)
    np.testing.assert_array_equal(model.partial_fit(second).dual_coef_, again.dual_coef_)


def test_joining_changes_neither_part(described: Molecules) -> None:
    one = exact_ridge().partial_fit(described[:20])._statistics
    two = exact_ridge().partial_fit(described[:20])._statistics
    assert one is not None
    assert two is not None
    grams = [part.charges.gram.copy() for part in (one, two)]
    joined = one.joined(two, on_disk=False)
    np.testing.assert_array_equal(joined.charges.gram, grams[0] + grams[1])
    for part, gram in zip((one, two), grams, strict=True):
        np.testing.assert_array_equal(part.charges.gram, gram)


def forgetful_copies(model: DipoleKernelRidge, folder: Path) -> list[DipoleKernelRidge]:
    save_model(model, folder / "model.dipkit")
    return [
        copy.deepcopy(model),
        copy.copy(model),
        pickle.loads(pickle.dumps(model)),
        load_model(folder / "model.dipkit"),
    ]


def test_a_copy_does_not_forget_in_silence(described: Molecules, tmp_path: Path) -> None:
    model = exact_ridge().partial_fit(described[:20])
    for other in forgetful_copies(model, tmp_path):
        before = other.predict(described)
        with pytest.raises(InputError, match="statistics of the molecules learned before"):
            other.partial_fit(described[20:])
        np.testing.assert_array_equal(other.predict(described), before)
        clone(other).partial_fit(described[20:])  # as the message advises
    assert model.partial_fit(described[20:]).label_summary_["n_molecules"] == len(described)


def test_fit_keeps_no_statistics_and_says_so(described: Molecules) -> None:
    model = exact_ridge().fit(described[:20])
    with pytest.raises(InputError, match="Only partial_fit keeps them"):
        model.partial_fit(described[20:])


@pytest.mark.parametrize(
    "change",
    [
        {"basis__kernel": PowerKernel(3.0)},
        {"basis__kernel__degree": 3.0},
        {"basis__eigenvalue_cut": 1e-6},
        {"basis__n_inducing": 12},
        {"basis__atomic_dipoles": 0.03},
        {"basis__precision": "single"},
    ],
    ids=str,
)
def test_the_basis_cannot_change_between_parts(
    described: Molecules, change: dict[str, object]
) -> None:
    model = exact_ridge().partial_fit(described[:20])
    before = model.dual_coef_
    name = next(iter(change))
    with pytest.raises(InputError, match=name.split("__")[1]):
        model.set_params(**change).partial_fit(described[20:])
    assert model.dual_coef_ is before


def test_what_is_no_part_of_the_basis_may_change(described: Molecules) -> None:
    model = exact_ridge(alpha=1e-3).partial_fit(described[:20])
    model.set_params(alpha=1e-4, loss="huber").partial_fit(described[20:])
    assert model.alpha_ == 1e-4


def test_attributes_of_an_earlier_fit_do_not_stay(described: Molecules) -> None:
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=30)).fit(described)
    model.old_ = 1.0
    assert not hasattr(model.fit(described), "old_")
