"""The contract of every loss, and the losses by name."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from dipkit.exceptions import InputError
from dipkit.learning.losses import (
    ABSOLUTE_FLOOR,
    AbsoluteLoss,
    HuberLoss,
    Loss,
    SquaredLoss,
    make_loss,
)

LOSSES = [SquaredLoss(), HuberLoss(0.7), AbsoluteLoss()]


@pytest.fixture(params=LOSSES, ids=lambda loss: type(loss).__name__)
def loss(request: pytest.FixtureRequest) -> Loss:
    return request.param


def test_loss_is_even_and_rises_from_zero(loss: Loss) -> None:
    e = np.linspace(-4, 4, 801)
    value = loss.value(e)
    np.testing.assert_array_equal(value, loss.value(-e))
    assert float(loss.value(np.zeros(1))[0]) == 0.0
    assert (np.diff(value[400:]) > 0).all()


def test_loss_weight_is_its_slope(loss: Loss) -> None:
    e = np.concatenate([np.geomspace(1e-2, 5, 60), -np.geomspace(1e-2, 5, 60)])
    h = 1e-6
    slope = (loss.value(e + h) - loss.value(e - h)) / (2 * h)
    np.testing.assert_allclose(loss.weight(e), slope / (2 * e), rtol=1e-4)
    assert np.isfinite(loss.weight(np.zeros(1))).all()


def test_loss_is_concave_in_the_square(loss: Loss) -> None:
    x, y = np.random.default_rng(0).random((2, 1000)) * np.geomspace(1e-7, 9, 1000)
    middle = loss.value(np.sqrt((x + y) / 2))
    ends = (loss.value(np.sqrt(x)) + loss.value(np.sqrt(y))) / 2
    assert (middle >= ends * (1 - 1e-12)).all()


def test_loss_says_whether_its_weight_is_constant(loss: Loss) -> None:
    weight = loss.weight(np.linspace(-3, 3, 50))
    assert loss.constant_weight == bool((weight == 1).all())


def test_absolute_loss_is_the_absolute_value() -> None:
    e = np.linspace(-2, 2, 400)
    np.testing.assert_allclose(AbsoluteLoss().value(e), np.abs(e), atol=0.51 * ABSOLUTE_FLOOR)


def test_huber_loss_between_squared_and_absolute() -> None:
    e = np.linspace(-3, 3, 99)
    np.testing.assert_array_equal(HuberLoss(10.0).value(e), e * e)
    np.testing.assert_allclose(HuberLoss(1e-8).value(e) / 2e-8, np.abs(e), atol=1e-8)


def test_losses_by_name() -> None:
    assert isinstance(make_loss("squared"), SquaredLoss)
    assert isinstance(make_loss("absolute"), AbsoluteLoss)
    huber = make_loss("huber")
    assert isinstance(huber, HuberLoss)
    assert huber.threshold == 0.2
    given = HuberLoss(0.3)
    assert make_loss(given) is given


@pytest.mark.parametrize("bad", ["l1", None, 0.2, HuberLoss])
def test_what_is_no_loss_is_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r'loss: expected "squared", "huber", "absolute" or a'):
        make_loss(bad)


@pytest.mark.parametrize("bad", [0, -0.1, np.inf, np.nan, "x", None, True])
def test_a_threshold_has_to_be_finite_and_positive(bad: Any) -> None:
    with pytest.raises(InputError, match="threshold: expected a finite number of debye > 0"):
        make_loss(HuberLoss(bad))


def test_a_loss_is_tuned_like_any_estimator() -> None:
    assert clone(HuberLoss(0.3)).get_params() == {"threshold": 0.3}
    assert HuberLoss().set_params(threshold=0.5).threshold == 0.5
