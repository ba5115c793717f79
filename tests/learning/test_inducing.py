"""Inducing environments: the choice among atoms, and the whitened basis they give."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dipkit.data.molecules import Molecules
from dipkit.learning.basis import BIAS, build_basis, whiten
from dipkit.learning.inducing import choose_environments, farthest_points, share_out
from dipkit.learning.kernels import EnvironmentKernel, GaussianKernel, PowerKernel


def gram(eigenvalues: list[float], seed: int = 0) -> np.ndarray:
    n = len(eigenvalues)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return (q * eigenvalues) @ q.T


def test_whitening_makes_the_kernel_matrix_one() -> None:
    matrix = gram([5.0, 2.0, 1.0, 0.3, 1e-3, 1e-12, 0.0])
    w = whiten(matrix, 1e-6)
    assert w.shape == (7, 5)
    np.testing.assert_allclose(w.T @ matrix @ w, np.eye(5), atol=1e-11)


@pytest.mark.parametrize(("cut", "rank"), [(1e-15, 4), (1e-4, 3), (1e-2, 2), (0.5, 1)])
def test_directions_below_the_cut_are_dropped(cut: float, rank: int) -> None:
    w = whiten(gram([10.0, 1.0, 1e-2, 1e-6]), cut)
    assert w.shape[1] == rank
    # Largest eigenvalue first: the columns of W have length 1 / sqrt(eigenvalue).
    lengths = np.linalg.norm(w, axis=0)
    np.testing.assert_allclose(lengths[: min(rank, 3)], [10**-0.5, 1, 10][:rank], rtol=1e-6)


def test_duplicate_environments_span_nothing_new() -> None:
    matrix = gram([3.0, 1.0, 0.5])
    twice = np.block([[matrix, matrix], [matrix, matrix]])
    assert whiten(twice, 1e-9).shape == (6, 3)


@given(
    counts=st.dictionaries(st.integers(1, 100), st.integers(1, 10_000), min_size=1, max_size=12),
    n_inducing=st.integers(1, 5_000),
)
def test_share_out_hands_out_what_there_is(counts: dict[int, int], n_inducing: int) -> None:
    quota = share_out(counts, n_inducing)
    assert list(quota) == sorted(counts)
    assert all(1 <= quota[number] <= counts[number] for number in counts)
    wanted = min(n_inducing, sum(counts.values()))
    assert sum(quota.values()) <= max(wanted, len(counts))
    if n_inducing >= sum(counts.values()):
        assert quota == dict(sorted(counts.items()))


def test_share_out_gives_all_that_was_asked_for() -> None:
    assert sum(share_out({1: 900, 6: 400, 9: 4}, 54).values()) == 54
    assert share_out({1: 900, 6: 400, 9: 4}, 1) == {1: 1, 6: 1, 9: 1}


def points(n: int = 30, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).random((n, 5)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_farthest_points_are_distinct_and_far() -> None:
    x = points()
    similarity = PowerKernel(2)([x], [x], [1.0])
    chosen = farthest_points(similarity, 8)
    assert len(set(chosen.tolist())) == 8
    # Each point is the least similar to all before it.
    for step in range(1, 8):
        nearest = similarity[chosen[:step]].max(axis=0)
        assert nearest[chosen[step]] == nearest.min()


def test_farthest_points_stop_at_duplicates() -> None:
    x = points(6)[np.arange(24) % 6]
    similarity = GaussianKernel()([x], [x], [1.0])
    chosen = farthest_points(similarity, 20)
    assert set(chosen % 6) == set(range(6))
    assert len(chosen) == 6


@pytest.mark.parametrize("n_inducing", [4, 9, 15])
def test_environments_are_atoms_of_their_element(
    toy: Callable[..., Molecules], n_inducing: int
) -> None:
    molecules = toy(sizes=(5,) * 20)
    chosen = choose_environments(molecules, n_inducing, PowerKernel(), np.random.default_rng(0))
    assert sum(len(scales[0]) for scales in chosen.values()) <= n_inducing
    assert list(chosen) == molecules.elements.tolist()
    assert molecules.features is not None
    for number, scales in chosen.items():
        own = [scale[molecules.numbers == number] for scale in molecules.features.scales]
        # The same atom at every scale.
        rows = np.concatenate(scales, axis=1)
        found = (rows[:, None] == np.concatenate(own, axis=1)).all(axis=-1)
        assert found.any(axis=1).all()
        assert {scale.dtype for scale in scales} == {np.dtype(np.float32)}


def test_all_atoms_where_as_many_are_wanted(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    chosen = choose_environments(molecules, 10_000, PowerKernel(), np.random.default_rng(0))
    assert molecules.features is not None
    for number, scales in chosen.items():
        for scale, all_atoms in zip(scales, molecules.features.scales, strict=True):
            np.testing.assert_array_equal(scale, all_atoms[molecules.numbers == number])


def test_the_seed_decides(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(6,) * 40)

    def choose(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        chosen = choose_environments(molecules, 6, PowerKernel(), rng)
        return np.concatenate([scales[0] for scales in chosen.values()])

    np.testing.assert_array_equal(choose(0), choose(0))
    assert any(not np.array_equal(choose(0), choose(seed)) for seed in (1, 2, 3))


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
