"""Defaults that depend on the data are those that the documentation names."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import KFold

import dipkit.estimator.minimum
from dipkit import DipoleKernelRidge, GivenBaseline, InducingBasis
from dipkit.estimator.defaults import (
    ANNEALING,
    SHORT_ANNEALING,
    averaged_models,
    is_double,
    resolve_alpha,
    resolve_annealing,
    resolve_atomic_dipoles,
    resolve_charge_weight,
    resolve_cut,
    resolve_direction_weight,
    usual_alpha,
    usual_n_inducing,
)
from dipkit.exceptions import InputError
from dipkit.learning.labels import read_labels
from dipkit.search.fold_grid import FoldGrid
from dipkit.support.backend import NUMPY, Backend

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


@pytest.mark.parametrize(
    ("n", "expected"),
    [(200, 1e-4), (1000, 2e-5), (2000, 5e-6), (4000, 1.25e-6), (16_000, 1.5625e-7)],
)
def test_alpha_falls_faster_above_a_thousand_labels(n, expected):
    assert usual_alpha(n) == pytest.approx(expected)


@pytest.mark.parametrize("n", [1000, 4000])
def test_alpha_has_no_step(n):
    below, above = usual_alpha(n - 0.001), usual_alpha(n + 0.001)
    assert below > above == pytest.approx(below, rel=1e-5)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, 100),
        (100, 1000),
        (400, 2000),
        (1000, 2330),
        (10_000, 3420),
        (10_001, 6000),
        (10**6, 7368),
    ],
)
def test_environments_grow_more_slowly_above_400_molecules_and_many_have_more(n, expected):
    assert usual_n_inducing(n) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("start", "n", "n_charges", "share", "expected"),
    [
        ("charges", 999, 5000, 1, ANNEALING),
        ("charges", 1000, 1000, 1, SHORT_ANNEALING),
        ("charges", 5000, 10, 1, ANNEALING),
        ("charges", 1200, 1200, 0.8, ANNEALING),
        ("electronegativity", 5000, 0, 1, ANNEALING),
        ("random", 5000, 5000, 1, ANNEALING),
        ("zero", 100, 100, 1, ()),
    ],
)
def test_one_stage_is_enough_from_charges_with_many_labels(start, n, n_charges, share, expected):
    labels = SimpleNamespace(n_effective=n, n_charges=n_charges)
    assert resolve_annealing("auto", start, labels, share) == expected
    given = () if start == "zero" else (7.0, 3.0)
    assert resolve_annealing((7.0, 3.0), start, labels, share) == given


@pytest.mark.parametrize(("n", "expected"), [(100, 0.01265), (1000, 1265 / 1000**2.5)])
def test_alpha_with_a_baseline(n, expected):
    assert usual_alpha(n, with_baseline=True) == pytest.approx(expected)


def test_alpha_is_that_of_the_labels(plain, with_baseline):
    assert resolve_alpha("auto", plain) == usual_alpha(N)
    assert resolve_alpha("auto", with_baseline) == usual_alpha(N, with_baseline=True)
    assert resolve_alpha(0.3, with_baseline) == 0.3


def test_the_cut_is_above_the_rounding_of_the_precision():
    assert resolve_cut("auto", precise=True) == 1e-10
    assert resolve_cut("auto", precise=False) == 1e-8
    assert resolve_cut(1e-5, precise=True) == resolve_cut(1e-5, precise=False) == 1e-5


def test_fits_to_ten_thousand_molecules_are_in_double_precision():
    assert is_double("auto", 10_000, NUMPY)
    assert not is_double("auto", 10_001, NUMPY)


@pytest.mark.parametrize(("ratio", "expected"), [(2, True), (32, False), (None, False)])
def test_double_is_the_default_where_a_card_is_fast(ratio: int | None, expected: bool) -> None:
    found = {} if ratio is None else {"SingleToDoublePrecisionPerfRatio": ratio}
    device = SimpleNamespace(attributes=found)
    cupy = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device))
    card = Backend("cupy", cupy, None)
    assert is_double("auto", 10_001, card) is expected
    assert is_double("auto", 10_000, card)
    assert not is_double("single", 10_001, card)


def test_atomic_dipoles_correct_a_baseline_alone(plain, with_baseline):
    assert resolve_atomic_dipoles("auto", plain) == 0.0
    assert resolve_atomic_dipoles("auto", with_baseline) == 0.3
    assert resolve_atomic_dipoles(0.0, with_baseline) == 0.0
    assert resolve_atomic_dipoles(0.3, plain) == 0.3


def test_one_model_unless_there_is_a_baseline_and_no_scale(plain, with_baseline):
    assert averaged_models("auto", plain) == ((0.0, 1.0),)
    assert averaged_models(0.06, with_baseline) == ((0.06, 1.0),)
    assert averaged_models("auto", with_baseline) == ((0.3, 16.0), (0.0, 0.125))


def test_direction_weight_is_four_over_the_labels(with_baseline):
    assert resolve_direction_weight(GivenBaseline(), with_baseline) == pytest.approx(4 / N)


def test_charges_count_little_unless_a_discrepancy_takes_their_errors(plain, with_baseline):
    assert resolve_charge_weight("auto", plain) == 1e-3
    assert resolve_charge_weight("auto", plain, discrepancy=1e-3) == 100.0
    assert resolve_charge_weight("auto", with_baseline) == 0.0


def basis_of(monkeypatch, model, molecules):
    """Basis of a fit."""
    seen, attributes = [], dipkit.estimator.minimum._basis_attributes
    with monkeypatch.context() as patch:
        patch.setattr(
            dipkit.estimator.minimum,
            "_basis_attributes",
            lambda *a: (seen.append(a[0]), attributes(*a))[1],
        )
        model.fit(molecules)
    return seen[0]


def test_a_fit_uses_them(molecules, monkeypatch):
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=10), device="cpu")
    assert basis_of(monkeypatch, model, molecules).dipole_scale == 0.0
    assert (model.alpha_, model.charge_weight_) == (pytest.approx(0.02 / N), 1e-3)
    assert model.atomic_dipole_coef_ is None


def test_a_fit_with_a_baseline_uses_them(molecules, monkeypatch):
    rough = molecules.replace(baseline_dipole=np.ones((N, 3)), charges=None)
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=10), baseline="given", device="cpu")
    assert basis_of(monkeypatch, model, rough).dipole_scale == 0.3
    assert (model.alpha_, model.charge_weight_) == (pytest.approx(1265 / N**2.5), 0.0)
    assert model.atomic_dipole_coef_ is not None
    # A baseline that the molecules carry and the model does not use changes nothing.
    model.set_params(baseline=None)
    assert basis_of(monkeypatch, model, rough).dipole_scale == 0.0
    assert model.alpha_ == pytest.approx(0.02 / N)


@pytest.mark.parametrize(("baseline", "expected"), [("given", 0.3), (None, 0.0)])
def test_a_grid_has_atomic_dipoles_as_a_fit_has(molecules, baseline, expected):
    rough = molecules.replace(baseline_dipole=np.ones((N, 3)))
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=10), baseline=baseline, device="cpu")
    folds = list(KFold(2).split(np.arange(N)))
    grid = FoldGrid(read_labels(rough, None, None, None), model, folds, [1e-3], [0.0])
    assert grid.problem.basis.dipole_scale == expected


@pytest.mark.parametrize(
    ("precision", "cut"), [("auto", 1e-10), ("double", 1e-10), ("single", 1e-8)]
)
def test_a_fit_and_a_grid_cut_by_their_precision(molecules, monkeypatch, precision, cut):
    cuts = []
    for place in ("dipkit.learning.basis.whiten", "dipkit.search.fold_problem.find_excluded"):
        monkeypatch.setattr(place, record(cuts, place))
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=10, precision=precision), device="cpu")
    model.fit(molecules)
    assert set(cuts) == {cut}
    del cuts[:]
    folds = list(KFold(2).split(np.arange(N)))
    FoldGrid(read_labels(molecules, None, None, None), model, folds, [1e-3], [0.0])
    assert set(cuts) == {cut}


def record(cuts, place):
    """Replace a function with one number among its arguments, the cut: note the cut, then call."""
    module, name = place.rsplit(".", 1)
    original = getattr(importlib.import_module(module), name)

    def noting(*arguments):
        cuts.extend(each for each in arguments if isinstance(each, float))
        return original(*arguments)

    return noting


@pytest.mark.parametrize("cut", ["auto", 1e-6, 0.5])
def test_cuts_that_are_taken(cut):
    InducingBasis(eigenvalue_cut=cut).check()


@pytest.mark.parametrize("cut", [0, 0.0, -1e-8, 1, 1.0, 2.0, np.nan, np.inf, "x", "", None, True])
def test_cuts_that_are_refused(molecules, cut):
    model = DipoleKernelRidge(basis=InducingBasis(eigenvalue_cut=cut), device="cpu")
    with pytest.raises(InputError, match=r"eigenvalue_cut: expected a .*, got "):
        model.fit(molecules)
