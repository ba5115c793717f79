"""The whole pipeline: its default, and predictions of charges, vectors and magnitudes with it.

Symbols: N molecules, n atoms; charges (n,) in e, dipoles (N, 3) in debye. Predictions for described
molecules are in `prediction.py`; errors of predictions are in `metrics.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Unpack

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline

from ..data.io import as_molecules, read_parts
from ..data.molecules import Molecules
from ..data.read_files import PART_MOLECULES
from ..data.read_options import ReadKeywords
from ..descriptors.scales import baseline_scales
from ..descriptors.soap import SOAPTransformer
from ..exceptions import InputError
from ..learning.kernels import PowerKernel
from ..support.files import PathLike
from .baseline import make_baseline
from .chosen_model import chosen_model
from .fitted_parts import has_atomic_dipoles
from .parameters import make_basis
from .predicted_molecules import Prediction, predict_usable
from .prediction import predict_blocks
from .regression import DipoleKernelRidge

# Degree of the kernel with a baseline: what remains to be learned varies less between environments.
BASELINE_DEGREE = 1.7


def default_model(**parameters: Any) -> Pipeline:
    """Build the pipeline that dipkit recommends: SOAP at several scales, then kernel ridge.

    Parameters
    ----------
    **parameters
        Parameters of `DipoleKernelRidge`; those of a group as ``basis__n_inducing=500``. With a
        ``baseline`` the SOAP scales are those for a baseline, and the kernel is
        ``PowerKernel(1.7)`` if none is given.

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
    if make_baseline(ridge.baseline) is None:
        return make_pipeline(SOAPTransformer(), ridge)
    if make_basis(ridge.basis).kernel is None:
        ridge.set_params(basis__kernel=PowerKernel(BASELINE_DEGREE))
    return make_pipeline(SOAPTransformer(baseline_scales()), ridge)


def predict_parts(
    model: Any, path: PathLike, return_std: bool = False, **options: Unpack[ReadKeywords]
) -> Iterator[Prediction]:
    """Predict the molecules of a file part by part, with memory that does not grow with the file.

    Parameters
    ----------
    model : Pipeline
        As in `predict_all`.
    path : str or path
        Extended XYZ and ASE databases are streamed; see `dipkit.data.io.read_parts`.
    return_std : bool, default=False
        Whether to predict standard deviations of the magnitudes too.
    **options
        Units, total charges and bad records, as in `dipkit.data.io.read`. Bad records that are left
        out are in ``prediction.molecules.notes.bad``, without a warning.

    Yields
    ------
    Prediction
        Of some thousand molecules each, in order.
    """
    parts = read_parts(path, PART_MOLECULES, **options)
    yield from predict_each(model, parts, return_std, options.get("skip_invalid", False))


def predict_each(
    model: Any, parts: Iterable[Molecules], return_std: bool = False, skip_invalid: bool = False
) -> Iterator[Prediction]:
    """Predict sets of molecules one after another, as they come.

    Parameters
    ----------
    model : Pipeline
        As in `predict_all`.
    parts : iterable of Molecules
    return_std, skip_invalid : bool, default=False
        As in `predict_all`.

    Yields
    ------
    Prediction
        Of each set.
    """
    on_demand = _on_demand(chosen_model(model))
    for molecules in parts:
        yield predict_all(on_demand, molecules, return_std, skip_invalid)


def warm_up(model: Any, return_std: bool = False) -> None:
    """Predict one atom, so that tables and factors are there when molecules come.

    They take some tenths of a second in the first prediction of a process. Nothing is done for a
    model with a baseline, which may be a calculation by another program.

    Parameters
    ----------
    model : Pipeline
        As in `predict_all`.
    return_std : bool, default=False
        Whether standard deviations will be predicted too.
    """
    model = chosen_model(model)
    estimator = model[-1] if isinstance(model, Pipeline) else model
    if isinstance(estimator, DipoleKernelRidge) and make_baseline(estimator.baseline) is None:
        number = estimator.elements_[:1]
        atom = Molecules(numbers=number, positions=np.zeros((1, 3)), offsets=np.array([0, 1]))
        predict_all(_on_demand(model), atom, return_std)


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


def predict_all(
    model: Any, X: Any, return_std: bool = False, skip_invalid: bool = False
) -> Prediction:
    """Predict charges, dipole vectors and magnitudes with a fitted pipeline.

    Parameters
    ----------
    model : Pipeline or DipoleKernelRidge
        A pipeline that ends in a `DipoleKernelRidge`, or only the latter, for described molecules.
        Of a search object, such as `DipoleSearchCV` or `GridSearchCV`, the `best_estimator_` is
        taken.
    X : Molecules, list of ase.Atoms, ase.Atoms or path
        What `as_molecules` takes; labels are not read.
    return_std : bool, default=False
        Whether to predict standard deviations of the magnitudes too.
    skip_invalid : bool, default=False
        Give NaN, and the reason in `failures`, for molecules that the model cannot predict; leave
        out records of a file that cannot be read. Else both are errors.

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
    model, molecules = chosen_model(model), _molecules_of(X, skip_invalid)
    estimator = model[-1] if isinstance(model, Pipeline) else model
    if not isinstance(estimator, DipoleKernelRidge):
        raise InputError(
            "model: expected a pipeline that ends in a DipoleKernelRidge, got "
            f"{type(estimator).__name__}, which has no charges and no vectors to predict. Its own "
            "`predict` gives the magnitudes, if it has one."
        )
    bare = molecules.replace(features=None)
    if not skip_invalid:
        return _predict(model, molecules, bare, return_std)
    return predict_usable(
        bare,
        estimator.elements_,
        lambda index: _predict(model, molecules[index], bare[index], return_std),
        return_std,
    )


def _molecules_of(X: Any, skip_invalid: bool) -> Molecules:
    # Molecules were read before: there is nothing to leave out.
    options: ReadKeywords = {"labels": False}
    if skip_invalid:
        options["skip_invalid"] = True
    return as_molecules(X, **options)


def _predict(model: Any, molecules: Molecules, bare: Molecules, return_std: bool) -> Prediction:
    estimator = model[-1] if isinstance(model, Pipeline) else model
    described = model[:-1].transform(molecules) if isinstance(model, Pipeline) else molecules
    found = predict_blocks(estimator, described, return_std)
    atomic = found.atomic_dipoles if has_atomic_dipoles(estimator) else None
    return Prediction(bare, found.charges, found.dipole, found.std, atomic)


def keeps_std(model: Any) -> bool:
    """Whether a fitted model can predict standard deviations; older models cannot.

    Parameters
    ----------
    model : Pipeline or DipoleKernelRidge
    """
    model = chosen_model(model)
    return hasattr(model[-1] if isinstance(model, Pipeline) else model, "std_coef_")
