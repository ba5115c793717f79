"""The container: slicing equals joining, labels are checked, scikit-learn splits it."""

import pickle
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

import joblib
import numpy as np
import pytest
from ase.build import molecule
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold, cross_validate, train_test_split
from sklearn.utils import _safe_indexing, indexable

from dipkit.data.label_keys import missing_labels_error
from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.exceptions import InputError

WATER = {
    "numbers": [8, 1, 1],
    "positions": [[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]],
    "offsets": [0, 3],
}


def random_molecules(sizes: list[int], seed: int = 0, described: bool = True) -> Molecules:
    """Molecules with every field filled and some labels missing."""
    rng = np.random.default_rng(seed)
    n, n_atoms = len(sizes), int(sum(sizes))
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    index = np.repeat(np.arange(n), sizes)
    total = rng.integers(-1, 2, n).astype(float)
    charges = rng.normal(size=n_atoms)
    means = np.bincount(index, charges, n) / np.maximum(sizes, 1)
    charges += (total / np.maximum(sizes, 1) - means)[index]
    vector = rng.normal(size=(n, 3))
    vector[rng.random(n) < 0.5] = np.nan
    magnitude = np.linalg.norm(vector, axis=1)
    magnitude = np.where(rng.random(n) < 0.5, magnitude, np.nan)
    charges[(rng.random(n) < 0.3)[index]] = np.nan
    scales = tuple(rng.normal(size=(n_atoms, d)).astype(np.float32) for d in (4, 2))
    return Molecules(
        numbers=rng.integers(1, 10, n_atoms),
        # A grid of points 1.5 angstrom apart, shaken: no two atoms coincide.
        positions=1.5 * np.arange(n_atoms)[:, None] * [1, 0, 0] + rng.random((n_atoms, 3)),
        offsets=offsets,
        names=[f"m{a}" for a in range(n)],
        total_charge=total,
        dipole_magnitude=magnitude,
        dipole_vector=vector,
        charges=charges,
        features=Features(scales, (1.0, 0.1)) if described else None,
        baseline_dipole=rng.normal(size=(n, 3)),
        baseline_charges=charges,
        descriptor_charges=charges,
        source_keys=("mu",),
    )


def assert_same(one: Molecules, other: Molecules) -> None:
    for field in fields(Molecules):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, Features):
            assert left.weights == right.weights
            for a, b in zip(left.scales, right.scales, strict=True):
                np.testing.assert_array_equal(a, b)
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


sizes_of_molecules = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(sizes_of_molecules, st.data())
def test_slices_joined_are_the_whole(sizes: list[int], data: st.DataObject) -> None:
    whole = random_molecules(sizes)
    cut = data.draw(st.integers(0, len(sizes)))
    assert_same(Molecules.concatenate([whole[:cut], whole[cut:]]), whole)
    assert_same(Molecules.concatenate(list(whole)), whole)


@given(sizes_of_molecules, st.data())
def test_index_arrays_select_molecule_by_molecule(sizes: list[int], data: st.DataObject) -> None:
    whole = random_molecules(sizes)
    inside = st.integers(-len(sizes), len(sizes) - 1)
    index = data.draw(st.lists(inside, min_size=1, max_size=10))
    picked = whole[index]
    assert_same(picked, Molecules.concatenate([whole[a] for a in index]))
    assert_same(picked, whole[np.array(index), ...])
    np.testing.assert_array_equal(whole.numbers[whole.atom_index(index)], picked.numbers)


@given(sizes_of_molecules, st.data())
def test_mask_equals_indices(sizes: list[int], data: st.DataObject) -> None:
    whole = random_molecules(sizes)
    mask = data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    assert_same(whole[mask], whole[np.flatnonzero(mask)])


@given(sizes_of_molecules, st.slices(8))
def test_slice_equals_indices(sizes: list[int], key: slice) -> None:
    whole = random_molecules(sizes)
    assert_same(whole[key], whole[np.arange(len(sizes))[key]])
    np.testing.assert_array_equal(whole.numbers[whole.atom_index(key)], whole[key].numbers)


@given(sizes_of_molecules, st.randoms(use_true_random=False))
def test_permutation_and_its_inverse(sizes: list[int], random: Any) -> None:
    whole = random_molecules(sizes)
    order = list(range(len(sizes)))
    random.shuffle(order)
    assert_same(whole[order][np.argsort(order)], whole)


