"""Spaces and grids."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

import dipkit
from dipkit.search import default_space
from dipkit.search.optuna_objects import contains, default_sampler


def test_default_space_names_parameters_that_exist():
    known = dipkit.default_model().get_params(deep=True)
    assert set(default_space(penalties=True, n_molecules=400)) <= set(known)
    inducing = default_space(n_molecules=400)["dipolekernelridge__basis__n_inducing"]
    assert (inducing.low, inducing.high) == (1000, 4000)


@pytest.mark.parametrize("baseline", [None, "gfn2"])
def test_the_usual_model_lies_in_the_usual_space(baseline):
    """Else the first trial of a search is another model, without a word."""
    usual = dipkit.default_model(baseline=baseline).get_params(deep=True)
    for name, distribution in default_space().items():
        assert contains(distribution, usual[name]), name


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (FloatDistribution(1.0, 2.0), [1.0, 1.23, 2], [0.99, 2.01, "1.5", None]),
        (FloatDistribution(1.6, 4.0, step=0.2), [1.6, 2.2, 4.0], [2.3, 4.2]),
        (IntDistribution(10, 40, log=True), [10, 37], [9, 41, 10.5]),
        (CategoricalDistribution(["auto", 3]), ["auto", 3], ["none", 4]),
    ],
)
def test_values_that_a_distribution_can_draw(distribution, inside, outside):
    assert all(contains(distribution, value) for value in inside)
    assert not any(contains(distribution, value) for value in outside)


def test_a_resumed_study_draws_other_random_numbers():
    def draws(*arguments):
        study = optuna.create_study(sampler=default_sampler(*arguments))
        return study.ask({"x": FloatDistribution(0, 1)}).params

    assert draws(3, 0) == draws(3, 0)
    assert draws(3, 0) != draws(3, 1)
    assert draws(3, 0) != draws(4, 0)


def test_ranges_over_orders_of_magnitude_are_logarithmic():
    space = default_space(penalties=True)
    wide = {name for name, range_ in space.items() if range_.high > 10 * range_.low}
    assert wide == {name for name, range_ in space.items() if range_.log}
    assert {"dipolekernelridge__alpha", "dipolekernelridge__charge_weight"} < wide
