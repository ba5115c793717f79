"""SOAP power spectra of atomic environments at one or several scales.

Symbols: n atoms in all, scale s with d_s columns; x_i^s (n, d_s) of unit length, float32.
This is the door for dscribe, which is loaded when first used. How the work is spread over
processes is not here (`_describe.py`), nor how descriptors are compared (`kernels.py`).
"""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, check_memory

from ._backend import host_memory
from ._checks import Locator
from ._describe import SOAPDescriber
from ._elements import chemical_symbols
from ._power_spectrum import RadialTable, spectra, tabulate
from ._threads import one_blas_thread
from .exceptions import InputError
from .features import Features, OnDemandFeatures, forecast_bytes
from .io import as_molecules
from .molecules import Molecules

__all__ = ["SOAPScale", "SOAPTransformer", "baseline_scales", "default_scales"]

_LOG = logging.getLogger(__name__)

# Largest share of the free memory that descriptors held at once may take.
MEMORY_SHARE = 0.25

FloatArray = NDArray[np.float64]


class SOAPScale(BaseEstimator):
    """One SOAP power spectrum and its weight in the kernel.

    Parameters
    ----------
    r_cut : float, default=2.2
        Cutoff radius, angstrom; more than 1 for ``rbf="gto"``.
    n_max : int, default=8
        Radial basis functions.
    l_max : int, default=5
        Highest degree of the spherical harmonics, at most 20.
    sigma : float, default=0.17
        Width of the Gaussian on each atom, angstrom.
    rbf : {"polynomial", "gto"}, default="polynomial"
        Radial basis. ``"gto"`` is several times faster, ``"polynomial"`` resolves short
        distances better.
    weight : float, default=1.0
        Weight of this scale in the kernel; the weights are divided by their sum.
    """

    def __init__(
        self,
        r_cut: float = 2.2,
        n_max: int = 8,
        l_max: int = 5,
        sigma: float = 0.17,
        rbf: str = "polynomial",
        weight: float = 1.0,
    ) -> None:
        self.r_cut = r_cut
        self.n_max = n_max
        self.l_max = l_max
        self.sigma = sigma
        self.rbf = rbf
        self.weight = weight

    def check(self, name: str = "scale") -> None:
        """Refuse parameters that describe nothing.

        Parameters
        ----------
        name : str, default="scale"
            How messages call this scale.

        Raises
        ------
        InputError
        """
        least = 1.0 if self.rbf == "gto" else 0.0
        rules: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
            ("rbf", '"polynomial" or "gto"', ("polynomial", "gto").__contains__),
            ("r_cut", f"a number above {least:g} angstrom", _above(least)),
            ("sigma", "a positive number, angstrom", _above(0.0)),
            ("weight", "a positive number", _above(0.0)),
            ("n_max", "a whole number, at least 1", _whole(1, None)),
            ("l_max", "a whole number from 0 to 20", _whole(0, 20)),
        )
        for argument, expected, is_right in rules:
            value = getattr(self, argument)
            if not is_right(value):
                raise InputError(f"{name}__{argument}: expected {expected}, got {value!r}.")

    def key(self) -> tuple[Any, ...]:
        """Return what determines the descriptors, in plain types."""
        numbers = float(self.r_cut), int(self.n_max), int(self.l_max), float(self.sigma)
        return (*numbers, str(self.rbf))


def default_scales() -> tuple[SOAPScale, ...]:
    """Return the usual scales, from the nearest neighbours outward."""
    return (
        SOAPScale(2.2, 8, 5, 0.17, "polynomial", 1.0),
        SOAPScale(3.5, 6, 4, 0.3, "gto", 0.0025),
        SOAPScale(5.0, 6, 4, 0.5, "gto", 0.001),
    )


def baseline_scales() -> tuple[SOAPScale, ...]:
    """Return the scales for a model that corrects a baseline: the outer ones weigh more."""
    inner, middle, outer = default_scales()
    return inner, middle.set_params(weight=0.02), outer.set_params(weight=0.006)


