"""Reference charges of the wrong sign are seen and said."""

import warnings

import numpy as np
import pytest

from dipkit import DipoleKernelRidge, InducingBasis, Molecules, SOAPTransformer
from dipkit.data.datasets import load_organics
from dipkit.learning.charge_sign import sign_correlation
from dipkit.learning.labels import read_labels


@pytest.fixture(scope="module")
def organics() -> Molecules:
    return load_organics()[:40].replace(dipole_vector=None)


def test_correlation_changes_sign_with_the_charges(organics):
    right = sign_correlation(organics, organics.charges)
    assert right > 0.7
    assert sign_correlation(organics, -organics.charges) == pytest.approx(-right)


def test_fit_with_reversed_charges_warns_and_says_what_to_do(organics):
    described = SOAPTransformer(verbose=False).fit_transform(organics)
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=80))
    with pytest.warns(UserWarning, match=r"sign of the reference charges.*multiply.*by -1"):
        wrong = ridge.fit(described, charges=-organics.charges).predict_charges(described)
    # What the warning says: magnitudes do not show it, charges and dipoles are reversed.
    assert np.corrcoef(wrong, organics.charges)[0, 1] < -0.5


@pytest.mark.parametrize("n_molecules", [3, 4, 20])
def test_right_charges_of_few_molecules_give_no_warning(organics, n_molecules):
    for start in range(0, 20, n_molecules):
        with warnings.catch_warnings(action="error"):
            read_labels(organics[start : start + n_molecules], None, None, None)


def test_molecules_of_weight_0_do_not_decide_about_the_sign(organics):
    reversed_ones = np.arange(len(organics)) >= 10
    charges = np.where(reversed_ones[organics.molecule_index], -1, 1) * organics.charges
    with warnings.catch_warnings(action="error"):
        read_labels(organics, None, charges, np.where(reversed_ones, 0.0, 1.0))
    with pytest.warns(UserWarning, match="sign of the reference charges"):
        read_labels(organics, None, charges, np.where(reversed_ones, 1.0, 0.0))


def test_baseline_charges_of_gfn2_have_the_right_sign():
    organics = load_organics()
    assert sign_correlation(organics, organics.baseline_charges) > 0.7


def test_ions_are_compared_without_their_total_charge(organics):
    ions = organics.replace(
        total_charge=np.where(np.arange(len(organics)) % 2, 1.0, -1.0), charges=None
    )
    share = (ions.total_charge / ions.natoms)[ions.molecule_index]
    assert sign_correlation(ions, organics.charges + share) > 0.7


def test_three_molecules_are_enough_for_an_opinion(organics):
    assert sign_correlation(organics[:3], -organics[:3].charges) < -0.5


def test_too_little_to_compare_gives_no_opinion(organics):
    assert sign_correlation(organics[:2], -organics[:2].charges) == 0.0
    assert sign_correlation(organics, np.full(organics.n_atoms, np.nan)) == 0.0
    assert sign_correlation(organics, np.zeros(organics.n_atoms)) == 0.0
