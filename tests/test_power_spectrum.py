"""Tables behind the power spectra: harmonics are orthonormal, atoms do not depend on neighbours."""

import numpy as np
import pytest

from dipkit._power_spectrum import real_harmonics
from dipkit.datasets import load_organics
from dipkit.soap import SOAPScale, SOAPTransformer


def test_harmonics_are_orthonormal() -> None:
    # Products of two are polynomials of degree 14: exact on a Gauss grid in cos(theta) and phi.
    nodes, weights = np.polynomial.legendre.leggauss(12)
    phi = 2 * np.pi * np.arange(24) / 24
    z, angle = (part.ravel() for part in np.meshgrid(nodes, phi, indexing="ij"))
    s = np.sqrt(1 - z * z)
    points = np.stack([s * np.cos(angle), s * np.sin(angle), z], axis=1)
    values = np.concatenate(list(real_harmonics(points, 7)), axis=1)
    gram = values.T @ (np.repeat(weights, 24)[:, None] * 2 * np.pi / 24 * values)
    np.testing.assert_allclose(gram, np.eye(64), atol=1e-12)


@pytest.mark.parametrize("rbf", ["polynomial", "gto"])
def test_an_atom_does_not_depend_on_other_molecules(rbf: str) -> None:
    molecules = load_organics()[:25].replace(charges=None)
    transformer = SOAPTransformer((SOAPScale(2.6, 5, 4, 0.2, rbf),), n_jobs=1).fit(molecules)
    together = transformer.transform(molecules).features
    alone = [transformer.transform(molecules[i]).features for i in range(25)]
    assert together is not None
    np.testing.assert_array_equal(
        together.scales[0], np.concatenate([part.scales[0] for part in alone])
    )