class SOAPTransformer(TransformerMixin, BaseEstimator):
    """Describe the atoms of molecules by SOAP at several scales.

    `transform` returns `Molecules` whose `features` hold one float32 array per scale, each row
    of unit length. Labels stay on the molecules; where they cannot be used, `transform` logs a
    warning and leaves them out, so that a prediction never fails because of a label.

    Parameters
    ----------
    scales : tuple of SOAPScale, default=None
        None takes `default_scales()`. Nested parameters are named ``scale0__r_cut``,
        ``scale1__weight``, ..., with ``scales=None`` as well.
    species : sequence of str or int, default=None
        Elements to tell apart, as symbols or atomic numbers; None takes those seen in `fit`.
    n_jobs : int, default=None
        Processes, -1 for all cores. None follows an active `joblib.parallel_config`; without
        one it takes all cores where one process would need more than about 6 seconds (a few
        molecules are timed first), else one process. The result has the same bits in any case.
    memory : str, path or joblib.Memory, default=None
        Where to keep descriptors between runs, chunk by chunk; None keeps nothing.
    on_demand : bool or "auto", default="auto"
        True computes descriptors when they are read, block by block, and keeps none.
        ``"auto"`` does so where they would take more than a quarter of the free memory.
    verbose : bool or "auto", default="auto"
        Whether to show a progress bar on stderr; ``"auto"`` shows it on a terminal.

    Attributes
    ----------
    species_ : ndarray of shape (n_species,), int
        Atomic numbers, sorted.
    scales_ : tuple of SOAPScale
    widths_ : tuple of int
        Columns d_s of each scale.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from dipkit.soap import SOAPScale, SOAPTransformer
    >>> transformer = SOAPTransformer(scales=(SOAPScale(n_max=4, l_max=3),))
    >>> transformer.fit_transform([molecule("H2O"), molecule("NH3")]).features
    Features(7 atoms, scales of 312 columns, weights (1.0,))
    """

    def __init__(
        self,
        scales: tuple[SOAPScale, ...] | None = None,
        species: Sequence[str | int] | None = None,
        n_jobs: int | None = None,
        memory: Any = None,
        on_demand: bool | str = "auto",
        verbose: bool | str = "auto",
    ) -> None:
        self.scales = scales
        self.species = species
        self.n_jobs = n_jobs
        self.memory = memory
        self.on_demand = on_demand
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn which elements there are.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms, ase.Atoms or path
            Labels are not read.
        y : ignored

        Raises
        ------
        InputError
            If a parameter or a molecule cannot be used.
        """
        return self._fit(as_molecules(X, labels=False))

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Molecules:
        """Learn which elements there are and describe the molecules.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms, ase.Atoms or path
            Labels are read: an unusable one is an error here.
        y : ignored
        **fit_params : ignored

        Returns
        -------
        Molecules
            With features.
        """
        molecules = as_molecules(X)
        return self._fit(molecules)._describe(molecules)

    def transform(self, X: Any) -> Molecules:
        """Describe molecules.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms, ase.Atoms or path

        Returns
        -------
        Molecules
            With features, and with the labels that could be read.

        Raises
        ------
        InputError
            If an element was not seen in `fit`, or memory is short and `on_demand` is False.
        """
        check_is_fitted(self)
        return self._describe(_read(X))

    def forecast_bytes(self, X: Any) -> int:
        """Bytes that the descriptors of these molecules take when held in memory.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms, ase.Atoms or path
        """
        check_is_fitted(self)
        return forecast_bytes(as_molecules(X, labels=False).n_atoms, self.widths_)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with those of the scales if `deep`.

        Parameters
        ----------
        deep : bool, default=True
        """
        params: dict[str, Any] = super().get_params(deep=False)
        for index, scale in enumerate(self._scales() if deep else ()):
            params[f"scale{index}"] = scale
            nested = scale.get_params(deep=True).items()
            params |= {f"scale{index}__{key}": value for key, value in nested}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of scales change copies, never scales that others share.

        Parameters
        ----------
        **params : Any
            ``scale0__r_cut=2.5`` changes one parameter of a scale, ``scale0=...`` a scale.
        """
        own = {key: value for key, value in params.items() if key in self._get_param_names()}
        super().set_params(**own)
        nested = {key: value for key, value in params.items() if key not in own}
        if nested:
            self.scales = _changed(self._scales(), nested, set(self.get_params(deep=True)))
        return self

    def set_output(self, *, transform: Any = None) -> Self:
        """Do nothing: the output is always `Molecules`.

        Parameters
        ----------
        transform : ignored
        """
        return self

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that molecules are no array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _scales(self) -> tuple[SOAPScale, ...]:
        return default_scales() if self.scales is None else tuple(self.scales)

    def _fit(self, molecules: Molecules) -> Self:
        self._check_parameters()
        if not len(molecules):
            raise InputError("X: expected at least one molecule, got none.")
        scales = tuple(clone(scale) for scale in self._scales())
        species = _species(self.species, molecules)
        _check_elements(molecules, species)
        widths = tuple(_width(scale, tuple(species.tolist()), i) for i, scale in enumerate(scales))
        self.species_, self.scales_, self.widths_ = species, scales, widths
        return self

    def _check_parameters(self) -> None:
        scales = self._scales()
        if not scales or not all(isinstance(scale, SOAPScale) for scale in scales):
            raise InputError(f"scales: expected SOAPScale objects or None, got {self.scales!r}.")
        for index, scale in enumerate(scales):
            scale.check(f"scale{index}")
        for name in ("on_demand", "verbose"):
            value = getattr(self, name)
            if value not in (True, False, "auto"):
                raise InputError(f'{name}: expected True, False or "auto", got {value!r}.')
        if self.n_jobs is not None and (not _whole(None, None)(self.n_jobs) or self.n_jobs == 0):
            raise InputError(f"n_jobs: expected a whole number or None, got {self.n_jobs!r}.")

    def _describe(self, molecules: Molecules) -> Molecules:
        _check_elements(molecules, self.species_)
        if self._too_large(molecules):
            describer = self._describer(verbose=False, work_atoms=molecules.n_atoms)
            return molecules.replace(features=OnDemandFeatures(describer, molecules))
        describer = self._describer(verbose=self.verbose)
        features = Features(describer.describe(molecules), describer.weights)
        return molecules.replace(features=features)

    def _too_large(self, molecules: Molecules) -> bool:
        if self.on_demand != "auto":
            return bool(self.on_demand)
        needed = forecast_bytes(molecules.n_atoms, self.widths_)
        share = MEMORY_SHARE * host_memory()
        if needed > share:
            _LOG.info(
                "descriptors would take %.3g GB, more than %.3g GB: computed on demand",
                needed / 1e9,
                share / 1e9,
            )
        return needed > share

    def _describer(self, verbose: bool | str, work_atoms: int = 0) -> SOAPDescriber:
        memory = os.fspath(self.memory) if isinstance(self.memory, os.PathLike) else self.memory
        return SOAPDescriber(
            calculate=power_spectrum,
            species=tuple(self.species_.tolist()),
            parameters=tuple(scale.key() for scale in self.scales_),
            widths=self.widths_,
            weights=tuple(float(scale.weight) for scale in self.scales_),
            n_jobs=self.n_jobs,
            memory=None if memory is None else check_memory(memory),
            verbose=verbose,
            work_atoms=work_atoms,
        )


def power_spectrum(
    numbers: NDArray[np.int64],
    positions: FloatArray,
    offsets: NDArray[np.int64],
    species: tuple[int, ...],
    parameters: tuple[Any, ...],
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

    Returns
    -------
    ndarray of shape (n_atoms, d_s), float32
        A row is NaN throughout where its atom has no finite, non-zero descriptor.
    """
    # LAPACK gives dscribe's radial basis other last bits with other numbers of threads.
    with one_blas_thread():
        table = _radial_table(parameters)
        index = np.searchsorted(species, numbers)
        return spectra(index, len(species), positions, offsets, table)


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


