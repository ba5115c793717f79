"""Power spectra of one molecule in double precision, and derivatives of functions of them.

A function of the spectra is differentiated with respect to the positions backwards: from its
derivatives with respect to the columns of the unit vectors to those with respect to the spectrum,
the coefficients c, and the vectors between atoms. The derivatives of all columns with respect to
all positions are never formed. With the equations of `spectra_host.py`,

    c_i,snlm = sum_j I_nl(r_ij) Y_lm(ij),    p_nn'l = sum_m c_nlm c_n'lm / sqrt(2 l + 1)

Symbols: n atoms, k elements of the molecule, P pairs of an atom i and a neighbour j, F functions,
d columns of elements that the molecule has. Kernels are in `learning/`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .harmonics import harmonics_with_gradients
from .radial_integrals import RadialTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Pairs of atoms whose harmonics are computed at once.
BATCH_PAIRS = 4096


class Layout(NamedTuple):
    """Where the columns of the elements of a molecule are.

    Parameters
    ----------
    places : ndarray of shape (d,)
        Of each column, in products of shape (l_max + 1, k n_max, k n_max).
    runs : tuple of slice
        Of the same columns, among those of all elements; in order.
    """

    places: IntArray
    runs: tuple[slice, ...]


class Pairs(NamedTuple):
    """Some pairs of an atom and a neighbour.

    Parameters
    ----------
    center, neighbour : ndarray of shape (P,)
        Atoms.
    distance : ndarray of shape (P,), angstrom
    direction : ndarray of shape (3, P)
    radial, slopes : ndarray of shape (P, n_max, (l_max + 1)^2)
        Integrals and their derivatives, repeated for each m.
    harmonics : ndarray of shape (P, (l_max + 1)^2)
    gradients : ndarray of shape (P, (l_max + 1)^2, 3)
        Along the unit sphere.
    """

    center: IntArray
    neighbour: IntArray
    distance: FloatArray
    direction: FloatArray
    radial: FloatArray
    slopes: FloatArray
    harmonics: FloatArray
    gradients: FloatArray


@dataclass(frozen=True)
class MoleculeSpectrum:
    """Power spectra of the atoms of one molecule at one scale.

    Parameters
    ----------
    unit : ndarray of shape (n, d)
        Of unit length; NaN where an atom has no finite, non-zero spectrum.
    runs : tuple of slice
        Of these columns, among those of all elements. All others are zero.
    """

    unit: FloatArray
    runs: tuple[slice, ...]
    _length: FloatArray
    _coefficients: list[FloatArray]
    _pairs: list[Pairs]
    _slot: IntArray
    _places: IntArray

    def pull_back(self, slopes: FloatArray) -> FloatArray:
        """Differentiate functions of the unit vectors with respect to the positions.

        Parameters
        ----------
        slopes : ndarray of shape (F, n, d)
            ``[f, i]``: derivatives of function f of atom i with respect to its unit vector.

        Returns
        -------
        ndarray of shape (F, n, n, 3), 1/angstrom
            ``[f, i, j, b]``: function f of atom i with respect to coordinate b of atom j. The
            centre of an environment moves with its atom.
        """
        along = np.einsum("fid,id->fi", slopes, self.unit)
        of_spectrum = slopes - along[..., None] * self.unit
        of_spectrum /= self._length[:, None]
        of_coefficients = self._of_coefficients(of_spectrum)
        n_functions, n = slopes.shape[:2]
        found = np.zeros((n_functions, n, n, 3))
        for pairs in self._pairs:
            of_vectors = _of_vectors(of_coefficients, pairs, self._slot)
            found[:, pairs.center, pairs.neighbour] = of_vectors
        own = np.arange(n)
        found[:, own, own] = -found.sum(axis=2)
        return found

    def _of_coefficients(self, of_spectrum: FloatArray) -> FloatArray:
        """Turn derivatives with respect to p into those to c (F, n, k, n_max, (l_max + 1)^2)."""
        n_functions, n = of_spectrum.shape[:2]
        wide, n_l = self._coefficients[0].shape[1], len(self._coefficients)
        products = np.zeros((n_functions, n, n_l * wide * wide))
        products[:, :, self._places] = of_spectrum
        products = products.reshape(n_functions, n, n_l, wide, wide)
        symmetric = products + products.swapaxes(3, 4)
        parts = [
            symmetric[:, :, l] @ (c / np.sqrt(2 * l + 1))
            for l, c in enumerate(self._coefficients)  # noqa: E741
        ]
        k = int(self._slot.max()) + 1
        return np.concatenate(parts, axis=-1).reshape(n_functions, n, k, wide // k, -1)


def molecule_spectrum(
    species_index: IntArray, n_species: int, positions: FloatArray, table: RadialTable
) -> MoleculeSpectrum:
    """Compute unit-length power spectra of the atoms of one molecule in double precision.

    Parameters
    ----------
    species_index : ndarray of shape (n,)
        Element of each atom, 0 to n_species - 1.
    n_species : int
    positions : ndarray of shape (n, 3), angstrom
    table : RadialTable
        On the host.
    """
    present, slot = np.unique(species_index, return_inverse=True)
    pairs = list(_pairs(positions, table))
    coefficients = _coefficients(pairs, slot, len(present), table)
    layout = _layout(tuple(present.tolist()), n_species, table.n_max, table.l_max)
    n = len(positions)
    products = [
        c @ c.transpose(0, 2, 1) / np.sqrt(2 * l + 1)
        for l, c in enumerate(coefficients)  # noqa: E741
    ]
    spectrum = np.stack(products, axis=1).reshape(n, -1)[:, layout.places]
    length = np.linalg.norm(spectrum, axis=1)
    # Where the values of a prediction, which are in single precision, would be NaN.
    length[~(length > 1.0 / float(np.finfo(np.float32).max)) | np.isinf(length)] = np.nan
    unit = spectrum / length[:, None]
    return MoleculeSpectrum(unit, layout.runs, length, coefficients, pairs, slot, layout.places)


@functools.lru_cache(maxsize=64)
def _layout(present: tuple[int, ...], n_species: int, n_max: int, l_max: int) -> Layout:
    """Find the columns of pairs of elements that are present; the order is that of dscribe."""
    k, n_l = len(present), l_max + 1
    place = np.arange(n_l * (k * n_max) ** 2).reshape(n_l, k, n_max, k, n_max)
    upper = np.triu_indices(n_max)
    places, runs, column = [], [], 0
    for a in range(n_species):
        for b in range(a, n_species):
            size = n_l * (n_max * (n_max + 1) // 2 if a == b else n_max**2)
            if a in present and b in present:
                block = place[:, present.index(a), :, present.index(b), :]
                places.append((block[:, *upper] if a == b else block).ravel())
                runs.append(slice(column, column + size))
            column += size
    return Layout(np.concatenate(places), tuple(runs))


def _pairs(positions: FloatArray, table: RadialTable) -> Iterator[Pairs]:
    """Yield the pairs of different atoms within reach, some at a time."""
    vector = positions - positions[:, None]
    distance = np.linalg.norm(vector, axis=2)
    near = distance <= table.reach
    np.fill_diagonal(near, False)
    center, neighbour = np.nonzero(near)
    of_m = np.repeat(np.arange(table.l_max + 1), 2 * np.arange(table.l_max + 1) + 1)
    for start in range(0, len(center), BATCH_PAIRS):
        some = slice(start, start + BATCH_PAIRS)
        i, j = center[some], neighbour[some]
        r = distance[i, j]
        direction = np.ascontiguousarray(vector[i, j].T) / r
        harmonics, gradients = harmonics_with_gradients(direction, table.l_max)
        radial, slopes = (values[:, :, of_m] for values in table.with_slopes(r))
        yield Pairs(i, j, r, direction, radial, slopes, harmonics.T, np.moveaxis(gradients, -1, 0))


def _coefficients(
    pairs: list[Pairs], slot: IntArray, k: int, table: RadialTable
) -> list[FloatArray]:
    """Sum over the neighbours: c (n, k n_max, 2 l + 1) for each l."""
    n, n_lm = len(slot), (table.l_max + 1) ** 2
    total = np.zeros((n * k, table.n_max, n_lm))
    # An atom is a neighbour of itself, at distance zero.
    total[np.arange(n) * k + slot, :, 0] = table.with_slopes(np.zeros(1))[0][0, :, 0]
    total[:, :, 0] /= np.sqrt(4 * np.pi)
    for some in pairs:
        key, size = some.center * k + slot[some.neighbour], len(some.center)
        sums = csr_array((np.ones(size), (key, np.arange(size))), shape=(n * k, size))
        terms = some.radial * some.harmonics[:, None]
        total += (sums @ terms.reshape(size, -1)).reshape(total.shape)
    whole = total.reshape(n, k * table.n_max, n_lm)
    starts = np.arange(1, table.l_max + 1) ** 2
    return np.split(whole, starts, axis=2)


def _of_vectors(of_coefficients: FloatArray, pairs: Pairs, slot: IntArray) -> FloatArray:
    """Turn derivatives with respect to c into those to the vectors of some pairs (F, P, 3)."""
    of_terms = of_coefficients[:, pairs.center, slot[pairs.neighbour]]
    of_harmonics = np.einsum("fpnm,pnm->fpm", of_terms, pairs.radial)
    of_distance = np.einsum("fpnm,pnm,pm->fp", of_terms, pairs.slopes, pairs.harmonics)
    across = np.einsum("fpm,pmb->fpb", of_harmonics, pairs.gradients)
    found: FloatArray = across / pairs.distance[:, None]
    found += of_distance[..., None] * pairs.direction.T
    return found
