"""Defaults that depend on the data are those that the documentation names."""

import numpy as np
import pytest

from dipkit import DipoleKernelRidge, GivenBaseline, InducingBasis
from dipkit.estimator.defaults import (
    resolve_alpha,
    resolve_charge_weight,
    resolve_direction_weight,
)
from dipkit.learning.labels import read_labels

N = 12


@pytest.fixture
def molecules(toy):
    some = toy(sizes=(3, 4, 2) * (N // 3), charged=False)
    return some.replace(dipole_magnitude=np.linspace(1.0, 2.0, N), charges=np.zeros(some.n_atoms))


@pytest.fixture
def plain(molecules):
    return read_labels(molecules, None, None, None)


@pytest.fixture
def with_baseline(molecules):
    rough = molecules.replace(baseline_dipole=np.ones((N, 3)))
    return read_labels(rough, None, None, None)


def test_alpha_is_one_over_the_labels_and_with_a_baseline_over_their_square(plain, with_baseline):
    assert resolve_alpha("auto", plain) == pytest.approx(0.02 / N)
    assert resolve_alpha("auto", with_baseline) == pytest.approx(40 / N**2)


def test_direction_weight_is_four_over_the_labels(with_baseline):
    assert resolve_direction_weight(GivenBaseline(), with_baseline) == pytest.approx(4 / N)


def test_charges_count_little_unless_a_discrepancy_takes_their_errors(plain, with_baseline):
    assert resolve_charge_weight("auto", plain) == 1e-3
    assert resolve_charge_weight("auto", plain, discrepancy=1e-3) == 100.0
    assert resolve_charge_weight("auto", with_baseline) == 0.0


def test_a_fit_uses_them(molecules):
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=10), device="cpu").fit(molecules)
    assert (model.alpha_, model.charge_weight_) == (pytest.approx(0.02 / N), 1e-3)
