"""Tables behind the power spectra: harmonics are orthonormal, atoms do not depend on neighbours."""

import numpy as np
import pytest

from dipkit.data.datasets import load_organics
from dipkit.descriptors.harmonics import real_harmonics
from dipkit.descriptors.radial_integrals import tabulate
from dipkit.descriptors.scales import SOAPScale
from dipkit.descriptors.soap import SOAPTransformer


@pytest.mark.parametrize("l_max", [7, 20])
def test_harmonics_are_orthonormal(l_max: int) -> None:
    # Products of two are polynomials of degree 2 l_max: exact on a Gauss grid in cos(theta), phi.
    nodes, weights = np.polynomial.legendre.leggauss(l_max + 1)
    n_phi = 2 * l_max + 1
    phi = 2 * np.pi * np.arange(n_phi) / n_phi
    z, angle = (part.ravel() for part in np.meshgrid(nodes, phi, indexing="ij"))
    s = np.sqrt(1 - z * z)
    points = np.stack([s * np.cos(angle), s * np.sin(angle), z])
    values = np.concatenate(list(real_harmonics(points, l_max)))
    gram = values @ (np.repeat(weights, n_phi) * 2 * np.pi / n_phi * values).T
    np.testing.assert_allclose(gram, np.eye((l_max + 1) ** 2), atol=1e-12)


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


def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    molecules = load_organics()[:25].replace(charges=None)
    transformer = SOAPTransformer((SOAPScale(2.6, 5, 4, 0.2),), on_demand=False).fit(molecules)
    whole = transformer.transform(molecules).features
    monkeypatch.setattr("dipkit.descriptors.spectra_host.BATCH_ATOMS", 3)
    monkeypatch.setattr("dipkit.descriptors.spectra_host.BATCH_NEIGHBOURS", 5)
    parts = transformer.transform(molecules).features
    assert whole is not None
    assert parts is not None
    np.testing.assert_array_equal(parts.scales[0], whole.scales[0])


def test_the_table_follows_the_integrals() -> None:
    # A single radial function: its integral is known at any distance by quadrature.
    points, weights = np.polynomial.legendre.leggauss(300)
    points, weights = 4 * (points + 1), 4 * weights
    table = tabulate(points, weights, [np.exp(-points[None])], 0.5, 6.0)
    distance = np.random.default_rng(0).random(50) * 6
    z = distance[:, None] * points / 0.25
    bessel = -np.expm1(-2 * z) / (2 * z)  # e^-z i_0(z)
    gaussian = np.exp(-0.5 * ((points - distance[:, None]) / 0.5) ** 2)
    exact = (gaussian * bessel * np.exp(-points) * points**2) @ weights
    found = table.integrals(distance)[:, 0, 0]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10 * exact.max())
