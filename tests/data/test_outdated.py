"""`Molecules.replace`: no value stays that was known for another geometry, charge or vector."""

from typing import Any

import numpy as np
import pytest

from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.exceptions import InputError

NAN = np.nan


@pytest.fixture
def pair() -> Molecules:
    """A dimer of hydrogen fluoride and three atoms of helium, with every label and a baseline."""
    return Molecules(
        numbers=[1, 9, 2, 2, 2],
        positions=[[0, 0, 0], [0, 0, 0.9], [0, 3, 0], [2, 3, 0], [0, 3, 2]],
        offsets=[0, 2, 5],
        dipole_vector=[[0, 3.0, 4.0], [1.0, 0, 0]],
        charges=[0.4, -0.4, 0.1, 0.1, -0.2],
        baseline_dipole=[[0, 0, 2.0], [0.5, 0, 0]],
        baseline_charges=[0.3, -0.3, 0, 0.1, -0.1],
        descriptor_charges=[0.2, -0.2, 0, 0, 0],
        quadrupole=[np.diag([1.0, 1.0, -2.0])] * 2,
        features=Features((np.ones((5, 3), np.float32),), (1.0,)),
    )


def test_a_magnitude_follows_its_vector(pair: Molecules) -> None:
    doubled = pair.replace(dipole_vector=2 * pair.dipole_vector)
    assert doubled.dipole_magnitude.tolist() == [10.0, 2.0]
    nearly = pair.replace(dipole_vector=1.001 * pair.dipole_vector)  # within the tolerance
    np.testing.assert_allclose(nearly.dipole_magnitude, [5.005, 1.001])
    partly = pair.replace(dipole_vector=[[NAN] * 3, [0, 0, 7.0]])
    assert partly.dipole_magnitude.tolist() == [5.0, 7.0]  # what has no vector keeps its magnitude
    bare = pair.replace(dipole_vector=None)
    assert bare.dipole_magnitude.tolist() == [5.0, 1.0]
    assert not bare.has_vector.any()


def test_a_given_magnitude_stays(pair: Molecules) -> None:
    both = pair.replace(dipole_vector=2 * pair.dipole_vector, dipole_magnitude=[10.001, 2.001])
    assert both.dipole_magnitude.tolist() == [10.001, 2.001]
    with pytest.raises(InputError, match=r"disagree for molecule 0 .*drops vectors"):
        pair.replace(dipole_magnitude=[6.0, 1.0])
    scalar = pair.replace(dipole_magnitude=[6.0, 1.0], dipole_vector=None)
    assert scalar.dipole_magnitude.tolist() == [6.0, 1.0]


def test_another_geometry_drops_what_belonged_to_the_old_one(pair: Molecules) -> None:
    positions = pair.positions + np.array([1.0, -2.0, 0.5])
    shifted = pair.replace(positions=positions)
    assert shifted.features is shifted.baseline_dipole is shifted.baseline_charges is None
    assert shifted.descriptor_charges is None
    for name in ("dipole_vector", "dipole_magnitude", "charges", "quadrupole"):
        np.testing.assert_array_equal(getattr(shifted, name), getattr(pair, name))
    assert pair.replace(names=["a", "b"]).features is pair.features


def test_vectors_of_turned_molecules_are_dropped(pair: Molecules) -> None:
    positions = pair.positions.copy()
    positions[2:] = positions[2:] @ np.diag([-1.0, -1.0, 1.0]) + 1.0
    turned = pair.replace(positions=positions)
    assert turned.has_vector.tolist() == turned.has_quadrupole.tolist() == [True, False]
    np.testing.assert_array_equal(turned.dipole_magnitude, pair.dipole_magnitude)
    np.testing.assert_array_equal(turned.charges, pair.charges)
    vectors = pair.dipole_vector * [[1.0], [-1.0]]
    given = pair.replace(positions=positions, dipole_vector=vectors)
    np.testing.assert_array_equal(given.dipole_vector, vectors)
    everything = pair.replace(positions=pair.positions[:, ::-1])
    assert not everything.has_vector.any()
    assert everything.quadrupole is None


@pytest.mark.parametrize(("by", "stays"), [(1e-7, True), (1e-4, False)])
def test_a_shift_is_one_within_rounding(pair: Molecules, by: float, stays: bool) -> None:
    positions = pair.positions.copy()
    positions[1, 2] += by
    assert pair.replace(positions=positions).has_vector.tolist() == [stays, True]


@pytest.mark.parametrize(
    "changes", [{"numbers": [1, 17, 2, 2, 2]}, {"offsets": [0, 3, 5], "charges": None}]
)
def test_vectors_of_other_atoms_are_dropped(pair: Molecules, changes: dict[str, Any]) -> None:
    assert not pair.replace(**changes).has_vector.any()
    same = {name: getattr(pair, name) for name in changes if name != "charges"}
    assert pair.replace(**same).has_vector.all()


def test_another_total_charge_drops_the_baseline(pair: Molecules) -> None:
    ion = pair.replace(total_charge=[0, 1.0], charges=None)
    np.testing.assert_array_equal(ion.baseline_dipole, [[0, 0, 2.0], [NAN] * 3])
    np.testing.assert_array_equal(ion.baseline_charges, [0.3, -0.3, NAN, NAN, NAN])
    np.testing.assert_array_equal(ion.descriptor_charges, [0.2, -0.2, NAN, NAN, NAN])
    assert ion.features is pair.features
    same = pair.replace(total_charge=None)
    np.testing.assert_array_equal(same.baseline_dipole, pair.baseline_dipole)
    ions = pair.replace(total_charge=[1.0, 1.0], charges=None)
    assert ions.baseline_dipole is ions.baseline_charges is None
    with pytest.raises(InputError, match=r"charges of molecule 1 .* expected its total charge 1"):
        pair.replace(total_charge=[0, 1.0])
    given = {"baseline_dipole": [[0, 0, 2.0], [3.0, 0, 0]], "baseline_charges": None}
    renewed = pair.replace(total_charge=[0, 1.0], charges=None, **given)
    np.testing.assert_array_equal(renewed.baseline_dipole, given["baseline_dipole"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dipole_vector": [[1.0, 2.0]]}, r"dipole_vector: expected shape \(2, 3\)"),
        ({"total_charge": [1.0]}, r"total_charge: expected shape \(2,\)"),
        ({"positions": [[np.inf] * 3] * 5}, "positions: expected finite"),
        ({"positions": None}, "positions: expected"),
    ],
)
def test_bad_changes_are_named(pair: Molecules, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pair.replace(**changes)
