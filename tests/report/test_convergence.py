"""ConvergenceDisplay: the objective above its last value."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.exceptions import InputError
from dipkit.report.convergence import ConvergenceDisplay
from dipkit.report.plots import new_figure


def axes():
    pytest.importorskip("matplotlib")
    return new_figure(5, 5).subplots()


def test_history() -> None:
    ax = axes()
    ConvergenceDisplay([3.0, 2.0, 1.5, 1.5]).plot(ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1.0, 1 / 3])
    assert ax.get_title() == "3 iterations, J = 1.5 D²"


def test_from_estimator(described) -> None:
    ridge = DipoleKernelRidge(alpha=1e-3).fit(described)
    for model in (ridge, make_pipeline(ridge)):
        display = ConvergenceDisplay.from_estimator(model, ax=axes())
        np.testing.assert_array_equal(display.history_, ridge.history_)


@pytest.mark.parametrize("history", [[], [[1.0]]])
def test_refused(history) -> None:
    with pytest.raises(InputError, match=r"history: expected the objective"):
        ConvergenceDisplay(history)
