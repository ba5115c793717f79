"""The grid of alpha and charge weight, and that it holds what the untuned estimator would use."""

import pytest
from helpers.searches import small_search
from optuna.distributions import FloatDistribution

from dipkit.exceptions import InputError
from dipkit.search import default_grid
from dipkit.search.grid import grid_with


def grid_of(search):
    return search.study_.best_trial.user_attrs["grid"]


def test_default_grid():
    assert default_grid()["charge_weight"] == [0.0, 1e-3, 1e-2, 1e-1]
    assert default_grid(charges=False, charge_weight=0.2)["charge_weight"] == [0.0]
    assert default_grid(charge_weight=5.0)["charge_weight"] == [0.0, 1e-3, 1e-2, 1e-1, 5.0]
    assert default_grid(discrepancy=True)["charge_weight"] == [0.0, 1e-3, 10.0, 100.0]
    alphas = default_grid(alpha=2.0)["alpha"]
    assert (alphas[0], alphas[3], alphas[-1]) == (60.0, 2.0, pytest.approx(0.06))


def test_grid_lies_around_the_usual_alpha(molecules):
    search = small_search(grid=True, n_trials=1, refit=False).fit(molecules)
    assert grid_of(search)["alpha"] == default_grid(alpha=0.02 / 36)["alpha"]
    assert 0.02 / 36 in grid_of(search)["alpha"]


@pytest.mark.parametrize(
    ("parameters", "weight", "others"),
    [
        ({"charge_weight": 0.05}, 0.05, [1e-2, 1e-1]),
        ({"charge_weight": 0.05, "charge_discrepancy": 1e-3}, 0.05, [10.0, 100.0]),
        ({"charge_discrepancy": 1e-3}, 100.0, [10.0]),
    ],
)
def test_grid_holds_the_charge_weight_of_the_untuned_estimator(
    molecules, parameters, weight, others
):
    search = small_search(grid={"alpha": [1e-2]}, n_trials=1, refit=False)
    names = {f"dipolekernelridge__{name}": value for name, value in parameters.items()}
    search.estimator.set_params(**names)
    weights = grid_of(search.fit(molecules))["charge_weight"]
    assert {0.0, weight, *others} <= set(weights)


@pytest.mark.parametrize("name", ["alpha", "charge_weight"])
def test_what_the_space_draws_is_not_on_the_grid(molecules, name):
    space = {f"dipolekernelridge__{name}": FloatDistribution(2e-3, 5e-3)}
    search = small_search(space, n_trials=1, refit=False).fit(molecules)
    assert grid_of(search)[name] == list(search.study_.best_trial.params.values())
    assert len(grid_of(search)["alpha"]) * len(grid_of(search)["charge_weight"]) == 2


def test_given_values_come_first():
    default = default_grid()
    found = grid_with({"alpha": [1, 2]}, default, charges=True)
    assert found == default | {"alpha": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"degree": [1.0]}, "into space"),
        ({"alpha": []}, "into space"),
        ({"alpha": [], "charge_weight": [0.0]}, "into space"),
        ({"alpha": [0.0]}, "grid: alpha"),
        ({"charge_weight": [-1.0]}, "grid: charge_weight"),
        ({"charge_weight": [0.1]}, "needs charge labels"),
    ],
)
def test_refuses_other_grids(given, message):
    with pytest.raises(InputError, match=message):
        grid_with(given, default_grid(), charges=False)
