"""Adding molecules to a fitted model equals the fit to all of them with the same environments."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dipkit.regression
from dipkit import DipoleKernelRidge, load_model, save_model
from dipkit.exceptions import InputError
from dipkit.kernels import PowerKernel
from dipkit.molecules import Molecules


class ExactKernel(PowerKernel):
    """In double precision: rounding of single precision depends on which molecules go together."""

    def __call__(self, x: Any, z: Any, *arguments: Any) -> Any:
        x, z = ([part.astype(float) for part in parts] for parts in (x, z))
        return super().__call__(x, z, *arguments)


def ridge(**parameters: Any) -> DipoleKernelRidge:
    settings = {"n_inducing": 60, "tol": 1e-10, "max_iter": 3000, "device": "cpu"}
    return DipoleKernelRidge(kernel=ExactKernel(), **settings | parameters)


def in_parts(model: DipoleKernelRidge, *parts: Molecules) -> DipoleKernelRidge:
    for part in parts:
        model.partial_fit(part)
    return model


def all_at_once(
    model: DipoleKernelRidge, first: Molecules, everything: Molecules
) -> DipoleKernelRidge:
    """Fit to all molecules with the environments of the first ones."""
    choose = dipkit.regression.choose_environments

    def of_first(molecules: Molecules, *arguments: object) -> object:
        return choose(first, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dipkit.regression, "choose_environments", of_first)
        return model.fit(everything)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"charge_weight": 0.0},
        {"init": "electronegativity", "charge_weight": 0.01},
        {"loss": "huber", "max_iter": 300},
        {"prior": "zero"},
        {"alpha": 1e-3},
    ],
    ids=str,
)
def test_equals_the_fit_to_all(described: Molecules, parameters: dict[str, object]) -> None:
    first, second, third = described[:20], described[20:33], described[33:]
    parts = in_parts(ridge(**parameters), first, second, third)
    whole = all_at_once(ridge(**parameters), first, described)
    assert parts.label_summary_ == whole.label_summary_
    assert parts.alpha_ == whole.alpha_
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-6)
    np.testing.assert_allclose(
        parts.predict_dipole(described), whole.predict_dipole(described), atol=1e-5
    )


def test_the_statistics_are_those_of_all(described: Molecules) -> None:
    first, rest = described[:25], described[25:]
    parts = in_parts(ridge(), first, rest)._statistics
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        fit = DipoleKernelRidge._fit_statistics
        patch.setattr(
            DipoleKernelRidge,
            "_fit_statistics",
            lambda self, statistics: (seen.append(statistics), fit(self, statistics))[1],
        )
        all_at_once(ridge(), first, described)
    (whole,) = seen
    assert parts is not None
    for found, expected in (
        (parts.rows, whole.rows),
        (parts.charges.gram, whole.charges.gram),
        (parts.charges.moment, whole.charges.moment),
        (parts.charges.square, whole.charges.square),
        (parts.constant, whole.constant),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("init", ["auto", "electronegativity"])
def test_charges_that_come_later(described: Molecules, init: str) -> None:
    bare = described[20:].replace(charges=None)
    for first, second in ((described[:20], bare), (bare, described[:20])):
        parts = in_parts(ridge(init=init), first, second)
        whole = all_at_once(ridge(init=init), first, Molecules.concatenate([first, second]))
        assert parts.charge_weight_ == whole.charge_weight_ > 0
        np.testing.assert_allclose(
            parts.predict_dipole(described), whole.predict_dipole(described), atol=1e-5
        )


def test_one_part_is_a_fit(described: Molecules) -> None:
    np.testing.assert_array_equal(
        ridge().partial_fit(described).dual_coef_, ridge().fit(described).dual_coef_
    )


def test_environments_stay(described: Molecules) -> None:
    model = ridge().partial_fit(described[:20])
    before = [scale.copy() for scale in model.inducing_features_]
    model.partial_fit(described[20:])
    for old, new in zip(before, model.inducing_features_, strict=True):
        np.testing.assert_array_equal(old, new)


def test_fit_starts_anew(described: Molecules) -> None:
    model = ridge().partial_fit(described[:20]).fit(described[20:])
    np.testing.assert_array_equal(model.dual_coef_, ridge().fit(described[20:]).dual_coef_)
    assert not hasattr(model, "_statistics")


def test_a_failed_part_changes_nothing(described: Molecules) -> None:
    model = ridge().partial_fit(described[:20])
    with pytest.raises(InputError, match="y: expected shape"):
        model.partial_fit(described[20:], [1.0])
    parts = model.partial_fit(described[20:])
    assert parts.label_summary_["n_molecules"] == len(described)
    np.testing.assert_array_equal(
        parts.dual_coef_, in_parts(ridge(), described[:20], described[20:]).dual_coef_
    )


def test_unseen_elements_are_refused(described: Molecules) -> None:
    hydrocarbons = [i for i, part in enumerate(described) if set(part.numbers) <= {1, 6}]
    with pytest.raises(InputError, match="were not among those of fit"):
        ridge(n_inducing=20).partial_fit(described[hydrocarbons]).partial_fit(described)


def test_statistics_are_not_saved(described: Molecules, tmp_path: Path) -> None:
    model = DipoleKernelRidge(n_inducing=60, tol=1e-3).partial_fit(described)
    copy = pickle.loads(pickle.dumps(model))
    save_model(model, tmp_path / "model.dipkit")
    for other in (copy, load_model(tmp_path / "model.dipkit")):
        assert not hasattr(other, "_statistics")
        np.testing.assert_array_equal(other.predict(described), model.predict(described))
