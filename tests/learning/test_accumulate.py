"""Rows and charge terms: blocks sum to the whole, which equals dense matrices; folds subtract."""

from collections.abc import Callable
from dataclasses import replace

import joblib
import numpy as np
import pytest
from helpers.dense_charges import dense_charge_rows
from helpers.strict_device import STRICT

import dipkit.estimator.memory_plan
import dipkit.learning.accumulate
import dipkit.learning.compensation
import dipkit.support.backend
from dipkit.data.molecules import Molecules
from dipkit.estimator.memory_plan import require_memory
from dipkit.exceptions import InputError
from dipkit.learning.accumulate import accumulate
from dipkit.learning.basis import Basis, build_basis
from dipkit.learning.charge_labels import ChargeLabels
from dipkit.learning.charge_maps import molecule_sums
from dipkit.learning.compensation import ALONG_BONDS, EVEN
from dipkit.learning.inducing import choose_environments
from dipkit.learning.kernels import PowerKernel
from dipkit.learning.multipoles import constant_dipoles, dipoles
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.support.backend import NUMPY


@pytest.fixture
def molecules(toy: Callable[..., Molecules]) -> Molecules:
    """Random molecules with charges, except for the second and the last."""
    molecules = toy()
    charges = 0.3 * np.random.default_rng(1).standard_normal(molecules.n_atoms)
    off = molecule_sums(charges, molecules.offsets) - molecules.total_charge
    charges -= (off / molecules.natoms)[molecules.molecule_index]
    charges[np.isin(molecules.molecule_index, [1, len(molecules) - 1])] = np.nan
    return molecules.replace(charges=charges)


@pytest.fixture(params=["even", "bond charges", "along bonds", "all along bonds"])
def basis(
    request: pytest.FixtureRequest, molecules: Molecules, monkeypatch: pytest.MonkeyPatch
) -> Basis:
    """Each compensation of the charges, with and without bond charges."""
    monkeypatch.setattr(dipkit.learning.compensation, "BOND_SHARE", 0.4)
    assert molecules.features is not None
    chosen = choose_environments(molecules, 14, PowerKernel(), np.random.default_rng(0))
    found = build_basis(
        chosen,
        PowerKernel(),
        molecules.features.weights,
        1e-6,
        compensation=ALONG_BONDS if "along" in request.param else EVEN,
        bond_scale=0.7 if request.param in ("bond charges", "all along bonds") else 0.0,
    )
    widths = {element.n_bond for element in found.elements.values()}
    assert max(widths) > 1 if found.bonds else widths == {0}
    return found


@pytest.fixture
def weights(molecules: Molecules) -> np.ndarray:
    weights = np.random.default_rng(2).random(len(molecules)) + 0.5
    weights[3] = 0.0
    return weights


@pytest.fixture
def labels(molecules: Molecules, weights: np.ndarray) -> ChargeLabels:
    return ChargeLabels.of(molecules.charges, molecules, weights)


def projector(molecules: Molecules) -> np.ndarray:
    same = molecules.molecule_index[:, None] == molecules.molecule_index
    return np.eye(molecules.n_atoms) - same / molecules.natoms[molecules.molecule_index]


def assert_equal(ours: QuadraticTerm, theirs: QuadraticTerm, rtol: float = 1e-9) -> None:
    for name in ("gram", "rhs", "constant", "weight"):
        expected = getattr(theirs, name)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            getattr(ours, name), expected, rtol=rtol, atol=rtol * scale, err_msg=name
        )


def test_statistics_equal_dense_matrices(
    molecules: Molecules, basis: Basis, labels: ChargeLabels, weights: np.ndarray
) -> None:
    rows, (statistics,) = accumulate(molecules, basis, [labels])
    p = projector(molecules)
    c_matrix = dense_charge_rows(molecules, basis)
    known = ~np.isnan(molecules.charges)
    c = np.where(known, weights[molecules.molecule_index], 0.0)
    centred = p @ np.nan_to_num(molecules.charges)
    dense = QuadraticTerm(
        gram=c_matrix.T @ (c[:, None] * c_matrix),
        rhs=c_matrix.T @ (c * centred),
        constant=float(c @ centred**2),
        weight=float(c.sum()),
    )
    assert_equal(statistics, dense)
    # D w is the dipole of the charges C w, the constant part aside.
    w = np.random.default_rng(3).standard_normal(basis.n_columns)
    np.testing.assert_allclose((rows @ w).reshape(-1, 3), dipoles(c_matrix @ w, molecules))


