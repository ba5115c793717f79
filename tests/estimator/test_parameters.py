"""Parameters in groups: reachable by name, copied when set, refused where they mean nothing."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from dipkit import DipoleKernelRidge, Molecules, PowerKernel, default_model
from dipkit.estimator.baseline import GFN2Baseline, GivenBaseline
from dipkit.estimator.baseline_molecules import prepare_labels
from dipkit.estimator.defaults import resolve_start
from dipkit.estimator.parameters import (
    ChargeStart,
    InducingBasis,
    RandomStart,
    Reweighted,
    ZeroStart,
)
from dipkit.estimator.settings import Settings
from dipkit.exceptions import InputError
from dipkit.learning.labels import read_labels
from dipkit.learning.losses import HuberLoss, SquaredLoss


def test_about_a_dozen_at_the_top() -> None:
    assert len(DipoleKernelRidge().get_params(deep=False)) <= 14


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("solver__tol", 1e-9, lambda m: m.solver.tol),
        ("basis__n_inducing", 7, lambda m: m.basis.n_inducing),
        ("basis__kernel__degree", 3.0, lambda m: m.basis.kernel.degree),
        ("start__prior", False, lambda m: m.start.prior),
    ],
)
def test_defaults_of_groups_are_reachable(
    name: str, value: object, read: Callable[[Any], object]
) -> None:
    model = DipoleKernelRidge()
    assert name in model.get_params()
    assert read(model.set_params(**{name: value})) == value
    assert model.get_params()[name] == value
    assert DipoleKernelRidge().get_params()[name] != value


def test_a_name_becomes_its_group() -> None:
    model = DipoleKernelRidge().set_params(loss="huber", loss__threshold=0.4, baseline="gfn2")
    assert isinstance(model.loss, HuberLoss)
    assert model.loss.threshold == 0.4
    assert model.baseline == "gfn2"
    model.set_params(baseline__direction_weight=0.1, start="random", start__n_restarts=3)
    assert isinstance(model.baseline, GFN2Baseline)
    assert isinstance(model.start, RandomStart)
    assert (model.baseline.direction_weight, model.start.n_restarts) == (0.1, 3)


def test_what_has_no_effect_cannot_be_set() -> None:
    for name in ("loss__threshold", "start__n_restarts"):
        with pytest.raises(ValueError, match="Invalid parameter"):
            DipoleKernelRidge().set_params(**{name: 1.0})
    with pytest.raises(ValueError, match="baseline=None has no parameters"):
        DipoleKernelRidge().set_params(baseline__direction_weight=1.0)


def test_a_group_that_was_given_is_not_changed() -> None:
    mine, theirs = Reweighted(tol=1e-3), Reweighted(tol=1e-3)
    one, two = DipoleKernelRidge(solver=mine), DipoleKernelRidge(solver=theirs)
    two.solver = mine
    one.set_params(solver__tol=1e-9)
    assert (mine.tol, two.solver.tol, one.solver.tol) == (1e-3, 1e-3, 1e-9)


def test_clone_and_pickle_keep_the_groups() -> None:
    model = DipoleKernelRidge(
        basis=InducingBasis(PowerKernel(3.0), n_inducing=9),
        loss=HuberLoss(0.3),
        start=ChargeStart("charges", prior=False),
        solver=Reweighted(annealing=()),
        baseline=GivenBaseline(0.2),
    )
    expected = repr(model)
    for copy in (clone(model), pickle.loads(pickle.dumps(model))):
        assert repr(copy) == expected
        assert copy.solver is not model.solver


def test_repr_shows_only_what_differs() -> None:
    assert repr(DipoleKernelRidge()) == "DipoleKernelRidge()"
    model = DipoleKernelRidge(alpha=1e-3, basis=InducingBasis(n_inducing=9))
    assert repr(model) == "DipoleKernelRidge(alpha=0.001, basis=InducingBasis(n_inducing=9))"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0.0}, "alpha: expected a number > 0"),
        ({"charge_weight": -1.0}, "charge_weight"),
        ({"basis": "large"}, "basis: expected None or an object of class InducingBasis"),
        ({"basis": InducingBasis(n_inducing=0)}, "n_inducing"),
        ({"basis": InducingBasis(eigenvalue_cut=1.0)}, "eigenvalue_cut: expected a share below 1"),
        ({"basis": InducingBasis(precision="half")}, "precision: expected one of"),
        ({"basis": InducingBasis(kernel=PowerKernel(0.5))}, "degree"),
        ({"basis": InducingBasis(kernel=3)}, "kernel: expected None or an object"),
        ({"basis": InducingBasis(atomic_dipoles=-0.1)}, "atomic_dipoles"),
        ({"loss": "cubic"}, "loss: expected"),
        ({"loss": HuberLoss(float("inf"))}, "threshold: expected a finite"),
        ({"start": "noise"}, "start: expected one of"),
        ({"start": ChargeStart("mulliken")}, "source"),
        ({"start": ChargeStart(prior="start")}, "prior"),
        ({"start": RandomStart(0)}, "n_restarts"),
        ({"solver": Reweighted(max_iter=0)}, "max_iter"),
        ({"solver": Reweighted(tol=0.0)}, "tol"),
        ({"solver": Reweighted(memory=-1)}, "memory"),
        ({"solver": Reweighted(annealing=(10.0, -1.0))}, "annealing"),
        ({"solver": Reweighted(annealing="fast")}, "annealing: expected .auto. or a sequence"),
        ({"baseline": "am1"}, "baseline: expected one of"),
        ({"baseline": GivenBaseline(-1.0)}, "direction_weight"),
        ({"charge_discrepancy": -1e-3}, "charge_discrepancy: expected a number > 0"),
        ({"charge_discrepancy": 1e-3, "charge_weight": 0}, "no effect with charge_weight=0"),
        ({"quadrupole_weight": -1.0}, "quadrupole_weight"),
        ({"random_state": "seed"}, "random_state: expected None"),
        ({"memory_budget": "much"}, "memory_budget"),
    ],
    ids=str,
)
def test_values_that_cannot_be_used(
    described: Molecules, parameters: dict[str, Any], message: str
) -> None:
    model = DipoleKernelRidge().set_params(**parameters)
    before = repr(model)
    with pytest.raises(InputError, match=message):
        model.fit(described)
    assert repr(model) == before


@pytest.mark.parametrize(
    ("start", "with_charges", "expected"),
    [
        ("auto", True, "charges"),
        ("auto", False, "electronegativity"),
        ("electronegativity", True, "electronegativity"),
        (ChargeStart("charges", prior=False), True, "charges"),
        (ZeroStart(), True, "zero"),
        ("random", True, "random"),
    ],
    ids=str,
)
def test_start_for_given_labels(
    described: Molecules, start: Any, with_charges: bool, expected: str
) -> None:
    molecules = described if with_charges else described.replace(charges=None)
    labels, _ = prepare_labels(read_labels(molecules, None, None, None), None)
    assert resolve_start(Settings.of(DipoleKernelRidge(start=start)).start, labels) == expected


def test_an_int_seed_gives_the_same_numbers_each_time() -> None:
    first, second = (Settings.of(DipoleKernelRidge(random_state=3)) for _ in range(2))
    assert first.generator(1).random() == second.generator(1).random()
    assert first.generator(1).random() != first.generator(2).random()


def test_each_seed_gives_other_numbers() -> None:
    seeds = {Settings.of(DipoleKernelRidge(random_state=n)).seed for n in range(5)}
    assert len(seeds) == 5


def test_grid_search_of_scikit_learn_reaches_groups(described: Molecules) -> None:
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=20), solver=Reweighted(tol=1e-3))
    grid = {"basis__kernel__degree": [1.0, 2.0], "loss": ["squared", HuberLoss(0.3)]}
    search = GridSearchCV(model, grid, cv=2).fit(described, described.dipole_magnitude)
    assert len(search.cv_results_["params"]) == 4
    assert model.basis.kernel is None


def test_the_recommended_pipeline_takes_names_of_groups() -> None:
    ridge = default_model(basis__n_inducing=50, loss="absolute", alpha=1e-3)[-1]
    assert (ridge.basis.n_inducing, ridge.loss, ridge.alpha) == (50, "absolute", 1e-3)


def test_an_own_loss_is_a_loss(described: Molecules) -> None:
    class Doubled(SquaredLoss):
        """Twice the square: the same minimum under twice the penalty."""

        def value(self, e: Any, xp: Any = None) -> Any:
            return 2 * e * e

        def weight(self, e: Any, xp: Any) -> Any:
            return 2 * xp.ones_like(e)

    basis, solver = InducingBasis(n_inducing=30), Reweighted(tol=1e-12, annealing=())
    one, two = (
        DipoleKernelRidge(
            alpha=alpha, charge_weight=0.0, loss=loss, basis=basis, solver=solver,
            start=ChargeStart(prior=False),
        ).fit(described)
        for alpha, loss in ((1e-3, SquaredLoss()), (2e-3, Doubled()))
    )  # fmt: skip
    assert two.objective_ == pytest.approx(2 * one.objective_, rel=1e-6)