@given(sizes_of_molecules)
def test_checked_construction_equals_fast_selection(sizes: list[int]) -> None:
    whole = random_molecules(sizes)
    assert_same(whole, whole.replace(names=whole.names))
    assert_same(whole, whole[:])


@given(sizes_of_molecules)
def test_per_molecule_values_follow_selection(sizes: list[int]) -> None:
    whole = random_molecules(sizes)
    back = whole[::-1]
    np.testing.assert_array_equal(back.natoms, sizes[::-1])
    np.testing.assert_allclose(back.centers_of_mass(), whole.centers_of_mass()[::-1], atol=1e-12)
    np.testing.assert_array_equal(back.formulas(), whole.formulas()[::-1])
    np.testing.assert_array_equal(whole.molecule_index, np.repeat(np.arange(len(sizes)), sizes))
    np.testing.assert_array_equal(whole.has_charges[::-1], back.has_charges)


def test_centers_and_formulas_agree_with_ase() -> None:
    frames = [molecule(name) for name in ("H2O", "CH3CH2OH", "SiH4", "LiF", "C2Cl4")]
    sizes = [len(frame) for frame in frames]
    molecules = Molecules(
        np.concatenate([frame.numbers for frame in frames]),
        np.concatenate([frame.positions for frame in frames]),
        np.concatenate(([0], np.cumsum(sizes))),
    )
    centers = [frame.get_center_of_mass() for frame in frames]
    np.testing.assert_allclose(molecules.centers_of_mass(), centers, atol=1e-12)
    expected = [frame.get_chemical_formula("hill") for frame in frames]
    assert molecules.formulas().tolist() == expected
    acid = Molecules([1, 8, 17], 2.0 * np.eye(3), [0, 3])
    assert acid.formulas().tolist() == ["ClHO"]


def test_inputs_are_copied_and_arrays_are_read_only() -> None:
    positions = np.array(WATER["positions"])
    before = positions.copy()
    molecules = Molecules(WATER["numbers"], positions, WATER["offsets"])
    positions[0] = 7.0
    np.testing.assert_array_equal(molecules.positions, before)
    for part in (molecules, molecules[[0]], pickle.loads(pickle.dumps(molecules))):
        with pytest.raises(ValueError, match="read-only"):
            part.positions[0] = 0.0
        with pytest.raises(ValueError, match="read-only"):
            part.natoms[0] = 0
    with pytest.raises(AttributeError):
        molecules.positions = positions


def test_features_are_views_and_leave_the_caller_its_array() -> None:
    scale = np.ones((3, 4), np.float32)
    features = Features((scale,), (1.0,))
    assert np.shares_memory(features.scales[0], scale)
    assert scale.flags.writeable
    assert not features.scales[0].flags.writeable
    described = Molecules(**WATER).replace(features=features)
    assert np.shares_memory(described[:1].features.scales[0], scale)
    assert described.replace(features=None).features is None


def test_pickle_and_joblib_keep_everything() -> None:
    molecules = random_molecules([2, 1, 4])
    before = joblib.hash(molecules)
    _ = molecules.molecule_index, molecules.elements
    assert_same(pickle.loads(pickle.dumps(molecules)), molecules)
    assert joblib.hash(molecules) == before
    assert joblib.hash(molecules[[0, 1]]) != before


def test_empty_selection() -> None:
    nothing = random_molecules([2, 3])[[]]
    assert len(nothing) == nothing.n_atoms == 0
    assert nothing.centers_of_mass().shape == (0, 3)
    assert nothing.formulas().shape == (0,)
    assert nothing.summary().magnitude_range is None
    assert "0 molecules" in repr(nothing)
    assert_same(nothing, nothing.replace(names=nothing.names))


class MeanMagnitude(RegressorMixin, BaseEstimator):
    """Predicts the mean of y; checks that X keeps its type."""

    def fit(self, X: Molecules, y: np.ndarray) -> "MeanMagnitude":
        assert isinstance(X, Molecules)
        assert len(X) == len(y)
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X: Molecules) -> np.ndarray:
        assert isinstance(X, Molecules)
        return np.full(len(X), self.mean_)