def test_charge_term_is_the_sum_of_squares(
    molecules: Molecules, basis: Basis, labels: ChargeLabels, weights: np.ndarray
) -> None:
    # w^T G w - 2 b w + square = sum_i c_i (q_i - p_i)^2, the total charge cancels.
    rows, (part,) = accumulate(molecules, basis, [labels])
    w = np.random.default_rng(3).standard_normal(basis.n_columns)
    even = (molecules.total_charge / molecules.natoms)[molecules.molecule_index]
    q = dense_charge_rows(molecules, basis) @ w + even
    expected = np.nansum(weights[molecules.molecule_index] * (q - molecules.charges) ** 2)
    assert w @ part.gram @ w - 2 * part.rhs @ w + part.constant == pytest.approx(expected)
    np.testing.assert_allclose(
        (rows @ w).reshape(-1, 3) + constant_dipoles(molecules), dipoles(q, molecules)
    )


@pytest.mark.parametrize("n_atoms", [1, 5, 10, 10**6])
def test_blocks_sum_to_the_whole(
    molecules: Molecules,
    basis: Basis,
    labels: ChargeLabels,
    n_atoms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, (whole,) = accumulate(molecules, basis, [labels])
    monkeypatch.setattr(dipkit.learning.accumulate, "BLOCK_ATOMS", n_atoms)
    monkeypatch.setattr(dipkit.learning.blocking, "PIECE_ATOMS", max(n_atoms // 2, 1))
    blocked_rows, (blocked,) = accumulate(molecules, basis, [labels])
    np.testing.assert_allclose(blocked_rows, rows, atol=1e-4)  # float32 kernels
    assert_equal(blocked, whole, rtol=1e-5)


def test_folds_by_difference_equal_folds_by_recomputation(
    molecules: Molecules, basis: Basis, labels: ChargeLabels
) -> None:
    _, (whole,) = accumulate(molecules, basis, [labels])
    left_out, kept = slice(2, 5), np.r_[0:2, 5 : len(molecules)]
    _, (fold,) = accumulate(molecules[left_out], basis, [labels.block(molecules, left_out)])
    rest = ChargeLabels(labels.charges[molecules.atom_index(kept)], labels.weights[kept])
    _, (train,) = accumulate(molecules[kept], basis, [rest])
    assert_equal(whole - fold, train, rtol=1e-5)
    assert_equal(train + fold, whole, rtol=1e-5)


def test_several_sets_of_labels_at_once(
    molecules: Molecules, basis: Basis, labels: ChargeLabels
) -> None:
    other = ChargeLabels(2 * labels.charges, 3 * labels.weights)
    _, (one, two) = accumulate(molecules, basis, [labels, other])
    assert_equal(one, accumulate(molecules, basis, [labels])[1][0], rtol=1e-14)
    assert_equal(two, accumulate(molecules, basis, [other])[1][0], rtol=1e-14)
    assert two.constant == pytest.approx(12 * one.constant)


def test_molecules_without_charges_or_weight_count_for_nothing(
    molecules: Molecules, basis: Basis, labels: ChargeLabels, weights: np.ndarray
) -> None:
    counted = labels.weights > 0
    assert not counted[[1, 3, len(molecules) - 1]].any()
    _, (whole,) = accumulate(molecules, basis, [labels])
    part = molecules[counted]
    few = ChargeLabels.of(part.charges, part, weights[counted])
    _, (rest,) = accumulate(part, basis, [few])
    assert_equal(whole, rest, rtol=1e-5)


def test_no_labels_no_statistics(molecules: Molecules, basis: Basis, labels: ChargeLabels) -> None:
    rows, statistics = accumulate(molecules, basis)
    assert statistics == []
    np.testing.assert_array_equal(rows, accumulate(molecules, basis, [labels])[0])


def test_threads_give_the_same(
    molecules: Molecules, basis: Basis, labels: ChargeLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dipkit.learning.accumulate, "BLOCK_ATOMS", 5)
    rows, (serial,) = accumulate(molecules, basis, [labels])
    with joblib.parallel_config("threading"):
        parallel_rows, (parallel,) = accumulate(molecules, basis, [labels], n_jobs=2)
    np.testing.assert_array_equal(parallel_rows, rows)
    assert_equal(parallel, serial, rtol=1e-14)


def test_order_of_molecules_does_not_matter(
    molecules: Molecules, basis: Basis, weights: np.ndarray, labels: ChargeLabels
) -> None:
    order = np.random.default_rng(4).permutation(len(molecules))
    shuffled = molecules[order]
    rows, (whole,) = accumulate(molecules, basis, [labels])
    other = ChargeLabels.of(shuffled.charges, shuffled, weights[order])
    shuffled_rows, (same,) = accumulate(shuffled, basis, [other])
    assert_equal(same, whole, rtol=1e-5)
    r = basis.n_columns
    np.testing.assert_allclose(
        shuffled_rows.reshape(-1, 3, r), rows.reshape(-1, 3, r)[order], atol=1e-4
    )


def test_centred_labels_sum_to_zero(molecules: Molecules, labels: ChargeLabels) -> None:
    np.testing.assert_allclose(molecule_sums(labels.charges, molecules.offsets), 0, atol=1e-14)


def test_memory_is_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    free = 2**30
    monkeypatch.setattr(dipkit.support.backend.Backend, "free_memory", lambda self: free)
    require_memory(1_000, 500, NUMPY, n_matrices=4)
    with pytest.raises(InputError, match=r"n_inducing: 1000 molecules with 20000 basis") as caught:
        require_memory(1_000, 20_000, NUMPY, n_matrices=4)
    fits = int(str(caught.value).split("n_inducing <= ")[1].split(",")[0])
    assert 500 < fits < 20_000
    require_memory(1_000, fits, NUMPY, n_matrices=4)  # what the message promises holds


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_pieces_on_threads_give_the_same_bits(
    molecules: Molecules,
    basis: Basis,
    labels: ChargeLabels,
    n_threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dipkit.learning.blocking, "PIECE_ATOMS", 6)
    rows, (serial,) = accumulate(molecules, basis, [labels])
    monkeypatch.setattr(dipkit.learning.accumulate, "count_threads", lambda: n_threads)
    threaded_rows, (threaded,) = accumulate(molecules, basis, [labels])
    np.testing.assert_array_equal(threaded_rows, rows)
    assert_equal(threaded, serial, rtol=1e-15)


def test_rows_may_be_given(molecules: Molecules, basis: Basis) -> None:
    expected, _ = accumulate(molecules, basis)
    rows = np.full_like(expected, np.nan)
    found, _ = accumulate(molecules, basis, rows=rows)
    assert found is rows
    np.testing.assert_array_equal(rows, expected)


def test_processes_give_the_same(molecules: Molecules, basis: Basis, labels: ChargeLabels) -> None:
    rows, (serial,) = accumulate(molecules, basis, [labels])
    parallel_rows, (parallel,) = accumulate(molecules, basis, [labels], n_jobs=2)
    np.testing.assert_allclose(parallel_rows, rows, atol=1e-4)
    assert_equal(parallel, serial, rtol=1e-5)


def test_elements_that_are_absent(molecules: Molecules, basis: Basis) -> None:
    """Rows that were never written would show as NaN, in the rows or in the charge term."""
    few = molecules[[8 not in one.numbers for one in molecules]]
    assert len(few)
    raw = np.random.default_rng(0).standard_normal(few.n_atoms)
    charges = ChargeLabels.of(raw, few, np.ones(len(few)))
    rows = np.full((3 * len(few), basis.n_columns), np.nan)
    _, (term,) = accumulate(few, basis, [charges], rows=rows)
    c_matrix = dense_charge_rows(few, basis)
    np.testing.assert_allclose(term.gram, c_matrix.T @ c_matrix, atol=1e-9)
    for columns in basis.elements[8].all_columns:
        np.testing.assert_array_equal(rows[:, columns], 0.0)
    assert np.isfinite(rows).all()


def test_another_device_gives_the_same(
    molecules: Molecules, basis: Basis, labels: ChargeLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the host reaches the device but through the backend."""
    elements = {
        number: replace(
            element,
            environments=tuple(STRICT.asarray(z) for z in element.environments),
            whitening=STRICT.asarray(element.whitening),
        )
        for number, element in basis.elements.items()
    }
    there = replace(basis, elements=elements, backend=STRICT)
    monkeypatch.setattr(dipkit.learning.blocking, "DEVICE_PIECE_ATOMS", 6)
    other = ChargeLabels(2 * labels.charges, 3 * labels.weights)
    rows, expected = accumulate(molecules, basis, [labels, other])
    strict_rows, found = accumulate(molecules, there, [labels, other])
    np.testing.assert_allclose(STRICT.to_host(strict_rows), rows, atol=1e-4)
    for one, two in zip(found, expected, strict=True):
        on_host = replace(one, gram=STRICT.to_host(one.gram), rhs=STRICT.to_host(one.rhs))
        assert_equal(on_host, two, rtol=1e-5)
