"""Spaces and grids."""

from sklearn.experimental import enable_halving_search_cv  # noqa: F401

import dipkit
from dipkit.search import default_space


def test_default_space_names_parameters_that_exist():
    known = dipkit.default_model().get_params(deep=True)
    assert set(default_space(penalties=True, n_molecules=400)) <= set(known)
    inducing = default_space(n_molecules=400)["dipolekernelridge__basis__n_inducing"]
    assert (inducing.low, inducing.high) == (1000, 4000)