def test_scikit_learn_splits_it() -> None:
    molecules = random_molecules([1, 2, 3, 4, 5, 6, 2, 3])
    y = molecules.natoms.astype(float)
    train, test, y_train, _ = train_test_split(molecules, y, test_size=0.25, random_state=0)
    np.testing.assert_array_equal(train.natoms, y_train)
    assert len(test) == 2
    (same,) = indexable(molecules)
    assert same is molecules
    for key in ([0, 3], np.array([0, 3]), slice(1, 3), np.arange(8) > 2):
        assert_same(_safe_indexing(molecules, key), molecules[key])
    for train_index, test_index in KFold(4).split(molecules):
        assert len(molecules[train_index]) + len(molecules[test_index]) == 8
    scores = cross_validate(MeanMagnitude(), molecules, y, cv=2, error_score="raise")
    assert np.isfinite(scores["test_score"]).all()


@pytest.mark.parametrize("key", [8, -9, [8], [True, False], "a", [0.5], (0, 1), [[0]]])
def test_wrong_index(key: Any) -> None:
    with pytest.raises(IndexError):
        random_molecules([1] * 8)[key]


def test_no_array_of_molecules() -> None:
    with pytest.raises(TypeError, match="differ in size"):
        np.asarray(random_molecules([1, 2]))


def test_concatenate_with_partial_baseline_and_keys() -> None:
    one, other = random_molecules([2, 1]), random_molecules([3], seed=1)
    bare = other.replace(baseline_dipole=None, baseline_charges=None, source_keys=("mulliken",))
    joined = Molecules.concatenate([one, bare])
    assert np.isnan(joined.baseline_dipole[2]).all()
    assert np.isnan(joined.baseline_charges[3:]).all()
    assert joined.source_keys == ("mu", "mulliken")
    with pytest.raises(InputError, match="1 of 2 parts"):
        Molecules.concatenate([one, other.replace(features=None)])
    with pytest.raises(InputError, match="at least one"):
        Molecules.concatenate([])


def test_features_must_match() -> None:
    one, other = Features((np.ones((2, 3)),), (1.0,)), Features((np.ones((2, 4)),), (1.0,))
    with pytest.raises(InputError, match="same transformer"):
        Features.concatenate([one, other])
    with pytest.raises(InputError, match="one weight for each"):
        Features((np.ones((2, 3)),), ())
    with pytest.raises(InputError, match="equal n_atoms"):
        Features((np.ones((2, 3)), np.ones((3, 3))), (1.0, 1.0))
    with pytest.raises(InputError, match="descriptors of 3 atoms, got 2"):
        Molecules(**WATER).replace(features=one)
    assert len(Features.concatenate([one, one])) == 4


def test_magnitude_is_completed_from_the_vector() -> None:
    molecules = Molecules(**WATER, dipole_vector=[[0.0, 3.0, 4.0]])
    assert molecules.dipole_magnitude.tolist() == [5.0]
    given = Molecules(**WATER, dipole_vector=[[0.0, 3.0, 4.0]], dipole_magnitude=[5.001])
    assert given.dipole_magnitude.tolist() == [5.001]


def test_one_atom_is_a_molecule() -> None:
    ion = Molecules([11], [[0.0, 0.0, 0.0]], [0, 1], total_charge=[1.0], charges=[1.0])
    assert ion.natoms.tolist() == [1]
    assert ion.summary().n_one_atom == 1
    assert ion.summary().total_charges == {"+1": 1}


