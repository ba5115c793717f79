"""The bundled molecules hold what their description says."""

import numpy as np
import pytest

from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules
from dipkit.estimator.reference_models import charge_dipoles


@pytest.fixture(scope="module")
def organics() -> Molecules:
    return load_organics()


def test_all_labels_are_there(organics: Molecules) -> None:
    assert organics.has_magnitude.all()
    assert organics.has_vector.all()
    assert organics.has_charges.all()
    assert np.isfinite(organics.baseline_dipole).all()
    assert np.isfinite(organics.baseline_charges).all()
    assert set(organics.elements) <= {1, 6, 7, 8, 9}


def test_labels_agree_in_unit_and_frame(organics: Molecules) -> None:
    norms = np.linalg.norm(organics.dipole_vector, axis=1)
    np.testing.assert_allclose(norms, organics.dipole_magnitude, atol=1e-6)
    assert np.abs(organics.total_charge).max() == 0
    # Cheap charges and the baseline point the same way as the reference, and are as long.
    for other in (charge_dipoles(organics), organics.baseline_dipole):
        slope = np.sum(other * organics.dipole_vector) / np.sum(organics.dipole_vector**2)
        assert 0.5 < slope < 1.5


def test_names_are_unique(organics: Molecules) -> None:
    assert len(set(organics.names.tolist())) == len(organics)


def test_charge_dipoles_by_hand() -> None:
    # Two neutral molecules and one cation, whose dipole is taken about its centre of mass.
    positions = [[0, 0, 0], [0, 0, 2.0], [5.0, 0, 0], [6.0, 0, 0], [0, 3.0, 0]]
    molecules = Molecules(
        [1, 9, 1, 1, 1],
        positions,
        [0, 2, 4, 5],
        total_charge=[0, 1, 1],
        charges=[0.5, -0.5, 1.0, 0.0, 1.0],
    )
    expected = np.array([[0, 0, -1.0], [-0.5, 0, 0], [0, 0, 0]]) * 4.803204712570263
    np.testing.assert_allclose(charge_dipoles(molecules), expected, atol=1e-12)
    np.testing.assert_allclose(charge_dipoles(molecules, 2 * molecules.charges), 2 * expected)
    bare = molecules.replace(charges=None)
    assert np.isnan(charge_dipoles(bare)).all()
