"""Derivatives against differences in double precision, and the rules that symmetry gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from helpers.derivative_checks import (
    check_directions,
    check_turning,
    stretched,
    turned,
)
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, GaussianKernel, InducingBasis, PowerKernel, SOAPTransformer
from dipkit.data.io import as_molecules
from dipkit.data.molecules import Molecules
from dipkit.descriptors.scales import SOAPScale
from dipkit.exceptions import InputError
from dipkit.learning.compensation import Compensation
from dipkit.learning.kernels import EnvironmentKernel
from dipkit.response.derivatives import charge_derivatives, dipole_derivatives
from dipkit.support.backend import NUMPY

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(
    scope="module",
    params=["gto, power, molecule", "polynomial, Gauss, molecule", "gto, power, bonds"],
)
def model(request: pytest.FixtureRequest, described: Molecules) -> Pipeline:
    rbf, kernel, compensation = request.param.split(", ")
    scales = (SOAPScale(2.2, 4, 3, 0.3, rbf, 1.0), SOAPScale(3.5, 3, 2, 0.5, "gto", 0.1))
    ridge = DipoleKernelRidge(
        basis=InducingBasis(
            n_inducing=80,
            kernel=PowerKernel() if kernel == "power" else GaussianKernel(2.0),
            compensation=compensation,
        )
    )
    return make_pipeline(SOAPTransformer(scales, n_jobs=1), ridge).fit(
        described[:30].replace(features=None)
    )


@pytest.mark.parametrize(("name", "charge"), [("H2O", 0), ("CH3OH", 0), ("HCOOH", -1), ("CH3", 1)])
def test_differences(model: Pipeline, name: str, charge: float) -> None:
    check_directions(model, turned(name, charge))


@pytest.mark.parametrize("name", ["HCN", "CO2", "CH4", "C2H6", "H2O"])
def test_differences_of_symmetric_molecules(model: Pipeline, name: str) -> None:
    """Some are linear, along z: there harmonics in angles have a pole."""
    atoms = molecule(name)
    if name in ("HCN", "CO2"):
        np.testing.assert_array_equal(atoms.positions[:, :2], 0.0)
    check_directions(model, atoms)


def test_derivatives_have_the_symmetry_of_the_molecule(model: Pipeline) -> None:
    """Carbon dioxide has no dipole; moving both oxygen atoms apart makes none."""
    found = dipole_derivatives(model, molecule("CO2"))
    np.testing.assert_allclose(found[1], found[2], atol=1e-10)
    np.testing.assert_allclose(found[0], -2 * found[1], atol=1e-10)
    across = found[0][~np.eye(3, dtype=bool)]
    np.testing.assert_allclose(across, 0.0, atol=1e-10)
    assert abs(found[0, 0, 0]) > 1e-3


@pytest.mark.parametrize("bond_charges", [0.0, 0.2])
@pytest.mark.parametrize("compensation", ["molecule", "bonds"])
def test_differences_where_a_bond_breaks(
    described: Molecules, coarse_soap: SOAPTransformer, compensation: str, bond_charges: float
) -> None:
    """The compensation along bonds changes most there, and its derivative counts."""
    ridge = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=80, compensation=compensation, bond_charges=bond_charges)
    )
    model, atoms = make_pipeline(coarse_soap, ridge.fit(described)), stretched("CH3OH", 2, 1.2)
    check_directions(model, atoms)
    one, raw = as_molecules(atoms, labels=False), np.random.default_rng(0).standard_normal(6)
    change = Compensation(4.0).derivatives(one, raw)
    assert np.abs(change).max() > 0.1


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_moving_all_atoms_changes_nothing(model: Pipeline, charge: float) -> None:
    atoms = turned("CH3CN", charge)
    np.testing.assert_allclose(dipole_derivatives(model, atoms).sum(axis=0), 0, atol=1e-10)
    found = charge_derivatives(model, atoms)[0]
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-11)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-11)


def test_turning_all_atoms_turns_the_dipole(model: Pipeline) -> None:
    check_turning(model, turned("CH3OH"))


def test_molecules_are_independent(model: Pipeline) -> None:
    atoms = [turned("H2O"), turned("CH3OH")]
    both = dipole_derivatives(model, atoms)
    np.testing.assert_allclose(both[3:], dipole_derivatives(model, atoms[1]), atol=1e-12)
    assert [found.shape for found in charge_derivatives(model, atoms)] == [(3, 3, 3), (6, 6, 3)]


@pytest.mark.parametrize("kernel", [PowerKernel(1.0), PowerKernel(2.2), GaussianKernel(1.5)])
def test_kernels(kernel: EnvironmentKernel) -> None:
    t, step = np.linspace(-0.3, 0.99, 31)[None], 1e-6
    up, down = (kernel.of_dot_products(t + shift, NUMPY) for shift in (step, -step))
    np.testing.assert_allclose(
        kernel.derivative(t.copy(), NUMPY), (up - down) / (2 * step), rtol=1e-6
    )


class Bent(EnvironmentKernel):
    def of_dot_products(self, t: Any, backend: Any) -> Any:
        return t**3


def test_kernels_without_a_derivative(described: Molecules, coarse_soap: SOAPTransformer) -> None:
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=40, kernel=Bent())).fit(described[:20])
    with pytest.raises(InputError, match="kernel: expected a kernel with a derivative, got Bent"):
        dipole_derivatives(make_pipeline(coarse_soap, ridge), molecule("H2O"))


def test_other_descriptors_and_elements(described: Molecules, coarse_soap: SOAPTransformer) -> None:
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=40)).fit(described[:20])
    scales = (SOAPScale(2.5, 4, 3, 0.3, "gto"),)
    other = SOAPTransformer(scales, n_jobs=1).fit(described.replace(features=None))
    for differentiate in (dipole_derivatives, charge_derivatives):
        with pytest.raises(InputError, match="X: "):
            differentiate(make_pipeline(other, ridge), molecule("H2O"))
        with pytest.raises(InputError, match="Si"):
            differentiate(make_pipeline(coarse_soap, ridge), molecule("SiH4"))
        with pytest.raises(NotFittedError):
            differentiate(make_pipeline(coarse_soap, DipoleKernelRidge()), molecule("H2O"))


def test_models_of_another_kind(toy: Callable[..., Molecules]) -> None:
    for wrong in (DipoleKernelRidge(), make_pipeline(SOAPTransformer()), object()):
        with pytest.raises(InputError, match="model: expected a pipeline of a SOAPTransformer"):
            dipole_derivatives(wrong, molecule("H2O"))
