"""Columns of charges: equation (10), its derivatives, and selections of atoms."""

from typing import Any

import numpy as np
import pytest
from helpers.strict_device import STRICT, is_on_device

from dipkit import Molecules, SOAPScale, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.data.per_atom import PerAtomData
from dipkit.descriptors.charge_columns import (
    FREQUENCIES,
    SHARE,
    append_charges,
    charge_sets,
    split_derivatives,
    with_charge_columns,
)

SCALES = (SOAPScale(2.2, 3, 2, 0.3, "gto", 1.0), SOAPScale(3.5, 2, 2, 0.5, "gto", 0.01))


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return SOAPTransformer(SCALES, n_jobs=1).fit_transform(load_organics()[:6])


@pytest.fixture(scope="module", params=[1, 2])
def charges(molecules: Molecules, request: pytest.FixtureRequest) -> Any:
    return np.random.default_rng(0).uniform(-0.6, 0.6, (molecules.n_atoms, request.param))


def joined(molecules: Molecules, charges: Any) -> PerAtomData:
    features = with_charge_columns(molecules.features, charges)
    assert features is not None
    return features


def test_dot_products_follow_the_equation(molecules: Molecules, charges: Any) -> None:
    assert molecules.features is not None
    n_sets = charges.shape[1]
    phases = FREQUENCIES[:n_sets] * (charges[:, None] - charges)
    for x, y in zip(molecules.features.scales, joined(molecules, charges).scales, strict=True):
        expected = (1 - n_sets * SHARE) * x @ x.T + SHARE * np.cos(phases).sum(axis=2)
        np.testing.assert_allclose(y @ y.T, expected, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(y, axis=1), 1.0, atol=1e-6)
        np.testing.assert_allclose(y, append_charges(x.astype(float), charges), atol=1e-7)


def test_a_missing_charge_counts_as_zero(molecules: Molecules, charges: Any) -> None:
    third = np.arange(len(charges))[:, None] == 3
    some, none = np.where(third, np.nan, charges), np.where(third, 0.0, charges)
    for one, other in zip(
        joined(molecules, some).scales, joined(molecules, none).scales, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_sets_of_charges() -> None:
    first, second = np.array([0.1, -0.1]), np.array([0.3, -0.3])
    assert charge_sets(None, second) is None
    one, both = charge_sets(first, None), charge_sets(first, second)
    assert one is not None
    assert both is not None
    np.testing.assert_array_equal(one, [[0.1], [-0.1]])
    np.testing.assert_array_equal(both, [[0.1, 0.3], [-0.1, -0.3]])


def test_the_origin_names_each_set(molecules: Molecules, charges: Any) -> None:
    made_by = joined(molecules, charges).made_by
    assert made_by is not None
    assert '"charge columns"' in made_by
    assert ('"second charge columns"' in made_by) == (charges.shape[1] == 2)


@pytest.mark.parametrize("n_sets", [1, 2])
def test_derivatives_agree_with_finite_differences(n_sets: int) -> None:
    rng = np.random.default_rng(1)
    x, charges = rng.random((5, 4)), rng.uniform(-0.5, 0.5, (5, n_sets))
    slope = rng.standard_normal((5, 4 + 2 * n_sets))
    of_x, of_charges = split_derivatives(slope, charges)
    step, direction, moved = 1e-6, rng.standard_normal((5, 4)), rng.standard_normal((5, n_sets))

    def value(t: float) -> Any:
        return (slope * append_charges(x + t * direction, charges + t * moved)).sum(axis=1)

    expected = (value(step) - value(-step)) / (2 * step)
    found = (of_x * direction).sum(axis=1) + (of_charges * moved).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_selection_and_device(molecules: Molecules, charges: Any) -> None:
    atoms = np.array([4, 0, 9])
    whole, some = joined(molecules, charges), joined(molecules, charges).take(atoms)
    for one, other, device in zip(some.scales, whole.scales, some.on(STRICT), strict=True):
        np.testing.assert_array_equal(one, other[atoms])
        assert is_on_device(device)
        np.testing.assert_array_equal(STRICT.to_host(device), one)
