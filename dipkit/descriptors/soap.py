"""`SOAPTransformer`: SOAP power spectra of atomic environments at one or several scales.

Symbols: n atoms in all, scale s with d_s columns; x_i^s (n, d_s) of unit length, float32.
Here: the estimator, its checks, and the choice between descriptors in memory and on demand. Not
here: the parameters of a scale (`scales.py`), their nested names (`scale_parameters.py`), the work
on threads (`describer.py`), the power spectra (`radial_tables.py`), and kernels
(`learning/kernels.py`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import joblib
from sklearn.base import TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, check_memory

from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.files import PathLike
from ..support.system_memory import host_memory
from .channel_learning import learn_all_channels
from .describer import SOAPDescriber
from .features import Features, forecast_bytes
from .on_demand import OnDemandFeatures
from .output_names import MoleculesOutput
from .radial_channels import RadialChannels
from .radial_tables import (
    count_columns,
    count_compressed,
    device_power_spectrum,
    power_spectrum,
    radial_table,
)
from .scale_parameters import ScaleParameters, require_unchanged
from .scales import ScaleKey, SOAPScale, baseline_scales, default_scales, is_whole
from .species import choose_species, require_same_species, require_species

__all__ = ["SOAPScale", "SOAPTransformer", "baseline_scales", "default_scales"]

if TYPE_CHECKING:
    from ase import Atoms
    from sklearn.utils import Tags

    MoleculesLike = Molecules | Atoms | Sequence[Molecules] | Sequence[Atoms] | PathLike

_LOG = logging.getLogger(__name__)

# Largest share of the free memory that descriptors may take in memory.
MEMORY_SHARE = 0.25


class SOAPTransformer(
    MoleculesOutput,
    TransformerMixin,
    ScaleParameters,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]  # Molecules become no data frame
):
    """Describe the atoms of molecules by SOAP at several scales.

    `transform` returns `Molecules` whose `features` hold one float32 array per scale, each row
    of unit length. Labels stay on the molecules. Where labels cannot be used, `transform` logs a
    warning and returns molecules without labels, so that a prediction never fails because of a
    label.

    Parameters
    ----------
    scales : tuple of SOAPScale, default=None
        None takes `default_scales` for the number of molecules of `fit`. Nested parameters are
        named ``scale0__r_cut``, ``scale1__weight``, ..., with ``scales=None`` as well.
    species : sequence of str or int, default=None
        Elements that the descriptors distinguish, as symbols or atomic numbers; None takes the
        elements seen in `fit`.
    n_jobs : int, default=None
        Number of threads, -1 for all cores; processes or a cluster where an active
        `joblib.parallel_config` names such a backend. None takes the number of that configuration,
        or without one the number of threads that BLAS may use. The result has the same bits in any
        case.
    memory : str, path or joblib.Memory, default=None
        Folder where descriptors are stored and found again in later runs; None stores nothing. A
        cache is read by pickle: name only a folder that nobody else writes to. Saved models do not
        contain this parameter.
    on_demand : bool or "auto", default="auto"
        True computes descriptors each time they are read, piece by piece, and stores none. An
        estimator that reads them computes them on its threads, whatever `n_jobs` is, or on its
        GPU. Use True for a model on a GPU, unless `memory` is set. False keeps all descriptors in
        memory. ``"auto"`` is True if they would take more than a quarter of the free memory.
    verbose : bool or "auto", default="auto"
        Whether to show a progress bar on stderr; ``"auto"`` shows it on a terminal.
    compression : "auto" or None, default="auto"
        ``"auto"`` learns in `fit` which combinations of the radial functions of each scale the
        environments need, and uses these: there are several times fewer columns, and the errors of
        a model are about the same. None computes the spectra of dscribe, in its order of columns.

    Attributes
    ----------
    species_ : ndarray of shape (n_species,), int
        Atomic numbers, sorted.
    scales_ : tuple of SOAPScale
    widths_ : tuple of int
        Columns d_s of each scale.
    channels_ : tuple of ndarray of shape (n_species, l_max + 1, k, n_max), or None
        Combinations of radial functions for each scale; None without compression. There are at
        most k for each element and l; others are zero.
    made_by_ : str
        Elements, parameters and weights of the scales, checksums of their channels. An estimator
        stores this text in `fit` and refuses other descriptors in prediction.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from dipkit.descriptors.soap import SOAPScale, SOAPTransformer
    >>> scales = (SOAPScale(n_max=4, l_max=3),)
    >>> transformer = SOAPTransformer(scales, compression=None)
    >>> transformer.fit_transform([molecule("H2O"), molecule("NH3")]).features
    Features(7 atoms, scales of 312 columns, weights (1.0,))
    """

    __module__ = "dipkit"  # the path that saved models name
    # Of the machine, not of the model: a file must not choose what is unpickled from a cache.
    _not_saved: ClassVar[tuple[str, ...]] = ("memory", "n_jobs", "verbose")

    def __init__(
        self,
        scales: tuple[SOAPScale, ...] | None = None,
        species: Sequence[str | int] | None = None,
        n_jobs: int | None = None,
        memory: PathLike | joblib.Memory | None = None,
        on_demand: bool | str = "auto",
        verbose: bool | str = "auto",
        compression: str | None = "auto",
    ) -> None:
        self.scales = scales
        self.species = species
        self.n_jobs = n_jobs
        self.memory = memory
        self.on_demand = on_demand
        self.verbose = verbose
        self.compression = compression

    def fit(self, X: MoleculesLike, y: object = None) -> Self:
        """Learn which elements there are, and the channels of each scale.

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

    def fit_transform(self, X: MoleculesLike, y: object = None, **fit_params: object) -> Molecules:
        """Learn elements and channels as `fit` does, and describe the molecules.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms, ase.Atoms or path
            Labels are read: a label that cannot be used is an error here.
        y : ignored
        **fit_params : ignored

        Returns
        -------
        Molecules
            With features.
        """
        molecules = as_molecules(X)
        return self._fit(molecules)._describe(molecules)

    def transform(self, X: MoleculesLike) -> Molecules:
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
            If an element was not seen in `fit`, a parameter of the descriptors was changed after
            `fit`, or memory is short and `on_demand` is False.
        """
        check_is_fitted(self)
        self._check_parameters()
        require_unchanged(self, self.scales_)
        require_same_species(self.species, self.species_)
        self._require_same_compression()
        return self._describe(_read(X))

    @property
    def made_by_(self) -> str:
        """Elements, parameters and weights of the scales, as of `fit`."""
        check_is_fitted(self)
        return self._describer(verbose=False).made_by

    def forecast_bytes(self, X: MoleculesLike) -> int:
        """Memory that the descriptors of these molecules take, in bytes.

        Parameters
        ----------
        X : Molecules, list of ase.Atoms, ase.Atoms or path
        """
        check_is_fitted(self)
        return forecast_bytes(as_molecules(X, labels=False).n_atoms, self.widths_)

    def __sklearn_tags__(self) -> Tags:
        """Declare, for scikit-learn, that X is not an array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _fit(self, molecules: Molecules) -> Self:
        self._check_parameters()
        if not len(molecules):
            raise InputError("X: expected at least one molecule, got none.")
        scales = tuple(clone(scale) for scale in self._scales(len(molecules)))
        species = choose_species(self.species, molecules)
        require_species(molecules, species)
        known = tuple(species.tolist())
        widths = [count_columns(scale, known, i) for i, scale in enumerate(scales)]
        channels = None
        if self.compression is not None:
            tables = [radial_table(scale.key()) for scale in scales]
            weights = [scale.weight for scale in scales]
            channels = learn_all_channels(molecules, species, tables, weights)
            widths = [count_compressed(matrices) for matrices in channels]
        self.species_, self.scales_, self.widths_ = species, scales, tuple(widths)
        self.channels_ = channels
        return self

    def _require_same_compression(self) -> None:
        if (self.compression is None) != (self.channels_ is None):
            before = None if self.channels_ is None else "auto"
            raise InputError(
                f"compression: expected {before!r}, as in fit, got {self.compression!r}. Call fit "
                "again, or set the parameter back."
            )

    def of_scale(self, index: int) -> Self:
        """Return a fitted transformer of one scale alone, with the same channels.

        Parameters
        ----------
        index : int
        """
        check_is_fitted(self)
        alone = clone(self).set_params(scales=(clone(self.scales_[index]),))
        alone.species_, alone.scales_ = self.species_, (self.scales_[index],)
        alone.widths_ = (self.widths_[index],)
        alone.channels_ = None if self.channels_ is None else (self.channels_[index],)
        return alone

    def scale_keys(self) -> tuple[ScaleKey, ...]:
        """Return what determines the power spectra of each scale, as of `fit`."""
        check_is_fitted(self)
        keys = (scale.key() for scale in self.scales_)
        if self.channels_ is None:
            return tuple(keys)
        pairs = zip(keys, self.channels_, strict=True)
        return tuple(key._replace(channels=RadialChannels.of(part)) for key, part in pairs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore; descriptors of older versions were not compressed."""
        older: dict[str, Any] = {"compression": None}
        if "scales_" in state:
            older["channels_"] = None
        super().__setstate__(older | state)

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
        if self.compression not in ("auto", None):
            raise InputError(f'compression: expected "auto" or None, got {self.compression!r}.')
        if self.n_jobs is not None and (not is_whole(None, None)(self.n_jobs) or self.n_jobs == 0):
            raise InputError(f"n_jobs: expected a whole number or None, got {self.n_jobs!r}.")

    def _describe(self, molecules: Molecules) -> Molecules:
        require_species(molecules, self.species_)
        if self._too_large(molecules):
            describer = self._describer(verbose=False)
            return molecules.replace(features=OnDemandFeatures(describer, molecules))
        describer = self._describer(verbose=self.verbose)
        features = Features(describer.describe(molecules), describer.weights, describer.made_by)
        return molecules.replace(features=features)

    def _too_large(self, molecules: Molecules) -> bool:
        if self.on_demand != "auto":
            return bool(self.on_demand)
        needed = forecast_bytes(molecules.n_atoms, self.widths_)
        share = MEMORY_SHARE * host_memory()
        if needed > share:
            _LOG.info(
                "descriptors would take %.3g GB, more than %.3g GB: they are computed on demand",
                needed / 1e9,
                share / 1e9,
            )
        return needed > share

    def _describer(self, verbose: bool | str) -> SOAPDescriber:
        memory = os.fspath(self.memory) if isinstance(self.memory, os.PathLike) else self.memory
        return SOAPDescriber(
            calculate=power_spectrum,
            calculate_on=device_power_spectrum,
            species=tuple(self.species_.tolist()),
            keys=self.scale_keys(),
            widths=self.widths_,
            weights=tuple(float(scale.weight) for scale in self.scales_),
            n_jobs=self.n_jobs,
            memory=None if memory is None else check_memory(memory),
            verbose=verbose,
        )


def _read(x: MoleculesLike) -> Molecules:
    """Read molecules, without labels where these cannot be used."""
    try:
        return as_molecules(x)
    except InputError as error:
        molecules = as_molecules(x, labels=False)  # raises again if a geometry is wrong
        _LOG.warning("labels could not be used and are left out: %s", error)
        return molecules
