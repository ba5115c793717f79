"""Power spectra of one molecule in double precision, and derivatives of functions of them.

A function of the spectra is differentiated with respect to the positions backwards: from its
derivatives with respect to the columns of the unit vectors to those with respect to the spectrum,
the coefficients c, and the vectors between atoms. The derivatives of all columns with respect to
all positions are never formed. With the equations of `spectra_host.py`,

    c_i,snlm = sum_j I_nl(r_ij) Y_lm(ij),    p_nn'l = sum_m c_nlm c_n'lm / sqrt(2 l + 1)

Learned channels are linear in c: C_sq = sum_n W_sl,qn c_sn takes the place of c in p, and W^T
leads back. Symbols: n atoms, k elements of the molecule, P pairs of an atom i and a neighbour j, F
functions, n_l radial functions or channels, d columns of elements that the molecule has. Kernels
are in `learning/`.
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
from .radial_channels import RadialChannels
from .radial_integrals import RadialTable
from .spectrum_columns import block_widths, columns_of

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Pairs of atoms whose harmonics are computed at once.
BATCH_PAIRS = 4096


class Layout(NamedTuple):
    """Where the columns of the elements of a molecule are.

    Parameters
    ----------
    places : ndarray of shape (d,)
        Of each column, among the products of shape (k n_l, k n_l) of all l, one after the other.
    factor : ndarray of shape (d,)
        By which the products are multiplied.
    runs : tuple of slice
        Of the same columns, among those of all elements; in order.
    """

    places: IntArray
    factor: FloatArray
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
    _channels: list[FloatArray]
    _matrices: list[FloatArray] | None
    _pairs: list[Pairs]
    _slot: IntArray
    _layout: Layout

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
        k, sizes = int(self._slot.max()) + 1, [part.shape[1] for part in self._channels]
        products = np.zeros((n_functions, n, sum(size * size for size in sizes)))
        products[:, :, self._layout.places] = of_spectrum * self._layout.factor
        parts, start = [], 0
        for l, (size, channels) in enumerate(zip(sizes, self._channels, strict=True)):  # noqa: E741
            stop = start + size * size
            block = products[:, :, start:stop].reshape(n_functions, n, size, size)
            found = (block + block.swapaxes(2, 3)) @ (channels / np.sqrt(2 * l + 1))
            found = found.reshape(n_functions, n, k, size // k, 2 * l + 1)
            if self._matrices is not None:
                found = self._matrices[l].transpose(0, 2, 1) @ found
            parts.append(found)
            start = stop
        return np.concatenate(parts, axis=-1)


def molecule_spectrum(
    species_index: IntArray,
    n_species: int,
    positions: FloatArray,
    table: RadialTable,
    channels: RadialChannels | None = None,
) -> MoleculeSpectrum:
    """Compute unit-length power spectra of the atoms of one molecule in double precision.

    Parameters
    ----------
    species_index : ndarray of shape (n,)
        Element of each atom, 0 to n_species - 1.
    n_species : int
    positions : ndarray of shape (n, 3), angstrom
    table : RadialTable
        On the host, of radial functions.
    channels : RadialChannels, default=None
        Learned combinations of the radial functions.
    """
    present, slot = np.unique(species_index, return_inverse=True)
    pairs = list(_pairs(positions, table))
    c, matrices = _coefficients(pairs, slot, len(present), table), None
    if channels is not None:
        counts, of_present = channels.counts, channels.matrices[present]
        matrices = [of_present[:, l, :n_l] for l, n_l in enumerate(counts)]  # noqa: E741
        c = [matrix @ part for matrix, part in zip(matrices, c, strict=True)]
    else:
        counts = table.counts
    combined = [
        part.reshape(len(slot), len(present) * n_l, 2 * l + 1)
        for l, (part, n_l) in enumerate(zip(c, counts, strict=True))  # noqa: E741
    ]
    layout = _layout(tuple(present.tolist()), n_species, counts, channels is not None)
    products = [
        (part @ part.transpose(0, 2, 1) / np.sqrt(2 * l + 1)).reshape(len(slot), -1)
        for l, part in enumerate(combined)  # noqa: E741
    ]
    spectrum = np.concatenate(products, axis=1)[:, layout.places] * layout.factor
    length = np.linalg.norm(spectrum, axis=1)
    # Where the values of a prediction, which are in single precision, would be NaN.
    length[~(length > 1.0 / float(np.finfo(np.float32).max)) | np.isinf(length)] = np.nan
    unit = spectrum / length[:, None]
    return MoleculeSpectrum(unit, layout.runs, length, combined, matrices, pairs, slot, layout)


@functools.lru_cache(maxsize=64)
def _layout(
    present: tuple[int, ...], n_species: int, counts: tuple[int, ...], learned: bool
) -> Layout:
    """Find the columns of pairs of elements that are present."""
    columns, n_of = columns_of(len(present), counts, learned), np.array(counts)
    sizes = len(present) * n_of
    starts, n_l = np.cumsum([0, *sizes**2])[columns.degree], n_of[columns.degree]
    rows = columns.one * n_l + columns.first
    places = starts + rows * sizes[columns.degree] + columns.two * n_l + columns.second
    factor = np.ones(1) if columns.factor is None else columns.factor.astype(np.float64)
    same, other = block_widths(counts)
    runs, column = [], 0
    for a in range(n_species):
        for b in range(a, n_species):
            stop = column + (same if a == b else other)
            if a in present and b in present:
                runs.append(slice(column, stop))
            column = stop
    return Layout(places, factor, tuple(runs))


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
    """Sum over the neighbours: c (n, k, n_max, 2 l + 1) for each l."""
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
    whole = total.reshape(n, k, table.n_max, n_lm)
    starts = np.arange(1, table.l_max + 1) ** 2
    return np.split(whole, starts, axis=3)


def _of_vectors(of_coefficients: FloatArray, pairs: Pairs, slot: IntArray) -> FloatArray:
    """Turn derivatives with respect to c into those to the vectors of some pairs (F, P, 3)."""
    of_terms = of_coefficients[:, pairs.center, slot[pairs.neighbour]]
    of_harmonics = np.einsum("fpnm,pnm->fpm", of_terms, pairs.radial)
    of_distance = np.einsum("fpnm,pnm,pm->fp", of_terms, pairs.slopes, pairs.harmonics)
    across = np.einsum("fpm,pmb->fpb", of_harmonics, pairs.gradients)
    found: FloatArray = across / pairs.distance[:, None]
    found += of_distance[..., None] * pairs.direction.T
    return found
