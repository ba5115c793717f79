"""The limited-memory BFGS direction, against the textbook update of the inverse Hessian."""

from itertools import pairwise

import numpy as np
import pytest

from dipkit.learning.lbfgs import LimitedMemory
from dipkit.support.backend import NUMPY

B, R = 3, 6


def quadratics(seed: int = 0) -> np.ndarray:
    """Hessians (B, r, r) of convex problems."""
    roots = np.random.default_rng(seed).standard_normal((B, R, R))
    return roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(R)


def walk(memory: LimitedMemory, hessians: np.ndarray, inverse: np.ndarray, n: int) -> list:
    """Remember n random points; P^-1 is one matrix for all problems."""
    rng, seen = np.random.default_rng(1), []
    for _ in range(n):
        w = rng.standard_normal((B, R))
        gradient = np.einsum("brs,bs->br", hessians, w)
        seen.append((w, gradient, gradient @ inverse))
        memory.remember(*seen[-1])
    return seen


def textbook(points: list, b: int, inverse: np.ndarray) -> np.ndarray:
    """Inverse Hessian (r, r) of a problem after all updates."""
    (w0, g0, _), (w1, g1, _) = points[-2:]
    s, y = w1[b] - w0[b], g1[b] - g0[b]
    h = inverse * (s @ y) / (y @ inverse @ y)
    for (w0, g0, _), (w1, g1, _) in pairwise(points):
        s, y = w1[b] - w0[b], g1[b] - g0[b]
        turn = np.eye(R) - np.outer(s, y) / (s @ y)
        h = turn @ h @ turn.T + np.outer(s, s) / (s @ y)
    return h


def inverse_matrix() -> np.ndarray:
    return np.linalg.inv(quadratics(5)[0])


@pytest.mark.parametrize("anew", [False, True])
def test_the_direction_is_that_of_bfgs(anew: bool) -> None:
    """Equal to the textbook update, which starts from the scaled P^-1; also where P is another."""
    memory, inverse, hessians = LimitedMemory(NUMPY, 5), inverse_matrix(), quadratics()
    points = walk(memory, hessians, inverse, 4)
    assert len(memory.pairs) == 3
    _, gradient, step = points[-1]
    if anew:
        inverse = np.linalg.inv(quadratics(6)[0])
        step = gradient @ inverse
    found = memory.direction(gradient, step, (lambda right: right @ inverse) if anew else None)
    for b in range(B):
        expected = -textbook(points, b, inverse) @ gradient[b]
        np.testing.assert_allclose(found[b], expected, rtol=1e-8, atol=1e-10)


def test_old_steps_are_forgotten() -> None:
    memory, inverse, hessians = LimitedMemory(NUMPY, 2), inverse_matrix(), quadratics()
    points = walk(memory, hessians, inverse, 6)
    _, gradient, step = points[-1]
    found = memory.direction(gradient, step)
    for b in range(B):
        expected = -textbook(points[-3:], b, inverse) @ gradient[b]
        np.testing.assert_allclose(found[b], expected, rtol=1e-8, atol=1e-10)


def test_without_memory_it_is_the_step() -> None:
    memory = LimitedMemory(NUMPY, 0)
    points = walk(memory, quadratics(), inverse_matrix(), 3)
    np.testing.assert_array_equal(memory.direction(*points[-1][1:]), -points[-1][2])


def test_a_step_of_negative_curvature_is_ignored() -> None:
    """One problem among others that use the step: its direction stays one of descent."""
    inverse, hessians = inverse_matrix(), quadratics()
    concave = hessians.copy()
    concave[1] *= -1
    memory, alone = LimitedMemory(NUMPY, 5), LimitedMemory(NUMPY, 5)
    points = walk(memory, hessians, inverse, 3)
    walk(alone, hessians, inverse, 3)
    w = points[-1][0] + np.random.default_rng(2).standard_normal((B, R))
    gradient = points[-1][1] + np.einsum("brs,bs->br", concave, w - points[-1][0])
    memory.remember(w, gradient, gradient @ inverse)
    found = memory.direction(gradient, gradient @ inverse)
    kept = alone.direction(gradient, gradient @ inverse)
    np.testing.assert_allclose(found[1], kept[1], rtol=1e-12)
    assert np.abs(found[0] - kept[0]).max() > 1e-3
    assert (np.sum(found * gradient, axis=1) < 0).all()


def test_only_steps_of_negative_curvature_leave_the_memory_empty() -> None:
    memory = LimitedMemory(NUMPY, 5)
    points = walk(memory, -quadratics(), inverse_matrix(), 4)
    assert not memory.pairs
    np.testing.assert_array_equal(memory.direction(*points[-1][1:]), -points[-1][2])


def test_some_problems_are_forgotten() -> None:
    memory, inverse = LimitedMemory(NUMPY, 5), inverse_matrix()
    points = walk(memory, quadratics(), inverse, 4)
    _, gradient, step = points[-1]
    before = memory.direction(gradient, step)
    memory.forget(np.array([False, True, False]))
    found = memory.direction(gradient, step)
    np.testing.assert_array_equal(found[[0, 2]], before[[0, 2]])
    np.testing.assert_allclose(found[1], -step[1], rtol=1e-14)
    other = np.linalg.inv(quadratics(6)[0])
    found = memory.direction(gradient, step, lambda right: right @ other)
    np.testing.assert_allclose(found[1], -gradient[1] @ other, rtol=1e-14)
    memory.forget()
    np.testing.assert_array_equal(memory.direction(gradient, step), -step)


def test_some_problems_go_on() -> None:
    memory, inverse = LimitedMemory(NUMPY, 5), inverse_matrix()
    points = walk(memory, quadratics(), inverse, 4)
    _, gradient, step = points[-1]
    before, kept = memory.direction(gradient, step), np.array([2, 0])
    memory.take(kept)
    np.testing.assert_array_equal(memory.direction(gradient[kept], step[kept]), before[kept])
