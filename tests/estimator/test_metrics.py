"""Errors by hand-calculated values; scorers inside scikit-learn's searches."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, cross_validate

from dipkit.data.molecules import Molecules
from dipkit.estimator.metrics import (
    SCORERS,
    charge_errors,
    compare,
    error_report,
    mae_scorer,
    rmse_scorer,
)
from dipkit.estimator.predicted_molecules import Prediction
from dipkit.exceptions import InputError


class Constant(RegressorMixin, BaseEstimator):
    """Predicts one number; needs no features."""

    def __init__(self, value: float = 1.0):
        self.value = value

    def fit(self, X, y=None):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return np.full(len(X), self.value)


def diatomics(magnitudes, **fields) -> Molecules:
    n = len(magnitudes)
    positions = np.tile([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], (n, 1))
    return Molecules(
        [1, 9] * n, positions, np.arange(0, 2 * n + 1, 2), dipole_magnitude=magnitudes, **fields
    )


def test_figures_of_magnitudes() -> None:
    report = error_report([1.0, 2.0, 3.0, 6.0], [1.0, 2.5, 2.0, 4.0])
    assert report == {
        "n": 4,
        "mae_debye": pytest.approx(3.5 / 4),
        "rmse_debye": pytest.approx(np.sqrt(5.25 / 4)),
        "median_debye": pytest.approx(0.75),
        "p95_debye": pytest.approx(1.85),
        "r2": pytest.approx(1 - 5.25 / 14),
    }


def test_figures_of_vectors() -> None:
    true = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.01]]
    predicted = [[0.0, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -1.0], [0.01, 0.0, 0.0]]
    report = error_report(true, predicted)
    assert report["mae_debye"] == pytest.approx(0.0)
    assert report["n_vectors"] == 4
    assert report["vector_mae_debye"] == pytest.approx((2**0.5 + 0 + 2 + 0.01 * 2**0.5) / 4)
    # The last reference is too short to have a direction: angles are 90, 0 and 180 degrees.
    assert report["vector_angle_deg"] == pytest.approx(90.0)
    assert report["vector_reversed"] == pytest.approx(1 / 3)


def test_figures_of_charges() -> None:
    report = charge_errors([0.1, -0.1, 0.2], [0.2, -0.1, -0.2])
    assert report["charge_mae_e"] == pytest.approx(0.5 / 3)
    assert report["charge_rmse_e"] == pytest.approx(np.sqrt(0.17 / 3))
    assert report["n_charges"] == 3


def test_one_molecule_has_no_r2() -> None:
    assert error_report([1.0], [1.5])["r2"] is None


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([1.0, 2.0], [1.0], "equal shapes"),
        ([], [], "equal shapes"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "equal shapes"),
        ([1.0, np.nan], [1.0, 2.0], "finite"),
    ],
)
def test_unusable_input(true, predicted, message: str) -> None:
    with pytest.raises(InputError, match=message):
        error_report(true, predicted)


@pytest.mark.parametrize(
    ("true", "predicted"),
    [([0.1], [1, 2, 3]), ([1, 2, 3], [0.1]), (0.1, [1, 2]), ([[0.1]], [[0.2]]), ([], [])],
)
def test_charges_do_not_broadcast(true, predicted) -> None:
    with pytest.raises(InputError, match=r"equal shapes \(n_atoms,\), not empty"):
        charge_errors(true, predicted)


@pytest.mark.parametrize("y", [[1.0], [1.0, 2.0], 1.0, [[1.0, 0.0, 0.0]], np.ones((3, 1, 3))])
def test_scorers_do_not_broadcast(y) -> None:
    for scorer in SCORERS.values():
        with pytest.raises(InputError, match="y: expected one magnitude or vector for each"):
            scorer(Constant(), diatomics([1.0, 2.0, 3.0]), y)


def test_compare_refuses_the_prediction_of_other_molecules() -> None:
    molecules = diatomics([1.0, 2.0])
    one = Prediction(molecules[:1], np.zeros(2), np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"prediction: .* 2 molecules .* got one of 1 molecules"):
        compare(None, molecules, one)


def test_compare_takes_each_label_where_it_is() -> None:
    nan = np.nan
    molecules = diatomics(
        [2.0, nan, 5.0],
        dipole_vector=[[nan] * 3, [nan] * 3, [0.0, 3.0, 4.0]],
        charges=[0.5, -0.5, nan, nan, nan, nan],
    )
    charges = np.array([0.4, -0.4, 9, -9, 0.0, 0.0])
    dipole = np.array([[0.0, 0, 1], [0.0, 0, 7], [0.0, 3, 3]])
    report = compare(None, molecules, Prediction(molecules, charges, dipole))
    assert (report["n"], report["n_vectors"], report["n_charges"]) == (2, 1, 2)
    assert report["mae_debye"] == pytest.approx((1 + 5 - 18**0.5) / 2)
    assert report["vector_mae_debye"] == pytest.approx(1.0)
    assert report["charge_mae_e"] == pytest.approx(0.1)


def test_compare_without_labels_names_the_keys() -> None:
    molecules = Molecules([1, 9], [[0, 0, 0], [0, 0, 1.0]], [0, 2], source_keys=("energy",))
    with pytest.raises(InputError, match=r"dipole_debye.*keys present: energy"):
        compare(None, molecules)


def test_scorers() -> None:
    molecules = diatomics([1.0, 2.0, 4.0])
    model = Constant(2.0)
    assert mae_scorer(model, molecules) == pytest.approx(-1.0)
    assert mae_scorer(model, molecules, [2.0, 2.0, 5.0]) == pytest.approx(-1.0)
    assert rmse_scorer(model, molecules) == pytest.approx(-np.sqrt(5 / 3))
    vectors = [[2.0, 0, 0], [0, 2.0, 0], [0, 3.0, 4.0]]
    assert mae_scorer(model, molecules, vectors) == pytest.approx(-1.0)


@pytest.mark.parametrize("rides", [True, False])
def test_scorers_in_searches(rides: bool) -> None:
    molecules = diatomics([1.0, 2.0, 3.0, 2.0])
    y = () if rides else (molecules.dipole_magnitude,)
    scores = cross_validate(Constant(), molecules, *y, cv=2, scoring=SCORERS)
    assert scores["test_neg_mae_debye"] == pytest.approx([-0.5, -1.5])
    search = GridSearchCV(Constant(), {"value": [1.0, 2.0]}, scoring=mae_scorer, cv=2)
    assert search.fit(molecules, *y).best_params_ == {"value": 2.0}