def test_summary_and_repr() -> None:
    molecules = random_molecules([2, 3, 1, 4])
    summary = molecules.summary()
    assert summary.n_molecules == len(molecules) == molecules.shape[0]
    assert sum(summary.elements.values()) == summary.n_atoms == molecules.n_atoms
    assert summary.n_magnitudes == molecules.has_magnitude.sum()
    assert summary.n_vectors == molecules.has_vector.sum()
    assert summary.n_charges == molecules.has_charges.sum()
    assert summary.n_baseline == 4
    assert summary.n_one_atom == 1
    assert sum(summary.as_dict()["total_charges"].values()) == 4
    assert "4 molecules, 10 atoms" in repr(molecules)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": [[0.0, 0.0, NAN], *WATER["positions"][1:]]}, "finite .* atom 0 of mol.*'w'"),
        ({"positions": [[0.0, 0.0, INF], *WATER["positions"][1:]]}, "positions: expected finite"),
        ({"positions": [[0.0, 0.0, 0.0]] * 3}, r"coordinates of molecule 0 \('w'\) are zero"),
        ({"positions": WATER["positions"][:2]}, r"positions: expected shape \(3, 3\)"),
        ({"positions": [["a", "b", "c"]] * 3}, "positions: expected values of type float64"),
        ({"numbers": [8, 1, 0]}, "atomic numbers 1 to 118, got 0 for atom 2"),
        ({"numbers": [8, 1, 119]}, "got 119"),
        ({"numbers": [8, 1, 1.5]}, "whole numbers"),
        ({"numbers": [8, 1, NAN]}, "whole numbers"),
        ({"offsets": [0, 2]}, "last 3"),
        ({"offsets": []}, "first 0"),
        ({"offsets": [0, 3, 3], "names": ["w", "x"]}, "molecule 1 is empty"),
        ({"offsets": [0, 4, 3], "names": ["w", "x"]}, "increasing"),
        ({"names": ["w", "x"]}, "names: expected shape"),
        ({"total_charge": [NAN]}, "total_charge: expected finite"),
        ({"dipole_magnitude": [-0.1]}, "at least 0 debye, got -0.1 for molecule 0 .'w'."),
        ({"dipole_magnitude": [INF]}, "dipole_magnitude: expected finite"),
        ({"dipole_magnitude": [1.0, 2.0]}, r"dipole_magnitude: expected shape \(1,\)"),
        ({"dipole_vector": [[0.0, NAN, 1.0]]}, "three values"),
        ({"dipole_vector": [[0.0, INF, 1.0]]}, "dipole_vector: expected finite"),
        ({"dipole_vector": [[0.0, 0.0, 1.0]], "dipole_magnitude": [4.8]}, "e.angstrom"),
        ({"charges": [-0.6, 0.3, NAN]}, "1 values are missing"),
        ({"charges": [-0.6, 0.3, INF]}, "charges: expected finite .* atom 2"),
        ({"charges": [-0.6, 0.3]}, r"charges: expected shape \(3,\)"),
        ({"charges": [-0.6, 0.3, 0.5]}, r"\('w'\) sum to 0.2 e: expected its total charge 0 e"),
        ({"charges": [-0.6, 0.3, 0.3], "total_charge": [1.0]}, "total charge 1 e"),
        ({"baseline_dipole": [[0.0, 0.0]]}, "baseline_dipole: expected shape"),
        ({"baseline_dipole": [[INF, 0.0, 0.0]]}, "baseline_dipole: expected finite"),
        ({"baseline_charges": [1.0, 0.0, 0.0]}, "baseline_charges: the charges of molecule 0"),
        ({"colour": 1}, "no field .'colour'."),
    ],
)
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    good = Molecules(**WATER, names=["w"])
    with pytest.raises(InputError, match=message):
        good.replace(**changes)


@given(st.integers(0, 30), st.integers(0, 10_000))
def test_coincident_atoms_are_found_wherever_they_are(shift: int, seed: int) -> None:
    """A pair 0.099 angstrom apart is found in any direction; at 0.101 it is accepted."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    positions = 1.5 * np.arange(31)[:, None] * [[0.0, 1.0, 0.0]]
    for distance, is_bad in ((0.099, True), (0.101, False)):
        points = np.insert(positions, 7, positions[shift] + distance * direction, axis=0)
        expected = (
            pytest.raises(InputError, match=r"of molecule 0 .* 0.099 angstrom apart")
            if is_bad
            else nullcontext()
        )
        with expected:
            Molecules([6] * 40, np.r_[points, positions[:8]], [0, 32, 40])


def test_same_place_in_different_molecules_is_fine() -> None:
    water = Molecules(**WATER)
    assert len(Molecules.concatenate([water, water]).replace(names=["a", "b"])) == 2


@pytest.mark.parametrize("kind", ["dipole", "charges"])
def test_missing_labels_error_names_keys(kind: str) -> None:
    text = str(missing_labels_error(kind, ("energy", "forces")))
    assert "energy, forces" in text
    assert ("mu_debye" if kind == "dipole" else "mulliken_charges") in text
    assert "keys present: none" in str(missing_labels_error(kind, ()))
