"""Inducing environments: which atoms span the model, and the whitened basis they give.

Symbols: per element e, candidates (n_e), inducing environments z_1..z_Me, kernel matrix K_MM of
shape (M_e, M_e), whitening W (M_e, r_e) with W^T K_MM W = 1; basis functions of an atom are
phi(x) = [k(x, z) W, bias]. Equation (7) of the theory page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support.backend import NUMPY, Backend
from .atomic_dipoles import count_leading
from .kernels import EnvironmentKernel

# The constant column of each element. Large, so that the ridge penalty hardly touches it.
BIAS = 10.0
# Candidates looked at for each environment chosen; more is slower and no more accurate.
CANDIDATES_PER_ENVIRONMENT = 4


@dataclass(frozen=True)
class ElementBasis:
    """Basis functions of one element.

    Parameters
    ----------
    number : int
        Atomic number.
    environments : tuple of array of shape (M_e, d_s), float32 or float64
        Descriptors of the inducing environments, one array per scale; of the precision that kernel
        values are to have.
    whitening : array of shape (M_e, r_e - 1)
    columns : slice
        Columns of this element's charges among all r.
    dipole_columns : tuple of slice
        Those of its atomic dipoles, where there are any: one run for the neighbours of each
        element, its constant last. They come after the charges of all elements.
    """

    number: int
    environments: tuple[Any, ...]
    whitening: Any
    columns: slice
    dipole_columns: tuple[slice, ...] = ()

    @property
    def n_leading(self) -> int:
        """Whitened directions that each amplitude of an atomic dipole is made of."""
        return count_leading(int(self.whitening.shape[1]))


@dataclass(frozen=True)
class Basis:
    """Basis functions of all elements; an atom has entries only in its own element's columns.

    With a `dipole_scale` above 0, columns of atomic dipoles follow those of the charges (21).
    """

    elements: Mapping[int, ElementBasis]
    kernel: EnvironmentKernel
    weights: tuple[float, ...]
    backend: Backend
    dipole_scale: float = 0.0

    @property
    def n_columns(self) -> int:
        """Number r of basis functions, those of atomic dipoles included."""
        runs = ((part.columns, *part.dipole_columns) for part in self.elements.values())
        return max(columns.stop for run in runs for columns in run)

    @property
    def dipole_elements(self) -> list[int]:
        """Elements of the neighbours that atomic dipoles point to; none without them."""
        return sorted(self.elements) if self.dipole_scale > 0 else []

    @property
    def n_charge_columns(self) -> int:
        """Number of those that charges are made of: the first ones."""
        return max(element.columns.stop for element in self.elements.values())

    def evaluate(self, number: int, scales: Iterable[Any]) -> Any:
        """Evaluate the basis functions of the charges of one element.

        Parameters
        ----------
        number : int
            Atomic number.
        scales : iterable of array of shape (n_e, d_s)
            Descriptors of atoms of that element, on the device; taken one by one, so that a
            generator holds one at a time.

        Returns
        -------
        array of shape (n_e, r_e), float64
        """
        element, xp = self.elements[number], self.backend.xp
        k = self.kernel(scales, element.environments, self.weights, self.backend)
        phi = self.backend.empty((k.shape[0], element.whitening.shape[1] + 1))
        k = xp.astype(k, xp.float64, copy=False)
        self.backend.into(phi[:, :-1], xp.matmul, k, element.whitening)
        phi[:, -1] = BIAS
        return phi

    def dual(self, w: Any) -> dict[int, tuple[NDArray[np.float64], float]]:
        """Fold weights into one coefficient per environment and a constant per element.

        Parameters
        ----------
        w : array of shape (r,)

        Returns
        -------
        dict
            By atomic number: coefficients of shape (M_e,), e, and the constant, e.
        """
        folded = {}
        for number, element in self.elements.items():
            part = w[element.columns]
            coefficients = self.backend.to_host(element.whitening @ part[:-1])
            folded[number] = (coefficients, float(BIAS * part[-1]))
        return folded

    def dual_of_many(self, w: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fold several sets of weights at once.

        Parameters
        ----------
        w : array of shape (r, S)

        Returns
        -------
        coefficients : ndarray of shape (M, S), e
            Elements one after the other.
        constants : ndarray of shape (n_elements, S), e
        """
        to_host, parts = self.backend.to_host, list(self.elements.values())
        coefficients = [to_host(part.whitening @ w[part.columns, :][:-1, :]) for part in parts]
        constants = [to_host(BIAS * w[part.columns, :][-1, :]) for part in parts]
        return np.concatenate(coefficients), np.array(constants)

    def dipole_dual(self, w: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fold weights of atomic dipoles, one set or several, into amplitudes times the scale.

        Parameters
        ----------
        w : array of shape (r,) or (r, S)

        Returns
        -------
        coefficients : ndarray of shape (M, E) or (M, E, S), e
            Elements one after the other.
        constants : ndarray of shape (n_elements, E) or (n_elements, E, S), e
        """
        to_host, coefficients, constants = self.backend.to_host, [], []
        for element in self.elements.values():
            parts = [self.dipole_scale * w[run, ...] for run in element.dipole_columns]
            leading = element.whitening[:, : element.n_leading]
            of_element = [to_host(leading @ part[:-1, ...]) for part in parts]
            coefficients.append(np.stack(of_element, axis=1))
            constants.append(np.stack([to_host(BIAS * part[-1, ...]) for part in parts]))
        return np.concatenate(coefficients), np.array(constants)


def fill_dipole_columns(rows: Any, moments: Iterable[Any], phi: Any, element: ElementBasis) -> None:
    """Fill an element's columns of atomic dipoles.

    Parameters
    ----------
    rows : array of shape (k, r)
        Of some molecules.
    moments : iterable of sparse array of shape (k, n_e)
        What amplitudes of 1 on each atom of the element add, for the neighbours of each element.
    phi : array of shape (n_e, r_e)
        From `Basis.evaluate`.
    element : ElementBasis
    """
    for run, moment in zip(element.dipole_columns, moments, strict=True):
        constant = run.stop - 1
        rows[:, run.start : constant] = moment @ phi[:, : element.n_leading]
        rows[:, constant : constant + 1] = moment @ phi[:, -1:]


def build_basis(
    environments: Mapping[int, tuple[NDArray[np.float32], ...]],
    kernel: EnvironmentKernel,
    weights: Sequence[float],
    eigenvalue_cut: float,
    backend: Backend = NUMPY,
    dipole_scale: float = 0.0,
    precise: bool = False,
) -> Basis:
    """Whiten the kernel matrix of each element's environments.

    Parameters
    ----------
    environments : mapping
        By atomic number: descriptors of the inducing environments, one array per scale.
    kernel : EnvironmentKernel
    weights : sequence of float
        Weight of each scale.
    eigenvalue_cut : float
        Directions whose eigenvalue is below this share of the largest are dropped.
    backend : Backend
    dipole_scale : float, default=0.0
        Of atomic dipoles; 0 for charges alone.
    precise : bool, default=False
        Compute kernel values in float64 instead of float32.

    Returns
    -------
    Basis
    """
    elements, start, dtype = {}, 0, precision(precise)
    for number, scales in sorted(environments.items()):
        whitening = whiten(_exact_kernel_matrix(scales, kernel, weights), eigenvalue_cut)
        stop = start + whitening.shape[1] + 1
        elements[number] = ElementBasis(
            number=number,
            # In the order in which products leave out what is zero (`_sparse_products.dot`).
            environments=tuple(backend.asarray(np.asfortranarray(x, dtype)) for x in scales),
            whitening=backend.asarray(whitening),
            columns=slice(start, stop),
        )
        start = stop
    if dipole_scale > 0:
        elements = _with_dipoles(elements, start)
    return Basis(elements, kernel, tuple(weights), backend, dipole_scale)


def precision(precise: bool) -> type[np.floating[Any]]:
    """Type of kernel values."""
    return np.float64 if precise else np.float32


def _with_dipoles(elements: Mapping[int, ElementBasis], start: int) -> dict[int, ElementBasis]:
    """Give each element columns of its atomic dipoles, the constant the last of each run."""
    found = {}
    for number, element in elements.items():
        size = element.n_leading + 1
        runs = [slice(start + i * size, start + (i + 1) * size) for i in range(len(elements))]
        found[number] = replace(element, dipole_columns=tuple(runs))
        start = runs[-1].stop
    return found


def _exact_kernel_matrix(
    scales: Sequence[NDArray[np.float32]], kernel: EnvironmentKernel, weights: Sequence[float]
) -> NDArray[np.float64]:
    # In float64: rounding noise in K_MM would be whitened along with the signal, and the eigenvalue
    # cut would have to be orders of magnitude higher.
    exact = [scale.astype(np.float64) for scale in scales]
    matrix: NDArray[np.float64] = kernel(exact, exact, weights)
    return matrix


def whiten(matrix: NDArray[np.float64], eigenvalue_cut: float) -> NDArray[np.float64]:
    """Return W with W^T K W = 1 on the directions above the cut, largest eigenvalue first.

    Parameters
    ----------
    matrix : ndarray of shape (M, M)
        Symmetric positive semidefinite.
    eigenvalue_cut : float
        Relative to the largest eigenvalue.

    Returns
    -------
    ndarray of shape (M, r), r <= M
    """
    values, vectors = scipy.linalg.eigh(matrix, driver="evd")
    keep = np.flatnonzero(values > eigenvalue_cut * values[-1])[::-1]
    whitening: NDArray[np.float64] = vectors[:, keep] / np.sqrt(values[keep])
    return whitening


def share_out(counts: Mapping[int, int], n_inducing: int) -> dict[int, int]:
    """Share inducing environments out over the elements, by the square root of their counts.

    No element gets more than it has atoms; what it leaves goes to the others.

    Parameters
    ----------
    counts : mapping
        Atoms of each element by atomic number.
    n_inducing : int

    Returns
    -------
    dict
        Environments of each element, at least 1.

    Examples
    --------
    >>> share_out({1: 900, 6: 400, 9: 4}, 504)
    {1: 300, 6: 200, 9: 4}
    """
    quota: dict[int, int] = {}
    left = n_inducing
    roots = {number: np.sqrt(count) for number, count in counts.items()}
    # Rarest first: those that cannot use their share hand it on.
    for number in sorted(counts, key=lambda z: (counts[z], z)):
        rest = sum(root for other, root in roots.items() if other not in quota)
        share = round(left * roots[number] / rest)
        quota[number] = int(np.clip(share, 1, counts[number]))
        left = max(left - quota[number], 0)
    return dict(sorted(quota.items()))


def farthest_points(similarity: NDArray[np.floating[Any]], n_points: int) -> NDArray[np.intp]:
    """Choose points one by one, each the least similar to all chosen before.

    Parameters
    ----------
    similarity : ndarray of shape (n, n)
        Kernel matrix with unit diagonal; its distance is 2 - 2 k.
    n_points : int

    Returns
    -------
    ndarray of shape (m,), m <= n_points
        Fewer than asked for where the rest are duplicates.
    """
    chosen = [int(similarity.sum(axis=1).argmax())]
    nearest = similarity[chosen[0]].copy()
    while len(chosen) < n_points:
        point = int(nearest.argmin())
        if nearest[point] > 1 - 1e-6:
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
) -> dict[int, tuple[NDArray[np.float32], ...]]:
    """Choose inducing environments for each element, by farthest points in the kernel's distance.

    The distance is that of the scale of largest weight: the others change little in it, and cost
    as much again.

    Parameters
    ----------
    molecules : Molecules
        With features.
    n_inducing : int
        Environments in all.
    kernel : EnvironmentKernel
    rng : numpy.random.Generator
        Draws candidates where an element has many more atoms than it needs.
    backend : Backend
        Where candidates are described, if they are on demand, and compared.
    precise : bool, default=False
        Compare in float64.

    Returns
    -------
    dict
        By atomic number: descriptors of the environments, one array per scale.
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
) -> dict[int, tuple[NDArray[np.intp], tuple[NDArray[np.float32], ...]]]:
    """Choose inducing environments as `choose_environments`, and tell whose they are.

    Parameters
    ----------
    molecules, n_inducing, kernel, rng, backend, precise
        As there.

    Returns
    -------
    dict
        By atomic number: positions of the atoms (M_e,) and their descriptors.
    """
    assert molecules.features is not None
    numbers, counts = np.unique(molecules.numbers, return_counts=True)
    quota = share_out(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), n_inducing)
    main = int(np.argmax(molecules.features.weights))
    chosen = {}
    for number, m in quota.items():
        # One element at a time: descriptors of all candidates at once may not fit in memory.
        atoms = _draw(molecules.numbers == number, m, rng)
        scales = molecules.features.take(atoms).compute(backend).scales
        if m < len(atoms):
            x = backend.asarray(scales[main].astype(precision(precise), copy=False))
            similarity = backend.to_host(kernel([x], [x], [1.0], backend))
            points = np.sort(farthest_points(similarity, m))
            atoms, scales = atoms[points], tuple(scale[points] for scale in scales)
        chosen[number] = atoms, scales
    return chosen


def _draw(mask: NDArray[np.bool_], n_wanted: int, rng: np.random.Generator) -> NDArray[np.intp]:
    atoms = np.flatnonzero(mask)
    limit = CANDIDATES_PER_ENVIRONMENT * n_wanted
    if len(atoms) <= limit:
        return atoms
    return np.sort(rng.choice(atoms, limit, replace=False))
