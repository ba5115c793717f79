"""Learned radial channels: principal components of the expansion coefficients of each element.

For element s and degree l, over the environments that have this element,

    C_sl = mean_i sum_m c_i,snlm c_i,sn'lm,

with c_i of an environment scaled so that the matrix of all its products has length 1. The first
eigenvectors are the channels: of all combinations of radial functions, these keep the largest part
of C (Goscinski, Musil, Pozdnyakov, Nigam, Ceriotti, J. Chem. Phys. 155, 104106, 2021). Those are
kept whose eigenvalue over 2 l + 1, the part of one m, is more than a share of the trace of the sum
of C_sl over l. A scale that adds little to the kernel needs less resolution: its share is larger,
and it has few channels at most.

What channels are is in `radial_channels.py`. Symbols: S elements, K pairs of an environment and an
element around it, n_max radial functions, k channels at most.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.elements import chemical_symbols
from ..data.molecules import Molecules
from ..support.blas_threads import one_blas_thread
from .radial_channels import RadialChannels
from .radial_integrals import RadialTable
from .scales import MANY_MOLECULES
from .spectra_host import expand

__all__ = ["Resolution", "learn_all_channels", "learn_channels", "resolution", "sample_molecules"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Molecules that channels are learned from, for each element: all that hold it, or so many of them,
# evenly spaced in their order. More molecules changed no error.
MOLECULES_PER_ELEMENT = 100
# Share of the trace below which the part of one m is left out, and the same for a scale with less
# than `SMALL_WEIGHT` of the kernel. Two steps, not a function of the weight: then a search over
# weights finds the same descriptors again.
TOLERANCE, SMALL_TOLERANCE, SMALL_WEIGHT = 3.5e-4, 6e-3, 0.05
# Most channels of l = 0 and of each higher l, for a scale of small weight. More channels make more
# columns, and errors of validation molecules were the same or larger with up to 1,000 labels.
SMALL_CHANNELS = (3, 2)


class Resolution(NamedTuple):
    """How many channels of a scale are kept."""

    least: float
    """Share of the trace below which the part of one m of a channel is left out."""
    most: tuple[int, int] | None
    """Most channels of l = 0 and of each higher l; None for any number."""


def sample_molecules(molecules: Molecules, species: NDArray[np.int64]) -> Molecules:
    """Select the molecules that channels are learned from; the same ones for equal molecules.

    Parameters
    ----------
    molecules : Molecules
    species : ndarray of shape (S,)
        Atomic numbers.
    """
    chosen = [np.zeros(0, np.intp)]
    for number in species.tolist():
        having = np.unique(molecules.molecule_index[molecules.numbers == number])
        n = min(len(having), MOLECULES_PER_ELEMENT)
        if n:
            chosen.append(having[np.linspace(0, len(having) - 1, n).astype(np.intp)])
    return molecules[np.unique(np.concatenate(chosen))].replace(features=None)


def learn_all_channels(
    molecules: Molecules,
    species: NDArray[np.int64],
    tables: Sequence[RadialTable],
    weights: Sequence[float],
) -> tuple[FloatArray, ...]:
    """Learn the channels of all scales.

    Parameters
    ----------
    molecules : Molecules
        All molecules of a fit; some of them are used.
    species : ndarray of shape (S,)
        Atomic numbers, sorted.
    tables : sequence of RadialTable
        Of each scale.
    weights : sequence of float
        Of each scale in the kernel.

    Returns
    -------
    tuple of ndarray of shape (S, l_max + 1, k, n_max)
        Matrices of each scale.

    Warns
    -----
    UserWarning
        If there are elements that no molecule holds: nothing is known about their surroundings.
    """
    absent = np.setdiff1d(species, molecules.numbers)
    if len(absent):
        names = ", ".join(chemical_symbols()[number] for number in absent.tolist())
        warnings.warn(
            f"species: the molecules of fit hold no {names}, so that the radial channels of these "
            "elements are those of the others, and less accurate. Fit the transformer to molecules "
            "with each element; labels are not needed. Or use compression=None.",
            stacklevel=4,
        )
    sample = sample_molecules(molecules, species)
    return tuple(
        learn_channels(
            sample, species, table, resolution(weights, index, len(molecules))
        ).matrices.copy()
        for index, table in enumerate(tables)
    )


def resolution(weights: Sequence[float], index: int, n_molecules: int) -> Resolution:
    """Resolution of a scale, by its weight in the kernel and the size of the data.

    Parameters
    ----------
    weights : sequence of float
        Of all scales in the kernel.
    index : int
        Of the scale.
    n_molecules : int
        Of the fit.
    """
    if weights[index] < SMALL_WEIGHT * sum(weights):
        return Resolution(
            SMALL_TOLERANCE, SMALL_CHANNELS if n_molecules <= MANY_MOLECULES else None
        )
    return Resolution(TOLERANCE, None)


def learn_channels(
    molecules: Molecules, species: NDArray[np.int64], table: RadialTable, kept: Resolution
) -> RadialChannels:
    """Learn the channels of one scale.

    Parameters
    ----------
    molecules : Molecules
        From `sample_molecules`.
    species : ndarray of shape (S,)
        Atomic numbers, sorted.
    table : RadialTable
        Of radial functions, on the host.
    kept : Resolution

    Returns
    -------
    RadialChannels
        For each l as many for all elements as any element needs, and at least one.
    """
    index = np.searchsorted(species, molecules.numbers)
    # The last bits of eigenvectors depend on the number of threads of LAPACK.
    with one_blas_thread():
        keys, coefficients = expand(
            index, len(species), molecules.positions, molecules.offsets, table
        )
        atom, element = np.divmod(keys, len(species))
        scale = 1 / _lengths(atom, coefficients)
        covariances = [_covariances(scale, element, len(species), part) for part in coefficients]
        return RadialChannels.of(_leading(np.stack(covariances, axis=1), kept))


def _lengths(atom: IntArray, coefficients: Sequence[NDArray[np.float32]]) -> FloatArray:
    """Length of the matrix of all products of each environment, for each of its K pairs."""
    starts = np.flatnonzero(np.diff(atom, prepend=-1))
    squares = np.zeros(len(starts))
    for part in coefficients:
        of_pair = np.einsum("knm,knp->kmp", part, part, dtype=np.float64, optimize=True)
        squares += (np.add.reduceat(of_pair, starts, axis=0) ** 2).sum(axis=(1, 2))
    lengths: FloatArray = np.sqrt(squares)[np.cumsum(np.diff(atom, prepend=-1) > 0) - 1]
    return lengths


def _covariances(
    scale: FloatArray, element: IntArray, n_species: int, part: NDArray[np.float32]
) -> FloatArray:
    """C_sl of one l for all elements, of shape (S, n_max, n_max).

    An element adds the mean of all elements as one environment, so that the channels of an element
    with few environments, or none, are those that other elements need.
    """
    n_max = part.shape[1]
    sums = np.zeros((n_species, n_max, n_max))
    for s in range(n_species):
        mine = element == s
        rows = part[mine].astype(np.float64) * np.sqrt(scale[mine])[:, None, None]
        rows = rows.transpose(1, 0, 2).reshape(n_max, -1)
        sums[s] = rows @ rows.T
    counts = np.bincount(element, minlength=n_species)[:, None, None]
    return (sums + sums.sum(axis=0) / len(element)) / (counts + 1)


def _leading(covariances: FloatArray, kept: Resolution) -> FloatArray:
    """Leading eigenvectors W (S, l_max + 1, k, n_max) of matrices (S, l_max + 1, n_max, n_max)."""
    values, vectors = np.linalg.eigh(covariances)
    values, vectors = values[..., ::-1], vectors[..., ::-1].swapaxes(-1, -2)
    trace = np.trace(covariances, axis1=-2, axis2=-1).sum(axis=1)[:, None, None]
    of_one = values / (2 * np.arange(values.shape[1]) + 1)[:, None]
    counts = np.maximum((of_one > kept.least * trace).sum(axis=-1).max(axis=0), 1)
    if kept.most is not None:
        counts = np.minimum(counts, np.where(np.arange(len(counts)) == 0, *kept.most))
    channels = vectors[:, :, : counts.max()].copy()
    for l, n in enumerate(counts.tolist()):  # noqa: E741
        channels[:, l, n:] = 0.0
    # The sign of an eigenvector is arbitrary: the largest part is positive.
    largest = np.take_along_axis(channels, np.abs(channels).argmax(-1)[..., None], axis=-1)
    return channels * np.where(largest < 0, -1.0, 1.0)
