"""The door for dscribe: power spectra of one scale, with dscribe's radial functions.

Symbols: n atoms of some molecules, d_s columns of scale s, whose parameters are what
`SOAPScale.key` returns: r_cut, n_max, l_max, sigma, rbf. dscribe is loaded when first used.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..support.backend import Backend
from ..support.blas_threads import one_blas_thread
from . import spectra_device
from .expansion import RadialTable, tabulate
from .scales import SOAPScale
from .spectra_device import DeviceTables
from .spectra_host import spectra

FloatArray = NDArray[np.float64]

# Tables that stay on a device, some megabytes each.
TABLES_KEPT = 8
_kept: OrderedDict[tuple[Any, ...], DeviceTables] = OrderedDict()


def power_spectrum(
    numbers: NDArray[np.int64],
    positions: FloatArray,
    offsets: NDArray[np.int64],
    species: tuple[int, ...],
    parameters: tuple[Any, ...],
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Compute unit-length power spectra of all atoms of some molecules at one scale.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
    positions : ndarray of shape (n_atoms, 3), angstrom
    offsets : ndarray of shape (n_molecules + 1,)
    species : tuple of int
        Atomic numbers, sorted.
    parameters : tuple
        What `SOAPScale.key` returns.
    out : ndarray of shape (n_atoms, d_s), float32, default=None
        Where to write; None allocates it.

    Returns
    -------
    ndarray of shape (n_atoms, d_s), float32
        A row is NaN throughout where its atom has no finite, non-zero descriptor.
    """
    # LAPACK gives dscribe's radial basis other last bits with other numbers of threads.
    with one_blas_thread():
        table = _radial_table(parameters)
        index = np.searchsorted(species, numbers)
        return spectra(index, len(species), positions, offsets, table, out)


def device_power_spectrum(
    numbers: NDArray[np.int64],
    positions: FloatArray,
    offsets: NDArray[np.int64],
    species: tuple[int, ...],
    parameters: tuple[Any, ...],
    backend: Backend,
) -> Any:
    """Compute what `power_spectrum` does on a device, where the result stays.

    Parameters
    ----------
    numbers, positions, offsets, species, parameters
        As there.
    backend : Backend

    Returns
    -------
    array of shape (n_atoms, d_s), float32
    """
    tables = _device_tables(parameters, len(species), backend)
    index = np.searchsorted(species, numbers)
    return spectra_device.spectra(index, positions, offsets, tables, backend)


def _device_tables(parameters: tuple[Any, ...], n_species: int, backend: Backend) -> DeviceTables:
    """Bring the tables to the device, once while they are among those used last."""
    key = (backend.place, parameters, n_species)
    tables = _kept.pop(key, None)
    if tables is None:
        with one_blas_thread():
            tables = DeviceTables.of(_radial_table(parameters), n_species, backend)
    _kept[key] = tables
    while len(_kept) > TABLES_KEPT:
        _kept.popitem(last=False)
    return tables


@functools.lru_cache(maxsize=32)
def _radial_table(parameters: tuple[Any, ...]) -> RadialTable:
    """Tabulate the integrals of dscribe's radial functions."""
    r_cut, n_max, l_max, sigma, rbf = parameters
    soap = _dscribe_soap((1,), parameters)
    reach = r_cut + soap.get_cutoff_padding()
    if rbf == "polynomial":
        points, values = soap.get_basis_poly(r_cut, n_max)
        _, weights = np.polynomial.legendre.leggauss(len(points))
        return tabulate(points, weights * r_cut / 2, [values] * (l_max + 1), sigma, reach)
    # Functions of type "gto" have fallen to 1e-3 at r_cut and to nothing at the end.
    end = 2.6 * r_cut
    points, weights = np.polynomial.legendre.leggauss(max(200, int(12 * end / sigma)))
    points, weights = end / 2 * (points + 1), weights * end / 2
    alphas, betas = soap.get_basis_gto(r_cut, n_max, l_max)
    functions = [
        beta @ (points**l * np.exp(-alpha[:, None] * points**2))
        for l, (alpha, beta) in enumerate(zip(alphas, betas, strict=True))  # noqa: E741
    ]
    return tabulate(points, weights, functions, sigma, reach)


def spectrum_derivatives(
    numbers: NDArray[np.int64],
    positions: FloatArray,
    species: tuple[int, ...],
    parameters: tuple[Any, ...],
) -> tuple[FloatArray, FloatArray]:
    """Compute the power spectra of one molecule and their derivatives by the positions.

    They are analytic for ``rbf="gto"``; for ``"polynomial"`` dscribe takes central differences of
    1e-4 angstrom.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
    positions : ndarray of shape (n_atoms, 3), angstrom
    species : tuple of int
    parameters : tuple
        `SOAPScale.key`.

    Returns
    -------
    spectrum : ndarray of shape (n_atoms, d), float64
        Not of unit length.
    derivatives : ndarray of shape (n_atoms, n_atoms, 3, d), 1/angstrom
        Of the spectrum of the first index by the position of the second; an atom's own
        environment moves with it.
    """
    from ase import Atoms

    with one_blas_thread():
        soap = _dscribe_soap(species, parameters)
        derivatives, spectrum = soap.derivatives(Atoms(numbers, positions), attach=True)
    return np.asarray(spectrum, np.float64), np.asarray(derivatives, np.float64)


@functools.lru_cache(maxsize=32)
def _dscribe_soap(species: tuple[int, ...], parameters: tuple[Any, ...]) -> Any:
    from dscribe.descriptors import SOAP

    names = ("r_cut", "n_max", "l_max", "sigma", "rbf")
    return SOAP(species=list(species), periodic=False, **dict(zip(names, parameters, strict=True)))


def count_columns(scale: SOAPScale, species: tuple[int, ...], index: int) -> int:
    """Count the columns of a scale, and let dscribe refuse what it cannot do.

    Parameters
    ----------
    scale : SOAPScale
    species : tuple of int
        Atomic numbers, sorted.
    index : int
        How messages call this scale.

    Raises
    ------
    InputError
    """
    try:
        with one_blas_thread():
            soap = _dscribe_soap(species, scale.key())
            if scale.rbf == "polynomial":
                soap.get_basis_poly(float(scale.r_cut), int(scale.n_max))
            return int(soap.get_number_of_features())
    except (ValueError, TypeError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"scale{index}: expected parameters that dscribe accepts, got {scale!r}: {error}"
        ) from error
