"""`suggest_labels`: its kernel, what it leaves out, what it refuses."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from dipkit import Molecules, default_model, suggest_labels
from dipkit.data.datasets import load_organics
from dipkit.data.io import as_molecules
from dipkit.estimator.label_covariance import DipoleRows
from dipkit.estimator.linearised import unit_vectors
from dipkit.exceptions import InputError
from dipkit.units import DEBYE_PER_E_ANGSTROM

N_LABELLED = 25


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return load_organics()[:70]


@pytest.fixture(scope="module")
def model(molecules: Molecules):
    return default_model(basis__n_inducing=100).fit(molecules[:N_LABELLED])


@pytest.fixture(scope="module")
def pool(molecules: Molecules) -> Molecules:
    return molecules[N_LABELLED:]


@pytest.fixture(scope="module")
def suggestion(model, pool: Molecules, molecules: Molecules):
    return suggest_labels(model, pool, 6, molecules[:N_LABELLED])


def test_rows_make_the_kernel_of_the_model(molecules: Molecules) -> None:
    """Prior variances of magnitudes, atom by atom from the kernel and a constant per element."""
    pipeline = default_model(basis__n_inducing=60, basis__bond_charges=0.0).fit(molecules[:10])
    ridge, described = pipeline[-1], pipeline[:-1].transform(molecules[:10])
    units = unit_vectors(np.random.default_rng(0).normal(size=(10, 3)))
    rows, beyond = DipoleRows.of(described, ridge).along(units)
    scales = [scale.astype(np.float64) for scale in described.features.scales]
    for one in range(10):
        atoms = described.atom_index(one)
        numbers, positions = described.numbers[atoms], described.positions[atoms]
        arms = DEBYE_PER_E_ANGSTROM * (positions - positions.mean(axis=0)) @ units[one]
        mine = [scale[atoms] for scale in scales]
        kernel = ridge.kernel_(mine, mine, ridge.scale_weights_.tolist()) + 1.0
        kernel *= numbers[:, None] == numbers
        assert rows[one] @ rows[one] + beyond[one] == pytest.approx(arms @ kernel @ arms, rel=1e-3)


def test_what_few_environments_leave_out_is_added_atom_by_atom(
    model, molecules: Molecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As variance: the same for a dipole and its reverse."""
    monkeypatch.setattr("dipkit.estimator.label_covariance.N_INDUCING", 20)
    some = model[:-1].transform(molecules[:10])
    found = DipoleRows.of(some, model[-1])
    assert found.residual.max() > 0.1
    units = unit_vectors(np.random.default_rng(0).normal(size=(10, 3)))
    _, beyond = found.along(units)
    for one in range(10):
        atoms = some.atom_index(one)
        arms = some.positions[atoms] - some.positions[atoms].mean(axis=0)
        squares = (DEBYE_PER_E_ANGSTROM * arms @ units[one]) ** 2
        assert beyond[one] == pytest.approx(squares @ found.residual[atoms])
    np.testing.assert_allclose(found.along(-units)[1], beyond)


def test_suggestion_is_consistent(suggestion, pool: Molecules, model) -> None:
    assert suggestion.molecules.names.tolist() == pool.names[suggestion.index].tolist()
    assert len(set(suggestion.index.tolist())) == 6
    assert not suggestion.molecules.has_magnitude.any()
    std = model.predict(pool[suggestion.index], return_std=True)[1]
    np.testing.assert_allclose(suggestion.std, std, rtol=1e-6)
    assert (np.diff(suggestion.expected_error) < 0).all()
    assert suggestion.random_error < suggestion.expected_error[0]


def test_labels_and_order_of_the_pool_do_not_matter(
    suggestion, model, pool: Molecules, molecules: Molecules
) -> None:
    turned = pool[::-1].replace(dipole_vector=None, dipole_magnitude=np.arange(len(pool)) + 1.0)
    again = suggest_labels(model, turned, 6, molecules[:N_LABELLED])
    assert again.molecules.names.tolist() == suggestion.molecules.names.tolist()


def test_labelled_molecules_of_the_pool_are_the_known_ones(
    suggestion, model, pool: Molecules, molecules: Molecules
) -> None:
    bare = pool.replace(dipole_vector=None, dipole_magnitude=None)
    together = Molecules.concatenate([molecules[:N_LABELLED], bare])
    again = suggest_labels(model, together, 6)
    np.testing.assert_array_equal(again.index, suggestion.index + N_LABELLED)


def test_what_cannot_be_chosen_is_left_out(model, pool: Molecules, molecules: Molecules) -> None:
    moved = molecules[3:4]
    others = [
        moved.replace(positions=moved.positions + 2.0),
        as_molecules([molecule("SiH4")]),
        as_molecules([Atoms("O", [[0, 0, 0]])]),
    ]
    mixed = Molecules.concatenate([*others, pool[:8]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = suggest_labels(model, mixed, 8, molecules[:N_LABELLED])
    said = " ".join(str(one.message) for one in caught)
    assert sorted(found.index.tolist()) == list(range(3, 11))
    for reason in ("have a label already", "does not know", "single atoms"):
        assert reason in said
    # Each points to the line of the user.
    assert {one.filename for one in caught} == {__file__}


def test_of_two_copies_one_is_chosen(model, pool: Molecules, molecules: Molecules) -> None:
    twice = Molecules.concatenate([pool[:10], pool[:10]])
    found = suggest_labels(model, twice, 10, molecules[:N_LABELLED])
    assert len(set((found.index % 10).tolist())) >= 9


def test_charged_molecules_can_be_chosen(model, molecules: Molecules) -> None:
    ions = as_molecules([molecule("CH3"), molecule("OH")]).replace(total_charge=[1.0, -1.0])
    found = suggest_labels(model, ions, 2, molecules[:N_LABELLED])
    assert np.isfinite(found.expected_error).all()
    assert found.molecules.total_charge.tolist() == ions.total_charge[found.index].tolist()


def test_refusals_say_what_to_do(model, pool: Molecules, molecules: Molecules) -> None:
    known, bare = molecules[:N_LABELLED], pool.replace(dipole_vector=None, dipole_magnitude=None)
    with pytest.raises(InputError, match="no molecule with a dipole label"):
        suggest_labels(model, bare, 2)
    with pytest.raises(InputError, match="only 45 molecules of the pool"):
        suggest_labels(model, pool, 46, known)
    with pytest.raises(InputError, match="expected an integer >= 1"):
        suggest_labels(model, pool, 0, known)
    with pytest.raises(InputError, match="expected a pipeline"):
        suggest_labels(model[-1], pool, 2, known)
    corrected = default_model(baseline="given", basis__n_inducing=60).fit(known)
    with pytest.raises(InputError, match="without a baseline, got one with GivenBaseline"):
        suggest_labels(corrected, pool, 2, known)
    with pytest.warns(UserWarning, match="20 molecules with a dipole label.*fitted to 25"):
        suggest_labels(model, pool, 2, known[:20])
