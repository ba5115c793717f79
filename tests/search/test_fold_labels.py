"""Labels of folds with a baseline, each with the factor of its training part."""

import numpy as np
import pytest
from sklearn.model_selection import KFold

from dipkit.estimator.baseline import GivenBaseline
from dipkit.learning.charge_labels import ChargeLabels
from dipkit.learning.labels import read_labels
from dipkit.learning.quadratic_term import QuadraticTerm
from dipkit.search.fold_labels import ChargeSet, FoldLabels
from dipkit.search.fold_terms import FoldedTerm

R = 5


@pytest.fixture
def labels(molecules):
    """Charges on all molecules but two."""
    some = molecules[:12]
    off = 0.2 * np.random.default_rng(0).standard_normal((12, 3))
    charges = some.charges.copy()
    charges[some.molecule_index < 2] = np.nan
    some = some.replace(
        baseline_dipole=1.3 * some.dipole_vector + off,
        baseline_charges=1.3 * some.charges,
        charges=charges,
        dipole_vector=None,
    )
    return read_labels(some, None, None, 1.0 + np.arange(12) % 3)


def term_of(charges, labels, train):
    """Term over some molecules, with random basis functions C (n_atoms, r)."""
    rows = np.random.default_rng(1).standard_normal((labels.molecules.n_atoms, R))
    inside = np.zeros(len(labels.molecules), dtype=bool)
    inside[train] = True
    s = (inside * charges.weights)[labels.molecules.molecule_index]
    p = charges.charges
    return QuadraticTerm((rows.T * s) @ rows, rows.T @ (s * p), float(s @ p**2), float(s.sum()))


def test_the_term_of_a_fold_is_that_of_its_charges_without_its_baseline(labels):
    folds = list(KFold(3).split(np.arange(12)))
    fold_labels = FoldLabels.of(labels, GivenBaseline(), folds)
    charge_set = ChargeSet(labels.charges, fold_labels)
    trains = [np.arange(12), *(train for train, _ in folds)]
    summed = [[term_of(part, labels, train) for train in trains] for part in charge_set.parts]
    found = charge_set.term([FoldedTerm(total, parts) for total, *parts in summed], folds)
    factors = (fold_labels.factor, *fold_labels.factors)
    assert len(set(factors)) == 4
    w = np.random.default_rng(2).standard_normal(R)
    for of_fold, factor, train in zip((found.total, *found.training), factors, trains, strict=True):
        left = labels.charges - factor * labels.molecules.baseline_charges
        alone = ChargeLabels.of(left, labels.molecules, labels.target.weights)
        expected = term_of(alone, labels, train)
        np.testing.assert_allclose(of_fold.rhs, expected.rhs, atol=1e-12)
        assert of_fold.value(w) == pytest.approx(expected.value(w), rel=1e-12)
        assert of_fold.weight == expected.weight
