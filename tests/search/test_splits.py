"""Folds: what trains, what is held out, and other folds for the guard."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
)

from dipkit.exceptions import InputError
from dipkit.learning.labels import read_labels
from dipkit.search.splits import Splits


def labels_of(molecules, sample_weight=None, missing=()):
    magnitudes, vectors = molecules.dipole_magnitude.copy(), molecules.dipole_vector.copy()
    magnitudes[list(missing)], vectors[list(missing)] = np.nan, np.nan
    some = molecules.replace(dipole_magnitude=magnitudes, dipole_vector=vectors)
    return read_labels(some, None, None, sample_weight)


def held_out(folds):
    return {frozenset(test) for _, test in folds}


FOLDS = [(np.arange(12, 36), np.arange(12)), (np.arange(24), np.arange(24, 36))]
UNSCORED = {3, 7, 20, 30}


@dataclass(frozen=True)
class Blocks:
    """A splitter of a user, which cannot be changed."""

    n: int

    def get_n_splits(self, X=None, y=None, groups=None):
        return self.n

    def split(self, X, y=None, groups=None):
        return KFold(self.n).split(X)


@pytest.mark.parametrize(
    "cv", [3, KFold(3), ShuffleSplit(2, test_size=0.5, random_state=0), FOLDS, iter(FOLDS)]
)
def test_what_cannot_be_scored_trains_in_every_fold(molecules, cv):
    weights = np.ones(36)
    weights[[7, 30]] = 0.0
    folds = Splits(cv, labels_of(molecules, weights, missing=(3, 20))).folds
    assert len(folds) in (2, 3)
    for train, test in folds:
        assert len(test)
        assert not UNSCORED & set(test)
        assert set(train) >= UNSCORED
        assert not set(train) & set(test)
        assert len(set(train)) == len(train)


@pytest.mark.parametrize("cv", [3, KFold(3)])
def test_every_other_molecule_is_held_out_once(molecules, cv):
    folds = Splits(cv, labels_of(molecules, missing=UNSCORED)).folds
    tests = np.concatenate([test for _, test in folds])
    assert sorted(tests) == sorted(set(range(36)) - UNSCORED)
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(36))


def test_given_folds_may_be_masks(molecules):
    masks = [(np.arange(36) >= 12, np.arange(36) < 12)]
    (train, test), *more = Splits(masks, labels_of(molecules)).folds
    assert not more
    np.testing.assert_array_equal(train, FOLDS[0][0])
    np.testing.assert_array_equal(test, FOLDS[0][1])


@pytest.mark.parametrize("groups", ["formula", np.arange(36) // 3])
@pytest.mark.parametrize("cv", [3, GroupKFold(3), LeaveOneGroupOut()])
def test_groups_stay_together(molecules, cv, groups):
    splits = Splits(cv, labels_of(molecules), groups)
    names = molecules.formulas() if isinstance(groups, str) else groups
    others = []
    if isinstance(cv, LeaveOneGroupOut):
        with pytest.warns(UserWarning, match="folds of shuffled groups"):
            others = splits.others(2)
    else:
        others = splits.others(2)
    for folds in (splits.folds, *others):
        for train, test in folds:
            assert not set(names[train]) & set(names[test])


@pytest.mark.parametrize(
    "cv",
    [
        3,
        KFold(3),
        KFold(3, shuffle=True, random_state=1),
        ShuffleSplit(2, test_size=0.3, random_state=2),
        RepeatedKFold(n_splits=3, n_repeats=2, random_state=1),
    ],
)
def test_other_folds_are_other_folds(molecules, cv):
    splits = Splits(cv, labels_of(molecules))
    one, two = splits.others(2)
    sets = [held_out(folds) for folds in (splits.folds, one, two)]
    assert sets[0] != sets[1] != sets[2] != sets[0]
    assert len({len(folds) for folds in (splits.folds, one, two)}) == 1
    # The splitter of the user is as before.
    assert held_out(Splits(cv, labels_of(molecules)).folds) == sets[0]


def test_other_folds_are_the_same_each_time(molecules):
    splits = Splits(KFold(3), labels_of(molecules))
    assert list(map(held_out, splits.others(2))) == list(map(held_out, splits.others(2)))


@pytest.mark.parametrize(
    ("cv", "n_folds"),
    [
        (FOLDS, 2),
        (LeaveOneOut(), 5),
        (36, 5),
        (PredefinedSplit(np.arange(36) % 4), 4),
        (Blocks(3), 3),
    ],
)
def test_fixed_folds_are_shuffled_for_the_guard_with_a_warning(molecules, cv, n_folds):
    splits = Splits(cv, labels_of(molecules))
    with pytest.warns(UserWarning, match=f"compares them in {n_folds} folds of shuffled molecules"):
        others = splits.others(2)
    assert len(others) == 2
    for folds in others:
        assert len(folds) == n_folds
        assert held_out(folds) != held_out(splits.folds)
        assert sorted(np.concatenate([test for _, test in folds])) == list(range(36))


def test_two_groups_can_be_split_in_one_way_only(molecules):
    splits = Splits(2, labels_of(molecules), np.arange(36) // 18)
    with pytest.warns(UserWarning, match="cannot compare them, and the best trial is taken"):
        assert splits.others(2) == []


@pytest.mark.parametrize(
    ("cv", "groups", "message"),
    [
        (2.5, None, "a splitter of scikit-learn"),
        (True, None, "a splitter of scikit-learn"),
        ("five", None, "a splitter of scikit-learn"),
        ([], None, "a splitter of scikit-learn"),
        (50, None, "36 molecules"),
        (5, np.arange(36) // 18, "in 2 groups"),
        ([([0, 1], [1, 2])], None, "fold 0 holds out molecules that it trains on"),
        ([([0, 1], [99])], None, "fold 0: expected indices"),
        (PredefinedSplit(np.arange(40) % 4), None, "cannot split 36"),
        (3, "elements", '"formula"'),
        (3, [1, 2], "36 entries"),
    ],
)
def test_refuses(molecules, cv, groups, message):
    with pytest.raises(InputError, match=message):
        Splits(cv, labels_of(molecules), groups)


def test_refuses_a_fold_that_scores_nothing(molecules):
    with pytest.raises(InputError, match="fold 1 holds out no molecule"):
        Splits(FOLDS, labels_of(molecules, missing=range(24, 36)))
