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


def test_axes_are_logarithmic_with_plain_numbers() -> None:
    display = LearningCurveDisplay([100, 1000], {"a": [0.4, 0.11]}).plot(ax=axes())
    assert (display.ax_.get_xscale(), display.ax_.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["100", "1,000"]
    assert "0.2" in [text.get_text() for text in display.ax_.get_yticklabels()]


def test_sizes_that_would_overlap_are_not_all_written() -> None:
    sizes = [1000, 1010, 1020, 2000]
    display = LearningCurveDisplay(sizes, {"a": [0.4, 0.3, 0.3, 0.2]}).plot(ax=axes())
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["1,020", "2,000"]


def test_bands_of_draws_and_of_spreads() -> None:
    errors = {"draws": [[0.4, 0.6], [0.3, np.nan]], "mean": [np.nan, 0.2]}
    display = LearningCurveDisplay([10, 20], errors, {"mean": [np.nan, 0.05]}).plot(ax=axes())
    rows = [list(row) for row in display.table().rows]
    plain = [[None if cell is None else cell.replace("\u00a0", " ") for cell in r] for r in rows]
    assert plain == [
        ["10", "0.500 (0.400 – 0.600)", None],
        ["20", "0.300", "0.200 (0.150 – 0.250)"],
    ]
    assert display.band_words().count("Band") == 2
    # A spread above the error leaves the band on the axis.
    wide = LearningCurveDisplay([10, 20], {"a": [0.2, 0.1]}, {"a": [0.3, 0.3]}).plot(ax=axes())
    assert wide.ax_.get_ylim()[0] > 0


def test_csv_there_and_back(tmp_path) -> None:
    errors = {"a": [[0.4, 0.6], [0.3, np.nan]], "b": [[0.5], [0.25]]}
    display = LearningCurveDisplay([10, 20], errors, {"b": [0.1, np.nan]})
    display.to_csv(tmp_path / "curve.csv")
    again = LearningCurveDisplay.from_csv(tmp_path / "curve.csv")
    np.testing.assert_array_equal(again.sizes_, display.sizes_)
    for name in errors:
        np.testing.assert_allclose(again.errors_[name], display.errors_[name])
    np.testing.assert_allclose(again.spreads_["b"], [0.1, np.nan])
    without = LearningCurveDisplay([10, 20], {"a": [0.4, 0.3]})
    without.to_csv(tmp_path / "curve.csv")
    assert LearningCurveDisplay.from_csv(tmp_path / "curve.csv").spreads_ == {}


def test_scores_and_foreign_spreads_are_refused() -> None:
    with pytest.raises(InputError, match="expected values above 0 for 'a'"):
        LearningCurveDisplay([1, 2], {"a": [-0.4, -0.3]})
    with pytest.raises(InputError, match="name of a curve and shape"):
        LearningCurveDisplay([1, 2], {"a": [0.4, 0.3]}, {"b": [0.1, 0.1]})
