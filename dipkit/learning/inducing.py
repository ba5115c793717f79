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
from ..support.backend import NUMPY, Backend
from .basis import Environments, kernel_dtype
from .kernels import EnvironmentKernel

# Candidates for each environment to choose. More candidates were slower and not more accurate.
CANDIDATES_PER_ENVIRONMENT = 4
# Candidates more similar than this to a chosen one are duplicates of it.
DUPLICATE = 1 - 1e-6


def share_out(counts: Mapping[int, int], n_inducing: int) -> dict[int, int]:
    """Divide the inducing environments among the elements, by the square root of their counts.

    No element gets more than it has atoms; the other elements get the rest.

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
    >>> share_out({1: 900, 6: 400, 9: 4}, 504)
    {1: 300, 6: 200, 9: 4}
    """
    quota: dict[int, int] = {}
    left = n_inducing
    roots = {number: np.sqrt(count) for number, count in counts.items()}
    # The rarest element first: what it cannot use is left for the others.
    for number in sorted(counts, key=lambda z: (counts[z], z)):
        rest = sum(root for other, root in roots.items() if other not in quota)
        share = round(left * roots[number] / rest)
        quota[number] = int(np.clip(share, 1, counts[number]))
        left = max(left - quota[number], 0)
    return dict(sorted(quota.items()))


def farthest_points(similarity: NDArray[np.floating], n_points: int) -> NDArray[np.intp]:
    """Choose points one by one, each the least similar to all chosen before.

    The first point is the one that is most similar to all others.

    Parameters
    ----------
    similarity : ndarray of shape (n, n)
        Kernel matrix with unit diagonal.
    n_points : int
        At least 1.

    Returns
    -------
    ndarray of shape (m,), m <= n_points
        In the order of the choice. Fewer than `n_points` where all others are duplicates.
    """
    chosen = [int(similarity.sum(axis=1).argmax())]
    nearest = similarity[chosen[0]].copy()
    while len(chosen) < n_points:
        point = int(nearest.argmin())
        if nearest[point] > DUPLICATE:
            break
        chosen.append(point)
        np.maximum(nearest, similarity[point], out=nearest)
    return np.array(chosen, dtype=np.intp)


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
    chosen = {}
    for number, m in quota.items():
        # One element at a time: descriptors of all candidates together may not fit in memory.
        atoms = _draw_candidates(molecules.numbers == number, m, rng)
        scales = molecules.features.take(atoms).compute(backend).scales
        if m < len(atoms):
            x = backend.asarray(scales[heaviest].astype(kernel_dtype(precise), copy=False))
            similarity = backend.to_host(kernel([x], [x], [1.0], backend))
            points = np.sort(farthest_points(similarity, m))
            atoms, scales = atoms[points], tuple(scale[points] for scale in scales)
        chosen[number] = atoms, scales
    return chosen


def _draw_candidates(
    mask: NDArray[np.bool_], n_environments: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Positions of the atoms to compare, ascending: all in the mask, or a random part of them."""
    atoms = np.flatnonzero(mask)
    limit = CANDIDATES_PER_ENVIRONMENT * n_environments
    if len(atoms) <= limit:
        return atoms
    return np.sort(rng.choice(atoms, limit, replace=False))