def _width(scale: SOAPScale, species: tuple[int, ...], index: int) -> int:
    """Count the columns of a scale, and let dscribe refuse what it cannot do."""
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


def _read(x: Any) -> Molecules:
    """Read molecules, without their labels where these cannot be used."""
    try:
        return as_molecules(x)
    except InputError as error:
        molecules = as_molecules(x, labels=False)  # raises again where the geometry is at fault
        _LOG.warning("labels could not be used and are left out: %s", error)
        return molecules


def _species(given: Sequence[str | int] | None, molecules: Molecules) -> NDArray[np.int64]:
    """Return sorted atomic numbers, those given or those that occur."""
    if given is None:
        return np.array(molecules.elements)
    symbols = chemical_symbols()
    items = [given] if isinstance(given, str | Integral) else list(given)
    numbers = [symbols.index(item) if item in symbols else item for item in items]
    if not numbers or not all(_whole(1, 118)(number) for number in numbers):
        raise InputError(f"species: expected symbols or atomic numbers of elements, got {given!r}.")
    return np.unique(np.array(numbers, dtype=np.int64))


def _check_elements(molecules: Molecules, species: NDArray[np.int64]) -> None:
    unseen = ~np.isin(molecules.numbers, species)
    if not unseen.any():
        return
    symbols = chemical_symbols()
    names = [
        ", ".join(symbols[z] for z in part)
        for part in (np.unique(molecules.numbers[unseen]), species)
    ]
    where = Locator(molecules.names, molecules.offsets)
    molecule = where.molecule(where.of_atom(int(np.argmax(unseen))))
    n_molecules = len(np.unique(molecules.molecule_index[unseen]))
    raise InputError(
        f"{n_molecules} of {len(molecules)} molecules, the first of them {molecule}, hold elements "
        f"unknown to the descriptors: {names[0]}; expected {names[1]}. Train on molecules with "
        "these elements, or leave these out."
    )


def _changed(
    scales: tuple[SOAPScale, ...], changes: dict[str, Any], valid: set[str]
) -> tuple[SOAPScale, ...]:
    """Return copies of the scales with these parameters, ``scale0`` or ``scale0__r_cut``."""
    unknown = sorted(set(changes) - valid)
    if unknown:
        raise InputError(
            f"SOAPTransformer.set_params: no parameter {', '.join(unknown)}; expected some of "
            f"{', '.join(sorted(valid))}."
        )
    result = [clone(scale) for scale in scales]
    # Whole scales go first, so that "scale0__r_cut" changes the new "scale0".
    for name, value in sorted(changes.items()):
        head, _, parameter = name.partition("__")
        index = int(head.removeprefix("scale"))
        if parameter:
            result[index].set_params(**{parameter: value})
        else:
            result[index] = clone(value)
    return tuple(result)


def _above(least: float) -> Callable[[Any], bool]:
    def is_right(value: Any) -> bool:
        return isinstance(value, Real) and least < float(value) < math.inf

    return is_right


def _whole(least: int | None, most: int | None) -> Callable[[Any], bool]:
    def is_right(value: Any) -> bool:
        if not isinstance(value, Integral) or isinstance(value, bool):
            return False
        return (least is None or int(value) >= least) and (most is None or int(value) <= most)

    return is_right
