"""How draws and scale of standard deviations are made: dense formulas, scaling laws."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import dipkit.estimator.minimum
from dipkit import DipoleKernelRidge, InducingBasis, Reweighted
from dipkit.data.molecules import Molecules
from dipkit.estimator import std_calibration
from dipkit.estimator.linearised import LinearisedObjective
from dipkit.estimator.std_calibration import CalibrationSample
from dipkit.estimator.std_prediction import StdModel
from dipkit.learning.basis import Basis
from dipkit.learning.compensation import ALONG_BONDS, EVEN
from dipkit.learning.objective import DipoleTarget, JointObjective
from dipkit.support.backend import NUMPY

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
N = 30


@dataclass
class Fit:
    """A fitted model and what its standard deviations were made from."""

    model: DipoleKernelRidge
    objective: JointObjective
    weights: FloatArray
    basis: Basis
    sample: CalibrationSample

    @property
    def linear(self) -> LinearisedObjective:
        return LinearisedObjective(self.objective, self.weights)

    def curvature(self) -> FloatArray:
        """H with 100 alpha for the constants."""
        matrix: FloatArray = self.linear.curvature()
        for element in self.basis.elements.values():
            last = element.columns.stop - 1
            matrix[last, last] += 99 * self.objective.alpha
        return matrix


def fit(molecules: Molecules, n_samples: int = 128, **settings: Any) -> Fit:
    """Fit a model and catch what `calibrate_std` gets."""
    caught: list[Any] = []
    original = std_calibration.calibrate_std

    def catch(*args: Any) -> StdModel:
        caught.extend(args)
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dipkit.estimator.minimum, "calibrate_std", catch)
        patch.setattr(std_calibration, "N_SAMPLES", n_samples)
        settings = {
            "basis__n_inducing": 40,
            "solver__max_iter": 2000,
            "basis__precision": "double",
        } | settings
        model = DipoleKernelRidge().set_params(**settings).fit(molecules)
    return Fit(model, *caught[:4])


LOSSES = [{}, {"loss": "huber", "loss__threshold": 0.01}, {"loss": "absolute"}]
ALONG = {"basis__compensation": "bonds"}


@pytest.fixture(scope="module", params=[*LOSSES, ALONG], ids=str)
def fitted(request: pytest.FixtureRequest, described: Molecules) -> Fit:
    return fit(
        described[:N].replace(dipole_vector=None, features=described[:N].features), **request.param
    )


def quantiles(ratios: FloatArray) -> float:
    """Scale that each share needs, geometric mean with weights 2/3 and 1/3."""
    one, two = np.quantile(ratios, [0.6827, 0.95])
    return float(one ** (2 / 3) * (two / 1.96) ** (1 / 3))


def test_scale_floor_novelty_and_ceiling(fitted: Fit, described: Molecules) -> None:
    """Each number that the model keeps, from its definition."""
    model, linear, alpha = fitted.model, fitted.linear, fitted.objective.alpha
    how = ALONG_BONDS if model.basis.compensation == "bonds" else EVEN
    factor = fitted.objective.backend.factor(fitted.curvature())
    errors, variances = linear.left_out(factor, fitted.sample.places)
    described_ones = fitted.sample.places[:10]  # a third of 30
    assert len(fitted.sample.described) == 10
    beyond = []
    for place, molecule in zip(range(10), described_ones, strict=True):
        one = fitted.sample.described[place]
        assert one.features is not None
        arms = 4.80320471 * how.matrix(one, NUMPY).toarray() @ one.positions
        total = 0.0
        for atom, arm in enumerate(arms @ linear.directions[molecule]):
            number = int(one.numbers[atom])
            x = [scale[atom : atom + 1] for scale in one.features.scales]
            phi = fitted.basis.basis_functions(number, x)[0, :-1]
            total += arm**2 * max(1 - phi @ phi, 0.0)
        beyond.append(total / (N * alpha))
    widths = variances + 0.1 * linear.label_variance
    scale = quantiles(errors / np.sqrt(widths))
    scale *= quantiles(errors[:10] / np.sqrt(widths[:10] + beyond))
    scale /= quantiles(errors[:10] / np.sqrt(widths[:10]))
    scale *= np.sqrt(1 + 20 / N)
    assert model.std_floor_ == pytest.approx(scale * np.sqrt(0.1 * linear.label_variance), rel=1e-4)
    assert model.std_novelty_ == pytest.approx(how.scale * scale / np.sqrt(N * alpha), rel=1e-4)
    charges = model.predict_charges(fitted.sample.described)
    assert model.std_ceiling_ == pytest.approx(np.sqrt(np.mean(charges**2)), rel=1e-4)


@pytest.mark.parametrize("loss", [*LOSSES, ALONG], ids=str)
def test_draws_have_the_covariance_of_the_posterior(
    described: Molecules, loss: dict[str, Any]
) -> None:
    """With many draws, the first term of (12) is s^2 g^T H^-1 g / N."""
    magnitudes = described[:N].replace(dipole_vector=None, features=described[:N].features)
    found = fit(magnitudes, 20_000, **loss)
    model, linear = found.model, found.linear
    inverse = np.linalg.inv(found.curvature()) / N
    variance = model.std_floor_**2 / (0.1 * linear.label_variance)
    gradient = np.einsum("ac,acr->ar", linear.directions, found.objective.rows.reshape(N, 3, -1))
    expected = variance * np.einsum("ar,rs,as->a", gradient, inverse, gradient)
    model.std_novelty_ = model.std_floor_ = 0.0
    std = model.predict(described[:N], return_std=True)[1]
    # Each of 20,000 draws: 1 % in the variance.
    # One dipole hardly depends on any weight; its variance is that of rounding.
    np.testing.assert_allclose(std**2, expected, rtol=0.05, atol=1e-5 * expected.max())
    shares = (std**2 / expected)[expected > 1e-5 * expected.max()]
    assert np.mean(shares) == pytest.approx(1.0, rel=0.01)


def test_labels_in_another_unit(described: Molecules) -> None:
    """Labels, and alpha with them, times k: charges and standard deviations times k."""
    found = []
    for k in (1.0, 2.0):
        molecules = described[:N].replace(
            dipole_magnitude=k * described[:N].dipole_magnitude,
            dipole_vector=None,
            charges=k * described[:N].charges,
            features=described[:N].features,
        )
        # The prior and the charge labels scale as well, so that alpha stays.
        model = fit(molecules, alpha=1e-3, charge_weight=1e-3, solver__tol=1e-12).model
        found.append(model.predict(described, return_std=True)[1])
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-3)


def test_an_absolute_loss_is_a_hubers(described: Molecules) -> None:
    """rho times a number, and all penalties with it, change no standard deviation."""
    t, settings = 1e-3, {"solver__annealing": (), "solver__tol": 1e-10, "basis__n_inducing": 30}
    magnitudes = described[:N].replace(dipole_vector=None, features=described[:N].features)
    one = fit(magnitudes, loss="absolute", alpha=1e-2, charge_weight=1e-2, **settings).model
    other = fit(
        magnitudes,
        loss="huber",
        loss__threshold=t,
        alpha=2 * t * 1e-2,
        charge_weight=2 * t * 1e-2,
        **settings,
    ).model
    found, expected = (m.predict(described, return_std=True)[1] for m in (other, one))
    np.testing.assert_allclose(found, expected, rtol=1e-2)


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
def test_every_loss_and_vectors(described: Molecules, loss: str) -> None:
    """With vectors the standard deviations are of the size of the errors as well."""
    train, test = described[:25], described[25:]
    for y in (train.dipole_magnitude, train.dipole_vector):
        model = DipoleKernelRidge(
            basis=InducingBasis(n_inducing=80), loss=loss, solver=Reweighted(max_iter=2000)
        ).fit(train, y)
        magnitudes, std = model.predict(test, return_std=True)
        error = np.abs(magnitudes - test.dipole_magnitude)
        assert 0.3 < np.sqrt(np.mean(error**2) / np.mean(std**2)) < 3


def test_molecules_without_a_label_or_weight_change_nothing(described: Molecules) -> None:
    """Neither those without a dipole label nor those of weight zero take part."""
    magnitude = described.dipole_magnitude.copy()
    magnitude[20:] = np.nan
    some = described.replace(dipole_magnitude=magnitude, dipole_vector=None)
    some = some.replace(features=described.features)
    weights = np.where(np.arange(40) < 20, 1.0, 0.0)
    # Start, prior and auxiliary dipoles would come from charges, and those of molecules of weight
    # zero count in one fit only.
    settings = {
        "basis__n_inducing": 60,
        "basis__precision": "double",
        "charge_weight": 0.0,
        "start": "zero",
        "auxiliary": None,
    }
    one = DipoleKernelRidge().set_params(**settings).fit(some)
    two = (
        DipoleKernelRidge()
        .set_params(**settings)
        .fit(described, described.dipole_magnitude, sample_weight=weights)
    )
    found, expected = (model.predict(described, return_std=True)[1] for model in (two, one))
    assert one.alpha_ == two.alpha_
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_needed_scale_holds_both_shares() -> None:
    rng = np.random.default_rng(0)
    errors = np.abs(rng.normal(size=100_000)) * 0.3
    found = std_calibration._needed_scale(errors, np.full(100_000, 2.0))
    assert found == pytest.approx(0.15, rel=0.01)
    # 100 errors that end at 1: quantiles are known.
    errors = np.linspace(0, 1, 101)
    expected = 0.6827 ** (2 / 3) * (0.95 / 1.96) ** (1 / 3)
    assert std_calibration._needed_scale(errors, np.ones(101)) == pytest.approx(expected)


def test_the_sample(described: Molecules, toy: Any) -> None:
    """No single atom, no molecule without weight or label; places in the order of keys."""
    molecules = toy()
    n = len(molecules)
    magnitudes = np.where(np.arange(n) == 0, np.nan, 1.0)
    vectors = np.full((n, 3), np.nan)
    vectors[0] = 1.0  # a vector is a label
    magnitudes[1] = np.nan  # none at all
    weights = np.where(np.arange(n) == 2, 0.0, 1.0)
    target = DipoleTarget(magnitudes, vectors, weights)
    sample = CalibrationSample.of(molecules, target, np.random.default_rng(0))
    usable = [a for a in range(n) if a not in (1, 2) and molecules.natoms[a] > 1]
    assert sorted(sample.places.tolist()) == usable
    assert (np.diff(sample.keys) > 0).all()
    names = [molecules.names[a] for a in sample.places]
    k = -(-len(usable) // 3)
    assert [str(name) for name in sample.described.names] == [str(name) for name in names[:k]]
