"""The models to compare with: averages by hand, the choice of settings, order of molecules."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge

from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.estimator.reference_models import AveragedSOAPRidge, averaged_soap, mean_predictor
from dipkit.exceptions import InputError


@pytest.fixture
def molecules() -> Molecules:
    """Molecules of two or three atoms with random descriptors; the second scale determines mu."""
    rng = np.random.default_rng(0)
    natoms = rng.integers(2, 4, 60)
    n = natoms.sum()
    scales = [rng.random((n, d)).astype(np.float32) for d in (5, 4)]
    features = Features(
        tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in scales), (1.0, 0.1)
    )
    positions = 3.0 * np.arange(3 * n).reshape(n, 3)
    offsets = np.concatenate(([0], np.cumsum(natoms)))
    bare = Molecules(np.full(n, 6), positions, offsets, features=features)
    return bare.replace(dipole_magnitude=2 + 3 * averaged_soap(bare)[1][:, 0])


def test_averages(molecules: Molecules) -> None:
    for x, rows in zip(molecules.features.scales, averaged_soap(molecules), strict=True):
        for index in (0, 7, 59):
            part = x[molecules.offsets[index] : molecules.offsets[index + 1]].sum(axis=0)
            np.testing.assert_allclose(rows[index], part / np.linalg.norm(part), rtol=1e-5)
    with pytest.raises(InputError, match="described"):
        averaged_soap(molecules.replace(features=None))


def test_ridge_chooses_the_informative_scale(molecules: Molecules) -> None:
    train, test = molecules[:45], molecules[45:]
    model = clone(AveragedSOAPRidge()).fit(train, train.dipole_magnitude)
    assert model.scale_ == 1
    error = np.abs(model.predict(test) - test.dipole_magnitude).mean()
    mean = mean_predictor().fit(train, train.dipole_magnitude).predict(test)
    assert error < 0.2 * np.abs(mean - test.dipole_magnitude).mean()
    order = np.random.default_rng(1).permutation(len(test))
    np.testing.assert_allclose(model.predict(test[order]), model.predict(test)[order])


def test_validation_equals_kernel_ridge(molecules: Molecules) -> None:
    from dipkit.estimator.reference_models import _validate

    rows, y = averaged_soap(molecules)[0], molecules.dipole_magnitude
    train, test = np.arange(40), np.arange(40, 60)
    kernel = np.exp(-2.0 * ((rows[:, None] - rows) ** 2).sum(axis=2))
    errors = _validate(kernel, y, (1e-2, 1.0), train, test)
    for alpha, error in zip((1e-2, 1.0), errors, strict=True):
        model = KernelRidge(kernel="rbf", gamma=2.0, alpha=alpha).fit(rows[train], y[train])
        assert error == pytest.approx(np.abs(model.predict(rows[test]) - y[test]).mean())
