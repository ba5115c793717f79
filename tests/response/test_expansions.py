"""Kernel expansions in double precision: predictions, and derivatives where charges move too."""

import numpy as np
import pytest
from ase import Atoms
from helpers.derivative_checks import slope_along, turned
from sklearn.base import clone

from dipkit import DipoleKernelRidge, GaussianKernel, InducingBasis, PowerKernel, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.data.io import as_molecules
from dipkit.descriptors.radial_tables import double_spectrum
from dipkit.descriptors.scales import SOAPScale
from dipkit.estimator.baseline import BaselineDerivatives
from dipkit.estimator.prediction import predict_blocks
from dipkit.exceptions import InputError
from dipkit.learning.charge_maps import project
from dipkit.learning.kernels import EnvironmentKernel
from dipkit.response.expansions import differentiate_expansions

FloatArray = np.ndarray
SCALE = SOAPScale(2.2, 4, 3, 0.3, "gto")


def toy_charges(positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Charges that are smooth functions of the positions, and their derivatives (n, n, 3)."""
    n = len(positions)
    pull = np.random.default_rng(3).standard_normal((n, n, 3))
    phase = np.einsum("ijb,jb->i", pull, positions)
    return 0.5 * np.sin(phase), 0.5 * np.cos(phase)[:, None, None] * pull


@pytest.fixture(scope="module")
def soap(coarse_soap: SOAPTransformer) -> SOAPTransformer:
    return clone(coarse_soap).fit(load_organics())


def fitted(kernel: EnvironmentKernel, soap: SOAPTransformer, baseline: bool) -> DipoleKernelRidge:
    molecules = soap.transform(load_organics()[:30])
    if baseline:
        rng = np.random.default_rng(0)
        molecules = molecules.replace(
            baseline_dipole=0.5 * rng.standard_normal((30, 3)),
            baseline_charges=project(0.5 * rng.standard_normal(molecules.n_atoms), molecules),
            descriptor_charges=project(0.5 * rng.standard_normal(molecules.n_atoms), molecules),
        )
    basis = InducingBasis(n_inducing=80, kernel=kernel, atomic_dipoles=0.3, bond_charges=0.2)
    name = "given" if baseline else "none"
    return DipoleKernelRidge(basis=basis, baseline=name).fit(molecules)


# Degree 1 has a step in its slope at t = 0, and with charge columns t is negative for some pairs.
@pytest.mark.parametrize("kernel", [PowerKernel(), PowerKernel(1.0), GaussianKernel(2.0)])
@pytest.mark.parametrize("baseline", [False, True])
def test_differences(kernel: EnvironmentKernel, soap: SOAPTransformer, baseline: bool) -> None:
    ridge, atoms = fitted(kernel, soap, baseline), turned("CH3OH")
    rng = np.random.default_rng(1)
    n_expansions = 2 + len(ridge.elements_)
    weights = rng.standard_normal((len(atoms), n_expansions, 3))

    def at(positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        cheap = None
        if baseline:
            charges, moved = toy_charges(positions)
            sets, of_sets = np.stack([charges, charges[::-1]], 1), np.stack([moved, moved[::-1]], 1)
            cheap = BaselineDerivatives(np.zeros((6, 3, 3)), moved, sets, of_sets)
        one = as_molecules(Atoms(atoms.numbers, positions), labels=False)
        return differentiate_expansions(soap, ridge, one, weights, cheap)

    found = at(atoms.positions).derivatives
    for direction in rng.standard_normal((2, 6, 3)):

        def value(h: float, move: FloatArray = direction) -> FloatArray:
            values = at(atoms.positions + h * move).values
            return np.einsum("ikf,ik->fi", weights, values)

        moving = np.einsum("fijb,jb->fi", found, direction)
        size = np.abs(found).max()
        np.testing.assert_allclose(moving, slope_along(value, 2e-4), rtol=0, atol=1e-6 * size)


def test_values_are_those_of_predictions(soap: SOAPTransformer) -> None:
    ridge = fitted(PowerKernel(), soap, baseline=False)
    one = as_molecules(turned("CH3CN"), labels=False)
    expected = predict_blocks(ridge, soap.transform(one))
    weights = np.zeros((6, 2 + len(ridge.elements_), 1))
    values = differentiate_expansions(soap, ridge, one, weights, None).values
    np.testing.assert_allclose(values[:, :2], expected.raw, atol=1e-4)
    np.testing.assert_allclose(values[:, 2:], expected.amplitudes, atol=1e-4)


def test_an_atom_without_a_descriptor(
    soap: SOAPTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ridge = fitted(PowerKernel(), soap, baseline=False)
    one = as_molecules(turned("H2O"), labels=False)
    spectrum = double_spectrum(one.numbers, one.positions, (1, 6, 7, 8, 9), SCALE.key())
    spectrum.unit[1] = np.nan
    monkeypatch.setattr("dipkit.response.expansions.double_spectrum", lambda *_: spectrum)
    with pytest.raises(InputError, match=r"scale0: atom 1 .* no finite, non-zero descriptor"):
        differentiate_expansions(soap, ridge, one, np.zeros((3, 2 + len(ridge.elements_), 1)), None)
