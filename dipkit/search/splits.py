"""Folds of a search, and other folds of the same molecules for the guard.

Symbols: N molecules; a fold is a pair of index arrays, molecules that train and molecules that are
held out. Only molecules with a dipole label and a positive weight are held out; all others train in
every fold, since their geometries and charges may help. Scores of folds are in `trial.py`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupKFold, KFold

from ..data.molecules import Molecules
from ..estimator.baseline import GivenBaseline, has_baseline_result
from ..exceptions import InputError
from ..learning.labels import FitLabels
from ..quantum.calculation import warn_failures
from .fold_labels import Fold
from .ridge_parameters import baseline_of

__all__ = ["CV", "Fold", "Splits", "scorable"]

# Folds that the guard shuffles itself where `cv` always gives the same folds; seeds that are tried
# to find different folds.
OWN_FOLDS = 5
N_SEEDS = 10


@runtime_checkable
class Splitter(Protocol):
    """A cross-validator of scikit-learn."""

    def get_n_splits(self, X: object, y: object, groups: object) -> int:
        """Count the folds."""

    def split(self, X: object, y: object, groups: object) -> Iterator[Fold]:
        """Yield training and test indices."""


GivenFolds: TypeAlias = list[tuple[ArrayLike, ArrayLike]]
KnownCV: TypeAlias = int | Splitter | GivenFolds
CV: TypeAlias = int | Splitter | Iterable[tuple[ArrayLike, ArrayLike]]


class Splits:
    """Folds of the molecules of a search.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        A number shuffles. Given indices count all molecules; a splitter gets only the molecules
        that can be scored.
    labels : FitLabels
        Its molecules carry the dipole labels.
    groups : array-like of shape (n_molecules,), "formula" or None, default=None
        Molecules of one group, or of one sum formula, stay on one side of a fold.

    Attributes
    ----------
    folds : list of (train, test)
        The folds in which trials are scored.

    Raises
    ------
    InputError
        If `cv` or `groups` is of another kind, or the molecules cannot be split in this way.
    """

    def __init__(self, cv: object, labels: FitLabels, groups: object = None):
        molecules = labels.molecules
        self.can_score = molecules.has_magnitude & (labels.target.weights > 0)
        self.groups = _read_groups(groups, molecules)
        self.cv = _read_cv(cv)
        self.folds = self._split(self.cv, seed=0)

    def others(self, n_sets: int) -> list[list[Fold]]:
        """Split the same molecules in other ways than in `folds`.

        A number of folds shuffles with other seeds; a splitter that has a ``random_state`` gets
        others. Where neither gives other folds (a list of folds, `LeaveOneOut`, `PredefinedSplit`),
        the molecules, or whole groups, are shuffled into up to five folds, with a warning.

        Parameters
        ----------
        n_sets : int
            Number of sets of folds.

        Returns
        -------
        list of lists of (train, test)
            Fewer than `n_sets` if there are too few molecules, or groups, for so many splits.
        """
        found = self._shuffled(self.cv, n_sets)
        if found:
            return found
        for n_folds in dict.fromkeys((min(max(len(self.folds), 2), OWN_FOLDS), 2)):
            try:
                found = self._shuffled(n_folds, n_sets)
            except InputError:  # fewer groups than folds
                continue
            if found:
                break
        self._warn_fixed(found)
        return found

    def _shuffled(self, cv: KnownCV, n_sets: int) -> list[list[Fold]]:
        """Shuffle into sets of folds that differ from each other and from `folds`, if possible."""
        sets: list[list[Fold]] = []
        seen = [_held_out(self.folds)]
        for seed in range(1, 1 + N_SEEDS):
            splitter = cv if isinstance(cv, int) else _with_seed(cv, seed)
            if splitter is None or len(sets) == n_sets:
                break
            folds = self._split(splitter, seed)
            if _held_out(folds) not in seen:
                seen.append(_held_out(folds))
                sets.append(folds)
        return sets

    def _split(self, cv: KnownCV, seed: int) -> list[Fold]:
        """Split the molecules that can be scored; the others train in every fold."""
        if isinstance(cv, list):
            return [_given_fold(k, fold, self.can_score) for k, fold in enumerate(cv)]
        rest, scored = np.flatnonzero(~self.can_score), np.flatnonzero(self.can_score)
        groups = None if self.groups is None else self.groups[scored]
        # Always the same folds, whatever random_state: workers of one study share them.
        kind = KFold if groups is None else GroupKFold
        try:
            splitter = kind(cv, shuffle=True, random_state=seed) if isinstance(cv, int) else cv
            found = splitter.split(scored, None, groups)
            folds = [(scored[train], scored[test]) for train, test in found]
        except (TypeError, ValueError, IndexError) as error:
            counted = f"{len(scored)} molecules with a dipole label"
            if groups is not None:
                counted += f" in {len(np.unique(groups))} groups"
            raise InputError(f"cv: cannot split {counted}: {error}") from error
        return [(np.concatenate([rest, train]), test) for train, test in folds]

    def _warn_fixed(self, found: list[list[Fold]]) -> None:
        what = "molecules" if self.groups is None else "groups"
        action = "cannot compare them, and the best trial is taken"
        if found:
            action = f"compares them in {len(found[0])} folds of shuffled {what} instead"
        warnings.warn(
            "cv: this splitter always gives the same folds, and they chose the best trial: a "
            f"comparison with the untuned estimator in them would be optimistic. The guard {action}"
            ". Give cv a number, or a splitter with a random_state; or switch the guard off: "
            "guard=None.",
            stacklevel=5,
        )


def _read_cv(cv: object) -> KnownCV:
    """Check the kind of ``cv=``; list given folds, since an iterator can be read only once."""
    if isinstance(cv, Splitter):
        return cv
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        return int(cv)
    try:
        folds = [] if isinstance(cv, str) else [(train, test) for train, test in cv]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        folds = []
    if not folds:
        raise InputError(
            "cv: expected a number of folds, a splitter of scikit-learn or a list of (train, test) "
            f"indices, got {cv!r}."
        )
    return folds


def _read_groups(groups: object, molecules: Molecules) -> NDArray[np.generic] | None:
    """Group of each molecule (N,), or None."""
    if groups is None:
        return None
    if isinstance(groups, str):
        if groups != "formula":
            raise InputError(f'groups: expected an array or "formula", got {groups!r}.')
        return molecules.formulas()
    found = np.asarray(groups)
    if found.shape != (len(molecules),):
        raise InputError(
            f"groups: expected {len(molecules)} entries, one for each molecule, got shape "
            f"{found.shape}."
        )
    return found


def _given_fold(k: int, fold: tuple[ArrayLike, ArrayLike], can_score: NDArray[np.bool_]) -> Fold:
    """Return one of the given folds, without held-out molecules that cannot be scored."""
    everything = np.arange(len(can_score))
    try:
        train, test = (everything[np.asarray(part)] for part in fold)
    except IndexError as error:
        raise InputError(
            f"cv: fold {k}: expected indices or masks of {len(everything)} molecules: {error}."
        ) from error
    if np.intersect1d(train, test).size:
        raise InputError(f"cv: fold {k} holds out molecules that it trains on.")
    test = np.unique(test[can_score[test]])
    if not len(test):
        raise InputError(
            f"cv: fold {k} holds out no molecule with a dipole label and a weight above 0."
        )
    return np.union1d(train, everything[~can_score]), test


def _with_seed(cv: Splitter | GivenFolds, seed: int) -> Splitter | None:
    """Return a copy of a splitter that shuffles with this seed; None if it cannot."""
    if isinstance(cv, list) or not hasattr(cv, "random_state"):
        return None
    seeded = copy.copy(cv)
    seeded.random_state = seed
    if hasattr(seeded, "shuffle"):
        seeded.shuffle = True
    return seeded


def _held_out(folds: list[Fold]) -> set[frozenset[int]]:
    """Return the sets of molecules that are held out together, in no order."""
    return {frozenset(test.tolist()) for _, test in folds}


def scorable(last: BaseEstimator, described: Molecules, folds: list[Fold]) -> list[Fold]:
    """Leave held-out molecules without a baseline out of the folds: they have no prediction.

    Parameters
    ----------
    last : estimator
        The last step of a pipeline.
    described : Molecules
    folds : list of (train, test)

    Raises
    ------
    InputError
        If no held-out molecule of a fold is left.
    """
    baseline = baseline_of(last)
    if not isinstance(baseline, GivenBaseline):
        return folds
    known = has_baseline_result(described)
    held_out = np.sort(np.concatenate([test for _, test in folds]))
    missing = held_out[~known[held_out]]
    warn_failures(baseline.failure, described, missing, "They are not scored.")
    left = [(train, test[known[test]]) for train, test in folds]
    for fold, (_, test) in enumerate(left):
        if not len(test):
            raise InputError(f"cv: no molecule held out of fold {fold} can be scored.")
    return left
