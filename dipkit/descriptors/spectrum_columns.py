"""Columns of a power spectrum: which products of coefficients they are, and in which order.

Elements a <= b have a block of columns each, ordered by a, then b; a block holds one l after the
other. The columns of two different elements are all products of a channel of a and one of b. Those
of an element with itself are the products of channels n <= n', and here two kinds of spectra
differ:

- radial functions of dscribe: every product counts once, as in dscribe;
- learned channels: products of n < n' count twice, and those of different elements four times, in
  the square of the length: their columns have the factors sqrt(2) and 2. Dot products then do not
  depend on a rotation of the channels among each other. Different elements have twice the share
  that they have in the matrix of all products: this lowered errors of validation molecules.

Symbols: S elements, n_l radial functions or channels of each l, d columns.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_array

from .radial_channels import RadialChannels

__all__ = ["Columns", "block_widths", "columns_of", "compression_map", "count_columns"]

IntArray = NDArray[np.intp]

# Factors of the columns of learned channels.
FACTOR_OF_PAIR, FACTOR_OF_ELEMENTS = sqrt(2.0), 2.0


class Columns(NamedTuple):
    """The columns of all pairs of elements, each array of shape (d,).

    Parameters
    ----------
    degree : ndarray of int
        l
    one, two : ndarray of int
        Element of either factor.
    first, second : ndarray of int
        Radial function or channel of either factor.
    factor : ndarray of float32, or None
        None where all are 1.
    """

    degree: IntArray
    one: IntArray
    two: IntArray
    first: IntArray
    second: IntArray
    factor: NDArray[np.float32] | None


def block_widths(counts: tuple[int, ...]) -> tuple[int, int]:
    """Columns of a pair of equal elements, and of a pair of different elements.

    Parameters
    ----------
    counts : tuple of int
        n_l
    """
    return sum(n * (n + 1) // 2 for n in counts), sum(n * n for n in counts)


def count_columns(n_species: int, counts: tuple[int, ...]) -> int:
    """Count the columns d of the power spectra."""
    same, other = block_widths(counts)
    return n_species * same + n_species * (n_species - 1) // 2 * other


@lru_cache(maxsize=64)
def columns_of(n_species: int, counts: tuple[int, ...], learned: bool) -> Columns:
    """List the columns in order.

    Parameters
    ----------
    n_species : int
    counts : tuple of int
        n_l
    learned : bool
        Whether these are learned channels, whose columns have factors.
    """
    blocks = []
    for a in range(n_species):
        for b in range(a, n_species):
            for l, n in enumerate(counts):  # noqa: E741
                first, second = np.triu_indices(n) if a == b else np.divmod(np.arange(n * n), n)
                blocks.append(np.stack([*np.broadcast_arrays(l, a, b, first, second)]))
    degree, one, two, first, second = np.concatenate(blocks, axis=1)
    factor = None
    if learned:
        factor = np.where(first == second, 1.0, FACTOR_OF_PAIR)
        factor = np.where(one == two, factor, FACTOR_OF_ELEMENTS).astype(np.float32)
    return Columns(degree, one, two, first, second, factor)


def compression_map(channels: RadialChannels) -> csr_array:
    """Map the columns of radial functions to those of learned channels, before unit length.

    Parameters
    ----------
    channels : RadialChannels

    Returns
    -------
    sparse array of shape (d of the channels, d of the radial functions)
    """
    matrices, counts = channels.matrices, channels.counts
    n_species, _, _, n_max = matrices.shape
    first, second = np.triu_indices(n_max)
    blocks = []
    for a in range(n_species):
        for b in range(a, n_species):
            for l, n in enumerate(counts):  # noqa: E741
                products = np.einsum("qn,pm->qpnm", matrices[a, l, :n], matrices[b, l, :n])
                if a != b:
                    blocks.append(csr_array(products.reshape(n * n, -1)))
                    continue
                # The product of n and m is the column of either order.
                both = products + products.swapaxes(2, 3) * (1 - np.eye(n_max))
                one, two = np.triu_indices(n)
                blocks.append(csr_array(both[one, two][:, first, second]))
    factor = columns_of(n_species, counts, learned=True).factor
    assert factor is not None
    return csr_array(csr_array(block_diag(blocks)).multiply(factor[:, None]))
