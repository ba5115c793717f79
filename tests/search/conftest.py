"""Fixtures of the searches."""

import pytest
from helpers.searches import small_search
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

from dipkit import DipoleSearchCV
from dipkit.data.datasets import load_organics


@pytest.fixture(scope="module")
def molecules():
    return load_organics()[:36]


@pytest.fixture(scope="module")
def searched(molecules) -> DipoleSearchCV:
    return small_search(n_trials=5).fit(molecules)
