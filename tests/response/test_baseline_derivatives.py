"""Derivatives of models that correct GFN2-xTB, against differences of their predictions."""

from typing import Any

import numpy as np
import pytest
from helpers.derivative_checks import check_differences, in_double, turned
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.data.io import as_molecules
from dipkit.estimator.baseline import GFN2Baseline
from dipkit.exceptions import InputError
from dipkit.quantum.finite_differences import STEP, displaced
from dipkit.response.derivatives import dipole_derivatives

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def model(coarse_soap: SOAPTransformer) -> Pipeline:
    pytest.importorskip("tblite", reason="tblite is not installed (extra labels)")
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=80), baseline="gfn2", n_jobs=1)
    return make_pipeline(coarse_soap, ridge).fit(load_organics()[:30].replace(charges=None))


@pytest.mark.parametrize(("name", "charge"), [("H2O", 0), ("CH3OH", 0), ("HCOOH", -1)])
def test_differences_of_predictions(model: Pipeline, name: str, charge: float) -> None:
    # What differs is of third order in the learned part: the baseline's is the same.
    check_differences(model, turned(name, charge), STEP, atol=(1e-3, 4e-3))


@pytest.mark.parametrize("charge", [0.0, -1.0])
def test_moving_and_turning_all_atoms(model: Pipeline, charge: float) -> None:
    atoms = turned("HCOOH", charge)
    found, dipole = dipole_derivatives(model, atoms), in_double(model, atoms)[1]
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=2e-3)
    arms = atoms.positions - atoms.get_center_of_mass()
    for axis in np.eye(3):
        change = np.einsum("jb,jbc->c", np.cross(axis, arms), found)
        np.testing.assert_allclose(change, np.cross(axis, dipole), atol=5e-3)


def test_the_learned_part_is_not_left_out(model: Pipeline) -> None:
    """The correction changes the derivatives far beyond the tolerances above."""
    atoms = turned("CH3OH")
    cheap = GFN2Baseline().derivatives(as_molecules(atoms, labels=False), n_jobs=1).of_dipole
    learned = dipole_derivatives(model, atoms) - model[-1].baseline_factor_ * cheap
    assert np.abs(learned).max() > 0.05


def test_displaced_geometries() -> None:
    one = as_molecules(turned("H2O", -1.0), labels=False)
    moved = displaced(one, 0.1)
    assert len(moved) == 18
    change = moved[9].positions - one.positions
    expected = np.zeros((3, 3))
    expected[1, 1] = -0.1
    np.testing.assert_allclose(change, expected, atol=1e-12)
    assert (moved.total_charge == -1).all()


def test_a_geometry_that_cannot_be_calculated(model: Pipeline) -> None:
    one = as_molecules(turned("H2O"), labels=False).replace(total_charge=[0.5])
    with pytest.raises(InputError, match="baseline: 18 of the 18 geometries"):
        GFN2Baseline().derivatives(one, n_jobs=1)
