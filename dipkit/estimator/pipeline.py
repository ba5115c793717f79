"""The whole pipeline: its default, and predictions of charges, vectors and magnitudes with it.

Symbols: N molecules, n atoms; charges (n,) in e, dipoles (N, 3) in debye. Predictions for described
molecules are in `prediction.py`; errors of predictions are in `metrics.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline

from ..data.io import as_molecules, read_parts
from ..data.molecules import Molecules
from ..data.molecules_html import rows_html
from ..descriptors.scales import baseline_scales
from ..descriptors.soap import SOAPTransformer
from ..exceptions import InputError
from ..learning.multipoles import quadrupoles_of_atoms
from ..support.files import PathLike
from .baseline import make_baseline
from .prediction import has_atomic_dipoles, predict_blocks
from .regression import DipoleKernelRidge

FloatArray = NDArray[np.float64]

# Molecules read and predicted at once where a file is streamed.
PART_MOLECULES = 5000


@dataclass(frozen=True)
class Prediction:
    """Predictions for N molecules with n atoms.

    Parameters
    ----------
    molecules : Molecules
        The molecules, without features.
    charges : ndarray of shape (n_atoms,), e
        They sum to the total charge of each molecule. NaN where the model's baseline failed.
    dipole : ndarray of shape (n_molecules, 3), debye
        About the centre of mass where a molecule is charged. NaN where the baseline failed.
    std : ndarray of shape (n_molecules,), debye, or None
        Standard deviations of the magnitudes' errors, where they were asked for.
    atomic_dipoles : ndarray of shape (n_atoms, 3), debye, or None
        Dipoles of single atoms in addition to their charges, where the model has some.
    """

    molecules: Molecules
    charges: FloatArray
    dipole: FloatArray
    std: FloatArray | None = None
    atomic_dipoles: FloatArray | None = None

    @property
    def magnitude(self) -> FloatArray:
        """Dipole magnitudes (n_molecules,), debye."""
        magnitudes: FloatArray = np.linalg.norm(self.dipole, axis=1)
        return magnitudes

    @property
    def quadrupole(self) -> FloatArray:
        """Traceless quadrupole moments (n_molecules, 3, 3), debye*angstrom, of the atoms (14)."""
        dipoles = self.atomic_dipoles
        dipoles = np.zeros((len(self.charges), 3)) if dipoles is None else dipoles
        return quadrupoles_of_atoms(self.charges, dipoles, self.dipole, self.molecules)

    def charges_of(self, index: int) -> FloatArray:
        """Charges of one molecule (n_atoms of it,), e; -1 is the last one."""
        return self.charges[self.molecules.atom_index(index)]

    def _repr_html_(self) -> str:
        vectors = {f"{axis} (D)": column for axis, column in zip("xyz", self.dipole.T, strict=True)}
        std = {} if self.std is None else {"std (D)": self.std}
        predicted = {"predicted |μ| (D)": self.magnitude}
        return rows_html("Prediction for ", self.molecules, predicted | std | vectors)


def default_model(**parameters: Any) -> Pipeline:
    """Build the pipeline that dipkit recommends: SOAP at several scales, then kernel ridge.

    Parameters
    ----------
    **parameters
        Parameters of `DipoleKernelRidge`; those of a group as ``basis__n_inducing=500``. With a
        ``baseline`` the weights of the SOAP scales are those for a baseline.

    Returns
    -------
    Pipeline

    Examples
    --------
    >>> from dipkit import default_model
    >>> list(default_model(alpha=1e-4).named_steps)
    ['soaptransformer', 'dipolekernelridge']
    """
    ridge = DipoleKernelRidge().set_params(**parameters)
    scales = None if make_baseline(ridge.baseline) is None else baseline_scales()
    return make_pipeline(SOAPTransformer(scales), ridge)


def predict_parts(model: Any, path: PathLike, return_std: bool = False) -> Iterator[Prediction]:
    """Predict the molecules of a file part by part, with memory that does not grow with the file.

    Parameters
    ----------
    model : Pipeline
        As in `predict_all`.
    path : str or path
        Extended XYZ and ASE databases are streamed; see `dipkit.data.io.read_parts`.
    return_std : bool, default=False
        Whether to predict standard deviations of the magnitudes too.

    Yields
    ------
    Prediction
        Of some thousand molecules each, in order.
    """
    for molecules in read_parts(path, PART_MOLECULES):
        yield predict_all(_on_demand(model), molecules, return_std)


def _on_demand(model: Any) -> Any:
    """Return the same model, with descriptors that are computed block by block and not kept."""
    if not isinstance(model, Pipeline):
        return model
    steps = []
    for name, step in model.steps:
        if isinstance(step, SOAPTransformer):
            step = copy.copy(step).set_params(on_demand=True)
        steps.append((name, step))
    return Pipeline(steps)


def predict_all(model: Any, X: Any, return_std: bool = False) -> Prediction:
    """Predict charges, dipole vectors and magnitudes with a fitted pipeline.

    Parameters
    ----------
    model : Pipeline or DipoleKernelRidge
        A pipeline that ends in a `DipoleKernelRidge`, or only the latter, for described molecules.
    X : Molecules, list of ase.Atoms, ase.Atoms or path
        What `as_molecules` takes; labels are not read.
    return_std : bool, default=False
        Whether to predict standard deviations of the magnitudes too.

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        If the model is of another kind, the molecules have elements that were not in the training
        molecules, or the model has no standard deviations (see `DipoleKernelRidge.predict`).

    Examples
    --------
    >>> from dipkit import default_model, predict_all
    >>> from dipkit.data.datasets import load_organics
    >>> molecules = load_organics()[:30]
    >>> model = default_model(basis__n_inducing=100).fit(molecules)
    >>> prediction = predict_all(model, molecules[:3])
    >>> prediction.dipole.shape, len(prediction.charges) == molecules[:3].n_atoms
    ((3, 3), True)
    """
    molecules = as_molecules(X, labels=False)
    estimator = model[-1] if isinstance(model, Pipeline) else model
    if not isinstance(estimator, DipoleKernelRidge):
        raise InputError(
            "model: expected a pipeline that ends in a DipoleKernelRidge, got "
            f"{type(estimator).__name__}."
        )
    described = model[:-1].transform(molecules) if isinstance(model, Pipeline) else molecules
    found = predict_blocks(estimator, described, return_std)
    atomic = found.atomic_dipoles if has_atomic_dipoles(estimator) else None
    bare = molecules.replace(features=None)
    return Prediction(bare, found.charges, found.dipole, found.std, atomic)


def keeps_std(model: Any) -> bool:
    """Whether a fitted model can predict standard deviations; older models cannot.

    Parameters
    ----------
    model : Pipeline or DipoleKernelRidge
    """
    return hasattr(model[-1] if isinstance(model, Pipeline) else model, "std_coef_")
