"""`suggest_labels`: the molecules of a pool whose labels would lower the error of a model most.

Symbols: k molecules to label; errors in debye. How they are chosen is in `label_problem.py`.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..data.naming import counted, listed
from ..exceptions import InputError
from ..support.validation import check_whole
from .baseline import make_baseline
from .label_problem import LabelProblem
from .pipeline import keeps_std
from .regression import DipoleKernelRidge

__all__ = ["LabelSuggestion", "suggest_labels"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Candidates of a larger pool are drawn at random: their rows are in memory.
MAX_CANDIDATES = 5000
# Positions are compared in steps of this, relative to the first atom, angstrom.
SAME_POSITION = 0.01


@dataclass(frozen=True)
class LabelSuggestion:
    """Molecules to label next.

    Parameters
    ----------
    molecules : Molecules
        The chosen molecules, the best one first, without labels.
    index : ndarray of shape (k,)
        Their places in the pool.
    std : ndarray of shape (k,), debye
        Standard deviations that the model predicts for them.
    expected_error : ndarray of shape (k + 1,), debye
        Mean absolute error to expect on molecules like those of the pool, with none, one, ... all
        of the labels.
    random_error : float, debye
        The same with k labels of random molecules.
    """

    molecules: Molecules
    index: IntArray
    std: FloatArray
    expected_error: FloatArray
    random_error: float


def suggest_labels(
    model: Any, pool: Any, k: int, labelled: Any = None, random_state: int = 0
) -> LabelSuggestion:
    """Choose the molecules whose labels would lower the error of a model most.

    The choice takes the kernel and the predicted directions of the model, and the molecules that
    have a label already (28). Molecules that are chosen already count as labelled when the
    next one is chosen, so that the k molecules do not repeat each other.

    Parameters
    ----------
    model : Pipeline
        Fitted, as from `default_model`.
    pool : Molecules, list of ase.Atoms or path
        Molecules like those to be predicted later, in what `as_molecules` takes.
    k : int
        Number of molecules to choose.
    labelled : Molecules, list of ase.Atoms or path, default=None
        The molecules that the model was fitted to; those without a dipole label are left out. All
        molecules of the pool are then candidates, except the same ones. With None, the molecules of
        the pool that have a dipole label are the labelled ones.
    random_state : int, default=0
        Seed of the choice of 5,000 candidates from a larger pool, and of the random molecules to
        compare with.

    Returns
    -------
    LabelSuggestion

    Raises
    ------
    InputError
        If no molecule has a label, fewer than k molecules are left to choose from, or the model is
        no pipeline with standard deviations, or has a baseline.

    Examples
    --------
    >>> from dipkit import default_model, suggest_labels
    >>> from dipkit.data.datasets import load_organics
    >>> molecules = load_organics()
    >>> model = default_model(basis__n_inducing=100).fit(molecules[:20])
    >>> found = suggest_labels(model, molecules[20:40], k=3, labelled=molecules[:20])
    >>> len(found.molecules), found.expected_error.shape
    (3, (4,))
    """
    check_whole("k", k, 1)
    estimator = _estimator(model)
    candidates, known = as_molecules(pool), None if labelled is None else as_molecules(labelled)
    places, known = _candidates(candidates, known, estimator)
    rng = np.random.default_rng(random_state)
    if len(places) > MAX_CANDIDATES:
        places = np.sort(rng.choice(places, MAX_CANDIDATES, replace=False))
    bare = _without_labels(candidates[places])
    molecules = Molecules.concatenate([_without_labels(known), bare])
    problem = LabelProblem.of(estimator, model[:-1].transform(molecules), np.arange(len(known)))
    if len(problem.candidates) < k:
        raise InputError(
            f"k={k}: only {counted(len(problem.candidates))} of the pool can be chosen, without "
            "those that have a label or that the model cannot predict. Choose fewer, or give a "
            "larger pool."
        )
    chosen, errors = problem.choose(k)
    others = rng.choice(problem.candidates, k, replace=False)
    return LabelSuggestion(
        bare[chosen - len(known)],
        places[chosen - len(known)],
        problem.std[chosen],
        errors,
        float(problem.expected_errors(others)[-1]),
    )


def _estimator(model: Any) -> DipoleKernelRidge:
    """Return the last step of a pipeline that can suggest labels."""
    if not (isinstance(model, Pipeline) and isinstance(model[-1], DipoleKernelRidge)):
        raise InputError(
            "model: expected a pipeline that ends in a DipoleKernelRidge, such as "
            f"default_model(), got {type(model).__name__}."
        )
    estimator = model[-1]
    check_is_fitted(estimator)
    if not keeps_std(model):
        raise InputError(
            "model: expected a model that keeps standard deviations, but this one was fitted by an "
            "older dipkit, or to the dipoles of single atoms alone. Fit it again."
        )
    if make_baseline(estimator.baseline) is not None:
        raise InputError(
            "model: expected a model without a baseline, got one with "
            f"{type(make_baseline(estimator.baseline)).__name__}. Fit a model without one to the "
            "same labels, and choose with it."
        )
    return estimator


def _candidates(
    pool: Molecules, labelled: Molecules | None, model: DipoleKernelRidge
) -> tuple[IntArray, Molecules]:
    """Return the places of the candidates in the pool, and the labelled molecules."""
    free = np.ones(len(pool), dtype=bool)
    if labelled is None:
        labelled, free = pool, ~pool.has_magnitude
    known = labelled[labelled.has_magnitude]
    if not len(known):
        raise InputError(
            "labelled: no molecule with a dipole label was found. The choice has to know which "
            "molecules have one: give those that the model was fitted to."
        )
    _warn_count(known, model)
    stranger = _holders(pool, ~np.isin(pool.numbers, model.elements_))
    same = np.isin(_keys(pool), _keys(known)) & free
    for which, reason in (
        (free & stranger, "have elements that the model does not know"),
        (free & same & ~stranger, "have a label already"),
        (free & (pool.natoms == 1), "are single atoms, without a dipole"),
    ):
        if which.any():
            names = listed(pool.names[which].tolist())
            warnings.warn(
                f"pool: {counted(int(which.sum()))} cannot be chosen, because they {reason}: "
                f"{names}.",
                stacklevel=3,
            )
    return np.flatnonzero(free & ~stranger & ~same & (pool.natoms > 1)), known


def _warn_count(known: Molecules, model: DipoleKernelRidge) -> None:
    fitted = model.label_summary_["n_magnitudes"] + model.label_summary_["n_vectors"]
    if len(known) != fitted:
        warnings.warn(
            f"labelled: {counted(len(known))} with a dipole label, but the model was fitted to "
            f"{fitted}. Give the molecules of the fit, or fit the model again to these.",
            stacklevel=4,
        )


def _holders(molecules: Molecules, atoms: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which molecules hold any of these atoms."""
    counts = np.bincount(molecules.molecule_index, atoms, minlength=len(molecules))
    return counts > 0


def _keys(molecules: Molecules) -> NDArray[np.bytes_]:
    """One key for each molecule, the same for the same atoms at the same places."""
    steps = np.round(
        (
            molecules.positions
            - molecules.positions[molecules.offsets[:-1]][molecules.molecule_index]
        )
        / SAME_POSITION
    ).astype(np.int64)
    rows = np.concatenate([molecules.numbers[:, None], steps], axis=1)
    digests = [hashlib.sha256(rows[a:b].tobytes()).digest() for a, b in pairwise(molecules.offsets)]
    return np.array(digests)


def _without_labels(molecules: Molecules) -> Molecules:
    """Leave out what the choice does not read."""
    return molecules.replace(
        dipole_magnitude=None, dipole_vector=None, charges=None, quadrupole=None
    )
