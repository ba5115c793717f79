"""Power spectra of one scale, with dscribe's radial functions. No other module imports dscribe.

Symbols: n atoms of some molecules, d_s columns of scale s, whose parameters are a `ScaleKey`.
dscribe is imported when first used, because the import takes time. The sums over neighbours are in
`spectra_host.py` and `spectra_device.py`.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..support.backend import Array, Backend
from ..support.blas_threads import one_blas_thread
from ..support.imports import modules_when_used
from . import spectra_device, spectrum_columns
from .radial_channels import channel_counts
from .radial_integrals import RadialTable, tabulate
from .scales import ScaleKey, SOAPScale
from .spectra_device import DeviceTables
from .spectra_gradients import MoleculeSpectrum, molecule_spectrum
from .spectra_host import spectra

if TYPE_CHECKING:
    from dscribe.descriptors import SOAP

FloatArray = NDArray[np.float64]
# Name and number of the device, parameters, number of elements.
TableKey: TypeAlias = tuple[tuple[str, int], ScaleKey, int]

# Tables that stay on a device, some megabytes each; the one used longest ago is dropped first.
MAX_CACHED_TABLES = 8
_device_table_cache: OrderedDict[TableKey, DeviceTables] = OrderedDict()


def power_spectrum(
    numbers: NDArray[np.int64],
    positions: FloatArray,
    offsets: NDArray[np.int64],
    species: tuple[int, ...],
    key: ScaleKey,
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
    key : ScaleKey
    out : ndarray of shape (n_atoms, d_s), float32, default=None
        Array to write to; None allocates one.

    Returns
    -------
    ndarray of shape (n_atoms, d_s), float32
        A row is NaN throughout where its atom has no finite, non-zero descriptor.
    """
    # The last bits of dscribe's radial basis depend on the number of threads of LAPACK.
    with one_blas_thread():
        table = radial_table(key)
        index = np.searchsorted(species, numbers)
        return spectra(index, len(species), positions, offsets, table, out)


def device_power_spectrum(
    numbers: NDArray[np.int64],
    positions: FloatArray,
    offsets: NDArray[np.int64],
    species: tuple[int, ...],
    key: ScaleKey,
    backend: Backend,
) -> Array:
    """Compute the power spectra on a device, and return an array of the device.

    Parameters
    ----------
    numbers, positions, offsets, species, key
        As in `power_spectrum`.
    backend : Backend

    Returns
    -------
    array of shape (n_atoms, d_s), float32
        An array of the device.
    """
    tables = device_tables(key, len(species), backend)
    index = np.searchsorted(species, numbers)
    return spectra_device.spectra(index, positions, offsets, tables, backend)


def device_tables(key: ScaleKey, n_species: int, backend: Backend) -> DeviceTables:
    """Return the tables of a scale on a device, from the cache if they were used recently."""
    place = (backend.place, key, n_species)
    tables = _device_table_cache.pop(place, None)
    if tables is None:
        with one_blas_thread():
            tables = DeviceTables.of(radial_table(key), n_species, backend)
    _device_table_cache[place] = tables
    while len(_device_table_cache) > MAX_CACHED_TABLES:
        _device_table_cache.popitem(last=False)
    return tables


@functools.lru_cache(maxsize=32)
def radial_table(key: ScaleKey) -> RadialTable:
    """Tabulate the integrals of dscribe's radial functions, or of learned channels of them."""
    if key.channels is not None:
        return radial_table(key._replace(channels=None)).combined(key.channels)
    r_cut, n_max, l_max, sigma, rbf, _ = key
    soap = _dscribe_soap((1,), key)
    reach = r_cut + soap.get_cutoff_padding()
    if rbf == "polynomial":
        points, values = soap.get_basis_poly(r_cut, n_max)
        _, weights = np.polynomial.legendre.leggauss(len(points))
        return tabulate(points, weights * r_cut / 2, [values] * (l_max + 1), sigma, reach)
    # Functions of type "gto" are 1e-3 of their maximum at r_cut, and 0 up to rounding at the end.
    end = 2.6 * r_cut
    points, weights = np.polynomial.legendre.leggauss(max(200, int(12 * end / sigma)))
    points, weights = end / 2 * (points + 1), weights * end / 2
    alphas, betas = soap.get_basis_gto(r_cut, n_max, l_max)
    functions = [
        beta @ (points**l * np.exp(-alpha[:, None] * points**2))
        for l, (alpha, beta) in enumerate(zip(alphas, betas, strict=True))  # noqa: E741
    ]
    return tabulate(points, weights, functions, sigma, reach)


def double_spectrum(
    numbers: NDArray[np.int64],
    positions: FloatArray,
    species: tuple[int, ...],
    key: ScaleKey,
) -> MoleculeSpectrum:
    """Compute unit-length power spectra of one molecule in double precision, to differentiate.

    Parameters
    ----------
    numbers : ndarray of shape (n,)
    positions : ndarray of shape (n, 3), angstrom
    species : tuple of int
        Atomic numbers, sorted.
    key : ScaleKey

    Returns
    -------
    MoleculeSpectrum
    """
    with one_blas_thread():
        table = radial_table(key._replace(channels=None))
    index = np.searchsorted(species, numbers)
    return molecule_spectrum(index, len(species), positions, table, key.channels)


@functools.lru_cache(maxsize=32)
def _dscribe_soap(species: tuple[int, ...], key: ScaleKey) -> SOAP:
    # dscribe imports a package of sparse arrays, and with that a compiler: 0.2 s, not used here.
    with modules_when_used(["sparse"]):
        from dscribe.descriptors import SOAP

    return SOAP(species=list(species), periodic=False, **key.parameters())


def count_compressed(matrices: FloatArray) -> int:
    """Count the columns of a scale with learned channels.

    Parameters
    ----------
    matrices : ndarray of shape (S, l_max + 1, k, n_max)
    """
    return spectrum_columns.count_columns(len(matrices), channel_counts(matrices))


def count_columns(scale: SOAPScale, species: tuple[int, ...], index: int) -> int:
    """Count the columns of a scale, after dscribe has checked its parameters.

    Parameters
    ----------
    scale : SOAPScale
    species : tuple of int
        Atomic numbers, sorted.
    index : int
        Number of this scale in messages.

    Raises
    ------
    InputError
        If dscribe does not accept the parameters.
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
