"""Choice of the inducing environments among the atoms of each element."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dipkit.learning.inducing
from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.learning.inducing import (
    CANDIDATES_PER_ENVIRONMENT,
    choose_atoms,
    choose_environments,
    farthest_points,
    share_out,
    similarities,
)
from dipkit.learning.kernels import GaussianKernel, PowerKernel
from dipkit.support.backend import Backend


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
    # By square roots: 30 to 20, and the four atoms of fluorine.
    assert share_out({1: 900, 6: 400, 9: 4}, 354) == {1: 150, 6: 200, 9: 4}
    assert share_out({1: 50, 6: 100}, 150) == {1: 50, 6: 100}


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


@pytest.mark.parametrize("n_rows", [1, 7, 11, 30])
def test_similarities_in_runs_are_those_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, n_rows: int
) -> None:
    monkeypatch.setattr(dipkit.learning.inducing, "ROWS_AT_ONCE", n_rows)
    x, kernel = points().astype(np.float64), GaussianKernel()
    np.testing.assert_allclose(similarities(x, kernel), kernel([x], [x], [1.0]), rtol=1e-12)


def in_half(descriptors: np.ndarray) -> np.ndarray:
    """Round to the half precision that environments have."""
    return descriptors.astype(np.float16).astype(np.float32)


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
        found = (rows[:, None] == in_half(np.concatenate(own, axis=1))).all(axis=-1)
        assert found.any(axis=1).all()
        assert {scale.dtype for scale in scales} == {np.dtype(np.float32)}


def test_all_atoms_where_as_many_are_wanted(toy: Callable[..., Molecules]) -> None:
    molecules = toy()
    chosen = choose_environments(molecules, 10_000, PowerKernel(), np.random.default_rng(0))
    assert molecules.features is not None
    for number, scales in chosen.items():
        for scale, all_atoms in zip(scales, molecules.features.scales, strict=True):
            np.testing.assert_array_equal(scale, in_half(all_atoms[molecules.numbers == number]))


def test_the_seed_decides(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(6,) * 40)

    def choose(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        chosen = choose_environments(molecules, 6, PowerKernel(), rng)
        return np.concatenate([scales[0] for scales in chosen.values()])

    np.testing.assert_array_equal(choose(0), choose(0))
    assert any(not np.array_equal(choose(0), choose(seed)) for seed in (1, 2, 3))


def choose(molecules: Molecules, n_inducing: int, seed: int = 0) -> dict[int, np.ndarray]:
    """Positions of the chosen atoms by element."""
    rng = np.random.default_rng(seed)
    chosen = choose_atoms(molecules, n_inducing, PowerKernel(), rng)
    return {number: atoms for number, (atoms, _) in chosen.items()}


def with_features(molecules: Molecules, *scales: int, weights: tuple[float, ...]) -> Molecules:
    assert molecules.features is not None
    return molecules.replace(
        features=Features(tuple(molecules.features.scales[s] for s in scales), weights)
    )


@pytest.mark.parametrize(("weights", "heaviest"), [((1.0, 0.3), 0), ((0.3, 1.0), 1)])
def test_distances_are_those_of_the_heaviest_scale(
    toy: Callable[..., Molecules], weights: tuple[float, float], heaviest: int
) -> None:
    molecules = toy(sizes=(5,) * 12)
    both = choose(with_features(molecules, 0, 1, weights=weights), 18)
    alone = choose(with_features(molecules, heaviest, weights=(1.0,)), 18)
    other = choose(with_features(molecules, 1 - heaviest, weights=(1.0,)), 18)
    for number, atoms in both.items():
        np.testing.assert_array_equal(atoms, alone[number])
    assert any(not np.array_equal(atoms, other[number]) for number, atoms in both.items())


def test_atoms_and_descriptors_belong_together(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(5,) * 20)
    assert molecules.features is not None
    chosen = choose_atoms(molecules, 12, PowerKernel(), np.random.default_rng(0))
    for number, (atoms, scales) in chosen.items():
        assert (molecules.numbers[atoms] == number).all()
        assert (np.diff(atoms) > 0).all()
        for scale, everyone in zip(scales, molecules.features.scales, strict=True):
            np.testing.assert_array_equal(scale, in_half(everyone[atoms]))


def test_chosen_atoms_are_the_farthest_points(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(5,) * 8)
    assert molecules.features is not None
    for number, atoms in choose(molecules, 24).items():
        own = np.flatnonzero(molecules.numbers == number)
        assert len(atoms) < len(own) <= CANDIDATES_PER_ENVIRONMENT * len(atoms)
        x = molecules.features.scales[0][own]
        points = farthest_points(PowerKernel()([x], [x], [1.0]), len(atoms))
        np.testing.assert_array_equal(atoms, own[np.sort(points)])


def test_few_candidates_are_compared(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def record(similarity: np.ndarray, n_points: int, backend: Backend) -> np.ndarray:
        compared.append((similarity.shape, n_points))
        assert (similarity - 2 * np.eye(len(similarity))).max() < 1 - 1e-6  # no atom twice
        return farthest_points(similarity, n_points)

    monkeypatch.setattr(dipkit.learning.inducing, "farthest_points", record)
    for seed in range(5):
        choose(toy(sizes=(6,) * 60), 12, seed)
    assert sum(n for _, n in compared) == 5 * 12
    for shape, n_points in compared:
        assert shape == (CANDIDATES_PER_ENVIRONMENT * n_points,) * 2


def test_the_first_point_is_the_most_central() -> None:
    similarity = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.5], [0.1, 0.5, 1.0]])
    assert farthest_points(similarity, 1).tolist() == [1]
    assert farthest_points(similarity, 2).tolist() == [1, 2]
    assert farthest_points(similarity, 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize(("apart", "n_chosen"), [(5e-7, 1), (5e-6, 2)])
def test_points_that_hardly_differ_are_duplicates(apart: float, n_chosen: int) -> None:
    similarity = np.array([[1.0, 1 - apart], [1 - apart, 1.0]])
    assert len(farthest_points(similarity, 2)) == n_chosen


def test_candidates_are_compared_in_the_precision_asked_for(
    toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def record(similarity: np.ndarray, n_points: int, backend: Backend) -> np.ndarray:
        seen.append(similarity.dtype)
        return farthest_points(similarity, n_points)

    monkeypatch.setattr(dipkit.learning.inducing, "farthest_points", record)
    for precise, dtype in ((False, np.float32), (True, np.float64)):
        seen.clear()
        rng = np.random.default_rng(0)
        choose_environments(toy(), 9, PowerKernel(), rng, precise=precise)
        assert set(seen) == {np.dtype(dtype)}


def test_rounding_does_not_decide_between_equally_far_points() -> None:
    # Points 1 and 2 are equally far from point 0, and so on: rounding of 1e-7 changes nothing.
    rng = np.random.default_rng(0)
    x = np.repeat(rng.random((30, 5)), 2, axis=0)
    x += 0.01 * np.tile([[0, 0, 0, 0, 1], [0, 0, 0, 0, -1.0]], (30, 1))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    exact = (x @ x.T).round(4)
    expected = farthest_points(exact, 20)
    for seed in range(5):
        noise = 1e-7 * np.random.default_rng(seed).standard_normal(exact.shape)
        assert farthest_points(exact + noise, 20).tolist() == expected.tolist()
