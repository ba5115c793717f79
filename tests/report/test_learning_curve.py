"""LearningCurveDisplay: means and ranges of errors, one line a model."""

import numpy as np
import pytest

from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.exceptions import InputError
from dipkit.report.learning_curve import LearningCurveDisplay
from dipkit.report.plots import new_figure


def axes():
    pytest.importorskip("matplotlib")
    return new_figure(5, 5).subplots()


def test_several_models() -> None:
    curves = {"a": [1.0, 0.5], "b": [[0.8, 0.9], [0.3, 0.4]]}
    ax = axes()
    display = LearningCurveDisplay([100, 1000], curves).plot(ax=ax)
    assert display.ax_ is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.85, 0.35])
    assert "of absolute errors (D)" in ax.get_ylabel()


def test_from_estimator_gives_positive_errors(described) -> None:
    ridge = DipoleKernelRidge(alpha=1e-3)
    display = LearningCurveDisplay.from_estimator(
        ridge, described, name="ridge", train_sizes=[8, 20], cv=2, ax=axes()
    )
    np.testing.assert_array_equal(display.sizes_, [8, 20])
    assert display.errors_["ridge"].shape == (2, 2)
    assert (display.errors_["ridge"] > 0).all()


def test_a_curve_of_another_length() -> None:
    with pytest.raises(InputError, match=r"'a', one row for each size, got \(3,\)"):
        LearningCurveDisplay([1, 2], {"a": [1, 2, 3]})
