"""Folds that are fitted anew: what the last step of a pipeline is given."""

import threading

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator

from dipkit.search.fold_fits import fit_folds, fit_last


class Recorder(BaseEstimator):
    """Keep what `fit` was called with."""

    def fit(self, X, y=None, **keywords):
        self.magnitudes_, self.keywords_ = y, keywords
        return self


@pytest.mark.parametrize("weights", [[2.0, 2.0, 2.0], [0.5, 0.5, 3.0], [1.0, 0.0, 1.0]])
def test_weights_reach_the_fit(molecules, weights):
    fitted = fit_last(Recorder(), molecules[:3], np.array(weights))
    np.testing.assert_array_equal(fitted.keywords_["sample_weight"], weights)
    np.testing.assert_array_equal(fitted.magnitudes_, molecules.dipole_magnitude[:3])


def test_an_estimator_without_weights_can_be_fitted_where_all_are_1(molecules):
    assert fit_last(Recorder(), molecules[:3], np.ones(3)).keywords_ == {}


def test_results_come_in_the_order_of_the_folds(molecules):
    """With threads too, where the second fold ends before the first one."""
    folds = [(np.array([1, 2]), np.array([0])), (np.array([0, 2]), np.array([1]))]
    ended = threading.Event()

    def held_out(fitted, held, weights):
        if weights[0] == 7.0:
            assert ended.wait(60)
        else:
            ended.set()
        return weights

    with joblib.parallel_config("threading", n_jobs=2):
        found = fit_folds(Recorder(), molecules[:3], np.array([7.0, 8.0, 9.0]), folds, held_out)
        assert np.concatenate(list(found)).tolist() == [7.0, 8.0]
