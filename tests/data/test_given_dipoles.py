"""Dipoles given to `fit` are held against the labels and the charges of the molecules."""

import re
import warnings

import numpy as np
import pytest

import dipkit
from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules
from dipkit.learning.labels import read_labels

DEBYE_PER_E_ANGSTROM = 4.80320471


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return load_organics()[:24]


def bare(molecules: Molecules, charges: bool = True) -> Molecules:
    """Without dipole labels."""
    found = molecules.replace(
        dipole_magnitude=None, dipole_vector=None, baseline_dipole=None, baseline_charges=None
    )
    return found if charges else found.replace(charges=None)


def said(molecules: Molecules, y: object, charges: object = None) -> str:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        read_labels(molecules, y, charges, None)
    return " ".join(str(warning.message) for warning in found)


@pytest.mark.parametrize("of_vectors", [True, False])
@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 / DEBYE_PER_E_ANGSTROM, r"0.2082 times .* in e\*angstrom, as get_dipole_moment\(\)"),
        (1 / 2.54174647, "0.3934 times .*atomic units.: multiply y by 2.54175"),
        (DEBYE_PER_E_ANGSTROM, "4.803 times .* multiplied by 4.8032 .* once too often"),
        (2.54174647, "2.542 times .* multiplied by 2.54175"),
        (1 / 0.299792458, "1e-30 coulomb metre"),
        (1000.0, "millidebye"),
        (0.75 / 2.99792458e29, "Perhaps they are in coulomb metre"),
        (1.3, "1.3 times what the labels of the molecules say .median of 24.* leave y out"),
    ],
)
def test_a_factor_is_named(
    molecules: Molecules, factor: float, words: str, of_vectors: bool
) -> None:
    known = molecules.dipole_vector if of_vectors else molecules.dipole_magnitude
    message = said(molecules, known * factor)
    assert re.search(words, message), message
    assert message.count("Perhaps") <= 1, "one cause, said once"


def test_labels_of_ase_passed_as_debye(molecules: Molecules) -> None:
    atoms = dipkit.to_atoms(molecules)
    y = np.array([one.get_dipole_moment() for one in atoms])
    with pytest.warns(UserWarning, match=r"multiply y by 4\.8032"):
        dipkit.default_model(basis__n_inducing=10, alpha=1e-2).fit(atoms, y)


def test_right_labels_say_nothing(molecules: Molecules) -> None:
    for y in (molecules.dipole_vector, molecules.dipole_magnitude):
        assert said(molecules, y) == ""
        assert said(bare(molecules), y) == ""
        assert said(bare(molecules, charges=False), y) == ""
    rng = np.random.default_rng(0)
    other_method = molecules.dipole_magnitude * 1.1 * np.exp(0.1 * rng.normal(size=24))
    assert said(molecules, other_method) == ""
    assert said(molecules, rng.permutation(molecules.dipole_magnitude)) == "", "permutation tests"


@pytest.mark.parametrize("given_charges", [True, False])
def test_charges_show_the_factor(molecules: Molecules, given_charges: bool) -> None:
    without = bare(molecules, charges=not given_charges)
    charges = molecules.charges if given_charges else None
    y = molecules.dipole_vector / DEBYE_PER_E_ANGSTROM
    message = said(without, y, charges)
    assert "charges of the atoms give" in message
    assert "multiply y by 4.8032" in message


def test_reversed_vectors(molecules: Molecules) -> None:
    assert "give -y" in said(molecules, -molecules.dipole_vector)
    message = said(bare(molecules), -molecules.dipole_vector)
    assert "against those of the charges of the atoms" in message
    both = said(molecules, -molecules.dipole_vector / DEBYE_PER_E_ANGSTROM)
    assert "4.8032" in both
    assert "give -y" in both


def test_vectors_of_rotated_geometries(molecules: Molecules) -> None:
    rng = np.random.default_rng(1)
    turned = [np.linalg.qr(rng.normal(size=(3, 3)))[0] @ p for p in molecules.dipole_vector]
    assert "rotated" in said(molecules, np.array(turned))


def test_molecules_without_labels_in_part(molecules: Molecules) -> None:
    vectors = molecules.dipole_vector.copy()
    vectors[5:] = np.nan
    some = molecules.replace(dipole_magnitude=None, dipole_vector=vectors)
    assert "median of 5 molecules" in said(some, molecules.dipole_magnitude / 4.8032)


def test_single_molecule(molecules: Molecules) -> None:
    assert "multiply y by 4.8032" in said(molecules[:1], molecules[:1].dipole_vector / 4.8032)
