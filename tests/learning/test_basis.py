"""Basis functions: columns of each element, coefficients of the same function."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dipkit.data.molecules import Molecules
from dipkit.learning.basis import BIAS, Basis, build_basis
from dipkit.learning.compensation import Compensation
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import EnvironmentKernel, GaussianKernel, PowerKernel
from dipkit.learning.whitening import whiten


@pytest.mark.parametrize("kernel", [PowerKernel(2), GaussianKernel()], ids=str)
def test_basis_reproduces_the_kernel(
    toy: Callable[..., Molecules], kernel: EnvironmentKernel
) -> None:
    molecules = toy()
    chosen = choose_environments(molecules, 1000, kernel, np.random.default_rng(0))
    assert molecules.features is not None
    weights = molecules.features.weights
    basis = build_basis(chosen, kernel, weights, 1e-9)
    stops = [0]
    for number, scales in chosen.items():
        element = basis.elements[number]
        assert element.columns.start == stops[-1]
        stops.append(element.columns.stop)
        phi = basis.basis_functions(number, scales)
        assert phi.dtype == np.float64
        assert phi.shape[1] == element.columns.stop - element.columns.start
        np.testing.assert_array_equal(phi[:, -1], BIAS)
        exact = [scale.astype(float) for scale in scales]
        # phi . phi' = k between the environments themselves.
        np.testing.assert_allclose(
            phi[:, :-1] @ phi[:, :-1].T, kernel(exact, exact, weights), atol=1e-4
        )
    assert basis.n_columns == stops[-1]


def test_dual_coefficients_are_the_same_function(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    chosen = choose_environments(molecules, 15, PowerKernel(), np.random.default_rng(0))
    assert molecules.features is not None
    basis = build_basis(chosen, PowerKernel(), molecules.features.weights, 1e-6)
    w = np.random.default_rng(1).standard_normal(basis.n_columns)
    for number, (coefficients, constant) in basis.dual(w).items():
        mine = molecules.numbers == number
        x = [scale[mine] for scale in molecules.features.scales]
        k = basis.kernel(x, basis.elements[number].environments, basis.weights)
        np.testing.assert_allclose(
            k.astype(float) @ coefficients + constant,
            basis.basis_functions(number, x) @ w[basis.elements[number].columns],
            atol=1e-10,
        )


def basis_of(molecules: Molecules, n_inducing: int = 15, **options: Any) -> Basis:
    chosen = choose_environments(molecules, n_inducing, PowerKernel(), np.random.default_rng(0))
    assert molecules.features is not None
    return build_basis(chosen, PowerKernel(), molecules.features.weights, 1e-6, **options)


def test_several_sets_of_weights_at_once(toy: Callable[..., Molecules]) -> None:
    basis = basis_of(toy())
    w = np.random.default_rng(1).standard_normal((basis.n_columns, 3))
    coefficients, constants = basis.dual_of_many(w)
    for s, one in enumerate(w.T):
        dual = basis.dual(one)
        assert list(dual) == list(basis.elements)
        expected = np.concatenate([part for part, _ in dual.values()])
        np.testing.assert_allclose(coefficients[:, s], expected, rtol=1e-12)
        np.testing.assert_allclose(constants[:, s], [value for _, value in dual.values()])


def test_the_scales_of_compensations_are_in_the_coefficients(
    toy: Callable[..., Molecules],
) -> None:
    molecules = toy(sizes=(5,) * 12)
    how = Compensation(8.0, 1.6)
    basis = basis_of(molecules, n_inducing=60, bond_scale=0.2, compensation=how)
    w = np.random.default_rng(1).standard_normal((basis.n_columns, 3))
    (coefficients, constants), bonds = basis.dual_of_many(w), basis.bond_dual(w)
    assert bonds is not None
    start = 0
    for place, (number, element) in enumerate(basis.elements.items()):
        one = basis.dual(w[:, 0])[number]
        mine = slice(start, start := start + len(element.whitening))
        assert element.n_bond < element.whitening.shape[1]
        phi = basis.basis_functions(number, element.environments)
        k = phi[:, :-1] @ np.linalg.pinv(element.whitening)
        expected = 1.6 * phi @ w[element.columns]
        np.testing.assert_allclose(k @ coefficients[mine] + constants[place], expected, atol=1e-9)
        np.testing.assert_allclose(k @ one[0] + one[1], expected[:, 0], atol=1e-9)
        of_bonds = 0.2 * phi[:, : element.n_bond] @ w[element.bond_columns]
        np.testing.assert_allclose(k @ bonds[mine], of_bonds, atol=1e-9)
    assert start == len(bonds)
    np.testing.assert_allclose(basis.bond_dual(w[:, 1]), bonds[:, 1], rtol=1e-9)
    assert basis_of(molecules).bond_dual(w) is None


def test_the_ridge_penalty_hardly_shrinks_constants() -> None:
    """Atoms that are like no environment: their charge is that of the element."""
    # All environments and all atoms are orthogonal, so that k = 0 between them.
    environments = {number: (np.eye(4, dtype=np.float32)[:2],) for number in (1, 8)}
    basis = build_basis(environments, PowerKernel(), (1.0,), 1e-9)
    alpha, charges = 1.0, {1: 0.3, 8: -0.6}
    for number, charge in charges.items():
        phi = basis.basis_functions(number, [np.eye(4, dtype=np.float32)[2:]])
        matrix = phi.T @ phi / len(phi) + alpha * np.eye(phi.shape[1])
        w = np.linalg.solve(matrix, charge * phi.mean(axis=0))
        np.testing.assert_allclose(phi @ w, charge, rtol=0.011)
        # A penalty of 1 on the weight is one of 1/100 on the charge.
        np.testing.assert_allclose(phi @ w, charge * 100 / (100 + alpha), rtol=1e-12)


@pytest.mark.parametrize("dipole_scale", [0.0, 0.3])
@pytest.mark.parametrize("bond_scale", [0.0, 0.2])
def test_columns_cover_everything_once(
    toy: Callable[..., Molecules], dipole_scale: float, bond_scale: float
) -> None:
    molecules = toy()
    basis = basis_of(molecules, dipole_scale=dipole_scale, bond_scale=bond_scale)
    elements = molecules.elements.tolist()
    runs = [part.columns for part in basis.elements.values()]
    bonds = [part.bond_columns for part in basis.elements.values() if part.bond_columns]
    assert len(bonds) == (len(elements) if bond_scale else 0)
    runs += bonds
    runs += [run for part in basis.elements.values() for run in part.dipole_columns]
    each = [run for part in basis.elements.values() for run in part.all_columns]
    assert sorted(each, key=lambda run: run.start) == runs
    columns = np.concatenate([np.arange(run.start, run.stop) for run in runs])
    np.testing.assert_array_equal(columns, np.arange(basis.n_columns))
    assert runs[len(elements) - 1].stop == basis.n_charge_columns
    assert basis.dipole_elements == (elements if dipole_scale else [])
    for part in basis.elements.values():
        sizes = [run.stop - run.start for run in part.dipole_columns]
        assert sizes == [part.n_leading + 1] * (len(elements) if dipole_scale else 0)
        n_bond = math.ceil(0.1 * part.whitening.shape[1]) if bond_scale else 0
        assert part.n_bond == n_bond
        assert part.bond_columns is None or part.bond_columns.stop - n_bond == (
            part.bond_columns.start
        )


@pytest.mark.parametrize(("precise", "dtype"), [(False, np.float32), (True, np.float64)])
def test_environments_have_the_precision_and_order_of_products(
    toy: Callable[..., Molecules], precise: bool, dtype: type
) -> None:
    for element in basis_of(toy(), precise=precise).elements.values():
        for scale in element.environments:
            assert scale.dtype == dtype
            assert scale.flags.f_contiguous


@pytest.mark.parametrize("precise", [False, True])
def test_rounding_of_kernel_values_is_not_whitened(
    toy: Callable[..., Molecules], precise: bool
) -> None:
    """K_MM is computed in float64, whatever the precision of kernel values."""
    molecules = toy(sizes=(6,) * 20)
    assert molecules.features is not None
    chosen = choose_environments(molecules, 60, PowerKernel(), np.random.default_rng(0))
    weights = molecules.features.weights
    basis = build_basis(chosen, PowerKernel(), weights, 1e-8, precise=precise)
    for number, element in basis.elements.items():
        exact = [scale.astype(float) for scale in chosen[number]]
        expected = whiten(PowerKernel()(exact, exact, weights), 1e-8)
        np.testing.assert_array_equal(element.whitening, expected)


def test_elements_stand_in_the_order_of_their_numbers(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    assert molecules.features is not None
    chosen = choose_environments(molecules, 15, PowerKernel(), np.random.default_rng(0))
    reversed_ = dict(sorted(chosen.items(), reverse=True))
    arguments = PowerKernel(), molecules.features.weights, 1e-6
    scales = {"dipole_scale": 0.3, "bond_scale": 0.2}
    one, two = (build_basis(each, *arguments, **scales) for each in (chosen, reversed_))
    assert list(two.elements) == list(one.elements) == molecules.elements.tolist()
    for number, element in one.elements.items():
        assert two.elements[number].columns == element.columns
        assert two.elements[number].bond_columns == element.bond_columns
        assert two.elements[number].dipole_columns == element.dipole_columns
