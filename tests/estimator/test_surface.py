"""The dipole surface of one molecule, from magnitudes of its distorted geometries alone."""

import numpy as np
import pytest

from dipkit import Molecules, default_model

N = 140


@pytest.fixture(scope="module")
def water() -> Molecules:
    """Water with charges that flow as its bonds stretch and its angle opens."""
    rng = np.random.default_rng(0)
    length = 0.96 + 0.12 * (2 * rng.random((N, 2)) - 1)
    angle = np.deg2rad(104.5 + 20 * (2 * rng.random(N) - 1))
    positions = np.zeros((N, 3, 3))
    positions[:, 1, 0] = length[:, 0]
    positions[:, 2, 0] = length[:, 1] * np.cos(angle)
    positions[:, 2, 1] = length[:, 1] * np.sin(angle)
    hydrogen = 0.33 - 0.2 * (length - 0.96) + 0.05 * (length[:, ::-1] - 0.96)
    hydrogen += 0.03 * np.cos(angle)[:, None]
    charges = np.concatenate([-hydrogen.sum(axis=1, keepdims=True), hydrogen], axis=1)
    dipole = 4.803204712570263 * np.einsum("gi,gib->gb", charges, positions)
    return Molecules(
        np.tile([8, 1, 1], N),
        positions.reshape(-1, 3),
        3 * np.arange(N + 1),
        dipole_magnitude=np.linalg.norm(dipole, axis=1),
    )


@pytest.mark.parametrize(
    ("settings", "mean", "most"), [({}, 0.01, 0.05), ({"alpha": 1e-6}, 2e-3, 0.01)]
)
def test_water(water: Molecules, settings: dict[str, float], mean: float, most: float) -> None:
    train, test = water[:80], water[80:]
    assert train.dipole_magnitude.std() > 0.1
    model = default_model(**settings).fit(train)
    error = np.abs(model.predict(test) - test.dipole_magnitude)
    assert error.mean() < mean
    assert error.max() < most
