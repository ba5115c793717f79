"""ParityDisplay draws every molecule it has, on given axes or on new ones."""

import sys

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV

from dipkit.data.datasets import load_organics
from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.exceptions import InputError, MissingDependencyError
from dipkit.report.parity import ParityDisplay
from dipkit.report.plots import MANY_POINTS, new_figure

TRUE, PREDICTED = np.array([0.5, 1.0, 2.5, 4.0]), np.array([0.4, 1.3, 2.5, 3.0])


def axes():
    pytest.importorskip("matplotlib")
    return new_figure(5, 5).subplots()


def test_parity() -> None:
    ax = axes()
    display = ParityDisplay.from_predictions(TRUE, PREDICTED, ax=ax, reference="B3LYP")
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_xlabel() == "|μ| B3LYP (D)"
    assert "(D)" in ax.get_ylabel()
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_box_aspect() == 1
    text = ax.texts[0].get_text()
    assert "of absolute errors" in text
    assert "mean   0.350 D" in text
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.c_[TRUE, PREDICTED])


def test_error_bars() -> None:
    ax = axes()
    std = np.array([0.1, 0.2, 0.3, 0.4])
    ParityDisplay.from_predictions(TRUE, PREDICTED, std=std, ax=ax)
    (bars,) = ax.containers
    segments = np.array(bars.lines[2][0].get_segments())
    heights = np.ptp(segments[:, :, 1], axis=1)
    np.testing.assert_allclose(np.sort(heights), 2 * std)


def test_many_points_are_coloured_by_density() -> None:
    ax, rng = axes(), np.random.default_rng(0)
    crowd = rng.normal(2.0, 0.05, MANY_POINTS)
    true = np.append(crowd, 5.0)
    ParityDisplay.from_predictions(true, true, ax=ax)
    points = ax.collections[0]
    colours, where = np.asarray(points.get_array()), np.asarray(points.get_offsets())[:, 0]
    assert colours[where == 5.0] == colours.min()
    assert (np.diff(colours) >= 0).all()  # the densest are drawn last, above the others


def test_an_outlier_is_not_in_the_last_bar() -> None:
    ax, rng = axes(), np.random.default_rng(0)
    true = np.full(1000, 2.0)
    predicted = true + rng.normal(0, 0.1, 1000)
    predicted[0] = 9.0
    ParityDisplay.from_predictions(true, predicted, kind="errors", ax=ax)
    edges = np.array([bar.get_x() for bar in ax.patches])
    counts = np.array([bar.get_height() for bar in ax.patches])
    expected, _ = np.histogram(predicted - true, np.append(edges, edges[-1] + np.diff(edges)[-1]))
    np.testing.assert_array_equal(counts, expected)
    n_outside = 1000 - int(counts.sum())
    assert ax.get_title() == f"not shown: {n_outside} of 1,000 errors, up to +7.00 D"
    assert "(D)" in ax.get_xlabel()


def test_without_outliers_nothing_is_left_out() -> None:
    ax = axes()
    ParityDisplay.from_predictions(TRUE, TRUE + 0.1, kind="errors", ax=ax)
    assert sum(bar.get_height() for bar in ax.patches) == len(TRUE)
    assert ax.get_title() == ""


def test_new_axes_are_those_of_pyplot() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.close("all")
    display = ParityDisplay.from_predictions(TRUE, PREDICTED)
    assert pyplot.gcf() is display.figure_
    pyplot.close("all")


def test_from_estimator_takes_labels_and_deviations(described) -> None:
    train, test = described[:30], described[30:]
    unlabelled = test[:1].replace(dipole_vector=None, dipole_magnitude=None)
    test = type(test).concatenate([test, unlabelled])
    ridge = DipoleKernelRidge(alpha=1e-3).fit(train)
    display = ParityDisplay.from_estimator(ridge, test, return_std=True, ax=axes())
    np.testing.assert_array_equal(display.true_, described[30:].dipole_magnitude)
    np.testing.assert_array_equal(display.predicted_, ridge.predict(described[30:]))
    np.testing.assert_array_equal(display.std_, ridge.predict(described[30:], return_std=True)[1])
    vectors = ParityDisplay.from_estimator(
        ridge, described[30:], described[30:].dipole_vector, ax=axes()
    )
    np.testing.assert_allclose(vectors.true_, display.true_, atol=1e-5)
    search = GridSearchCV(ridge, {"alpha": [1e-3]}, cv=2, scoring="neg_mean_absolute_error")
    search.fit(train, train.dipole_magnitude)
    again = ParityDisplay.from_estimator(search, test, return_std=True, ax=axes())
    best = search.best_estimator_.predict(described[30:], return_std=True)
    np.testing.assert_array_equal(again.std_, best[1])


def test_any_regressor_will_do() -> None:
    molecules = load_organics()[:5]
    model = DummyRegressor().fit(np.zeros((5, 1)), molecules.dipole_magnitude)
    display = ParityDisplay.from_estimator(model, molecules, ax=axes())
    np.testing.assert_allclose(display.predicted_, molecules.dipole_magnitude.mean())


def test_failed_predictions_are_counted() -> None:
    ax = axes()
    display = ParityDisplay.from_predictions(TRUE, [0.4, np.nan, 2.5, 3.0], ax=ax)
    assert display.n_failed_ == 1
    assert len(display.true_) == 3
    assert "failed   1" in ax.texts[0].get_text()


@pytest.mark.parametrize(
    ("true", "predicted", "std", "match"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), None, "magnitudes"),
        (TRUE, PREDICTED[:2], None, "one magnitude for each of 4"),
        (TRUE, np.full(4, np.nan), None, "none that is a number"),
        (TRUE, PREDICTED, [0.1], "one standard deviation for each of 4"),
    ],
)
def test_refused(true, predicted, std, match) -> None:
    with pytest.raises(InputError, match=match):
        ParityDisplay(true, predicted, std)


def test_unknown_kind() -> None:
    with pytest.raises(InputError, match='kind: expected "parity" or "errors"'):
        ParityDisplay(TRUE, PREDICTED).plot("histogram")


def test_without_matplotlib(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"dipkit\[plot\]"):
        ParityDisplay.from_predictions(TRUE, PREDICTED)
