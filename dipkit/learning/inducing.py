"""Choice of the inducing environments: which atoms of the training molecules span the model.

Symbols, for each element e: n_e atoms, candidates among them, M_e environments to choose, M of all
elements together; similarities k(x, z) of candidates, with distance 2 - 2 k. The basis functions
that the environments give are in `basis.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.backend import NUMPY, Array, Backend
from ..support.blas_threads import count_threads, in_order
from .basis import Environments
from .kernels import EnvironmentKernel

# Candidates for each environment to choose. More candidates were slower and not more accurate.
CANDIDATES_PER_ENVIRONMENT = 3
# Hydrogen atoms outnumber all others, and their surroundings differ less: in place of 1.
HYDROGEN_SHARE = 0.5
# Similarities are rounded to multiples of 1 / STEPS: of two candidates that are equally far but for
# rounding, the first is chosen, on every device.
STEPS = 2.0**18
# Rows of a matrix of similarities that are computed at a time.
ROWS_AT_ONCE = 256
# Candidates more similar than this to a chosen one are duplicates of it.
DUPLICATE = 1 - 1e-6


def share_out(counts: Mapping[int, int], n_inducing: int) -> dict[int, int]:
    """Divide the inducing environments among the elements, by the square root of their counts.

    Hydrogen gets half of that. No element gets more than it has atoms; the other elements get the
    rest.

    Parameters
    ----------
    counts : mapping
        Number of atoms of each element, by atomic number.
    n_inducing : int
        Environments in all.

    Returns
    -------
    dict
        Environments of each element, at least 1, by atomic number, ascending.

    Examples
    --------
    >>> share_out({1: 900, 6: 400, 9: 4}, 354)
    {1: 150, 6: 200, 9: 4}
    """
    quota: dict[int, int] = {}
    left = n_inducing
    shares = {
        number: (HYDROGEN_SHARE if number == 1 else 1.0) * np.sqrt(count)
        for number, count in counts.items()
    }
    # The element with the fewest atoms for its share first: what it cannot use is left for others.
    for number in sorted(counts, key=lambda z: (counts[z] / shares[z], z)):
        rest = sum(share for other, share in shares.items() if other not in quota)
        wanted = round(left * shares[number] / rest)
        quota[number] = int(np.clip(wanted, 1, counts[number]))
        left = max(left - quota[number], 0)
    return dict(sorted(quota.items()))


def farthest_points(similarity: Array, n_points: int, backend: Backend = NUMPY) -> NDArray[np.intp]:
    """Choose points one by one, each the least similar to all chosen before.

    The first point is the one that is most similar to all others.

    Parameters
    ----------
    similarity : array of shape (n, n)
        Kernel matrix with unit diagonal; rounded in place.
    n_points : int
        At least 1.
    backend : Backend
        Holds the matrix. The host never waits for a single choice.

    Returns
    -------
    ndarray of shape (m,), m <= n_points
        In the order of the choice. Fewer than `n_points` where all others are duplicates.
    """
    xp = backend.xp

    def round_rows(run: slice) -> None:
        similarity[run, :] = xp.round(similarity[run, :] * STEPS) / STEPS

    # Some rows at a time: no second matrix is needed.
    for _ in in_order(round_rows, _runs(similarity.shape[0]), _count_threads(backend)):
        pass
    chosen = backend.asarray(np.zeros(n_points, dtype=np.int64))
    point = xp.argmax(xp.sum(similarity, axis=1))
    nearest = xp.zeros_like(similarity[0, :])
    for step in range(n_points):
        chosen[step, ...] = point
        row = xp.take(similarity, xp.reshape(point, (1,)), axis=0)[0, ...]
        backend.into(nearest, xp.maximum, nearest, row)
        point = xp.argmin(nearest)
    rows = xp.take(similarity, chosen, axis=0)
    among = backend.to_host(xp.take(rows, chosen, axis=1))
    # Whether a choice is too similar to one of those before.
    duplicate = np.tril(among > DUPLICATE, -1).any(axis=1)
    n_distinct = int(duplicate.argmax()) if duplicate.any() else n_points
    return backend.to_host(chosen)[:n_distinct].astype(np.intp)


def similarities(x: Array, kernel: EnvironmentKernel, backend: Backend = NUMPY) -> Array:
    """Compute the kernel matrix of one set of descriptors.

    On the host one triangle is computed, some rows at a time on threads, and copied to the other.

    Parameters
    ----------
    x : array of shape (n, d)
    kernel : EnvironmentKernel
    backend : Backend

    Returns
    -------
    array of shape (n, n)
        Of the type of x.
    """
    if not backend.on_host:
        return kernel([x], [x], [1.0], backend)
    matrix = backend.empty((len(x), len(x)), x.dtype)

    def fill(run: slice) -> None:
        values = kernel([x[run]], [x[run.start :]], [1.0], backend)
        matrix[run, run.start :] = values
        matrix[run.stop :, run] = values[:, run.stop - run.start :].T

    for _ in in_order(fill, _runs(len(x)), _count_threads(backend)):
        pass
    return matrix


def _runs(n_rows: int) -> list[slice]:
    """Cut rows into runs."""
    starts = range(0, n_rows, ROWS_AT_ONCE)
    return [slice(start, min(start + ROWS_AT_ONCE, n_rows)) for start in starts]


def _count_threads(backend: Backend) -> int:
    return count_threads() if backend.on_host else 1


def choose_environments(
    molecules: Molecules,
    n_inducing: int,
    kernel: EnvironmentKernel,
    rng: np.random.Generator,
    backend: Backend = NUMPY,
    precise: bool = False,
) -> dict[int, Environments]:
    """Choose inducing environments for each element, by farthest points in the kernel's distance.

    Only the SOAP scale of largest weight counts in the distance: the other scales would change
    little, and each would take as much time as the first.

    Parameters
    ----------
    molecules : Molecules
        With features.
    n_inducing : int
        Environments in all.
    kernel : EnvironmentKernel
    rng : numpy.random.Generator
        Draws candidates where an element has many more atoms than environments to choose.
    backend : Backend
        Device on which candidates are compared; descriptors on demand are computed there as well.
    precise : bool, default=False
        Compare in float64 instead of float32.

    Returns
    -------
    dict
        By atomic number: descriptors of the environments, one array per SOAP scale.
    """
    chosen = choose_atoms(molecules, n_inducing, kernel, rng, backend, precise)
    return {number: scales for number, (_, scales) in chosen.items()}


def choose_atoms(
    molecules: Molecules,
    n_inducing: int,
    kernel: EnvironmentKernel,
    rng: np.random.Generator,
    backend: Backend = NUMPY,
    precise: bool = False,
) -> dict[int, tuple[NDArray[np.intp], Environments]]:
    """Choose inducing environments, and return their atoms as well.

    Parameters
    ----------
    molecules, n_inducing, kernel, rng, backend, precise
        As for `choose_environments`.

    Returns
    -------
    dict
        By atomic number: positions (M_e,) of the atoms among all atoms, ascending, and their
        descriptors.
    """
    assert molecules.features is not None
    numbers, counts = np.unique(molecules.numbers, return_counts=True)
    quota = share_out(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), n_inducing)
    heaviest = int(np.argmax(molecules.features.weights))
    chosen, dtype = {}, backend.xp.float64 if precise else backend.xp.float32
    for number, m in quota.items():
        # One element at a time: descriptors of all candidates together may not fit in memory.
        atoms = _draw_candidates(molecules.numbers == number, m, rng)
        scales = molecules.features.take(atoms).on(backend)
        if m < len(atoms):
            x = backend.xp.astype(scales[heaviest], dtype, copy=False)
            points = np.sort(farthest_points(similarities(x, kernel, backend), m, backend))
            atoms, scales = atoms[points], tuple(backend.take(scale, points) for scale in scales)
        chosen[number] = atoms, tuple(_as_stored(backend.to_host(scale)) for scale in scales)
    return chosen


def _as_stored(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round environments to the half precision in which a model is stored.

    Before the fit, so that the model knows its environments exactly: any point near an atom's
    descriptor is as good an inducing environment.
    """
    return descriptors.astype(np.float16).astype(np.float32)


def _draw_candidates(
    mask: NDArray[np.bool_], n_environments: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Positions of the atoms to compare, ascending: all in the mask, or a random part of them."""
    atoms = np.flatnonzero(mask)
    limit = CANDIDATES_PER_ENVIRONMENT * n_environments
    if len(atoms) <= limit:
        return atoms
    return np.sort(rng.choice(atoms, limit, replace=False))
